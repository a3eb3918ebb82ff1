"""Which tiles of the score matrix are visited: row tiles, each with dense steps over runs of keys and ragged steps.

A key column that few rows of the tile see (BigBird's random keys, a strided head) is not worth a dense tile: those pairs
are gathered row by row. Work and memory so follow the pairs of the mask, whatever its shape.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attometer.program import Mask

Ints: TypeAlias = NDArray[np.int64]
Intervals: TypeAlias = tuple[Ints, Ints]

WORTH_A_TILE = 32  # a gathered pair costs about this many pairs of a dense tile
WORTH_A_STEP = 16_000  # scores that another step must save: about 80 µs of calls at 4 ns a score
SHORT_GAP = 16  # hidden columns between two runs that are cheaper to mask than to skip
LONG_RUN = 64  # keys from which a slice beats gathering


@dataclass(frozen=True, eq=False)
class Dense:
    """A tile over the keys [start, stop), or over gathered `columns`; `seen` are each row's intervals, None if full."""

    start: int
    stop: int
    columns: Ints | None
    seen: Intervals | None

    @property
    def width(self) -> int:
        """Return the number of keys."""
        return self.stop - self.start if self.columns is None else len(self.columns)

    def hidden(self) -> NDArray[np.bool_] | None:
        """Return where the mask forbids, bool [rows, width], or None for a full tile."""
        if self.seen is None:
            return None
        start, end = self.seen
        return _hidden(start.tobytes(), end.tobytes(), start.shape, self.width)


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows (absolute) that each see their own `keys` [rows, longest]; `valid` is False on the padding."""

    rows: Ints
    keys: Ints
    valid: NDArray[np.bool_]

    @property
    def start(self) -> int:
        """Return the first key, by which schedules order their steps."""
        return int(self.keys.min())


Step: TypeAlias = Dense | Ragged


@dataclass(frozen=True)
class RowTile:
    """The queries [start, stop) and the steps over their keys."""

    start: int
    stop: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class TilePlan:
    """The row tiles of one mask; rows that see nothing are in no tile's steps."""

    tiles: tuple[RowTile, ...]

    def scores(self) -> int:
        """Return how many scores are computed for each head, masked ones included."""
        return sum(_scores(tile, step) for tile in self.tiles for step in tile.steps)

    def steps(self) -> int:
        """Return the number of steps."""
        return sum(len(tile.steps) for tile in self.tiles)


def _scores(tile: RowTile, step: Step) -> int:
    return step.keys.size if isinstance(step, Ragged) else (tile.stop - tile.start) * step.width


@lru_cache(maxsize=32)
def tile_plan(mask: Mask | None, n: int, m: int, rows: int, columns: int) -> TilePlan:
    """Return the plan of `mask` for n queries and m keys in tiles of `rows` × `columns`.

    >>> from attometer.program import window
    >>> tile_plan(window(64), 4096, 4096, 64, 512).scores() / (4096 * 64) < 2.5
    True
    """
    tiles = []
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        steps = _full_steps(0, m, columns) if mask is None else _row_tile(mask, n, m, start, stop, rows, columns)
        tiles.append(RowTile(start, stop, tuple(steps)))
    return TilePlan(tuple(tiles))


def _full_steps(start: int, stop: int, columns: int) -> list[Step]:
    return [Dense(low, min(stop, low + columns), None, None) for low in range(start, stop, columns)]


def _row_tile(mask: Mask, n: int, m: int, start: int, stop: int, rows: int, columns: int) -> list[Step]:
    seen = mask.intervals(np.arange(start, stop), n, m)
    points, cover = _coverage(seen)
    if not len(points):
        return []
    width = np.diff(points)
    sparse = (cover > 0) & (cover * WORTH_A_TILE < stop - start)
    saved = width[sparse] @ (stop - start - WORTH_A_TILE * cover[sparse])
    if saved < WORTH_A_STEP:
        sparse[:] = False
    runs = _runs(points, np.where(sparse, 0, cover))
    for low, high in runs:  # a run joined over a gap sees the sparse keys in it
        sparse &= (points[:-1] < low) | (points[:-1] >= high)
    steps = _dense_steps(seen, runs, points, cover, stop - start, columns)
    if sparse.any():
        steps += _ragged_steps(seen, points, sparse, start, columns * rows)
    return steps


def _coverage(seen: Intervals) -> tuple[Ints, Ints]:
    """Return the sorted ends of all intervals, and how many rows see the keys between each two."""
    held = seen[1] > seen[0]
    starts, ends = seen[0][held], seen[1][held]
    points, at = np.unique(np.concatenate([starts, ends]), return_inverse=True)
    change = np.bincount(at[: len(starts)], minlength=len(points)) - np.bincount(
        at[len(starts) :], minlength=len(points)
    )
    return points, np.cumsum(change)[:-1]


