"""Cache simulators against brute force at every size, and the closed forms of attention and matrix products on caches."""

import math
from itertools import pairwise

import numpy as np
import pytest
from brute_force import belady_misses, lru_misses
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.masks import causal
from attometer.schedule.flash import flash1, flash2, split_kv
from attometer.simulate import (
    Trace,
    attention_dag,
    compile_moves,
    flash_order,
    flash_trace,
    matmul_dag,
    matmul_trace,
    misses_by_size,
    misses_by_ways,
    optimal_misses,
    referee,
    schedule_trace,
    tiled_matmul_order,
)
from attometer.simulate.cache.stack_distance_kernel import LruStack

TRACES = st.integers(1, 60).flatmap(lambda words: st.lists(st.integers(0, words - 1), max_size=400))


@settings(max_examples=60, deadline=None)
@given(TRACES)
def test_lru_equals_brute_force_at_every_size(trace: list[int]) -> None:
    curve = misses_by_size(trace)
    assert (curve.references, curve.distinct) == (len(trace), len(set(trace)))
    assert [curve(C) for C in range(1, curve.distinct + 2)] == [
        lru_misses(trace, C) for C in range(1, curve.distinct + 2)
    ]


@settings(max_examples=60, deadline=None)
@given(TRACES, st.integers(1, 70))
def test_optimal_replacement_equals_a_heap_of_next_uses_at_every_size(trace: list[int], limit: int) -> None:
    curve = optimal_misses(trace, limit)
    assert [curve(C) for C in range(1, len(curve.misses))] == [
        belady_misses(trace, C) for C in range(1, len(curve.misses))
    ]


@settings(max_examples=60, deadline=None)
@given(TRACES)
def test_optimal_replacement_never_misses_more_than_lru_and_both_fall_with_size(trace: list[int]) -> None:
    best, lru = optimal_misses(trace, 1 << 20), misses_by_size(trace)
    for C in range(lru.distinct + 1):
        assert len(set(trace)) <= best(C + 1) <= min(best(C), lru(C + 1)) or not trace
    assert all(low >= high for low, high in pairwise(lru.misses))


@settings(max_examples=40, deadline=None)
@given(TRACES, st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
def test_sets_are_independent_lru_caches_of_lines(trace: list[int], sets: int, ways: int, line: int) -> None:
    curve = misses_by_ways(trace, sets, ways, line)
    lines = [word // line for word in trace]
    for way in range(1, ways + 1):
        assert curve(way) == sum(lru_misses([a for a in lines if a % sets == s], way) for s in range(sets))
    assert curve.distinct == len(set(lines))


def test_one_set_is_fully_associative() -> None:
    trace = matmul_trace(6, 6, 6)
    assert [misses_by_ways(trace, 1, 40)(C) for C in range(41)] == [misses_by_size(trace)(C) for C in range(41)]


def test_windows_are_renumbered_and_grown_without_changing_a_count() -> None:
    # 9,000 words in a window that starts at 4,096 references, and long stretches on few words that fill it often.
    rng = np.random.default_rng(7)
    trace = np.concatenate([rng.integers(0, 9000, 20_000), rng.integers(0, 50, 30_000), rng.integers(0, 9000, 20_000)])
    lru, best = misses_by_size(trace), optimal_misses(trace, 9000)
    for C in (1, 49, 700, 5000, 8990):
        assert lru(C) == lru_misses(trace.tolist(), C)
        assert best(C) == belady_misses(trace.tolist(), C)


@settings(max_examples=30, deadline=None)
@given(TRACES, st.lists(st.integers(0, 400), max_size=5))
def test_a_stream_of_blocks_is_one_trace(trace: list[int], cuts: list[int]) -> None:
    blocks = np.split(np.asarray(trace, dtype=np.int64), sorted(min(cut, len(trace)) for cut in cuts))
    assert np.array_equal(misses_by_size(iter(blocks)).misses, misses_by_size(trace).misses)
    assert np.array_equal(optimal_misses(blocks, 50).misses, optimal_misses(trace, 50).misses)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(4, 20))
def test_a_pebbling_loads_no_less_than_optimal_replacement_of_its_references(
    m: int, n: int, k: int, tile: int, M: int
) -> None:
    # The game needs operands and result together; a cache sees them one at a time, so it can only do better.
    dag, order = matmul_dag(m, n, k), tiled_matmul_order(m, n, k, tile, tile)
    references = [word for vertex in order for word in (*dag.parents[vertex], vertex)]
    produced = len(set(order))
    assert optimal_misses(references, M)(M) - produced <= referee(dag, compile_moves(dag, M, order), M).loads


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 4), st.integers(1, 2), st.integers(1, 2), st.integers(1, 3), st.integers(5, 24)
)
def test_the_same_holds_for_attention(n: int, m: int, d: int, e: int, rows: int, M: int) -> None:
    dag, order = attention_dag(n, m, d, e), flash_order(n, m, d, e, rows)
    references = [word for vertex in order for word in (*dag.parents[vertex], vertex)]
    assert optimal_misses(references, M)(M) - len(order) <= referee(dag, compile_moves(dag, M, order), M).loads


