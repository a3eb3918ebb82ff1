"""Outer products by the convention that counts them as matrix products: recurrent and parallel forms on one scale."""

import pytest
import sympy

from attometer.count import CONVENTIONS, count
from attometer.mechanisms import mechanism
from attometer.program import parse, size

STATE = "axis t: n\ninput q[t,d], k[t,d], v[t,e]\n{}\nO[t,e] = q[t,d] * S[t,d,e]"


@pytest.mark.parametrize(
    "line", ["S[t,d,e] = S[t-1,d,e] + k[t,d] * v[t,e]", "S[t,d,e] = S[t-1,d,e] + k[t,d] * v[t,e]   associative"]
)
def test_a_recurrent_state_costs_what_its_update_and_its_reading_do(line: str) -> None:
    n, d, e = map(size, "nde")
    cost = count(parse(STATE.format(line)))
    assert cost.flops("flop") == 2 * n * d * e
    assert cost.flops("flop_outer") == 4 * n * d * e
    # Every convention of before counts the product as any other multiplication.
    assert cost.flops({"mul": 1, "product.mul": 0}) == n * d * e
    assert cost.scalars["outer.mul"] == n * d * e


def test_linear_attention_in_both_forms_is_on_one_scale() -> None:
    sizes = {"b": 1, "h": 1, "n": 64, "d": 16}
    causal, whole = (count(mechanism(name)).at(**sizes) for name in ("linear_causal", "linear"))
    assert causal.flop < whole.flop
    assert causal.flop_outer == causal.flop + 2 * 64 * 16 * 16 == whole.flop_outer


@pytest.mark.parametrize("text", ["Y[i,d] = X[i,d] * r[i] * G[d]", "Y[i,d] = X[i,d] * r[i]", "Y[i] = a[i] * b[i]"])
def test_a_scaled_tensor_is_no_outer_product(text: str) -> None:
    assert "outer.mul" not in count(parse(text)).scalars


def test_the_work_is_the_same_in_all() -> None:
    cost = count(parse("Y[i,j] = a[i] * b[j]"))
    assert cost.work == cost.flops("flop_all") == sympy.prod(map(size, "ij"))
    assert cost.flops("flop") == cost.flops("mac") == 0
    assert CONVENTIONS["flop_outer"].weight("outer.mul") == 2