def _dense_steps(
    seen: Intervals, runs: list[tuple[int, int]], points: Ints, cover: Ints, rows: int, columns: int
) -> list[Step]:
    keys = sum(stop - start for start, stop in runs)
    if len(runs) > 1 and keys <= columns:
        return [_gathered(seen, runs)]
    steps: list[Step] = []
    short = [run for run in runs if run[1] - run[0] < LONG_RUN]
    for start, stop in runs:
        if stop - start >= LONG_RUN or len(short) == 1:
            pieces = -(-(stop - start) // columns)
            edges = np.linspace(start, stop, pieces + 1).astype(np.int64)
            steps += [_sliced(seen, int(a), int(b), points, cover, rows) for a, b in pairwise(edges)]
    if len(short) > 1:
        filled = np.cumsum([stop - start for start, stop in short]) // columns
        steps += [_gathered(seen, [short[k] for k in np.flatnonzero(filled == f)]) for f in np.unique(filled)]
    return steps


def _runs(points: Ints, cover: Ints) -> list[tuple[int, int]]:
    """Return the runs of keys that some row sees, joined over short gaps."""
    runs: list[tuple[int, int]] = []
    held = np.flatnonzero(cover)
    for start, stop in zip(points[held].tolist(), points[held + 1].tolist(), strict=True):
        if runs and start - runs[-1][1] < SHORT_GAP:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs


def _sliced(seen: Intervals, start: int, stop: int, points: Ints, cover: Ints, rows: int) -> Dense:
    inside = (points[:-1] < stop) & (points[1:] > start)
    full = bool(np.all(cover[inside] == rows)) and points[0] <= start and points[-1] >= stop
    return Dense(start, stop, None, None if full else _clipped(seen[0] - start, seen[1] - start, stop - start))


def _gathered(seen: Intervals, runs: list[tuple[int, int]]) -> Dense:
    columns = np.concatenate([np.arange(start, stop) for start, stop in runs])
    start, end = (np.searchsorted(columns, edge) for edge in seen)
    return Dense(int(columns[0]), int(columns[-1]) + 1, columns, _clipped(start, end, len(columns)))


def _clipped(start: Ints, end: Ints, width: int) -> Intervals:
    low = np.clip(start, 0, width)
    high = np.maximum(low, np.clip(end, 0, width))
    kept = np.any(high > low, axis=1)
    return np.ascontiguousarray(low[kept], dtype=np.int32), np.ascontiguousarray(high[kept], dtype=np.int32)


@lru_cache(maxsize=32)
def _hidden(start: bytes, end: bytes, shape: tuple[int, int], width: int) -> NDArray[np.bool_]:
    # The diagonal tiles of a causal mask, or the tiles along a window, are all alike: a few are remembered.
    rows = shape[1]
    at = np.arange(rows) * (width + 1)
    opened = np.bincount((np.frombuffer(start, np.int32).reshape(shape) + at).ravel(), minlength=rows * (width + 1))
    closed = np.bincount((np.frombuffer(end, np.int32).reshape(shape) + at).ravel(), minlength=rows * (width + 1))
    inside = np.cumsum((opened - closed).reshape(rows, width + 1), axis=1)[:, :width]
    return np.asarray(inside == 0)


def _ragged_steps(seen: Intervals, points: Ints, sparse: NDArray[np.bool_], first: int, most: int) -> list[Step]:
    """Gather the pairs on sparse columns, rows of like length together so that padding at most doubles them."""
    rows, keys = _sparse_pairs(seen, points, sparse)
    lengths = np.bincount(rows, minlength=seen[0].shape[1])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    steps: list[Step] = []
    for power in np.unique(np.frexp(lengths[lengths > 0].astype(float))[1]):
        alike = np.flatnonzero((np.frexp(lengths.astype(float))[1] == power) & (lengths > 0))
        longest = int(lengths[alike].max())
        each = max(1, most // longest)
        for part in (alike[k : k + each] for k in range(0, len(alike), each)):
            place = np.arange(longest)[None]
            valid = place < lengths[part][:, None]
            chosen = keys[np.where(valid, offsets[part][:, None] + place, 0)]
            steps.append(Ragged(part + first, np.where(valid, chosen, chosen[:, :1]), valid))
    return steps


def _sparse_pairs(seen: Intervals, points: Ints, sparse: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return (row, key) of every pair on a sparse column, sorted by row."""
    low, high = points[:-1][sparse], points[1:][sparse]
    found_rows, found_keys = [], []
    for row in range(seen[0].shape[1]):
        held = seen[1][:, row] > seen[0][:, row]
        start, end = seen[0][held, row], seen[1][held, row]
        # A segment between two neighbouring points lies wholly inside an interval or wholly outside.
        place = np.searchsorted(start, low, side="right") - 1
        inside = (place >= 0) & (low < end[np.maximum(place, 0)])
        keys = _ranges(low[inside], high[inside])
        found_keys.append(keys)
        found_rows.append(np.full(len(keys), row))
    return np.concatenate(found_rows), np.concatenate(found_keys)


def _ranges(low: Ints, high: Ints) -> Ints:
    lengths = high - low
    if not len(lengths):
        return np.empty(0, np.int64)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(np.repeat(low, lengths) + within)
