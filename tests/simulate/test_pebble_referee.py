"""The referee refuses every kind of illegal move and names the move, the rule and the vertex."""

import pytest

from attometer.errors import AttometerError
from attometer.simulate import (
    Dag,
    Move,
    PebbleError,
    attention_dag,
    compile_moves,
    flash_order,
    matmul_dag,
    referee,
    tiled_matmul_order,
)
from attometer.simulate.pebble.referee import boards

DAG = matmul_dag(1, 1, 2)  # A 0 1, B 2 3, first product 4, C 5
START = [Move("load", 0), Move("load", 2), Move("compute", 4)]


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        (
            [Move("load", 4)],
            r'move 1 \(load 4\) breaks the load rule at vertex 4 "C\[0,0\]\+0": it is not in slow memory',
        ),
        ([Move("load", 0), Move("load", 0)], r"move 2 \(load 0\) breaks the load rule .* in fast memory already"),
        ([Move("store", 0)], r"move 1 \(store 0\) breaks the store rule .* not in fast memory"),
        ([Move("delete", 1)], r"move 1 \(delete 1\) breaks the delete rule .* not in fast memory"),
        ([Move("compute", 0)], r"move 1 \(compute 0\) breaks the compute rule at vertex 0 .* it is an input"),
        (
            [Move("load", 0), Move("compute", 4)],
            r'move 2 \(compute 4\) breaks the compute rule .* parent 2 "B\[0,0\]" is not in fast memory',
        ),
        ([*START, Move("compute", 4)], r"move 4 \(compute 4\) breaks the compute rule .* in fast memory already"),
        (
            [*START, Move("load", 1), Move("load", 3)],
            r"move 5 \(load 3\) breaks the capacity rule .* 5 red pebbles with M=4",
        ),
        ([*START[:2], Move("slide", 4, 0)], r"move 3 \(slide 4 from 0\) breaks the slide rule .* sliding is off"),
        (START, r'after move 3 the output rule is broken: vertex 5 "C\[0,0\]" is not in slow memory'),
        ([Move("load", 9)], r"move 1 \(load 9\) breaks the vertex rule at vertex 9: the dag has vertices 0 to 5"),
        ([Move("lode", 0)], r'unknown pebble move "lode"; did you mean "load"\?'),
    ],
)
def test_a_broken_rule_is_named(moves: list[Move], message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        referee(DAG, moves, M=4)


def test_recomputation_off_refuses_a_second_compute() -> None:
    moves = [*START, Move("delete", 4), Move("compute", 4)]
    with pytest.raises(PebbleError, match=r"move 5 \(compute 4\) breaks the recompute rule at vertex 4"):
        referee(DAG, moves, M=4, recompute=False)


def test_a_slide_takes_the_word_of_an_operand() -> None:
    dag = matmul_dag(1, 1, 1)
    moves = [Move("load", 0), Move("load", 1), Move("slide", 2, 1), Move("store", 2)]
    assert (referee(dag, moves, 2, "slide").cost, referee(dag, moves, 2, "slide").peak) == (3, 2)
    with pytest.raises(PebbleError, match=r"the pebble comes from 5, which is not one of its parents"):
        referee(DAG, [*START[:2], Move("slide", 4, 5)], 3, "slide")


def test_bad_arguments() -> None:
    with pytest.raises(AttometerError, match=r"^M must be a positive integer, got 0$"):
        referee(DAG, [], 0)
    with pytest.raises(AttometerError, match=r'unknown pebble rule "place2"'):
        referee(DAG, [], 3, "place2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (((), (2,), ()), (0,), (1,)),
            r'vertex 1 "v1" has parents \(2,\); number the vertices so that parents come first',
        ),
        ((((), (0, 0)), (0,), (1,)), r"lists a parent twice"),
        ((((), (0,)), (0, 1), (1,)), r'input 1 "v1" has parents'),
        ((((), (0,)), (0,), ()), r"at least one output"),
        ((((), (0,)), (0,), (2,)), r"vertex 2 is not in the dag; its vertices are 0 to 1"),
        ((((), (0,)), (0,), (1,), ("a",)), r"dag has 2 vertices and 1 labels"),
    ],
)
def test_a_malformed_graph_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        Dag(*arguments)  # type: ignore[arg-type]


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(AttometerError, match=r"^k must be a positive integer, got 0$"):
        matmul_dag(2, 2, 0)


@pytest.mark.parametrize("rule", ["place", "slide"])
@pytest.mark.parametrize(("n", "m", "d", "e"), [(2, 3, 2, 2), (4, 4, 2, 3), (3, 1, 1, 1)])
def test_flash_attention_compiles_to_legal_moves(n: int, m: int, d: int, e: int, rule: str) -> None:
    dag = attention_dag(n, m, d, e)
    for rows in range(1, n + 1):
        for M in range(dag.smallest_memory(rule), 24):
            replay = referee(dag, compile_moves(dag, M, flash_order(n, m, d, e, rows), rule), M, rule, recompute=False)
            assert replay.cost >= dag.compulsory
            assert replay.computes == len(dag.computed)


@pytest.mark.parametrize(("n", "d", "rows"), [(6, 2, 2), (6, 2, 3), (8, 3, 2), (9, 2, 4)])
def test_flash_attention_moves_the_words_of_its_formula(n: int, d: int, rows: int) -> None:
    # Dao 2023: queries once, keys and values once per tile of query rows, outputs once, when the tile's words fit:
    # Q and O rows, one score and one sum per row, and a key or a value with the word being computed.
    M = rows * (2 * d + 2) + d + 1
    moves = compile_moves(attention_dag(n, n, d, d), M, flash_order(n, n, d, d, rows))
    replay = referee(attention_dag(n, n, d, d), moves, M)
    assert replay.loads <= n * d + -(-n // rows) * n * 2 * d
    assert replay.stores == n * d


@pytest.mark.parametrize("tile", [1, 2, 3])
def test_tiled_products_compile_to_legal_moves(tile: int) -> None:
    dag = matmul_dag(4, 5, 3)
    costs = [referee(dag, compile_moves(dag, M, tiled_matmul_order(4, 5, 3, tile, tile)), M).cost for M in range(4, 60)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == dag.compulsory


def test_an_order_with_repeats_recomputes() -> None:
    dag = Dag(((), (0,), (1,), (1,)), (0,), (2, 3))
    moves = compile_moves(dag, 2, order=[1, 2, 1, 3])
    assert referee(dag, moves, 2).recomputes == 1
    assert referee(dag, moves, 2).cost == 4


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([5], r'order\[0\]=5 "C\[0,0\]" comes before its operand 4'),
        ([0, 4, 5], r"order\[0\]=0 is not a computed vertex"),
        ([4], r'the order never computes output 5 "C\[0,0\]"'),
    ],
)
def test_a_bad_order_is_refused(order: list[int], message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        compile_moves(DAG, 4, order)


def test_boards_show_every_position_of_a_game() -> None:
    moves = compile_moves(DAG, 4)
    seen = [(move, len(board.red)) for move, board in boards(DAG, moves, 4)]
    assert len(seen) == len(moves) + 1
    assert (seen[0], max(red for _, red in seen)) == ((None, 0), 4)
