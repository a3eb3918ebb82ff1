"""Keys, or blocks of keys, drawn at random for each query or block of queries."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.errors import AttometerError
from attometer.masks.intervals import Intervals, Ints, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, parameter

_ROUNDS = 6
_LEAST_HALF = 3  # a network on fewer than 64 places prefers some pairs
_BLOCK = 1 << 15  # keys drawn at once: their arrays stay in a core's own cache


@dataclass(frozen=True)
class Random(Mask):
    """Each query sees `count` distinct keys drawn at random, by a permutation keyed with (seed, query) (BigBird).

    With a `block` of more than one, the queries of each block of positions see the same `count` blocks of keys, drawn alike.
    """

    count: int
    seed: int
    block: int = 1

    name: ClassVar[str] = "random"
    draws: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return whether key j is in a block drawn for query i, by a table of all pairs of blocks."""
        rows, row = self._rows(np.arange(n) + (m - n))
        seen = np.zeros((len(rows), self._blocks(m)), dtype=bool)
        np.put_along_axis(seen, self.keys(rows, self._blocks(m)), True, axis=1)
        table, row, column = array(seen), array(row), array(np.arange(m) // self.block)
        return lambda i, j: table[row[i], column[j]]

    def keys(self, rows: Ints, blocks: int) -> Ints:
        """Return the blocks of keys drawn for each block of queries, [rows, min(count, blocks)], in no order."""
        drawn = min(self.count, blocks)
        step = max(1, _BLOCK // drawn)
        parts = [_first_of_permutation(self.seed, rows[k : k + step], drawn, blocks) for k in range(0, len(rows), step)]
        return np.concatenate(parts)

    def _blocks(self, m: int) -> int:
        return -(-m // self.block)

    def _rows(self, positions: Ints) -> tuple[Ints, Ints]:
        """Return the blocks of queries, and which of these each position is in."""
        found, at = np.unique(positions // self.block, return_inverse=True)
        return found, at

    def _starts(self, rows: Rows) -> Ints:
        """Return where the blocks of each row start, [rows, blocks], in no order."""
        found, at = self._rows(rows.positions)
        return (self.keys(found, self._blocks(rows.m)) * self.block)[at]

    def spans(self, rows: Rows) -> Intervals:
        """Return the blocks in order."""
        start = np.sort(self._starts(rows), axis=1).T
        return rows.clip(start, start + self.block)

    def spread(self, m: int) -> int:
        """Return the blocks of a row."""
        return min(self.count, self._blocks(m))

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Return how many drawn keys lie inside."""
        found = []
        for part, (start, end) in rows.parts(within, self.spread(rows.m) * (1 + len(within[0]))):
            first = self._starts(part)
            last = first + self.block
            inside = [
                np.maximum(np.minimum(last, high[:, None]) - np.maximum(first, low[:, None]), 0).sum(axis=1)
                for low, high in zip(start, end, strict=True)
            ]
            found.append(sum(inside))
        return np.concatenate(found)

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return as many for each query, where all blocks of keys are whole."""
        row = self.longest_row_formula(n, m)
        return None if row is None else n * row

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return all."""
        return n

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return that of every query, where all blocks of keys are whole."""
        return Min(self.count * self.block, m) if sympy.Mod(m, self.block) == 0 else None

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return as many for each query."""
        return n * self.count * self.block

    def sizes(self) -> tuple[tuple[str, Parameter, int], ...]:
        """Return none: count, seed and block are numbers."""
        return ()

    def written(self) -> tuple[str, tuple[str, ...]]:
        """Return count and seed, and the length of blocks."""
        return "random", (str(self.count), str(self.seed), *([str(self.block)] if self.block > 1 else []))


def _first_of_permutation(seed: int, queries: Ints, count: int, m: int) -> Ints:
    """Return the images of 0 … count-1 under a permutation of 0 … m-1 for each query (or block), [queries, count].

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


def random(r: int, seed: int = 0, block: int = 1) -> Mask:
    """Each query sees `r` distinct random keys, the same ones for the same seed; or each block of them `r` random blocks.

    >>> random(2).pairs(8), random(2, 0, 4).pairs(16)
    (16, 128)
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise AttometerError(f"seed must be an integer of at least 0, got {seed!r}")
    chosen, length = parameter(r, "random count"), parameter(block, "random block")
    for what, value in (("count", chosen), ("block", length)):
        if not isinstance(value, int):
            raise AttometerError(f"random {what} must be a number, got {value}")
    return Random(chosen, seed, length)
