"""Misses of set-associative LRU caches with lines, for every number of ways up to a limit in one pass."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from attometer.errors import positive_int
from attometer.simulate.cache.stack_distance import MissCurve
from attometer.simulate.cache.traces import Addresses, Words, blocks_of


def misses_by_ways(trace: Addresses | Iterable[Words], sets: int, limit: int, line: int = 1) -> MissCurve:
    """Return the LRU misses of a cache of `sets` sets for every number of ways from 0 to `limit`.

    Args:
        trace: word numbers from 0; an array, a list, a Trace, or any stream of integer arrays.
        sets: number of sets; line number `a` belongs to set `a mod sets`.
        limit: the most ways; the cache holds `sets · ways` lines.
        line: words in a line; word number `w` belongs to line `w // line`.

    Returns:
        A MissCurve by ways; `distinct` counts lines.

    Raises:
        AttometerError: a size is below 1, or a word number is out of range.

    Source: all-associativity simulation, Mattson et al. 1970, Hill and Smith 1989.

    >>> curve = misses_by_ways([0, 8, 1, 9, 0, 8], sets=4, limit=2, line=2)
    >>> [curve(ways) for ways in (1, 2)]
    [6, 2]
    """
    from attometer.simulate.cache.set_associative_kernel import first_touches, set_pass

    for name, value in (("sets", sets), ("limit", limit), ("line", line)):
        positive_int(name, value)
    tags, counts = _column(sets * limit, -1), _column(limit + 1)
    seen, references, distinct = np.zeros(0, np.bool_), 0, 0
    for block in blocks_of(trace):
        lines = block // line
        seen, fresh = first_touches(seen, lines)
        distinct += fresh
        references += len(lines)
        set_pass(lines if isinstance(tags, np.ndarray) else lines.tolist(), sets, limit, tags, counts)
    hits = np.cumsum(np.asarray(counts, np.int64))
    return MissCurve(references - hits, references, distinct, f"LRU with {sets} sets")


def _column(count: int, value: int = 0) -> Any:
    from attometer.simulate.compiled import COMPILED

    return np.full(count, value, np.int64) if COMPILED else [value] * count
