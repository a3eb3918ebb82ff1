"""The cache-limited depth of attention: score rows at a time, streamed key/value tiles, and split key/value tiles.

The model is that of `cached_depth`. Three ways to keep the n × m scores out of a fast memory of M words:

- `rows_at_a_time` keeps whole rows of scores in fast memory, R = floor(M/m) of them, and reads K and V as if they were
  at hand: ceil(n/R) rounds of depth log d + 3 log m + O(1). With M in proportion to m this is O(n log n); with M fixed
  it is O(n m log m / M), and impossible once a row does not fit.
- `streamed` is FlashAttention (Dao et al. 2022; Dao 2023 puts the queries outside): a tile of B_r queries meets the
  key/value tiles of B_c keys one after the other: (m/B_c)(log d + 2 log B_c + 8) for each round of query tiles. One
  unit has n/B_r rounds; with a unit for each query tile there is one, and the depth is linear in m, not m log m.
- `split` cuts the key/value tiles among independent units and merges their partial results in a tree
  (FlashDecoding): the merge is associative, so with a unit for each tile the depth is O(log d + log m).
"""

from math import isqrt

from attometer.errors import AttometerError
from attometer.machine import TwoLevelMemory
from attometer.price.cached_depth import positive, tile_side
from attometer.price.tiling import Chain, Round, Step, Tiling, cuts, log2_ceil, side_by_side

# merging two partial results (maximum, sum, output): maximum; two differences; two exponentials; products; sums
_MERGE_DEPTH = 5


