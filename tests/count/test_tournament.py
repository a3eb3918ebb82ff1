"""The k largest by a tournament: the values of topk, counted as its graph is and as Knuth says."""

import numpy as np
import pytest

from attometer.count import count
from attometer.errors import AttometerError
from attometer.program import parse
from attometer.simulate.graph.dag import graph
from attometer.simulate.interpreter import interpret


def text(function: str, k: int) -> str:
    return f"axis k: {k}\ninput X[i,j], V[j,e]\nT[i,k] = {function}[j, k](X * 2)\nO[i,k,e] = V[T[i,k], e]"


@pytest.mark.parametrize(("j", "k"), [(1, 1), (2, 2), (5, 2), (8, 3), (9, 9), (16, 1)])
def test_counts_are_those_of_the_graph(j: int, k: int) -> None:
    program, sizes = parse(text("select", k)), {"i": 2, "j": j, "e": 2}
    assert parse(str(program)) == program
    counted, built = count(program).at(**sizes), graph(program, sizes)
    assert (counted.work, counted.depth) == (built.work, built.span)


def test_sixteen_entries_take_fifteen_matches_and_four_for_each_further_winner() -> None:
    program = parse("axis k: 3\ninput X[j]\nT[k] = select[j, k](X)")
    assert count(program).at(j=16).work == 15 + 2 * 4
    assert count(program).at(j=16).depth == 3 * 4
    network = parse("axis k: 3\ninput X[j]\nT[k] = topk[j, k](X)")
    # 16 wires, 4 · 5 / 2 levels of 8 comparators (Batcher 1968).
    assert count(network).at(j=16).work == 80


def test_values_are_those_of_topk() -> None:
    arrays = {"X": np.random.default_rng(0).normal(size=(3, 7)), "V": np.arange(14.0).reshape(7, 2)}
    found = [interpret(parse(text(f, 3)), arrays)["O"] for f in ("select", "topk")]
    np.testing.assert_array_equal(*found)


def test_it_takes_an_index_and_a_count() -> None:
    with pytest.raises(AttometerError, match="select takes an index and a count in brackets, got 1"):
        parse("T[i] = select[j](X[i,j])")
