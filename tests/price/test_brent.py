"""Brent's bounds hold for every greedy schedule, and are exact."""

from fractions import Fraction

import pytest
import sympy
from greedy_schedule import Graph, greedy_steps
from hypothesis import given
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.price import brent, brent_curve, cutoff


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    graph = Graph()
    for node in range(draw(st.integers(1, 40))):
        parents = draw(st.sets(st.integers(0, node - 1), max_size=3)) if node else set()
        graph.op(*sorted(parents))
    return graph


@given(graphs(), st.integers(1, 45))
def test_every_greedy_schedule_lies_between_the_bounds(graph: Graph, processors: int) -> None:
    bounds = brent(graph.work(), graph.depth(), processors)
    assert bounds.lower <= greedy_steps(graph, processors) <= bounds.upper


@given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(1, 10**6))
def test_numbers_are_exact(depth: int, more: int, processors: int) -> None:
    work = depth + more
    bounds = brent(work, depth, processors)
    assert bounds.lower == max(-(-work // processors), depth)
    assert Fraction(int(bounds.upper.p), int(bounds.upper.q)) == Fraction(more, processors) + depth
    assert bounds.upper < 2 * bounds.lower + 1, "the sandwich is a factor of two wide at the most"


def test_one_processor_takes_the_work_and_many_the_depth() -> None:
    points = brent_curve(work=100, depth=7, processors=(1, 10, 100))
    assert [(point.lower, point.upper) for point in points[::2]] == [(100, 100), (7, sympy.Rational(793, 100))]
    assert points[0].to_dict() == {"processors": 1, "lower": 100, "upper": 100}
    assert points[2].to_dict()["upper"] == "793/100"


def test_symbols_stay_symbols() -> None:
    n, p = sympy.symbols("n p", positive=True, integer=True)
    bounds = brent(4 * n, sympy.Integer(3), p)
    assert bounds.upper.equals((4 * n - 3) / p + 3)
    assert bounds.lower.subs({n: 10, p: 8}) == 5
    assert cutoff(4 * n, 3) == 4 * n / 3


def test_the_sum_of_a_million_numbers_on_a_thousand_processors() -> None:
    # 999999 additions, 20 levels. Blelloch, CACM 1996: W/P + D; a schedule of 999 + 10 steps exists
    bounds = brent(999_999, 20, 1000)
    assert bounds.lower <= 999 + 10 <= bounds.upper


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((10, 3, 0), r"^processors must be a whole number of at least 1, got 0$"),
        ((10, 3, sympy.Rational(1, 2)), r"^processors must be a whole number of at least 1, got 1/2$"),
        ((10, 0, 2), r"^depth must be at least 1, got 0$"),
        ((3, 10, 2), r"^work must be at least depth, got work 3 and depth 10$"),
    ],
)
def test_contradictions_are_refused(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        brent(*arguments)
