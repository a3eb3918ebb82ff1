"""How few words can describe B entries of QK^T: explicit 0/1 patterns, and a search for the worst of them.

A set of entries costs at least the larger of the row and column sums of min(count, d): beyond d entries a row (or
column) is described by the vector itself (Saha & Ye 2024, arXiv 2402.07443, Section 4). The bound B <= 2 m + m^2 / d^2
inverts that; the search here shows how close patterns come to it.
"""

from dataclasses import dataclass
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError

Pattern = NDArray[np.bool_]


def entry_words(pattern: Any, d: int) -> int:
    """Return the words that the marked entries need: the larger of the row and column sums of min(count, d).

    >>> entry_words(np.ones((4, 4), dtype=bool), 2)
    8
    """
    marked = np.asarray(pattern, dtype=bool)
    return int(max(np.minimum(marked.sum(axis=side), d).sum() for side in (0, 1)))


def most_entries(words: int, d: int) -> int:
    """Return the ceiling 2 m + m^2 / d^2 on the entries that m words describe, rounded down.

    >>> most_entries(8, 2)
    32
    """
    return 2 * words + words * words // (d * d)


@dataclass(frozen=True)
class EntryPattern:
    """A pattern of `entries` marked entries that costs `words`: `rows` × `columns` heavy ones, and light ones beside."""

    pattern: Pattern
    rows: int
    columns: int
    words: int

    @property
    def entries(self) -> int:
        """Marked entries."""
        return int(self.pattern.sum())

    def __str__(self) -> str:
        return f"{self.entries} entries in {self.words} words: {self.rows} heavy rows, {self.columns} heavy columns"


def worst_pattern(entries: int, d: int, n: int, m: int | None = None) -> EntryPattern:
    """Return a pattern of `entries` entries of an n × m matrix that needs the fewest words, of all heavy-and-light ones.

    Heavy rows and columns are full where they cross; heavy rows hold further entries in light columns and heavy columns
    in light rows; what is left is light on both sides. Every such shape is tried.

    Raises AttometerError when the matrix has fewer entries.

    >>> print(worst_pattern(100, 2, 64))
    100 entries in 20 words: 10 heavy rows, 10 heavy columns
    """
    columns = n if m is None else m
    if not 1 <= entries <= n * columns:
        raise AttometerError(f"entries = {entries} must be between 1 and {n} × {columns} = {n * columns}")
    low, high = 1, entries
    while low < high:
        middle = (low + high) // 2
        if _capacity(middle, d, n, columns)[0] >= entries:
            high = middle
        else:
            low = middle + 1
    _, rows, heavy = _capacity(low, d, n, columns)
    made = _fill(entries, low, d, n, columns, rows, heavy)
    return EntryPattern(made, rows, heavy, entry_words(made, d))


def _capacity(words: int, d: int, n: int, m: int) -> tuple[int, int, int]:
    """Most entries that `words` describe, with the heavy rows and columns that reach it."""
    a, b = np.meshgrid(np.arange(min(words // d, n) + 1), np.arange(min(words // d, m) + 1), indexing="ij")
    beside, below = _light(words, d, n, m, a, b)
    rest = np.minimum(words - a * d - below, words - b * d - beside)
    loose = np.minimum(rest, (n - a) * (m - b))
    total = a * b + beside + below + loose
    at = np.unravel_index(int(total.argmax()), total.shape)
    return int(total[at]), int(a[at]), int(b[at])


def _light(words: int, d: int, n: int, m: int, a: Any, b: Any) -> tuple[Any, Any]:
    """Entries of heavy rows in light columns, and of heavy columns in light rows; each costs one word on its light side."""
    return np.minimum(words - b * d, np.minimum(a, d) * (m - b)), np.minimum(words - a * d, np.minimum(b, d) * (n - a))


def _fill(entries: int, words: int, d: int, n: int, m: int, a: int, b: int) -> Pattern:
    marked = np.zeros((n, m), dtype=bool)
    beside, below = (int(x) for x in _light(words, d, n, m, a, b))
    # Light columns are filled one after another and so are light rows, so that each holds as many as it may.
    regions = (
        (marked[:a, :b], a * b),
        (marked[: min(a, d), b:].T, beside),
        (marked[a:, : min(b, d)], below),
        (marked[a:, b:], entries),
    )
    left = entries
    for region, most in regions:
        count = min(left, most, region.size)
        region.flat[:count] = True
        left -= count
    return marked


def improve(pattern: Pattern, d: int, steps: int, seed: int = 0) -> Pattern:
    """Return a pattern after `steps` random moves of one entry, each kept when it does not need more words.

    >>> start = np.eye(4, dtype=bool)
    >>> entry_words(improve(start, 1, 200), 1) <= entry_words(start, 1)
    True
    """
    rng = np.random.default_rng(seed)
    best, words = pattern.copy(), entry_words(pattern, d)
    for _ in range(steps):
        trial = best.copy()
        taken, free = np.flatnonzero(trial), np.flatnonzero(~trial)
        if not len(taken) or not len(free):
            return best
        trial.flat[rng.choice(taken)] = False
        trial.flat[rng.choice(free)] = True
        cost = entry_words(trial, d)
        if cost <= words:
            best, words = trial, cost
    return best


def fewest_words(entries: int, d: int) -> int:
    """Return the fewest words that any pattern of `entries` entries can need: the inverse of `most_entries`.

    >>> fewest_words(100, 2), most_entries(16, 2), most_entries(17, 2)
    (17, 96, 106)
    """
    words = max(0, isqrt(d**4 + d * d * entries) - d * d - 1)
    while most_entries(words, d) < entries:
        words += 1
    return words
