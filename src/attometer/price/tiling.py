"""Tiles that run one after the other on a two-level machine, and the time that they take together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attometer.errors import AttometerError


@dataclass(frozen=True)
class Phase:
    """`repeats` rounds in sequence; a round is one tile on each of `units` fast memories, all of one shape.

    `work` and `depth` are those of one tile, in unit-cost operations with loads and stores.
    """

    repeats: int
    work: int
    depth: int
    units: int = 1


@dataclass(frozen=True)
class Tiling:
    """An operation cut into tiles that fit fast memory.

    `words` is the fast memory that a tile uses; `tile` its side lengths; `processors` work on each tile (None: as many
    as it can use). Between two phases, and between two rounds of a phase, everything waits: loads are not overlapped.
    """

    operation: str
    tile: tuple[int, ...]
    words: int
    processors: int | None
    phases: tuple[Phase, ...]

    @property
    def depth(self) -> int:
        """The cache-limited depth: steps with unlimited processors on each tile."""
        return sum(phase.repeats * phase.depth for phase in self.phases)

    @property
    def work(self) -> int:
        """Operations of all tiles, loads and stores included."""
        return sum(phase.repeats * phase.units * phase.work for phase in self.phases)

    @property
    def lower(self) -> int:
        """Steps that no schedule of the tiles beats: Brent's lower bound, tile by tile."""
        return sum(phase.repeats * max(self._share(phase.work), phase.depth) for phase in self.phases)

    @property
    def upper(self) -> int:
        """Steps that every greedy schedule of each tile keeps to: Brent's upper bound, tile by tile."""
        p = self.processors
        if p is None:
            return self.depth
        return sum(phase.repeats * ((phase.work - phase.depth) // p + phase.depth) for phase in self.phases)

    def _share(self, work: int) -> int:
        return -(-work // self.processors) if self.processors else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the tiling and its times as plain values."""
        names = ("operation", "tile", "words", "processors", "work", "depth", "lower", "upper")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        tile = "×".join(map(str, self.tile))
        return f"{self.operation}: tile {tile} ({self.words} words), work {self.work}, {self.lower} <= T <= {self.upper}"


def curve(tiled: Callable[[int], Tiling], sizes: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Return (size, lower, upper) steps for each size, where `tiled` makes the tiling of a size.

    >>> from attometer.machine import TwoLevelMemory
    >>> from attometer.price import tiled_map
    >>> curve(lambda n: tiled_map(n, TwoLevelMemory(words=96)), (1, 8, 32, 33, 64, 128))
    ((1, 3, 3), (8, 3, 3), (32, 3, 3), (33, 6, 6), (64, 6, 6), (128, 12, 12))
    """
    return tuple((size, (tiling := tiled(size)).lower, tiling.upper) for size in sizes)


def constant_until(tiled: Callable[[int], Tiling], limit: int = 1 << 40) -> int:
    """Return the largest size up to `limit` that takes as few steps as size 1: the cut-off of a flat curve.

    >>> from attometer.machine import TwoLevelMemory
    >>> from attometer.price import tiled_map
    >>> constant_until(lambda n: tiled_map(n, TwoLevelMemory(words=3 * 10**6, processors=4096)))
    3072
    """
    if limit < 1:
        raise AttometerError(f"limit must be at least 1, got {limit}")
    flat, low, high = tiled(1).lower, 1, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tiled(middle).lower == flat else (low, middle - 1)
    return low


def cuts(length: int, side: int) -> tuple[tuple[int, int], ...]:
    """Return how a length falls into tiles: (side, how many), then the ragged rest if there is one.

    >>> cuts(10, 4), cuts(8, 4), cuts(3, 4)
    (((4, 2), (2, 1)), ((4, 2),), ((3, 1),))
    """
    whole, rest = divmod(length, side)
    return tuple((size, count) for size, count in ((side, whole), (rest, 1)) if size and count)


def rounds(tiles: int, units: int | None) -> tuple[tuple[int, int], ...]:
    """Return (rounds, units busy in each) for equal independent tiles; None units take them all at once.

    >>> rounds(10, 4), rounds(10, None)
    (((2, 4), (1, 2)), ((1, 10),))
    """
    busy = tiles if units is None else units
    full, rest = divmod(tiles, busy)
    return tuple((count, used) for count, used in ((full, busy), (1, rest)) if count and used)


def log2_ceil(count: int) -> int:
    """Return the levels of a balanced tree over `count` leaves.

    >>> [log2_ceil(count) for count in (1, 2, 3, 8, 9)]
    [0, 1, 2, 3, 4]
    """
    return (count - 1).bit_length()