@pytest.mark.parametrize(
    ("n", "d", "rows", "columns", "optimal", "lru"),
    [(64, 8, 8, 1, 152, 168), (64, 8, 8, 4, 176, 232), (64, 8, 16, 1, 296, 312)],
)
def test_flash_attention_reaches_its_formula_at_its_footprint(
    n: int, d: int, rows: int, columns: int, optimal: int, lru: int
) -> None:
    trace, formula = flash_trace(n, d, rows, columns), n * d + n // rows * n * 2 * d
    assert optimal_misses(trace, 400).smallest_cache(formula) == optimal == 2 * rows * d + rows * columns + rows + d
    assert misses_by_size(trace).smallest_cache(formula) == lru
    # With the row maximum beside the sum, as the schedule keeps it, one word per row more.
    sizes = {"n": n, "m": n, "d": d, "e": d, "B_r": rows, "B_c": columns, "B_d": d, "B_e": d}
    assert optimal_misses(schedule_trace(flash2(), sizes), 400).smallest_cache(formula) == optimal + rows


def test_keys_outside_make_lru_a_poor_stand_in_for_a_scratchpad() -> None:
    sizes = {"n": 64, "m": 64, "d": 8, "e": 8, "B_r": 8, "B_c": 8}
    trace = schedule_trace(flash1(), sizes)
    formula = 64 * 16 + 8 * 64 * (8 + 8 + 2)
    best, lru = optimal_misses(trace, 700).smallest_cache(formula), misses_by_size(trace).smallest_cache(formula)
    assert best is not None
    assert lru is not None
    assert lru > 1.5 * best


@pytest.mark.parametrize("n", [32, 48])
def test_tiled_products_under_lru_stay_within_measured_constants(n: int) -> None:
    # misses √M / n³ with three square tiles in M words, against the loop without tiles.
    naive = misses_by_size(matmul_trace(n, n, n))
    assert naive(3 * n * n) == 3 * n * n
    for M in (48, 108, 192, 300):
        tiled = misses_by_size(matmul_trace(n, n, n, math.isqrt(M // 3)))
        assert 5.09 <= tiled(M) * math.sqrt(M) / n**3 <= 5.94
        assert 10.82 <= naive(M) * math.sqrt(M) / n**3 <= 20.95


@pytest.mark.parametrize("schedule", [flash1, flash2, split_kv])
def test_a_mask_only_removes_references(schedule) -> None:
    sizes = {"n": 7, "m": 9, "d": 3, "e": 2}
    whole = schedule_trace(schedule(), {**sizes, **dict.fromkeys(schedule().tile_names, 2)})
    masked = schedule_trace(schedule(), {**sizes, **dict.fromkeys(schedule().tile_names, 2)}, causal())
    assert misses_by_size(masked).references < misses_by_size(whole).references
    assert misses_by_size(whole).distinct - misses_by_size(whole).temporaries == 7 * 3 + 9 * 3 + 9 * 2
    assert int(whole.array().max()) < whole.words


def test_lines_and_reads() -> None:
    trace = matmul_trace(4, 4, 4)
    curve, lines = misses_by_size(trace), misses_by_size(trace.lines(4))
    assert (curve.distinct, curve.temporaries, curve.reads(48)) == (48, 16, 32)
    assert (lines.distinct, lines.temporaries) == (12, 4)
    assert curve.smallest_cache(0) is None


def test_a_curve_prints_and_converts() -> None:
    curve = misses_by_size([0, 1, 2, 0, 1, 2])
    assert str(curve) == "LRU misses of 6 references to 3 words, by cache size: 1: 6, 2: 6, 3: 3"
    assert curve.to_dict() == {"policy": "LRU", "references": 6, "distinct": 3, "misses": [6, 6, 6, 3]}
    assert (curve(99), str(misses_by_size([]))) == (3, "LRU misses of 0 references to 0 words, by cache size: 0: 0")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: misses_by_size([0, -1]), r"word numbers from 0 to 2\^31 - 1, not -1 to 0"),
        (lambda: misses_by_size(np.zeros((2, 2), np.int64)), r"one row of integers, not an array of shape \(2, 2\)"),
        (lambda: misses_by_size(np.array([0.5])), r"one row of integers"),
        (lambda: optimal_misses([0], 0), r"^limit must be a positive integer, got 0$"),
        (lambda: misses_by_ways([0], 0, 1), r"^sets must be a positive integer, got 0$"),
        (lambda: matmul_trace(2, 2, 2).lines(0), r"^line must be a positive integer, got 0$"),
        (
            lambda: schedule_trace(flash2(), {"B_x": 2}),
            r'schedule flash2 has no size "B_x"; its sizes are B_c, B_d, B_e, B_r, d',
        ),
        (lambda: schedule_trace(flash2(), {"n": 0}), r"^n must be a positive integer, got 0$"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        call()


def test_a_trace_may_be_read_twice() -> None:
    trace = Trace(lambda: iter([np.array([3, 4]), np.array([3])]), words=5)
    assert misses_by_size(trace).distinct == misses_by_size(trace).distinct == 2


def test_memory_follows_the_distinct_words_and_not_the_length_of_the_trace() -> None:
    stack = LruStack()
    block = np.random.default_rng(3).integers(0, 500, 50_000)
    for _ in range(4):
        stack.feed(block)
    assert (stack.references, len(stack.owner), len(stack.last)) == (200_000, 4096, 1024)
    assert len(stack.histogram()) == 501
