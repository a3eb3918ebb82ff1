"""Each row of a mask as a few disjoint intervals of keys: exact counts in time proportional to rows × intervals."""

from collections.abc import Iterator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks.relations import (
    And,
    Band,
    Block,
    Chunked,
    Document,
    Fixed,
    Global,
    Mask,
    Not,
    Or,
    Prefix,
    Random,
    Strided,
    number,
)

Ints = NDArray[np.int64]
Intervals = tuple[Ints, Ints]
"""Starts and ends [k, rows]: row r sees keys start <= j < end of each of its k sorted, disjoint intervals."""

_ROWS_AT_ONCE = 4_000_000  # bounds memory when a row has many intervals


def row_intervals(mask: Mask, queries: Ints, n: int, m: int) -> Intervals:
    """Return the sorted disjoint key intervals that each of `queries` sees."""
    p = queries + (m - n)
    match mask:
        case And(parts=parts):
            return reduce(_intersect, (row_intervals(part, queries, n, m) for part in parts))
        case Or(parts=parts):
            return reduce(_unite, (row_intervals(part, queries, n, m) for part in parts))
        case Not(part=part):
            return _complement(row_intervals(part, queries, n, m), m)
        case Band(left=left, right=right):
            start = np.zeros_like(p) if left is None else p - number(left, "left")
            end = np.full_like(p, m) if right is None else p + number(right, "right") + 1
            return _clip(start[None], end[None], m)
        case Global(count=count):
            g = number(count, "global count")
            return _clip(np.zeros_like(p)[None], np.where(p < g, m, g)[None], m)
        case Prefix(count=count):
            return _clip(np.zeros_like(p)[None], np.full_like(p, number(count, "prefix"))[None], m)
        case Chunked(chunk=chunk):
            start = p // number(chunk, "chunk") * number(chunk, "chunk")
            return _clip(start[None], start[None] + number(chunk, "chunk"), m)
        case Strided(stride=stride):
            s = number(stride, "stride")
            start = (p % s)[None] + np.arange(0, m, s)[:, None]
            return _clip(start, start + 1, m)
        case Fixed(stride=stride, summary=summary):
            s, c = number(stride, "stride"), min(number(summary, "summary"), number(stride, "stride"))
            ends = np.broadcast_to(np.arange(s, m + s, s)[:, None], (-(-m // s), len(p)))
            own = _clip((p // s * s)[None], (p // s * s + s)[None], m)
            return _unite(_clip(ends - c, ends, m), own)
        case Document(lengths=lengths):
            return _documents(lengths, p, m)
        case Random():
            return _random(mask, queries, m)
        case Block():
            return _blocks(mask, p, m)
    raise AttometerError(f"mask {type(mask).__name__} has no row intervals")


def chunks_of_rows(mask: Mask, n: int, m: int) -> Iterator[Intervals]:
    """Yield the intervals of all n rows in order, in chunks small enough for memory."""
    step = max(1, _ROWS_AT_ONCE // max(1, _width(mask, m)))
    for start in range(0, n, step):
        yield row_intervals(mask, np.arange(start, min(n, start + step)), n, m)


def row_lengths(mask: Mask, n: int, m: int) -> Ints:
    """Return how many keys each query sees, int64 [n]."""
    return np.concatenate([np.sum(end - start, axis=0) for start, end in chunks_of_rows(mask, n, m)])


def _width(mask: Mask, m: int) -> int:
    match mask:
        case And(parts=parts) | Or(parts=parts):
            return sum(_width(part, m) for part in parts)
        case Not(part=part):
            return _width(part, m) + 1
        case Strided(stride=s) | Fixed(stride=s):
            return m // number(s, "stride") + 2
        case Random(count=count):
            return count
        case Block(layout=layout):
            return len(layout[0])
    return 1


def _clip(start: Ints, end: Ints, m: int) -> Intervals:
    low = np.clip(start, 0, m)
    return low, np.maximum(low, np.clip(end, 0, m))


def _intersect(one: Intervals, other: Intervals) -> Intervals:
    start = np.maximum(one[0][:, None], other[0][None]).reshape(-1, one[0].shape[1])
    end = np.minimum(one[1][:, None], other[1][None]).reshape(-1, one[0].shape[1])
    return _sorted(start, np.maximum(start, end))


def _unite(one: Intervals, other: Intervals) -> Intervals:
    start, end = _sorted(np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]]))
    covered = np.maximum.accumulate(np.concatenate([np.zeros_like(end[:1]), end[:-1]]), axis=0)
    start = np.maximum(start, covered)
    return start, np.maximum(start, end)


def _complement(one: Intervals, m: int) -> Intervals:
    edge = np.zeros_like(one[0][:1])
    start = np.concatenate([edge, np.maximum.accumulate(one[1], axis=0)])
    return start, np.maximum(start, np.concatenate([one[0], edge + m]))


def _sorted(start: Ints, end: Ints) -> Intervals:
    # Empty intervals carry no keys; sent to the front they cannot hide a later start.
    held = end > start
    start, end = np.where(held, start, 0), np.where(held, end, 0)
    order = np.argsort(start, axis=0, kind="stable")
    return np.take_along_axis(start, order, 0), np.take_along_axis(end, order, 0)


def _documents(lengths: tuple[int, ...], p: Ints, m: int) -> Intervals:
    ends = np.cumsum(lengths)
    at = np.minimum(np.searchsorted(ends, p, side="right"), len(ends) - 1)
    seen = (p >= 0) & (p < ends[-1])
    end = np.where(seen, ends[at], 0)
    return _clip((end - np.where(seen, np.asarray(lengths)[at], 0))[None], end[None], m)


def _random(mask: Random, queries: Ints, m: int) -> Intervals:
    drawn = np.asarray([sorted(mask.keys(int(q), m)) for q in queries], dtype=np.int64).T
    return drawn, drawn + 1


def _blocks(mask: Block, p: Ints, m: int) -> Intervals:
    table = np.asarray(mask.layout, dtype=bool)
    row = p // mask.block
    inside = (row >= 0) & (row < table.shape[0])
    start = np.broadcast_to(np.arange(table.shape[1])[:, None] * mask.block, (table.shape[1], len(p)))
    seen = table[np.where(inside, row, 0)].T & inside
    return _clip(start, np.where(seen, start + mask.block, start), m)
