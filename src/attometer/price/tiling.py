"""Tiles that run one after the other on a two-level machine, and the time that they take together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attometer.errors import AttometerError


@dataclass(frozen=True)
class Step:
    """A tile, `repeats` times in sequence: its work and depth in unit-cost operations, loads and stores included."""

    work: int
    depth: int
    repeats: int = 1

    def lower(self, processors: int | None) -> int:
        """Brent's lower bound: max(ceil(work/p), depth) for each repeat."""
        share = -(-self.work // processors) if processors else 0
        return self.repeats * max(share, self.depth)

    def upper(self, processors: int | None) -> int:
        """Brent's upper bound: floor((work - depth)/p) + depth for each repeat."""
        rest = (self.work - self.depth) // processors if processors else 0
        return self.repeats * (rest + self.depth)


Chain = tuple[Step, ...]


@dataclass(frozen=True)
class Round:
    """Chains that run side by side, each on a fast memory of its own: (chain, how many); `repeats` such rounds."""

    chains: tuple[tuple[Chain, int], ...]
    repeats: int = 1

    @property
    def work(self) -> int:
        """Operations of all chains of all repeats."""
        each = (count * step.repeats * step.work for chain, count in self.chains for step in chain)
        return self.repeats * sum(each)

    def lower(self, processors: int | None) -> int:
        """Steps of the slowest chain, at the least."""
        return self.repeats * max(sum(step.lower(processors) for step in chain) for chain, _ in self.chains)

    def upper(self, processors: int | None) -> int:
        """Steps of the slowest chain, at the most."""
        return self.repeats * max(sum(step.upper(processors) for step in chain) for chain, _ in self.chains)


@dataclass(frozen=True)
class Tiling:
    """An operation cut into tiles that fit fast memory.

    `tile` holds the side lengths of the largest tile and `words` the fast memory that it uses; `processors` work on
    each tile (None: as many as it can use). Between two tiles of a chain and between two rounds everything waits: loads
    are not overlapped.
    """

    operation: str
    tile: tuple[int, ...]
    words: int
    processors: int | None
    rounds: tuple[Round, ...]

    @property
    def depth(self) -> int:
        """The cache-limited depth: steps with unlimited processors on each tile."""
        return sum(part.lower(None) for part in self.rounds)

    @property
    def work(self) -> int:
        """Operations of all tiles, loads and stores included."""
        return sum(part.work for part in self.rounds)

    @property
    def lower(self) -> int:
        """Steps that no schedule of these tiles beats."""
        return sum(part.lower(self.processors) for part in self.rounds)

    @property
    def upper(self) -> int:
        """Steps that every greedy schedule of each tile keeps to."""
        return sum(part.upper(self.processors) for part in self.rounds)

    def to_dict(self) -> dict[str, Any]:
        """Return the tiling and its times as plain values."""
        names = ("operation", "tile", "words", "processors", "work", "depth", "lower", "upper")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        tile = "×".join(map(str, self.tile))
        return (
            f"{self.operation}: tile {tile} ({self.words} words), work {self.work}, {self.lower} <= T <= {self.upper}"
        )


def side_by_side(chains: Iterable[tuple[Chain, int]], units: int | None) -> tuple[Round, ...]:
    """Spread independent chains over the units, in order; None units take them all at once.

    >>> long, short = (Step(8, 3),), (Step(2, 1),)
    >>> [(part.repeats, [count for _, count in part.chains]) for part in side_by_side([(long, 9), (short, 2)], 4)]
    [(2, [4]), (1, [1, 2])]
    """
    pending = [(chain, count) for chain, count in chains if count]
    if units is None:
        return (Round(tuple(pending)),)
    rounds: list[Round] = []
    open_round: list[tuple[Chain, int]] = []
    free = 0
    for chain, count in pending:
        taken = min(free, count)
        if taken:
            open_round.append((chain, taken))
        free, count = free - taken, count - taken
        full, rest = divmod(count, units)
        if count and open_round:
            rounds.append(Round(tuple(open_round)))
            open_round = []
        if full:
            rounds.append(Round(((chain, units),), full))
        if rest:
            open_round, free = [(chain, rest)], units - rest
    return (*rounds, *([Round(tuple(open_round))] if open_round else []))


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


def log2_ceil(count: int) -> int:
    """Return the levels of a balanced tree over `count` leaves.

    >>> [log2_ceil(count) for count in (1, 2, 3, 8, 9)]
    [0, 1, 2, 3, 4]
    """
    return (count - 1).bit_length()
