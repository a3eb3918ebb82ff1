"""Documents packed into one sequence."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks.intervals import Intervals, Ints, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, parameter


@dataclass(frozen=True)
class Document(Mask):
    """Query and key in the same document of a packed sequence; positions past the last document see nothing."""

    lengths: tuple[int, ...]

    contiguous: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return same document, by a table of each position's."""
        queries, keys = self._of(np.arange(n) + (m - n)), self._of(np.arange(m))
        of_query, of_key = array(queries), array(np.where(keys < 0, -2, keys))
        return lambda i, j: of_query[i] == of_key[j]

    def _of(self, positions: Ints) -> Ints:
        """Return the document of each position, -1 for none."""
        ends = np.cumsum(self.lengths)
        found = np.searchsorted(ends, positions, side="right")
        return np.where((positions >= 0) & (found < len(ends)), found, -1)

    def spans(self, rows: Rows) -> Intervals:
        """Return the query's document."""
        at = self._of(rows.positions)
        end = np.where(at < 0, 0, np.cumsum(self.lengths)[at])
        return rows.clip((end - np.where(at < 0, 0, np.asarray(self.lengths)[at]))[None], end[None])

    def from_key(self, start: int, keys: int) -> Mask | None:
        """Return the documents less what lies before."""
        return documents_ending(itertools.accumulate(self.lengths), start, keys) if start else self

    def sizes(self) -> tuple[tuple[str, Parameter, int], ...]:
        """Return none: the lengths are numbers."""
        return ()

    def written(self) -> tuple[str, tuple[str, ...]]:
        """Return the list of lengths."""
        return "document", (f"[{', '.join(map(str, self.lengths))}]",)


def documents_ending(ends: Iterable[int], start: int, keys: int) -> Mask | None:
    """Return the documents with these ends, as far as they reach into the `keys` positions from `start` on."""
    kept = [min(max(0, end - start), keys) for end in ends]
    lengths = [b - a for a, b in itertools.pairwise([0, *kept]) if b > a]
    return document(lengths) if lengths else None


def document(lengths: tuple[int, ...] | list[int]) -> Mask:
    """Tokens see their own document in a packed sequence.

    >>> document([2, 1]).pairs(3)
    5
    """
    if not isinstance(lengths, list | tuple):
        raise AttometerError(f"document lengths must be a non-empty list of integers, got {lengths!r:.80}")
    sizes = tuple(parameter(length, "document length") for length in lengths)
    if not sizes or not all(isinstance(s, int) for s in sizes):
        raise AttometerError(f"document lengths must be a non-empty list of integers, got {lengths!r:.80}")
    return Document(tuple(int(s) for s in sizes))
