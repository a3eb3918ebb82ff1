"""Rows of keys as a few sorted, disjoint intervals: the set algebra that exact counting stands on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Intervals: TypeAlias = tuple[Ints, Ints]
"""Starts and ends [k, rows]: row r sees keys start <= j < end of each of its k sorted, disjoint intervals."""

AT_ONCE = 4_000_000
"""Intervals held at once: bounds memory when a row has many."""


@dataclass(frozen=True)
class Rows:
    """Queries [rows] of n among m keys, of each of which only the keys low <= j < high [rows] are asked for."""

    queries: Ints
    n: int
    m: int
    low: Ints
    high: Ints

    @classmethod
    def of(cls, queries: Ints, n: int, m: int) -> "Rows":
        """Return the queries with all their keys."""
        return cls(queries, n, m, np.zeros_like(queries), np.full_like(queries, m))

    @property
    def positions(self) -> Ints:
        """Where the queries stand among the keys: masks are aligned bottom-right."""
        return self.queries + (self.m - self.n)

    def clip(self, start: Ints, end: Ints) -> Intervals:
        """Return the intervals [k, rows] cut to the keys asked for."""
        first = np.clip(start, self.low, self.high)
        return first, np.maximum(first, np.clip(end, self.low, self.high))

    def between(self, within: Intervals) -> "Rows":
        """Return the same queries, asked for the keys from the first to the last interval of `within`."""
        start, end = within
        held = end > start
        low = np.where(held, start, self.m).min(axis=0)
        return replace(self, low=low, high=np.maximum(low, np.where(held, end, 0).max(axis=0)))

    def parts(self, within: Intervals, intervals: int) -> Iterator[tuple["Rows", Intervals]]:
        """Yield a few rows at a time, so many that `intervals` a row fit in memory."""
        step = max(1, AT_ONCE // max(1, intervals))
        for k in range(0, len(self.queries), step):
            cut = slice(k, k + step)
            rows = replace(self, queries=self.queries[cut], low=self.low[cut], high=self.high[cut])
            yield rows, (within[0][:, cut], within[1][:, cut])


def runs(seen: NDArray[np.bool_]) -> Intervals:
    """Return the runs of true entries of each row, [k, rows] of seen [rows, m].

    >>> start, end = runs(np.array([[True, True, False, True], [False, False, False, False]]))
    >>> start.T.tolist(), end.T.tolist()
    ([[0, 3], [4, 4]], [[2, 4], [4, 4]])
    """
    edge = np.zeros((len(seen), 1), dtype=np.int8)
    row, place = np.nonzero(np.diff(seen.astype(np.int8), axis=1, prepend=edge, append=edge))
    start, end, row = place[::2], place[1::2], row[::2]
    number = np.bincount(row, minlength=len(seen))
    made = np.full((2, max(1, int(number.max(initial=0))), len(seen)), seen.shape[1], dtype=np.int64)
    made[:, np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number), row] = start, end
    return made[0], made[1]


def total(one: Intervals) -> Ints:
    """Return how many keys each row has."""
    return np.asarray(np.sum(one[1] - one[0], axis=0))


def intersect(one: Intervals, other: Intervals) -> Intervals:
    """Return the keys of both; the result has at most as many intervals as both together.

    >>> a = (np.array([[0], [4]]), np.array([[3], [9]]))
    >>> start, end = intersect(a, (np.array([[2]]), np.array([[6]])))
    >>> start.ravel().tolist(), end.ravel().tolist()
    ([2, 4], [3, 6])
    """
    if 1 in (len(one[0]), len(other[0])):
        start = np.maximum(one[0], other[0])
        return start, np.maximum(start, np.minimum(one[1], other[1]))
    m = max(int(one[1].max(initial=0)), int(other[1].max(initial=0)))
    return complement(unite(complement(one, m), complement(other, m)), m)


def unite(one: Intervals, other: Intervals) -> Intervals:
    """Return the keys of either."""
    start, end = _sorted(np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]))
    covered = np.maximum.accumulate(np.concatenate([np.zeros_like(end[:1]), end[:-1]]), axis=0)
    start = np.maximum(start, covered)
    return compact((start, np.maximum(start, end)))


def complement(one: Intervals, m: int) -> Intervals:
    """Return the keys below m of neither interval."""
    edge = np.zeros_like(one[0][:1])
    start = np.concatenate([edge, np.maximum.accumulate(one[1], axis=0)])
    return compact((start, np.maximum(start, np.concatenate([one[0], edge + m]))))


def compact(one: Intervals) -> Intervals:
    """Return the intervals without those that are empty in every row; at least one stays."""
    held = np.asarray((one[1] > one[0]).any(axis=1))
    held[:1] |= not held.any()
    return (one[0], one[1]) if held.all() else (one[0][held], one[1][held])


def _sorted(start: Ints, end: Ints) -> Intervals:
    # Empty intervals carry no keys; sent to the front they cannot hide a later start.
    held = end > start
    start, end = np.where(held, start, 0), np.where(held, end, 0)
    order = np.argsort(start, axis=0, kind="stable")
    return np.take_along_axis(start, order, 0), np.take_along_axis(end, order, 0)
