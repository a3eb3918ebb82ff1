"""Tiled operations: work and depth equal those of a graph built node by node, and the essay's shapes come out."""

from itertools import pairwise

import pytest
from greedy_schedule import Graph, greedy_steps
from hypothesis import given
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.machine import TwoLevelMemory
from attometer.price import constant_until, curve, rows_at_a_time, split, streamed, tiled_map, tiled_matmul, tiled_sum

sizes = st.integers(1, 9)


def pieces(length: int, side: int) -> list[int]:
    return [min(side, length - start) for start in range(0, length, side)]


def map_graphs(n: int, side: int) -> list[Graph]:
    graphs = []
    for size in pieces(n, side):
        graph = Graph()
        for a, b in zip(graph.ops(size), graph.ops(size), strict=True):
            graph.op(graph.op(a, b))
        graphs.append(graph)
    return graphs


def sum_graphs(n: int, side: int) -> list[Graph]:
    graphs = []
    for position, size in enumerate(pieces(n, side)):
        graph = Graph()
        total = graph.tree(graph.ops(size))
        if position:
            graph.op(total)
        graphs.append(graph)
    store = Graph()
    store.op()
    return [*graphs, store]


def matmul_graphs(m: int, k: int, n: int, side: int) -> list[Graph]:
    graphs = []
    for height in pieces(m, side):
        for width in pieces(n, side):
            for position, size in enumerate(pieces(k, side)):
                graphs.append(product_graph(height, size, width, accumulate=position > 0))
            store = Graph()
            store.ops(height * width)
            graphs.append(store)
    return graphs


def product_graph(m: int, k: int, n: int, accumulate: bool) -> Graph:
    graph = Graph()
    a = [graph.ops(k) for _ in range(m)]
    b = [graph.ops(n) for _ in range(k)]
    for row in range(m):
        for column in range(n):
            total = graph.tree([graph.op(a[row][x], b[x][column]) for x in range(k)])
            if accumulate:
                graph.op(total)
    return graph


def attention_graphs(n: int, m: int, d: int, e: int, rows: int, columns: int) -> list[Graph]:
    graphs = []
    for height in pieces(n, rows):
        for position, width in enumerate(pieces(m, columns)):
            graphs.append(key_tile_graph(height, width, d, e, first=position == 0))
        last = Graph()
        for value in last.ops(height * e):
            last.op(value)
        graphs.append(last)
    return graphs


def key_tile_graph(rows: int, columns: int, d: int, e: int, first: bool) -> Graph:
    """Build one step of FlashAttention: queries are loaded with the first tile, then stay."""
    graph = Graph()
    keys = [graph.ops(d) for _ in range(columns)]
    values = [graph.ops(e) for _ in range(columns)]
    for _ in range(rows):
        query = graph.ops(d) if first else []
        scores = [
            graph.op(graph.tree([graph.op(*query[x : x + 1], keys[j][x]) for x in range(d)])) for j in range(columns)
        ]
        peak = graph.tree(scores)
        if not first:
            peak = graph.op(peak)
        weights = [graph.op(graph.op(score, peak)) for score in scores]
        row_sum = graph.tree(weights)
        outputs = [graph.tree([graph.op(weights[j], values[j][y]) for j in range(columns)]) for y in range(e)]
        if not first:
            factor = graph.op(graph.op(peak))
            for new in (row_sum, *outputs):
                graph.op(new, graph.op(factor))
    return graph


def total(graphs: list[Graph]) -> tuple[int, int]:
    return sum(graph.work() for graph in graphs), sum(graph.depth() for graph in graphs)


def check(tiling: object, graphs: list[Graph], processors: int) -> None:
    work, depth = total(graphs)
    assert (tiling.work, tiling.depth) == (work, depth)  # type: ignore[attr-defined]
    measured = sum(greedy_steps(graph, processors) for graph in graphs)
    assert tiling.lower <= measured <= tiling.upper  # type: ignore[attr-defined]


