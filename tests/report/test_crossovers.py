"""Crossovers: solved exactly, and true of the exact counts on both sides."""

from itertools import pairwise

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count import count
from attometer.mechanisms import mechanism
from attometer.program import size
from attometer.report.compare import compare
from attometer.report.crossover import BISECTION, SOLVED, Crossover, crossovers, searched_to

n, d, h, w = size("n"), size("d"), size("h"), size("w")


def costs(name: str, **bound: int) -> sympy.Expr:
    return count(mechanism(name, **bound)).flops("flop").xreplace({size("b"): sympy.Integer(1)})


def holds(found: Crossover, first: sympy.Expr, second: sympy.Expr, sizes: dict[sympy.Symbol, int]) -> None:
    """The counts in the report are those of the formulas, and their order changes across the crossing."""
    numbers = {s: sympy.Integer(v) for s, v in sizes.items()}
    for at, one, other in found.counts:
        assert one == first.xreplace({**numbers, n: sympy.Integer(at)})
        assert other == second.xreplace({**numbers, n: sympy.Integer(at)})
    (_, a, b), (_, x, y) = found.counts[0], found.counts[-1]
    assert (a - b) * (x - y) < 0
    assert found.above - found.below == (2 if found.root.is_Integer else 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5000))
def test_attention_meets_a_recurrent_network_at_n_equal_to_d(width: int) -> None:
    first, second = costs("softmax").xreplace({h: sympy.Integer(1)}), costs("rnn")
    (found,) = crossovers(("softmax", first), ("rnn", second), {d: width})
    assert (found.root, found.symbolic) == (width, d)
    assert found.counts[1][1] == found.counts[1][2]
    holds(found, first, second, {d: width})


@pytest.mark.parametrize(("other", "multiple"), [("projections", 2), ("ffn", 4), ("both", 6)])
@pytest.mark.parametrize("width", [64, 768, 4096])
def test_the_core_meets_the_rest_of_the_layer(other: str, multiple: int, width: int) -> None:
    one_head = {h: sympy.Integer(1), size("D"): d}
    ffn, projections = costs("ffn").xreplace(one_head), costs("projections").xreplace(one_head)
    second = {"projections": projections, "ffn": ffn, "both": projections + ffn}[other]
    first = costs("softmax").xreplace(one_head)
    (found,) = crossovers(("core", first), (other, second), {d: width})
    assert (found.root, found.symbolic) == (multiple * width, multiple * d)
    holds(found, first, second, {d: width})


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
def test_a_root_between_two_lengths_is_bracketed(quadratic: int, linear: int, constant: int) -> None:
    first, second = quadratic * n**2, linear * n + constant
    for found in crossovers(("first", first), ("second", second), {}):
        assert found.method == SOLVED
        holds(found, first, second, {})
    signs = [quadratic * k * k - linear * k - constant for k in range(1, 600)]
    changes = sum((a < 0 < b) or (b < 0 < a) for a, b in pairwise(signs))
    zeros = sum(a < 0 < c for a, b, c in zip(signs, signs[1:], signs[2:], strict=False) if b == 0)
    assert len(crossovers(("first", first), ("second", second), {})) == changes + zeros


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 200), st.integers(1, 400))
def test_a_window_is_solved_on_both_sides_of_its_width(width: int, keys: int) -> None:
    first = costs("sliding_window").xreplace({h: sympy.Integer(1)})
    second = costs("linformer").xreplace({h: sympy.Integer(1), size("k"): sympy.Integer(keys)})
    sizes = {d: 8, w: width}
    found = crossovers(("window", first), ("linformer", second), sizes)
    values = [
        (first - second).xreplace({d: sympy.Integer(8), w: sympy.Integer(width), n: sympy.Integer(k)})
        for k in (1, 10**6)
    ]
    assert (len(found) % 2 == 1) == (values[0] * values[1] < 0)
    for crossing in found:
        holds(crossing, first, second, sizes)


def test_roundings_are_bisected_and_said_to_be() -> None:
    first, second = n * sympy.ceiling(n / 7), 100 * n
    (found,) = crossovers(("tiled", first), ("flat", second), {})
    assert (found.method, found.below, found.above) == (BISECTION, 693, 701)
    assert str(found) == "tiled = flat from n = 694 to 700: tiled costs less below, flat above"
    (found,) = crossovers(("tiled", n * sympy.ceiling(n / 7) + 1), ("flat", second), {})
    assert str(found) == "tiled = flat between n = 693 and 694: tiled costs less below, flat above"
    assert crossovers(("tiled", n * sympy.floor(n / 2)), ("flat", 100000 * n), {}) == ()
    assert searched_to(first - second) == " up to n = 16,384"


def test_random_keys_are_counted_on_both_sides() -> None:
    first = costs("bigbird", r=3, t=2, w=4).xreplace({h: sympy.Integer(1)})
    second = costs("linformer").xreplace({h: sympy.Integer(1), size("k"): sympy.Integer(4)})
    (found,) = crossovers(("bigbird", first), ("linformer", second), {d: 8})
    assert (found.method, found.cheaper_below) == (BISECTION, "bigbird")
    holds(found, first, second, {d: 8})


def test_costs_that_never_meet_have_no_crossover() -> None:
    assert crossovers(("a", 3 * n), ("b", 2 * n), {}) == ()
    assert crossovers(("a", n**2), ("b", n**2), {}) == ()
    # they touch at n = 5 and neither overtakes the other
    assert crossovers(("a", n**2 + 25), ("b", 10 * n), {}) == ()


def test_two_crossings_are_both_found() -> None:
    found = crossovers(("a", n**2 + 21), ("b", 10 * n), {})
    assert [c.root for c in found] == [3, 7]
    assert [c.cheaper_below for c in found] == ["b", "a"]


def test_the_report_of_a_crossing() -> None:
    (found,) = crossovers(("attention", 4 * n**2 * d), ("rnn", 4 * n * d**2), {d: 768})
    assert str(found) == "attention = rnn at n = d = 768: attention costs less below, rnn above"
    held = found.to_dict()
    assert held["symbolic"] == "d"
    assert held["counts"][0] == {"n": 767, "attention": 4 * 767**2 * 768, "rnn": 4 * 767 * 768**2}


def test_chunks_cross_at_whole_chunks_only() -> None:
    for other in ("linear", "linear_causal", "softmax"):
        comparison = compare(other, "linear_chunked", of="unit")
        for crossing in comparison.crossings:
            assert all(n % 64 == 0 and one.is_Integer and two.is_Integer for n, one, two in crossing.counts)
    assert [str(c) for c in comparison.crossings] == [
        "softmax = linear_chunked between n = 64 and 128: softmax costs less below, linear_chunked above"
    ]
