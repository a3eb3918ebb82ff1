"""The cache-limited depth of element-wise maps, sums and matrix products.

Work-depth analysis lets every operation of a level run at once. On a two-level machine only what fits the fast memory
can, so an operation runs as tiles. The model, in full:

- a load, a store and a scalar operation are one operation each and take one step; concurrent reads are free;
- the operands and results of a tile fit the M words of its fast memory; partial results inside a dot product or an
  adder tree live in the processors, as they do in the counting of I/O;
- tiles on one fast memory run one after the other, with no overlap between them; independent tiles use all the `units`;
- a tile of work w and depth d on p processors takes between max(ceil(w/p), d) and (w - d)/p + d steps (Brent).

So a curve over n is flat while one tile holds everything and p processors are enough, and grows with the number of
tiles after that.
"""

from math import isqrt

from attometer.errors import AttometerError
from attometer.machine import TwoLevelMemory
from attometer.price.tiling import Phase, Tiling, cuts, log2_ceil, rounds


def positive(**sizes: int) -> None:
    """Raise AttometerError for a size below 1, naming it."""
    for name, size in sizes.items():
        if size < 1:
            raise AttometerError(f"{name} must be at least 1, got {size}")


def tiled_map(n: int, memory: TwoLevelMemory) -> Tiling:
    """Tile `c = a * b` over n elements: two loads at once, a multiply, a store; three words an element.

    The tile holds B = floor(M/3) elements and takes 3 steps, so the depth is 3 ceil(n / (B units)): constant until n
    reaches B units (or 3p/4 with p processors), linear after.

    >>> [tiled_map(n, TwoLevelMemory(words=300)).depth for n in (1, 100, 101, 1000)]
    [3, 3, 6, 30]
    """
    positive(n=n)
    side = min(_side(memory.words // 3, "an element-wise map", 3, memory), n)
    phases = (
        Phase(count, work=4 * size, depth=3, units=used)
        for size, tiles in cuts(n, side)
        for count, used in rounds(tiles, memory.units)
    )
    return Tiling("map", (side,), 3 * side, memory.processors, tuple(phases))


def tiled_sum(n: int, memory: TwoLevelMemory) -> Tiling:
    """Tile the sum of n numbers: each unit adds its tiles to a running sum, then the partial sums are summed likewise.

    A tile of B = M - 1 numbers takes 1 + ceil(log2 B) steps, one more to add it to the running sum, and each pass
    stores its results. One unit: (n/B)(log2 B + 2), linear in n; unlimited units: O(log n).

    >>> [tiled_sum(n, TwoLevelMemory(words=65)).depth for n in (64, 128, 6400)]
    [8, 16, 800]
    >>> [tiled_sum(n, TwoLevelMemory(words=65, units=None)).depth for n in (64, 64**2, 64**3)]
    [8, 16, 24]
    """
    positive(n=n)
    side = min(_side(memory.words - 1, "a sum", 2, memory), n)
    phases: list[Phase] = []
    left = n
    while True:
        partial = _sum_pass(left, side, memory.units, phases)
        if partial == 1:
            return Tiling("sum", (side,), side + 1, memory.processors, tuple(phases))
        left = partial


def _sum_pass(n: int, side: int, units: int | None, phases: list[Phase]) -> int:
    """Append one pass over n numbers, and return how many partial sums it leaves."""
    first = True
    tiles = -(-n // side)
    busy = tiles if units is None else min(units, tiles)
    # two numbers in two units would only move: the last pass is one unit's
    busy = 1 if side == 1 else busy
    for size, count in cuts(n, side):
        for repeats, used in rounds(count, busy):
            fresh = min(repeats, 1) if first else 0
            work, depth = 2 * size - 1, 1 + log2_ceil(size)
            if fresh:
                phases.append(Phase(1, work, depth, used))
            if repeats > fresh:
                phases.append(Phase(repeats - fresh, work + 1, depth + 1, used))
            first = False
    phases.append(Phase(1, work=1, depth=1, units=busy))
    return busy


def tiled_matmul(m: int, k: int, n: int, memory: TwoLevelMemory) -> Tiling:
    """Tile an (m, k) by (k, n) product with square tiles of side b = floor(sqrt(M/3)): one of each operand in place.

    A product of two tiles loads, multiplies, adds in a tree and accumulates: 3 + ceil(log2 b) steps. A tile of the
    result takes k/b of them and a store. One unit: (n/b)^3 (log2 b + 3), cubic; unlimited units: (k/b)(log2 b + 3).

    >>> tiled_matmul(8, 8, 8, TwoLevelMemory(words=192)).depth     # one tile: load, multiply, 3 levels, store
    6
    >>> tiled_matmul(16, 16, 16, TwoLevelMemory(words=192)).depth  # 4 tiles of (5 + 6) and a store
    48
    """
    positive(m=m, k=k, n=n)
    side = _side(isqrt(memory.words // 3), "a matrix product", 3, memory)
    rows, inner, columns = min(side, m), min(side, k), min(side, n)
    phases: list[Phase] = []
    for height, down in cuts(m, rows):
        for width, across in cuts(n, columns):
            for count, used in rounds(down * across, memory.units):
                phases.extend(_output_tile(height, width, cuts(k, inner), count, used))
    words = rows * inner + inner * columns + rows * columns
    return Tiling("matmul", (rows, inner, columns), words, memory.processors, tuple(phases))


def _output_tile(
    height: int, width: int, inner: tuple[tuple[int, int], ...], repeats: int, units: int
) -> list[Phase]:
    """Return the phases of `repeats` rounds of one tile of the result: its products in turn, then a store."""
    phases = []
    for position, (size, count) in enumerate(inner):
        work = size * (height + width) + height * width * (2 * size - 1)
        depth = 2 + log2_ceil(size)
        fresh = 1 if position == 0 else 0
        if fresh:
            phases.append(Phase(repeats, work, depth, units))
        if count > fresh:
            phases.append(Phase(repeats * (count - fresh), work + height * width, depth + 1, units))
    phases.append(Phase(repeats, height * width, 1, units))
    return phases


def _side(side: int, what: str, least: int, memory: TwoLevelMemory) -> int:
    if side < 1:
        raise AttometerError(f"{what} needs at least {least} words of fast memory, got {memory.words}")
    return side
