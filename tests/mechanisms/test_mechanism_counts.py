"""What the catalogue costs: orders of growth as the papers state them, and exact oracles."""

import itertools

import pytest
import sympy
from plain import SMALL

from attometer.count import count
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import size

# Growth of the work in the named symbols. Sources: each mechanism's own paper (see its citation).
ORDERS = [
    ("softmax", {}, "bhnd", "O(b d h n^2)"),
    ("cross_attention", {}, "bhnmd", "O(b d h m n)"),
    ("mqa", {}, "bhnd", "O(b d h n^2)"),
    ("gqa", {}, "bhnd", "O(b d h n^2)"),
    ("decode", {}, "bhmd", "O(b d h m)"),
    ("sliding_window", {"w": 256}, "bhnd", "O(b d h n)"),
    ("sliding_window", {}, "bhndw", "O(b d h n w)"),
    ("longformer", {"w": 512, "t": 2}, "bhnd", "O(b d h n)"),
    ("longformer", {}, "nwt", "O(n t + n w)"),
    ("sparse_transformer_strided", {}, "nl", "O(l n + n^2/l)"),
    ("sparse_transformer_fixed", {}, "nlc", "O(c n^2/l + l n)"),
    ("bigbird", {"w": 192, "t": 128}, "bhnd", "O(b d h n)"),
    ("linformer", {}, "bhnkd", "O(b d h k n)"),
    ("performer", {}, "bhnfd", "O(b d f h n)"),
    ("linear", {}, "bhnd", "O(b d^2 h n)"),
    ("linear_causal", {}, "bhnd", "O(b d^2 h n)"),
    ("linear_chunked", {}, "bhndB", "O(B b d h n + b d^2 h n)"),
    ("hyperattention", {"B": 256, "l": 256, "p": 7}, "bhn", "O(b h n log(n)^2)"),
    ("topk", {}, "nk", "O(k n + n^2 log(n)^2)"),
    ("rnn", {}, "bnd", "O(b d^2 n)"),
    ("lstm", {}, "bnd", "O(b d^2 n)"),
    ("gru", {}, "bnd", "O(b d^2 n)"),
    ("ssm", {}, "bhnds", "O(b d h n s)"),
    ("gated_delta", {}, "bhnd", "O(b d^2 h n)"),
    ("projections", {"D": "D"}, "bhndD", "O(D b d h n)"),
    ("ffn", {}, "bnD", "O(D^2 b n)"),
    ("gated_ffn", {}, "bnDF", "O(D F b n)"),
    ("layernorm", {}, "bnD", "O(D b n)"),
    ("tensor_product", {}, "n", "O(n^3)"),
    ("matmul", {}, "n", "O(n^3)"),
    ("softmax_row", {}, "n", "O(n)"),
]


@pytest.mark.parametrize(
    ("name", "parameters", "symbols", "growth"), ORDERS, ids=[f"{row[0]}-{row[2]}" for row in ORDERS]
)
def test_order_of_work(name: str, parameters: dict[str, int], symbols: str, growth: str) -> None:
    assert str(count(mechanism(name, **parameters)).order(*symbols)) == growth


def test_strided_attention_is_n_to_the_three_halves_at_its_best_stride() -> None:
    costs = [
        count(mechanism("sparse_transformer_strided")).at(b=1, h=1, n=k * k, d=1, l=k).work for k in (64, 128, 256)
    ]
    ratios = [b / a for a, b in itertools.pairwise(costs)]
    assert all(abs(ratio - 8) < 0.1 for ratio in ratios)


def test_window_work_is_linear_in_the_window() -> None:
    cost = count(mechanism("sliding_window"))
    work = [cost.at(b=1, h=1, n=100_000, d=64, w=w).work for w in (64, 128, 256)]
    assert all(abs(b / a - 2) < 0.02 for a, b in itertools.pairwise(work))


def _log(symbol: str) -> sympy.Expr:
    from attometer.sizes import clog2

    return clog2(size(symbol))


def test_attention_layer_has_the_essay_s_depth_corrected() -> None:
    """1 load, 1 + log d projection, 1 + log d scores, 1 scale, 2 log n + 3 softmax, 1 + log n values, 1 store."""
    layer = mechanism("attention_layer")
    assert sympy.expand(count(layer, loads=True).depth - (2 * _log("d") + 3 * _log("n") + 9)) == 0
    assert sympy.expand(count(layer).depth - (2 * _log("d") + 3 * _log("n") + 7)) == 0


def test_softmax_row_is_five_n_less_two() -> None:
    cost = count(mechanism("softmax_row"))
    assert sympy.expand(cost.work - (5 * size("n") - 2)) == 0
    assert sympy.expand(cost.depth - (2 * _log("n") + 3)) == 0


@pytest.mark.parametrize("name", ["linear_causal", "ssm"])
def test_a_scan_is_shallow_and_a_recurrence_deep(name: str) -> None:
    deep, shallow = (count(mechanism(name, associative=flag)) for flag in (False, True))
    sizes = {"b": 1, "h": 1, "d": 4, **({"s": 4} if name == "ssm" else {})}
    assert deep.at(n=2048, **sizes).depth - deep.at(n=1024, **sizes).depth >= 1024
    assert shallow.at(n=2048, **sizes).depth - shallow.at(n=1024, **sizes).depth <= 4


def test_absorbed_mla_is_cheaper_for_one_query_over_a_long_cache() -> None:
    expanded, absorbed = (count(mechanism(name, m="m", c=512, r=64)) for name in ("mla", "mla_absorbed"))
    sizes = {"b": 1, "h": 128, "d": 128, "n": 1, "m": 32_768}
    assert absorbed.at(**sizes).work * 20 < expanded.at(**sizes).work
    long = {**sizes, "n": 32_768}
    assert absorbed.at(**long).work > 2 * expanded.at(**long).work


@pytest.mark.parametrize("name", ["mla", "mla_absorbed"])
def test_depth_of_latent_attention_names_every_contraction(name: str) -> None:
    assert str(count(mechanism(name)).order(of="depth")) == "O(log(c) + log(d) + log(n) + log(r))"


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_is_counted_in_its_own_symbols(name: str) -> None:
    made = mechanism(name)
    cost = count(made)
    assert cost.name == name
    assert cost.symbols <= set(made.program.symbols)
    at = cost.at(**{k: v for k, v in SMALL.items() if size(k) in cost.symbols})
    assert isinstance(at.work, int)
    # A lookup computes nothing.
    assert at.work >= at.depth >= (name != "embedding")