@given(st.integers(1, 40), st.integers(3, 40), st.integers(1, 12))
def test_map_equals_its_graph(n: int, words: int, p: int) -> None:
    check(tiled_map(n, TwoLevelMemory(words, p)), map_graphs(n, words // 3), p)


@given(st.integers(1, 60), st.integers(3, 40), st.integers(1, 12))
def test_sum_equals_its_graph(n: int, words: int, p: int) -> None:
    check(tiled_sum(n, TwoLevelMemory(words, p)), sum_graphs(n, words - 1), p)


@given(sizes, sizes, sizes, st.integers(3, 60), st.integers(1, 12))
def test_matmul_equals_its_graph(m: int, k: int, n: int, words: int, p: int) -> None:
    side = int((words // 3) ** 0.5)
    check(tiled_matmul(m, k, n, TwoLevelMemory(words, p)), matmul_graphs(m, k, n, side), p)


@given(sizes, sizes, st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 12))
def test_streamed_attention_equals_its_graph(n: int, m: int, d: int, e: int, rows: int, columns: int, p: int) -> None:
    tiling = streamed(n, m, d, e, TwoLevelMemory(10**6, p), tile=(rows, columns))
    check(tiling, attention_graphs(n, m, d, e, rows, columns), p)


@given(st.integers(1, 500), st.integers(3, 40), st.integers(1, 20))
def test_more_units_never_slow_a_map_or_do_more_work(n: int, words: int, units: int) -> None:
    one, more, all_ = (tiled_map(n, TwoLevelMemory(words, units=count)) for count in (units, units + 1, None))
    assert one.depth >= more.depth >= all_.depth == 3
    assert one.work == more.work == all_.work == 4 * n


@given(st.integers(2, 2000), st.integers(3, 40), st.integers(1, 20))
def test_a_sum_over_units_adds_every_number_once(n: int, words: int, units: int) -> None:
    single, spread = tiled_sum(n, TwoLevelMemory(words)), tiled_sum(n, TwoLevelMemory(words, units=units))
    # loads n, additions n - 1, a store; each extra pass stores and loads the partial sums
    assert single.work == 2 * n
    assert spread.work >= single.work
    assert (spread.work - single.work) % 2 == 0


def test_the_map_looks_constant_until_a_cutoff_and_is_linear_after() -> None:
    memory = TwoLevelMemory(words=3 * 1024, processors=10**6)
    assert constant_until(lambda n: tiled_map(n, memory)) == 1024
    points = curve(lambda n: tiled_map(n, memory), [2**power for power in range(16)])
    assert [low for _, low, _ in points] == [3] * 11 + [6, 12, 24, 48, 96]


def test_few_processors_cut_off_sooner_than_the_cache() -> None:
    memory = TwoLevelMemory(words=3 * 1024, processors=64)
    assert constant_until(lambda n: tiled_map(n, memory)) == 3 * 64 // 4


def test_a_sum_is_linear_on_one_cache_and_logarithmic_on_many() -> None:
    one = [tiled_sum(n, TwoLevelMemory(65)).depth for n in (2**16, 2**17, 2**18)]
    many = [tiled_sum(n, TwoLevelMemory(65, units=None)).depth for n in (2**12, 2**18, 2**24)]
    assert [b / a for a, b in pairwise(one)] == [2.0, 2.0]
    assert many == [16, 24, 32]


def test_attention_by_rows_is_n_log_n_when_fast_memory_grows_with_n() -> None:
    for n in (2**8, 2**12, 2**16):
        assert rows_at_a_time(n, n, 64, 64, TwoLevelMemory(n)).depth == n * (3 * (n.bit_length() - 1) + 14)


def test_attention_by_rows_is_quadratic_in_a_fixed_memory_and_then_impossible() -> None:
    memory = TwoLevelMemory(2**16)
    small, large = (rows_at_a_time(n, n, 64, 64, memory).depth for n in (2**14, 2**15))
    assert 4 <= large / small < 4.3
    with pytest.raises(AttometerError, match=r"^a row of 65537 scores does not fit 65536 words of fast memory; stream"):
        rows_at_a_time(1, 2**16 + 1, 64, 64, memory)


def test_streamed_attention_is_linear_on_many_units_quadratic_on_one_and_split_is_logarithmic() -> None:
    def many(n: int) -> int:
        return streamed(n, n, 64, 64, TwoLevelMemory(2**16, units=None), tile=(128, 128)).depth

    def one(n: int) -> int:
        return streamed(n, n, 64, 64, TwoLevelMemory(2**16), tile=(128, 128)).depth

    def merged(n: int) -> int:
        return split(n, n, 64, 64, TwoLevelMemory(2**16, units=None), n // 128, tile=(128, 128)).depth

    assert many(2**17) == 2 * many(2**16)
    assert one(2**17) == 4 * one(2**16)
    # 26 steps for a tile, a store, 7 for each level of merging, 3 to finish
    assert [merged(2**power) for power in (10, 14, 20)] == [27 + 7 * levels + 3 for levels in (3, 7, 13)]


def test_the_tile_depth_is_that_of_the_docstring() -> None:
    longer, shorter = (streamed(128, m, 64, 64, TwoLevelMemory(2**16), tile=(128, 64)).depth for m in (64 * 9, 64 * 8))
    assert longer - shorter == 6 + 2 * 6 + 8


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64))
def test_the_default_tile_is_the_largest_square_that_fits(d: int, e: int, extra: int) -> None:
    def needed(side: int) -> int:
        return side * (d + e + 2) + side * (d + e) + side * side

    words = needed(1) + extra * 7
    tiling = streamed(10**6, 10**6, d, e, TwoLevelMemory(words))
    side = tiling.tile[0]
    assert tiling.words == needed(side) <= words < needed(side + 1)


@given(sizes, st.integers(1, 30), st.integers(1, 4), st.integers(1, 5))
def test_splitting_in_one_part_costs_one_trip_of_the_partial_result(n: int, m: int, columns: int, e: int) -> None:
    memory = TwoLevelMemory(10**6, units=None)
    plain, one = streamed(n, m, 3, e, memory, (n, columns)), split(n, m, 3, e, memory, 1, (n, columns))
    assert one.depth == plain.depth + 2
    # the partial result is stored (e + 2 words a query) and the output and the sum are loaded again (e + 1)
    assert one.work == plain.work + n * (2 * e + 3)


def test_tiles_that_do_not_fit_are_refused() -> None:
    with pytest.raises(AttometerError, match=r"^an element-wise map needs at least 3 words of fast memory, got 2$"):
        tiled_map(4, TwoLevelMemory(2))
    with pytest.raises(AttometerError, match=r"^a sum needs at least 3 words of fast memory, got 2$"):
        tiled_sum(4, TwoLevelMemory(2))
    with pytest.raises(AttometerError, match=r"^streamed attention needs at least 11 words of fast memory, got 10$"):
        streamed(4, 4, 2, 2, TwoLevelMemory(10))
    with pytest.raises(AttometerError, match=r"^a tile of 4×4 needs 56 words of fast memory, got 55$"):
        streamed(4, 4, 2, 2, TwoLevelMemory(55), tile=(8, 8))
    with pytest.raises(AttometerError, match=r"^parts must be at most 2, the key/value tiles of 2 keys, got 3$"):
        split(4, 4, 2, 2, TwoLevelMemory(99), parts=3, tile=(2, 2))
    with pytest.raises(AttometerError, match=r"^n must be at least 1, got 0$"):
        tiled_map(0, TwoLevelMemory(9))
