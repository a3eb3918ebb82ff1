"""Masks that repeat: where query and key may move on together by a period, a table of distances counts any run of keys."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from attometer.masks.intervals import AT_ONCE, Intervals, Ints, Rows, runs

if TYPE_CHECKING:
    from attometer.masks.mask import Mask


def has_table(mask: "Mask", n: int, m: int) -> bool:
    """Return whether a mask repeats so soon that its table is small."""
    period = mask.period()
    return period is not None and period * (n + m) <= 4 * AT_ONCE


def keys_within(mask: "Mask", rows: Rows, within: Intervals) -> Ints:
    """Return how many keys of `within` [k, rows] each row sees, int64 [rows].

    >>> from attometer.masks import strided
    >>> rows = Rows.of(np.arange(4), 4, 4)
    >>> keys_within(strided(2) & ~strided(3), rows, (rows.low[None], rows.high[None])).tolist()
    [1, 1, 1, 1]
    """
    table, place = _allowed_below(mask, rows.n, rows.m, False), rows.positions
    row = place % len(table)
    start, end = (table[row, place - edge + rows.n] for edge in within)
    return np.asarray((start - end).sum(axis=0))


def column_lengths(mask: "Mask", n: int, m: int) -> Ints:
    """Return how many of n queries see each of m keys, int64 [m]."""
    table, keys = _allowed_below(mask, n, m, True), np.arange(m)
    row = keys % len(table)
    return np.asarray(table[row, m - keys + n - 1] - table[row, m - keys - 1])


@lru_cache(maxsize=4)
def _allowed_below(mask: "Mask", n: int, m: int, of_keys: bool) -> Ints:
    """Return how many distances from query to key below each of 1 - n … m are allowed, [period, n + m].

    A row is a query modulo the period, or a key.
    """
    place, distance = np.arange(mask.period() or 1)[:, None], np.arange(1 - n, m)[None]
    query, key = (place + distance, place) if of_keys else (place, place - distance)
    allowed = np.broadcast_to(mask.predicate(n + m, n + m)(query, key), (len(place), n + m - 1))
    return np.concatenate([np.zeros((len(place), 1), np.int64), np.cumsum(allowed, axis=1)], axis=1)


def seen_runs(mask: "Mask", rows: Rows) -> Intervals:
    """Return the intervals of keys that each row sees, found key by key."""
    first, last = int(rows.low.min()), int(rows.high.max())
    if first >= last:
        return rows.low[None], rows.low[None]
    keys = np.arange(first, last)[None]
    seen = np.broadcast_to(
        mask.predicate(rows.n, rows.m)(rows.queries[:, None], keys), (len(rows.queries), last - first)
    )
    start, end = runs(seen)
    return rows.clip(start + first, end + first)
