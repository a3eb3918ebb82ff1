"""Dominators, minimum sets and the partitions that pebblings make."""

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pebble_solver import small_dags

from attometer.errors import AttometerError
from attometer.simulate import (
    Dag,
    attention_dag,
    check_partition,
    compile_moves,
    hong_kung_partition,
    matmul_dag,
    minimum_dominator,
    minimum_set,
    referee,
    solve,
)
from attometer.simulate.pebble.moves import Move, useful_moves


def dominates(dag: Dag, cut: frozenset[int], vertices: set[int]) -> bool:
    """Whether every path from a vertex without parents to one of `vertices` meets the cut."""
    reached = set()
    for vertex, parents in enumerate(dag.parents):
        if vertex not in cut and (not parents or reached.intersection(parents)):
            reached.add(vertex)
    return not reached & vertices


@settings(max_examples=40, deadline=None)
@given(small_dags(), st.data())
def test_a_dominator_is_a_smallest_cut(dag: Dag, data: st.DataObject) -> None:
    vertices = data.draw(st.sets(st.integers(0, len(dag) - 1), min_size=1))
    cut = minimum_dominator(dag, vertices)
    assert dominates(dag, cut, vertices)
    assert not any(dominates(dag, frozenset(few), vertices) for few in combinations(range(len(dag)), len(cut) - 1))


@settings(max_examples=30, deadline=None)
@given(small_dags(), st.integers(0, 2))
def test_every_pebbling_makes_a_partition_of_twice_its_memory(dag: Dag, spare: int) -> None:
    M = dag.smallest_memory() + spare
    for moves in (compile_moves(dag, M), solve(dag, M).moves):
        useful = useful_moves(dag, moves)
        cost = referee(dag, useful, M).cost
        parts = hong_kung_partition(dag, moves, M)
        assert check_partition(dag, parts, 2 * M).size == 2 * M
        assert M * len(parts) >= cost >= M * (len(parts) - 1)


def test_the_partition_of_attention() -> None:
    dag = attention_dag(2, 3, 2, 2)
    moves = compile_moves(dag, 5)
    partition = check_partition(dag, hong_kung_partition(dag, moves, 5), 10)
    assert len(partition.parts) == math.ceil(referee(dag, moves, 5).cost / 5)
    assert "10-partition in" in str(partition)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.data())
def test_few_words_make_few_products(m: int, n: int, k: int, data: st.DataObject) -> None:
    # Products of a set with dominator D and minimum set Min: z of D are no inputs, x and y are entries of A and B; each
    # product is in D, or in one of the z + |Min| trees that D or Min touch (Loomis and Whitney 1949).
    dag = matmul_dag(m, n, k, tree=True)
    vertices = data.draw(st.sets(st.sampled_from(dag.computed), min_size=1))
    cut, last = minimum_dominator(dag, vertices), minimum_set(dag, vertices)
    x, y = sum(v < m * k for v in cut), sum(m * k <= v < m * k + k * n for v in cut)
    z = len(cut) - x - y
    products = sum("*" in dag.labels[v] for v in vertices)
    assert products <= z + math.sqrt(x * y * (z + len(last))) + 1e-9


def test_useless_moves_are_dropped_with_their_deletions() -> None:
    dag = matmul_dag(1, 1, 1)
    moves = [Move("load", 0), Move("delete", 0), Move("load", 0), Move("load", 1), Move("compute", 2), Move("store", 2)]
    assert useful_moves(dag, moves) == tuple(moves[2:])


DAG = matmul_dag(1, 2, 2)  # inputs 0 to 5, chains 6 7 and 8 9


@pytest.mark.parametrize(
    ("parts", "size", "message"),
    [
        ([{6, 7}], 9, r'vertex 8 "C\[0,1\]\+0" is in no part'),
        ([{6, 7}, {7, 8, 9}], 9, r"vertex 7 is in part 0 and in part 1"),
        ([{0, 6, 7}, {8, 9}], 9, r"part 0 holds 0, which is not a computed vertex"),
        ([{7, 8}, {6, 9}], 9, r"part 0 needs vertex 6 of the later part 1"),
        ([{6, 7, 8, 9}], 3, r"part 0 needs a dominator of 4 vertices, more than S=3"),
        ([{6, 8}, {7, 9}], 1, r"part 0 needs a dominator of 2 vertices, more than S=1"),
    ],
)
def test_a_false_partition_is_refused(parts: list[set[int]], size: int, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        check_partition(DAG, parts, size)


def test_a_large_minimum_set_is_refused() -> None:
    fan = Dag(((), (0,), (0,), (0,)), (0,), (1, 2, 3))
    with pytest.raises(AttometerError, match=r"part 0 needs a minimum set of 3 vertices, more than S=2"):
        check_partition(fan, [{1, 2, 3}], 2)
