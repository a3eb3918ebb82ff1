"""Misses of optimal replacement for every cache size up to a limit, in one pass over the trace.

Optimal replacement evicts the word whose next use is farthest (Belady 1966); it is a stack algorithm, so that one stack
ordered by who would be evicted last holds the contents of the caches of all sizes at once (Mattson et al. 1970).
"""

from collections.abc import Iterable

import numpy as np

from attometer.errors import positive_int
from attometer.simulate.cache.stack_distance import MissCurve
from attometer.simulate.cache.traces import Addresses, Words, blocks_of, input_words


def optimal_misses(trace: Addresses | Iterable[Words], limit: int) -> MissCurve:
    """Return the least misses any replacement can have, for every cache size from 0 to `limit`.

    Args:
        trace: word or line numbers from 0; an array, a list, a Trace, or any stream of integer arrays. It is held in
            memory whole, for the optimum depends on the future.
        limit: the largest cache size in words; the stack is cut there.

    Returns:
        A MissCurve over sizes 0 … limit (or the distinct words, if fewer).

    Raises:
        AttometerError: the limit is below 1, or a number is out of range.

    Source: Mattson, Gecsei, Slutz and Traiger 1970; the stack holds next uses in blocks with their maxima, so that
    blocks that an update leaves alone are skipped.

    >>> curve = optimal_misses([0, 1, 2, 0, 1, 2], limit=3)
    >>> [curve(capacity) for capacity in (1, 2, 3)]
    [6, 4, 3]
    """
    from attometer.simulate.cache.belady_kernel import next_uses, optimal_histogram

    positive_int("limit", limit)
    whole = np.concatenate([np.empty(0, np.int64), *blocks_of(trace)])
    following, distinct = next_uses(whole)
    temporaries = len(np.unique(whole[whole >= input_words(trace)]))
    depth = max(1, min(limit, distinct))
    counts = optimal_histogram(following, depth)
    return MissCurve(len(whole) - np.cumsum(counts), len(whole), distinct, "OPT", temporaries)
