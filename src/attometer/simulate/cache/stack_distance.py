"""LRU misses of a trace for every cache size at once, from stack distances in one pass.

The stack distance of a reference is the number of distinct words touched since the last touch of its word, itself
included; LRU with C words misses exactly the references of distance above C (Mattson, Gecsei, Slutz and Traiger 1970).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from attometer.simulate.cache.traces import Addresses, Words, blocks_of, input_words


@dataclass(frozen=True)
class MissCurve:
    """Misses of one trace by cache size: `misses[C]` for C = 0, 1, … words; larger caches miss like the last.

    `references` is the length of the trace, `distinct` the words that it touches, `temporaries` those of them that are
    written before they are read.
    """

    misses: Words
    references: int
    distinct: int
    policy: str
    temporaries: int = 0

    def __call__(self, capacity: int) -> int:
        """Return the misses of a cache of `capacity` words."""
        return int(self.misses[min(max(capacity, 0), len(self.misses) - 1)])

    def reads(self, capacity: int) -> int:
        """Return the words that a cache of `capacity` words fetches: misses, less the first touches of temporaries."""
        return self(capacity) - self.temporaries

    def smallest_cache(self, reads: int) -> int | None:
        """Return the smallest size at which at most `reads` words are fetched, or None when there is none in range."""
        fitting = np.flatnonzero(self.misses - self.temporaries <= reads)
        return int(fitting[0]) if len(fitting) else None

    def __str__(self) -> str:
        last = len(self.misses) - 1
        sizes = [*(1 << shift for shift in range(last.bit_length()) if 1 << shift < last), last]
        points = ", ".join(f"{size}: {self(size)}" for size in sizes)
        return f"{self.policy} misses of {self.references} references to {self.distinct} words, by cache size: {points}"

    def to_dict(self) -> dict[str, Any]:
        """Return the curve as plain values."""
        return {
            "policy": self.policy,
            "references": self.references,
            "distinct": self.distinct,
            "misses": [int(count) for count in self.misses],
        }


def misses_by_size(trace: Addresses | Iterable[Words]) -> MissCurve:
    """Return the LRU misses of a trace for every cache size, in one pass and memory for the distinct words only.

    Args:
        trace: word or line numbers from 0; an array, a list, a Trace, or any stream of integer arrays.

    Returns:
        A MissCurve; `misses[C]` for C from 0 to the number of distinct words.

    Raises:
        AttometerError: a number is negative or above 2³¹ - 1.

    Source: Mattson et al. 1970; a Fenwick tree over time (Bennett and Kruskal 1975) over words of 32 marks,
    renumbered when its window is full.

    >>> curve = misses_by_size([0, 1, 2, 0, 1, 2])
    >>> [curve(capacity) for capacity in (1, 2, 3)]
    [6, 6, 3]
    """
    from attometer.simulate.cache.stack_distance_kernel import LruStack

    stack = LruStack()
    for block in blocks_of(trace):
        stack.feed(block)
    counts = stack.histogram()
    references, distinct = int(stack.references), len(counts) - 1
    temporaries = stack.touched_from(input_words(trace))
    return MissCurve(references - np.cumsum(counts), references, distinct, "LRU", temporaries)
