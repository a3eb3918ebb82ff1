"""The tiles of one block: the queries that a rank holds against the keys that it holds or receives, at global positions."""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from attometer.masks.intervals import Intervals
from attometer.program import Mask
from attometer.run.distributed.layout import Ints, Layout, Segments
from attometer.run.tiled.plan import Dense, RowTile, Step, TilePlan

ROWS_AT_ONCE = 1 << 16  # bounds the memory of a mask's intervals


@dataclass(frozen=True)
class Split:
    """A mask over a sequence whose n queries and m keys lie on the ranks as two layouts say."""

    mask: Mask | None
    queries: Layout
    keys: Layout

    def block(self, rank: int, owner: int) -> "Block":
        """Return the block of `rank`'s queries and `owner`'s keys."""
        return Block(
            self.mask, self.queries.segments[rank], self.keys.segments[owner], self.queries.length, self.keys.length
        )


@dataclass(frozen=True)
class Block:
    """Queries and keys as ascending position ranges of n queries and m keys."""

    mask: Mask | None
    queries: Segments
    keys: Segments
    n: int
    m: int

    @property
    def whole(self) -> bool:
        """Return whether the block is the whole sequence."""
        return self.queries == ((0, self.n),) and self.keys == ((0, self.m),)


@lru_cache(maxsize=64)
def needs(split: Split) -> tuple[tuple[bool, ...], ...]:
    """Return for each rank and each owner whether some query of the rank sees some key of the owner.

    >>> from attometer.program import causal
    >>> from attometer.run.distributed.layout import contiguous
    >>> needs(Split(causal(), contiguous(4, 2), contiguous(4, 2)))
    ((True, False), (True, True))
    """
    ranks, keys = range(split.queries.ranks), split.keys
    if split.mask is None:
        held = split.queries.lengths
        return tuple(tuple(held[rank] > 0 and keys.lengths[owner] > 0 for owner in ranks) for rank in ranks)
    return tuple(tuple(bool(pairs) for pairs in _pairs_by_owner(split, rank)) for rank in ranks)


@lru_cache(maxsize=64)
def pairs_of(split: Split) -> tuple[int, ...]:
    """Return how many pairs of the mask each rank computes.

    >>> from attometer.program import causal
    >>> from attometer.run.distributed.layout import contiguous, zigzag
    >>> [pairs_of(Split(causal(), layout(8, 2), layout(8, 2))) for layout in (contiguous, zigzag)]
    [(10, 26), (18, 18)]
    """
    if split.mask is None:
        return tuple(length * split.keys.length for length in split.queries.lengths)
    return tuple(sum(_pairs_by_owner(split, rank)) for rank in range(split.queries.ranks))


def _pairs_by_owner(split: Split, rank: int) -> list[int]:
    positions, totals = split.queries.positions(rank), [0] * split.keys.ranks
    for first in range(0, len(positions), ROWS_AT_ONCE):
        rows = positions[first : first + ROWS_AT_ONCE]
        for owner in range(split.keys.ranks):
            start, stop = _seen(split.block(rank, owner), rows)
            totals[owner] += int((stop - start).sum())
    return totals


@lru_cache(maxsize=64)
def block_plan(block: Block, rows: int, columns: int) -> TilePlan:
    """Return the tiles of `rows` × `columns` that the mask leaves in the block, in the block's own coordinates.

    >>> from attometer.program import causal
    >>> block_plan(Block(causal(), ((0, 2), (6, 8)), ((2, 6),), 8, 8), 2, 4).scores()
    8
    """
    positions = _positions(block.queries)
    keys = sum(stop - start for start, stop in block.keys)
    tiles = []
    for start in range(0, len(positions), rows):
        stop = min(len(positions), start + rows)
        seen = None if block.mask is None else _seen(block, positions[start:stop])
        tiles.append(RowTile(start, stop, tuple(_steps(seen, keys, columns))))
    return TilePlan(tuple(tiles))


def _positions(segments: Segments) -> Ints:
    return np.concatenate([np.arange(start, stop) for start, stop in segments] or [np.arange(0)])


def _seen(block: Block, rows: Ints) -> Intervals:
    """Return the intervals of the block's keys, numbered from 0, that each query sees; sorted and disjoint."""
    if block.mask is None or not len(rows) or not block.m:
        whole = sum(stop - start for start, stop in block.keys) if block.mask is None else 0
        return np.zeros((1, len(rows)), np.int64), np.full((1, len(rows)), whole)
    start, stop = block.mask.intervals(rows, block.n, block.m)
    lows, highs, at = [], [], 0
    for first, last in block.keys:
        lows.append(np.clip(start, first, last) - first + at)
        highs.append(np.clip(stop, first, last) - first + at)
        at += last - first
    low, high = np.concatenate(lows), np.concatenate(highs)
    kept = np.any(high > low, axis=1)
    return low[kept], high[kept]


def _steps(seen: Intervals | None, keys: int, columns: int) -> list[Step]:
    pieces = max(1, -(-keys // columns))
    edges = [keys * piece // pieces for piece in range(pieces + 1)]
    if seen is None:
        return [Dense(low, high, None, None) for low, high in pairwise(edges) if low < high]
    found = (_step(seen, low, high) for low, high in pairwise(edges))
    return [step for step in found if step is not None]


def _step(seen: Intervals, low: int, high: int) -> Dense | None:
    start, stop = np.clip(seen[0], low, high), np.clip(seen[1], low, high)
    inside = stop > start
    if not inside.any():
        return None
    # Columns that no row sees are cut from both ends: the tiles along a window are narrow.
    low, high = int(start[inside].min()), int(stop[inside].max())
    if int((stop - start).sum()) == (high - low) * seen[0].shape[1]:
        return Dense(low, high, None, None)
    kept = inside.any(axis=1)
    clipped = (np.clip(edge[kept] - low, 0, high - low).astype(np.int32) for edge in (start, stop))
    return Dense(low, high, None, tuple(np.ascontiguousarray(edge) for edge in clipped))  # type: ignore[arg-type]