def rows_at_a_time(n: int, m: int, d: int, e: int, memory: TwoLevelMemory) -> Tiling:
    """Attention of n queries over m keys that keeps floor(M/m) whole rows of scores in fast memory.

    `d` and `e` are the head dimensions of keys and values. Only the scores are charged to fast memory. A round is load,
    scores, scale, softmax, output, store: ceil(log2 d) + 3 ceil(log2 m) + 8 steps. Raises AttometerError when a row of
    scores does not fit.

    >>> [rows_at_a_time(n, n, 64, 64, TwoLevelMemory(words=n)).depth // n for n in (2**8, 2**12, 2**16)]
    [38, 50, 62]
    """
    positive(n=n, m=m, d=d, e=e)
    if memory.words < m:
        raise AttometerError(f"a row of {m} scores does not fit {memory.words} words of fast memory; stream the keys")
    rows = min(memory.words // m, n)
    depth = log2_ceil(d) + 3 * log2_ceil(m) + 8
    chains = [((Step(_whole_work(size, m, d, e), depth),), count) for size, count in cuts(n, rows)]
    return Tiling("attention by rows", (rows, m), rows * m, memory.processors, side_by_side(chains, memory.units))


def streamed(n: int, m: int, d: int, e: int, memory: TwoLevelMemory, tile: tuple[int, int] | None = None) -> Tiling:
    """Attention of n queries over m keys with key/value tiles streamed past each tile of queries.

    `tile` is (B_r, B_c), by default the largest square tile that fits: B_r (d + e + 2) + B_c (d + e) + B_r B_c words
    for queries, outputs, row maxima and sums, keys, values and scores. A key/value tile takes
    ceil(log2 d) + 2 ceil(log2 B_c) + 8 steps: load, score products and their tree, scale, row maximum, running maximum,
    difference, exponential, output products and their tree, accumulate; the rescaling runs beside them. Raises
    AttometerError when the tile does not fit.

    >>> memory = TwoLevelMemory(words=2**16, units=None)
    >>> [streamed(n, n, 64, 64, memory, tile=(128, 128)).depth for n in (2**10, 2**11, 2**12)]
    [224, 448, 896]
    """
    positive(n=n, m=m, d=d, e=e)
    rows, columns = _tile(n, m, d, e, memory, tile)
    chains = [(_stream(size, m, columns, d, e), count) for size, count in cuts(n, rows)]
    words = _words(rows, columns, d, e)
    rounds = side_by_side(chains, memory.units)
    return Tiling("streamed attention", (rows, columns), words, memory.processors, rounds)


def split(
    n: int, m: int, d: int, e: int, memory: TwoLevelMemory, parts: int, tile: tuple[int, int] | None = None
) -> Tiling:
    """Attention whose key/value tiles are cut into `parts` runs on independent units, merged in a tree.

    Each level of the tree loads two partial results (a maximum, a sum and e outputs for each query), takes the larger
    maximum, rescales and adds both, and stores one: 7 steps. More parts than tiles raise AttometerError, as does a tile
    that does not fit.

    >>> memory = TwoLevelMemory(words=2**16, units=None)
    >>> [split(n, n, 64, 64, memory, parts=n // 128, tile=(128, 128)).depth for n in (2**10, 2**12, 2**14)]
    [51, 65, 79]
    """
    positive(n=n, m=m, d=d, e=e, parts=parts)
    rows, columns = _tile(n, m, d, e, memory, tile)
    if (merge := 2 * rows * (e + 2)) > memory.words:
        raise AttometerError(f"merging {rows} queries needs {merge} words of fast memory, got {memory.words}")
    tiles = -(-m // columns)
    if parts > tiles:
        raise AttometerError(f"parts must be at most {tiles}, the key/value tiles of {columns} keys, got {parts}")
    runs = _runs(m, columns, tiles, parts)
    chains = [
        (_partial(size, length, columns, d, e), count * runs_of)
        for size, count in cuts(n, rows)
        for length, runs_of in runs
    ]
    rounds = (*side_by_side(chains, memory.units), *_merges(n, rows, e, parts, memory.units))
    return Tiling("split attention", (rows, columns), _words(rows, columns, d, e), memory.processors, rounds)


def _runs(m: int, columns: int, tiles: int, parts: int) -> list[tuple[int, int]]:
    """Return (keys, how many runs) for each length of run; the run with the ragged tile is one of the longest."""
    share, longer = divmod(tiles, parts)
    missing = tiles * columns - m
    longest = (share + (longer > 0)) * columns
    runs = [
        (longest, (longer or parts) - 1),
        (longest - missing, 1),
        (share * columns, parts - longer if longer else 0),
    ]
    return [(length, count) for length, count in runs if count]


def _merges(n: int, rows: int, e: int, parts: int, units: int | None) -> tuple[Round, ...]:
    """Return the tree of merges over the parts, then the division by the row sums and the store."""
    rounds: list[Round] = []
    left = parts
    while left > 1:
        pairs, left = left // 2, -(-left // 2)
        # a query: load 2(e+2); maximum, 2 differences, 2 exponentials, 2(e+1) products, e+1 sums; store e+2
        chains = [((Step(size * (6 * e + 14), _MERGE_DEPTH + 2),), count * pairs) for size, count in cuts(n, rows)]
        rounds.extend(side_by_side(chains, units))
    last = [((Step(size * (3 * e + 1), 3),), count) for size, count in cuts(n, rows)]
    return (*rounds, *side_by_side(last, units))


def _stream(rows: int, m: int, columns: int, d: int, e: int) -> Chain:
    """Return the chain of one tile of queries: its key/value tiles in turn, then the division and the store."""
    return (*_tiles(rows, m, columns, d, e), Step(2 * rows * e, 2))


def _partial(rows: int, m: int, columns: int, d: int, e: int) -> Chain:
    """Return the chain of one run of key/value tiles, which stores its maximum, sum and undivided output."""
    return (*_tiles(rows, m, columns, d, e), Step(rows * (e + 2), 1))


def _tiles(rows: int, m: int, columns: int, d: int, e: int) -> list[Step]:
    steps = []
    for position, (size, count) in enumerate(cuts(m, min(columns, m))):
        fresh = 1 if position == 0 else 0
        depth = log2_ceil(d) + 2 * log2_ceil(size) + 6
        work = _tile_work(rows, size, d, e)
        # running maximum, its difference and exponential, then rescale and add the sum and the e outputs of each query
        merged = Step(work + rows * (3 + 2 * (e + 1)), depth + 2, count - fresh)
        steps += [Step(work + rows * d, depth)] * fresh + [merged] * (count > fresh)
    return steps


def _tile_work(rows: int, columns: int, d: int, e: int) -> int:
    """Count load K and V; scores, scale, row maximum, difference, exponential, row sum; output products."""
    scores = rows * columns * (2 * d - 1 + 3) + 2 * rows * (columns - 1)
    return columns * (d + e) + scores + rows * e * (2 * columns - 1)


def _whole_work(rows: int, m: int, d: int, e: int) -> int:
    """Count a tile that holds all keys and divides the weights: loads, scores, scale, softmax, output, store."""
    return rows * d + m * (d + e) + rows * (m * 2 * d + 5 * m - 2 + e * (2 * m - 1) + e)


def _tile(n: int, m: int, d: int, e: int, memory: TwoLevelMemory, tile: tuple[int, int] | None) -> tuple[int, int]:
    least = _words(1, 1, d, e)
    if tile is None:
        # largest B with B^2 + 2(d + e + 1) B <= M
        half = d + e + 1
        side = tile_side(isqrt(half * half + memory.words) - half, "streamed attention", least, memory)
        tile = (side, side)
    positive(**{"tile rows": tile[0], "tile columns": tile[1]})
    rows, columns = min(tile[0], n), min(tile[1], m)
    if _words(rows, columns, d, e) > memory.words:
        words = _words(rows, columns, d, e)
        raise AttometerError(f"a tile of {rows}×{columns} needs {words} words of fast memory, got {memory.words}")
    return rows, columns


def _words(rows: int, columns: int, d: int, e: int) -> int:
    return rows * (d + e + 2) + columns * (d + e) + rows * columns
