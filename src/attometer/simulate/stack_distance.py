"""LRU misses of a trace for every cache size at once, from stack distances in one pass.

The stack distance of a reference is the number of distinct words touched since the last touch of its word, itself
included; LRU with C words misses exactly the references of distance above C (Mattson, Gecsei, Slutz and Traiger 1970).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from attometer.simulate.traces import Addresses, Words, blocks_of


@dataclass(frozen=True)
class MissCurve:
    """Misses of one trace by cache size: `misses[C]` for C = 0 … len(misses) - 1 words; larger caches miss like the last.

    `references` is the length of the trace and `distinct` the words that it touches.
    """

    misses: Words
    references: int
    distinct: int
    policy: str

    def __call__(self, capacity: int) -> int:
        """Return the misses of a cache of `capacity` words."""
        return int(self.misses[min(max(capacity, 0), len(self.misses) - 1)])

    def smallest_cache(self, misses: int) -> int | None:
        """Return the least number of words at which at most `misses` happen, or None when no size in range does."""
        fitting = np.flatnonzero(self.misses <= misses)
        return int(fitting[0]) if len(fitting) else None

    def __str__(self) -> str:
        sizes = sorted({1 << shift for shift in range(len(self.misses).bit_length())} & set(range(len(self.misses))) | {len(self.misses) - 1})
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
    """Return the LRU misses of a trace for every cache size, in one pass and memory that grows with distinct words only.

    Args:
        trace: word or line numbers from 0; an array, a list, a Trace, or any stream of integer arrays.

    Returns:
        A MissCurve; `misses[C]` for C from 0 to the number of distinct words.

    Raises:
        AttometerError: a number is negative or above 2³¹ - 1.

    Source: Mattson et al. 1970; a Fenwick tree over time (Olken 1981, Bennett and Kruskal 1975) over words of 64 marks,
    renumbered when its window is full.

    >>> curve = misses_by_size([0, 1, 2, 0, 1, 2])
    >>> [curve(capacity) for capacity in (1, 2, 3)]
    [6, 6, 3]
    """
    from attometer.simulate.stack_distance_kernel import LruStack

    stack = LruStack()
    for block in blocks_of(trace):
        stack.feed(block)
    counts = stack.histogram()
    references, distinct = int(stack.references), len(counts) - 1
    return MissCurve(references - np.cumsum(counts), references, distinct, "LRU")
