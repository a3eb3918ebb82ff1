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
from attometer.price.tiling import Chain, Round, Step, Tiling, cuts, log2_ceil, side_by_side


def tiled_map(n: int, memory: TwoLevelMemory) -> Tiling:
    """Tile `c = a * b` over n elements: two loads at once, a multiply, a store; three words an element.

    A tile holds B = floor(M/3) elements and takes 3 steps, so the depth is 3 ceil(n / (B units)): constant until n
    reaches B units (or 3p/4 with p processors), linear after. Raises AttometerError for n < 1 or M < 3.

    >>> [tiled_map(n, TwoLevelMemory(words=300)).depth for n in (1, 100, 101, 1000)]
    [3, 3, 6, 30]
    """
    positive(n=n)
    side = min(tile_side(memory.words // 3, "an element-wise map", 3, memory), n)
    chains = (((Step(4 * size, 3),), count) for size, count in cuts(n, side))
    return Tiling("map", (side,), 3 * side, memory.processors, side_by_side(chains, memory.units))


def tiled_sum(n: int, memory: TwoLevelMemory) -> Tiling:
    """Tile the sum of n numbers: each unit adds its tiles to a running sum, then the partial sums are summed likewise.

    A tile of B = M - 1 numbers takes 1 + ceil(log2 B) steps, one more to add it to the running sum; each pass stores
    its results. One unit: (n/B)(log2 B + 2), linear in n; unlimited units: O(log n). Raises AttometerError for n < 1
    or M < 3.

    >>> [tiled_sum(n, TwoLevelMemory(words=65)).depth for n in (64, 128, 6400)]
    [8, 16, 800]
    >>> [tiled_sum(n, TwoLevelMemory(words=65, units=None)).depth for n in (64, 64**2, 64**3)]
    [8, 16, 24]
    """
    positive(n=n)
    # a tile of one number would only move it, so the partial sums would never become fewer
    side = tile_side(memory.words - 1, "a sum", 3, memory, least_side=2)
    rounds, left = [], n
    while True:
        tiles = -(-left // side)
        busy = tiles if memory.units is None else min(memory.units, tiles)
        rounds.append(_sum_pass(left, min(side, left), busy))
        if busy == 1:
            side = min(side, n)
            return Tiling("sum", (side,), side + 1, memory.processors, tuple(rounds))
        left = busy


def _sum_pass(n: int, side: int, units: int) -> Round:
    """Return the round in which each unit sums its share of the tiles; the ragged tile ends a longest chain."""
    share, longer = divmod(-(-n // side), units)
    ragged = n % side or side
    length = share + 1 if longer else share
    chains = [(_running_sum(length - 1, side, ragged), 1), (_running_sum(length, side, 0), (longer or units) - 1)]
    if longer:
        chains.append((_running_sum(share, side, 0), units - longer))
    return Round(tuple((chain, count) for chain, count in chains if count))


def _running_sum(whole: int, side: int, ragged: int) -> Chain:
    """Return the chain over `whole` tiles and a ragged one (0: none): load, add in a tree, accumulate; then store."""
    sizes = [(side, whole), (ragged, 1 if ragged else 0)]
    steps = [(size, count) for size, count in sizes if count]
    chain = []
    for position, (size, count) in enumerate(steps):
        work, depth = 2 * size - 1, 1 + log2_ceil(size)
        fresh = 1 if position == 0 else 0
        chain += [Step(work, depth)] * fresh + [Step(work + 1, depth + 1, count - fresh)] * (count > fresh)
    return (*chain, Step(1, 1))


def tiled_matmul(m: int, k: int, n: int, memory: TwoLevelMemory) -> Tiling:
    """Tile an (m, k) by (k, n) product with square tiles of side b = floor(sqrt(M/3)), one of each matrix in place.

    A product of two tiles loads, multiplies, adds in a tree and accumulates: 3 + ceil(log2 b) steps. A tile of the
    result takes k/b of them and a store. One unit: (n/b)^3 (log2 b + 3), cubic; unlimited units: (k/b)(log2 b + 3).
    Raises AttometerError for a size below 1 or M < 3.

    >>> tiled_matmul(8, 8, 8, TwoLevelMemory(words=192)).depth  # one tile: load, multiply, three levels, store
    6
    >>> tiled_matmul(16, 16, 16, TwoLevelMemory(words=192)).depth  # four tiles of 5 + 6 and a store
    48
    """
    positive(m=m, k=k, n=n)
    side = tile_side(isqrt(memory.words // 3), "a matrix product", 3, memory)
    rows, inner, columns = min(side, m), min(side, k), min(side, n)
    chains = [
        (_output_tile(height, width, cuts(k, inner)), down * across)
        for height, down in cuts(m, rows)
        for width, across in cuts(n, columns)
    ]
    words = rows * inner + inner * columns + rows * columns
    rounds = side_by_side(chains, memory.units)
    return Tiling("matmul", (rows, inner, columns), words, memory.processors, rounds)


def _output_tile(height: int, width: int, inner: tuple[tuple[int, int], ...]) -> Chain:
    """Return the chain of one tile of the result: its products in turn, accumulated, then a store."""
    chain = []
    for position, (size, count) in enumerate(inner):
        work, depth = size * (height + width) + height * width * (2 * size - 1), 2 + log2_ceil(size)
        fresh = 1 if position == 0 else 0
        added = Step(work + height * width, depth + 1, count - fresh)
        chain += [Step(work, depth)] * fresh + [added] * (count > fresh)
    return (*chain, Step(height * width, 1))


def positive(**sizes: int) -> None:
    """Raise AttometerError for a size below 1, naming it."""
    for name, size in sizes.items():
        if size < 1:
            raise AttometerError(f"{name} must be at least 1, got {size}")


def tile_side(side: int, what: str, words: int, memory: TwoLevelMemory, least_side: int = 1) -> int:
    """Return `side`, or raise AttometerError when fast memory holds no tile: `what` needs at least `words`."""
    if side < least_side:
        raise AttometerError(f"{what} needs at least {words} words of fast memory, got {memory.words}")
    return side
