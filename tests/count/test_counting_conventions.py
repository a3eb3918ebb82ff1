"""Conventions weigh scalar operations by what they are and where they come from, never by what a tensor is called."""

import pickle

import pytest
import sympy
from law_programs import PROGRAMS

from attometer.count import Convention, count
from attometer.count.conventions import CONVENTIONS
from attometer.count.memory.footprint import saved_for_backward
from attometer.errors import AttometerError
from attometer.program import parse, size

n, d, i, j = (size(s) for s in ("n", "d", "i", "j"))
ATTENTION = "axis i: n, j: n\nS[i,j] = Q[i,d] * K[j,d]\n{}\nO[i,d] = P[i,j] * V[j,d]"
WRITTEN = {
    "called": "P[i,j] = softmax[j](S)",
    "shifted": "W[i,j] = exp(S - M[i])\nP[i,j] = W / sum[j](W)".replace("W[i", "M[i] = max[j](S)\nW[i", 1),
    "plain": "weight_[i,j] = exp(S)\nZ[i] = weight_[i,j]\nP[i,j] = weight_ / Z",
    "twice": "P[i,j] = exp(S) / sum[j](exp(S))",
    "sink": "expo[i,j] = exp(S)\nP[i,j] = expo / (sum[j](expo) + 1)",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_softmax_costs_three_per_score_however_it_is_written(name: str) -> None:
    cost = count(parse(ATTENTION.format(WRITTEN[name])))
    assert sympy.expand(cost.flops("article") - 2 * n**2 * d - 3 * n**2) == 0


def test_division_after_the_values_is_a_softmax_too() -> None:
    text = "axis i: n, j: n\nS[i,j] = Q[i,d] * K[j,d]\nE[i,j] = exp(S)\nO[i,d] = E[i,j] * V[j,d] / sum[j](E)"
    assert count(parse(text)).flops("article") == 2 * n**2 * d + 3 * n**2


@pytest.mark.parametrize(
    "text",
    [
        "expert[i] = relu(X[i])",
        "exp1[i] = X[i] + 1",
        "E[i,j] = exp(X[i,j])",
        "E[i,j] = exp(X[i,j])\nZ[i] = E[i,j]",
        "E[i,j] = exp(X[i,j])\nZ[i] = E[i,j]\nP[i,j] = X / Z",
        "E[i,j] = exp(X[i,j])\nZ[i] = E[i,j]\nP[i,j] = Z / E",
    ],
)
def test_what_no_softmax_takes_costs_the_article_nothing(text: str) -> None:
    assert count(parse(text)).flops("article") == 0


def test_only_the_outer_exponential_is_a_score() -> None:
    cost = count(parse("E[i,j] = exp(exp(X[i,j]))\nP[i,j] = E / sum[j](E)"))
    assert cost.flops("article") == 3 * i * j
    assert cost.scalars == {"exp": i * j, "softmax.exp": i * j, "add": i * j - i, "div": i * j}


def test_the_histogram_says_what_a_softmax_does() -> None:
    assert count(parse("P[i,j] = softmax[j](X[i,j])")).scalars == {
        "softmax.max": i * j - i,
        "softmax.sub": i * j,
        "softmax.exp": i * j,
        "softmax.add": i * j - i,
        "softmax.div": i * j,
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_unit_adds_the_histogram_up(name: str) -> None:
    cost = count(PROGRAMS[name], loads=True)
    assert cost.flops("unit") == cost.work == sympy.Add(*cost.scalars.values())


def test_a_recurrence_counts_its_products_as_products() -> None:
    cost = count(parse("axis y: x\nH[t,x] = tanh(A[x,y] * H[t-1,y] + X[t,x])"))
    t, x = size("t"), size("x")
    assert sympy.expand(cost.flops("flop_all") - t * (2 * x**2 + 2 * x)) == 0
    assert cost.flops("flop") == 2 * t * x**2


def test_your_own_convention_is_data() -> None:
    cost = count(parse("P[i,j] = softmax[j](X[i,j])\nY[i,k] = P[i,j] * V[j,k]"))
    k = size("k")
    assert cost.flops({"softmax.exp": 5}) == 5 * i * j
    assert cost.flops({"exp": 8, "softmax.*": 1}) == cost.flops({"softmax.*": 1})
    assert cost.flops({"*": 1, "product.*": 0}) == 5 * i * j - 2 * i
    half = Convention("half", "additions are fused", {"mul": 1, "add": 0})
    assert {half, pickle.loads(pickle.dumps(half))} == {half}
    assert hash(cost.rows[0]) == hash(pickle.loads(pickle.dumps(cost)).rows[0])
    assert cost.flops(half) == i * j * k
    assert cost.flops(CONVENTIONS["mac"].weights) == cost.flops("mac")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"expp": 1}, 'unknown scalar operation "expp"; did you mean "exp"?'),
        ({"sofmax.exp": 1}, 'unknown scalar operation "sofmax.exp"; did you mean "softmax.exp"?'),
        ({"exp": "3"}, 'the weight of "exp" must be a number, got str'),
        ({"exp": True}, 'the weight of "exp" must be a number, got bool'),
    ],
)
def test_weights_are_checked(weights: dict[str, object], words: str) -> None:
    with pytest.raises(AttometerError) as error:
        count(PROGRAMS["sum"]).flops(weights)  # type: ignore[arg-type]
    assert str(error.value) == words


def test_parts_of_a_composite_are_saved_as_its_result_wherever_that_is() -> None:
    # The softmax's value is a tensor of its own here, not the statement's.
    inner = parse("Y[i,e] = sum[j](softmax[j](S[i,j]) * V[j,e])")
    assert saved_for_backward(inner) == {"Y.part", "V"}
    # A maximum that is no softmax's shift needs to know where it was taken.
    assert saved_for_backward(parse("Y[i] = exp(max[j](S[i,j]))")) == {"Y", "S"}


def test_operations_know_their_origin() -> None:
    program = parse("Y[i,j] = softmax[j](X[i,j]) + softmax[i](X[i,j])\nZ[i,j] = rmsnorm[j](Y)")
    found = [(o.origin.composite, o.origin.instance, o.origin.part) for o in program.operations if o.origin]
    assert found[:5] == [
        ("softmax", "Y", "max"), ("softmax", "Y", "shift"), ("softmax", "Y", "exp"), ("softmax", "Y", "sum"),
        ("softmax", "Y2", "max"),
    ]  # fmt: skip
    assert [o.output.name for o in program.operations if o.origin is None] == ["Y"]
    assert found[-1] == ("rmsnorm", "Z", "result")
