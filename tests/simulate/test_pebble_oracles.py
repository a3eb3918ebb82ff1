"""Optima of the red-blue pebble game, found by independent solvers (A*, integer programming, brute force).

Each row is (graph, M: optimum), first computed by another program, which left attention (1, 3, 1, 3) at M=5 between 20
and 21. The rows of `test_larger` were found here: the moves prove them from above, the exhausted search from below.
"""

import pytest

from attometer.simulate import Dag, attention_dag, matmul_dag, referee, solve

MATMUL = [
    ((2, 2, 2), {4: 17, 5: 14, 6: 13, 7: 12}),
    ((3, 3, 1), {3: 19, 4: 17, 5: 15}),
    ((2, 2, 3), {5: 22, 6: 19, 7: 17, 8: 16}),
    ((3, 2, 2), {4: 25, 5: 20, 6: 18, 7: 17, 8: 16}),
    ((4, 4, 1), {4: 27, 5: 26, 6: 24}),
]
ATTENTION = [
    ((1, 2, 1, 1), {4: 8, 5: 6}),
    ((2, 2, 1, 1), {4: 16, 5: 11, 6: 10, 7: 9, 8: 8}),
    ((1, 3, 1, 1), {4: 11, 5: 9, 6: 8}),
    ((1, 2, 2, 2), {4: 18, 5: 12}),
    ((2, 2, 2, 1), {5: 18, 8: 12}),
    ((3, 2, 1, 1), {7: 12, 8: 10}),
    ((2, 3, 1, 1), {8: 11, 9: 10}),
    ((1, 2, 1, 3), {4: 18, 5: 12}),
    ((1, 2, 2, 3), {4: 23, 5: 15}),
    ((1, 3, 1, 3), {5: 21, 6: 16}),
    ((1, 3, 1, 2), {4: 20, 5: 15, 6: 12}),
]
ATTENTION_ONCE = [
    ((1, 2, 2, 2), {4: 19}),
    ((2, 2, 2, 1), {4: 26}),
    ((2, 3, 1, 1), {6: 15}),
    ((1, 2, 1, 3), {4: 19, 5: 14}),
    ((1, 2, 2, 3), {4: 24, 5: 17}),
    ((1, 3, 1, 3), {5: 21, 6: 18}),
    ((1, 3, 1, 2), {4: 21}),
]


def flat(table: list[tuple[tuple[int, ...], dict[int, int]]]) -> list[tuple[tuple[int, ...], int, int]]:
    return [(sizes, M, best) for sizes, row in table for M, best in row.items()]


def check(dag: Dag, M: int, best: int, rule: str = "place", recompute: bool = True) -> None:
    pebbling = solve(dag, M, rule, recompute, seconds=250)
    assert (pebbling.optimal, pebbling.cost, pebbling.lower_bound) == (True, best, best)
    assert referee(dag, pebbling.moves, M, rule, recompute).cost == best


@pytest.mark.parametrize(("sizes", "M", "best"), flat(MATMUL))
def test_multiply_add_chains(sizes: tuple[int, int, int], M: int, best: int) -> None:
    check(matmul_dag(*sizes), M, best)
    check(matmul_dag(*sizes), M, best, recompute=False)


@pytest.mark.parametrize(("M", "best"), [(3, 25), (4, 17), (5, 14), (6, 13), (7, 12)])
def test_summation_trees(M: int, best: int) -> None:
    check(matmul_dag(2, 2, 2, tree=True), M, best)


@pytest.mark.parametrize(
    ("sizes", "M", "best"),
    flat(
        [
            ((2, 2, 2), {3: 17, 4: 14, 5: 13, 6: 12}),
            ((3, 3, 1), {3: 17, 4: 16}),
            ((2, 2, 3), {7: 16}),
            ((3, 2, 2), {7: 16}),
        ]
    ),
)
def test_sliding(sizes: tuple[int, int, int], M: int, best: int) -> None:
    check(matmul_dag(*sizes), M, best, rule="slide")


@pytest.mark.parametrize(("sizes", "M", "best"), flat(ATTENTION))
def test_attention(sizes: tuple[int, int, int, int], M: int, best: int) -> None:
    check(attention_dag(*sizes), M, best)


@pytest.mark.parametrize(("sizes", "M", "best"), flat(ATTENTION_ONCE))
def test_attention_without_recomputation(sizes: tuple[int, int, int, int], M: int, best: int) -> None:
    check(attention_dag(*sizes), M, best, recompute=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dag", "M", "best"),
    [
        (matmul_dag(2, 2, 3), 4, 28),
        (matmul_dag(4, 4, 1), 3, 33),
        (matmul_dag(3, 3, 2), 8, 23),
        (matmul_dag(3, 3, 2), 9, 22),
        (attention_dag(2, 2, 2, 1), 6, 16),
        (attention_dag(2, 2, 2, 1), 7, 14),
        (attention_dag(3, 2, 1, 1), 5, 16),
        (attention_dag(3, 2, 1, 1), 6, 14),
        (attention_dag(2, 3, 1, 1), 7, 13),
    ],
)
def test_large(dag: Dag, M: int, best: int) -> None:
    check(dag, M, best)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dag", "M", "best"),
    [
        (matmul_dag(3, 3, 2), 4, 37),
        (matmul_dag(3, 3, 2), 5, 29),
        (matmul_dag(3, 3, 2), 6, 27),
        (matmul_dag(3, 3, 2), 7, 25),
        (matmul_dag(2, 2, 4), 4, 36),
        (matmul_dag(3, 3, 3), 11, 30),
        (matmul_dag(3, 3, 3), 12, 29),
        (matmul_dag(2, 2, 7), 4, 60),
        (matmul_dag(2, 2, 7), 5, 46),
        (attention_dag(2, 2, 2, 2), 5, 24),
        (attention_dag(2, 3, 1, 1), 5, 18),
    ],
)
def test_larger(dag: Dag, M: int, best: int) -> None:
    check(dag, M, best)
