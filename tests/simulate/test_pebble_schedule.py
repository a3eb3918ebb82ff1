"""Schedules of attention compiled to moves, refereed, and held against what the schedule itself moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.traffic.words import footprint, traffic
from attometer.errors import AttometerError
from attometer.schedule.catalogue import schedule
from attometer.simulate import compile_moves, optimal_misses, referee, solve
from attometer.simulate.pebble.schedule import schedule_order

NAMES = ["flash2", "flash2_sliced", "two_pass", "two_pass_outer"]
SIZES = st.fixed_dictionaries({name: st.integers(1, 4) for name in "nmde"})


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), SIZES, st.integers(1, 3), st.integers(0, 12))
def test_every_schedule_compiles_to_legal_moves(name: str, sizes: dict[str, int], tile: int, spare: int) -> None:
    chosen = schedule(name)
    dag, order = schedule_order(chosen, {**sizes, **dict.fromkeys(chosen.tile_names, tile)})
    M = dag.smallest_memory() + spare
    replay = referee(dag, compile_moves(dag, M, order), M)
    assert replay.cost >= dag.compulsory
    assert replay.computes >= len(dag.computed)
    references = [word for vertex in order for word in (*dag.parents[vertex], vertex)]
    assert optimal_misses(references, M)(M) - len(order) <= replay.loads


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), SIZES, st.integers(1, 3))
def test_moves_in_the_words_a_schedule_holds_cost_no_more_than_the_schedule(
    name: str, sizes: dict[str, int], tile: int
) -> None:
    chosen = schedule(name)
    numbers = {**sizes, **dict.fromkeys(chosen.tile_names, tile)}
    dag, order = schedule_order(chosen, numbers)
    # A result needs a word of its own beside its accumulator; so does the division.
    M = max(int(footprint(chosen, numbers)) + 2, dag.smallest_memory())
    replay = referee(dag, compile_moves(dag, M, order), M)
    assert replay.cost <= int(traffic(chosen, numbers).words)


def test_no_schedule_beats_the_optimum() -> None:
    for name in NAMES:
        chosen = schedule(name)
        dag, order = schedule_order(chosen, {"n": 2, "m": 2, "d": 1, "e": 1, **dict.fromkeys(chosen.tile_names, 1)})
        for M in (5, 6, 8):
            assert referee(dag, compile_moves(dag, M, order), M).cost >= solve(dag, M).cost


def test_the_sliced_schedule_computes_scores_and_row_sums_again() -> None:
    numbers = {"n": 2, "m": 3, "d": 1, "e": 4, "B_r": 2, "B_c": 1, "B_d": 1, "B_e": 2}
    dag, order = schedule_order(schedule("flash2_sliced"), numbers)
    assert referee(dag, compile_moves(dag, 12, order), 12).recomputes == 2 * 3 + 2 * 2


@pytest.mark.parametrize("name", ["naive", "flash1", "split_kv", "flash_backward_fused"])
def test_schedules_of_another_graph_are_refused(name: str) -> None:
    chosen = schedule(name)
    with pytest.raises(
        AttometerError, match=rf"schedule {name} does not compute attention with one accumulator.*choose flash2"
    ):
        schedule_order(chosen, {"n": 2, "m": 2, "d": 1, "e": 1})
