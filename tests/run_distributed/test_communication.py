"""The predictions by themselves: closed forms against routes, and totals that add up."""

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.traffic.communication import (
    ring_communication,
    ring_kept,
    ring_total,
    ulysses_communication,
    ulysses_kept,
)
from attometer.count.traffic.sequence_split import LAYOUTS, pairs_by_rank, sequence_split
from attometer.errors import AttometerError
from attometer.masks import window
from attometer.program import causal, size

FREE = sequence_split(m=size("m"), e=size("e"))
NUMBERS = {"b": 2, "h": 12, "g": 6, "d": 5, "e": 7, "w": 2, "a": 4}


def at(expression: sympy.Expr, **sizes: int) -> int:
    return int(
        expression.xreplace({size(k): sympy.Integer(x) for k, x in {**NUMBERS, **sizes}.items() if k != "r"}).xreplace(
            {size("r"): sympy.Integer(sizes.get("r", 0))}
        )
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(0, 30), st.integers(1, 40), st.sampled_from(LAYOUTS))
def test_the_closed_form_is_the_route_of_every_block(ranks: int, more: int, m: int, layout: str) -> None:
    n = 2 * ranks + more
    symbolic = sequence_split(m=size("m"), e=size("e"), layout=layout)
    routed = sequence_split(ranks=ranks, n=n, m=m, e=size("e"), layout=layout)
    for rank in range(ranks):
        closed, followed = ring_communication(symbolic), ring_communication(routed, rank)
        for phase in ("forward", "backward"):
            formula = getattr(closed, phase).subs(size("r"), rank)
            assert at(formula, p=ranks, n=n, m=m) == at(getattr(followed, phase))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(0, 30), st.sampled_from(LAYOUTS))
def test_the_ranks_add_up_to_the_total(ranks: int, more: int, layout: str) -> None:
    n = 2 * ranks + more
    split = sequence_split(
        ranks=ranks, n=n, layout=layout, **{k: NUMBERS[k] for k in "bghde"}, element=2, accumulator=4
    )
    sent = [ring_communication(split, rank) for rank in range(ranks)]
    total = ring_total(split)
    assert sum(s.forward for s in sent) == total.forward
    assert sum(s.backward for s in sent) == total.backward


def test_the_formulas_of_the_papers() -> None:
    """Equal pieces: a ring sends (p - 1)/p of all keys and values per rank; Ulysses 4 n D / p of (p - 1)/p, D = h d."""
    p, n, h, d = (size(x) for x in "pnhd")
    whole = size("x")
    equal = {n: 2 * p * whole}
    split = sequence_split(b=1, g=h, element=1, accumulator=1)
    sent = ring_communication(split, 0)
    assert sympy.simplify(sent.forward.xreplace(equal).subs(sympy.Mod(1, p), 1) - 2 * h * d * 2 * whole * (p - 1)) == 0
    traded = ulysses_communication(split, 0).forward.xreplace(equal)
    assert sympy.simplify(traded - 4 * h * d * 2 * p * whole / p * (p - 1) / p) == 0


def test_one_rank_sends_nothing() -> None:
    split = sequence_split(ranks=1, n=9, **{k: NUMBERS[k] for k in "bghde"}, element=2, accumulator=4)
    for sent in (ring_communication(split, 0), ulysses_communication(split, 0, return_lse=True)):
        assert (sent.forward, sent.backward) == (0, 0)


def test_a_window_sends_to_one_neighbour() -> None:
    one = sequence_split(ranks=4, b=1, g=1, n=32, d=4, element=2, accumulator=4, layout="contiguous", mask=window(4))
    all_keys = sequence_split(ranks=4, b=1, g=1, n=32, d=4, element=2, accumulator=4, layout="contiguous")
    assert ring_communication(one, 0).forward * 3 == ring_communication(all_keys, 0).forward
    assert ring_communication(one, 3).forward == 0


def test_ulysses_keeps_twice_what_a_ring_keeps() -> None:
    """Its shards by positions, and again by heads; the log-sum-exp once."""
    options = {k: NUMBERS[k] for k in "bghde"}
    split = sequence_split(ranks=2, n=16, **options, element=2, accumulator=4)
    lse = NUMBERS["b"] * NUMBERS["h"] * 8 * 4
    assert ulysses_kept(split, 0) - lse == 2 * (ring_kept(split, 0) - lse)


def test_errors() -> None:
    with pytest.raises(
        AttometerError, match="mask: got causal with symbols, expected numbers for n, m, ranks and rank"
    ):
        ring_communication(sequence_split(mask=causal()))
    with pytest.raises(AttometerError, match="n, m, ranks: got n, n, p, expected numbers"):
        pairs_by_rank(sequence_split())
    with pytest.raises(AttometerError, match='unknown layout "zigzagg"; did you mean "zigzag"'):
        sequence_split(layout="zigzagg")
    with pytest.raises(AttometerError, match="p must be a positive integer, got 0"):
        sequence_split(ranks=0)
