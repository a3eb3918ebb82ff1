"""Keys drawn at random for each query."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.errors import AttometerError
from attometer.masks.intervals import Intervals, Ints, Rows
from attometer.masks.mask import Bools, Mask, Parameter, Predicate, parameter

_ROUNDS = 6
_LEAST_HALF = 3  # a network on fewer than 64 places prefers some pairs
_BLOCK = 1 << 15  # keys drawn at once: their arrays stay in a core's own cache


@dataclass(frozen=True)
class Random(Mask):
    """Each query sees `count` distinct keys drawn at random, by a permutation keyed with (seed, query) (BigBird)."""

    count: int
    seed: int

    name: ClassVar[str] = "random"
    draws: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return whether key j is among the keys drawn for query i, by a table of all pairs."""
        table = array(self.matrix(n, m))
        return lambda i, j: table[i, j]

    def matrix(self, n: int, m: int | None = None) -> Bools:
        """Return the relation as a boolean array [n, m]."""
        keys = n if m is None else m
        seen = np.zeros((n, keys), dtype=bool)
        np.put_along_axis(seen, self.keys(np.arange(n), keys), True, axis=1)
        return seen

    def keys(self, queries: Ints, m: int) -> Ints:
        """Return the keys drawn for each query, [queries, min(count, m)], in no order."""
        drawn = min(self.count, m)
        step = max(1, _BLOCK // drawn)
        blocks = [
            _first_of_permutation(self.seed, queries[k : k + step], drawn, m) for k in range(0, len(queries), step)
        ]
        return np.concatenate(blocks)

    def spans(self, rows: Rows) -> Intervals:
        """Return single keys in order."""
        start = np.sort(self.keys(rows.queries, rows.m), axis=1).T
        return rows.clip(start, start + 1)

    def spread(self, m: int) -> int:
        """Return the keys of a row."""
        return min(self.count, m)

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Return how many drawn keys lie inside."""
        found = []
        for part, (start, end) in rows.parts(within, self.spread(rows.m) * (1 + len(within[0]))):
            keys = self.keys(part.queries, rows.m)
            inside = [(keys >= low[:, None]) & (keys < high[:, None]) for low, high in zip(start, end, strict=True)]
            found.append(sum(np.count_nonzero(held, axis=1) for held in inside))
        return np.concatenate(found)

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return as many for each query."""
        return n * Min(self.count, m)

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return all."""
        return n

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return that of every query."""
        return Min(self.count, m)

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return as many for each query."""
        return n * self.count

    def sizes(self) -> tuple[tuple[str, Parameter, int], ...]:
        """Return none: count and seed are numbers."""
        return ()

    def written(self) -> tuple[str, tuple[str, ...]]:
        """Return count and seed."""
        return "random", (str(self.count), str(self.seed))


def _first_of_permutation(seed: int, queries: Ints, count: int, m: int) -> Ints:
    """Return the images of 0 … count-1 under a permutation of 0 … m-1 for each query, [queries, count].

    A Feistel network permutes the next power of four (Luby and Rackoff 1988); what falls outside walks on until it is inside (Black and
    Rogaway 2002, Ciphers with arbitrary finite domains), so that the images are distinct without a look at each other.
    """
    half = max(_LEAST_HALF, -(-(m - 1).bit_length() // 2))
    tweak = _mixed(_mixed(queries.astype(np.uint32)) ^ np.uint32(seed % 2**32) ^ _mixed_number(seed >> 32))
    keys = [_mixed(tweak + np.uint32(0x9E3779B9 * (k + 1) % 2**32)) for k in range(_ROUNDS)]
    row = np.repeat(np.arange(len(queries)), count)
    place = np.tile(np.arange(count, dtype=np.int64), len(queries))
    found = _feistel(place, [key[row] for key in keys], half)
    while len(outside := np.flatnonzero(found >= m)):
        found[outside] = _feistel(found[outside], [key[row[outside]] for key in keys], half)
    return found.reshape(len(queries), count)


def _feistel(place: Ints, keys: list[NDArray[np.uint32]], half: int) -> Ints:
    mask = np.uint32(2**half - 1)
    left, right = (place >> half).astype(np.uint32), place.astype(np.uint32) & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left.astype(np.int64) << half) | right


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return a hash of 32 bits (Wellons 2018, lowbias32)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _mixed_number(value: int) -> np.uint32:
    return np.uint32(_mixed(np.array([value % 2**32], dtype=np.uint32))[0])


def random(r: int, seed: int = 0) -> Mask:
    """Each query sees `r` distinct random keys, the same ones for the same seed.

    >>> random(2).pairs(8)
    16
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise AttometerError(f"seed must be an integer of at least 0, got {seed!r}")
    chosen = parameter(r, "random count")
    if not isinstance(chosen, int):
        raise AttometerError(f"random count must be a number, got {chosen}")
    return Random(chosen, seed)
