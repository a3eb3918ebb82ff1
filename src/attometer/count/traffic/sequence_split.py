"""How a sequence lies on several processes, and how many pairs of a mask each of them computes.

A sequence of m positions lies on p ranks in equal pieces: `contiguous`, rank r holds piece r of p; `zigzag`, rank r holds
pieces r and 2p - 1 - r of 2p (Llama 3, arXiv:2407.21783, section 3.3.2). Piece c of k ends at floor((c + 1) m / k).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import floor

from attometer.errors import AttometerError, unknown
from attometer.masks import Mask
from attometer.sizes import Size, as_size, size

LAYOUTS = ("zigzag", "contiguous")
_ROWS_AT_ONCE = 1 << 16  # bounds the memory of a mask's intervals


@dataclass(frozen=True)
class Split:
    """Attention on `ranks` processes: b batch, h query and g key/value heads, n queries, m keys, widths d and e, in bytes.

    `element` is the bytes of an input, `accumulator` those of a gradient on its way and of the log-sum-exp.
    """

    ranks: sympy.Expr
    b: sympy.Expr
    h: sympy.Expr
    g: sympy.Expr
    n: sympy.Expr
    m: sympy.Expr
    d: sympy.Expr
    e: sympy.Expr
    element: sympy.Expr
    accumulator: sympy.Expr
    layout: str = "zigzag"
    mask: Mask | None = None

    def queries(self, rank: sympy.Expr) -> sympy.Expr:
        """Return how many queries a rank holds."""
        return shard_length(self.n, rank, self.ranks, self.layout)

    def keys(self, rank: sympy.Expr) -> sympy.Expr:
        """Return how many keys a rank holds."""
        return shard_length(self.m, rank, self.ranks, self.layout)


def sequence_split(
    *,
    ranks: Size | None = None,
    b: Size | None = None,
    h: Size | None = None,
    g: Size | None = None,
    n: Size | None = None,
    m: Size | None = None,
    d: Size | None = None,
    e: Size | None = None,
    element: Size | None = None,
    accumulator: Size | None = None,
    layout: str = "zigzag",
    mask: Mask | None = None,
) -> Split:
    """Describe attention on several processes; a size that is not given is its symbol, `m` is n and `e` is d.

    Args:
        ranks: processes, symbol p.
        b, h, g, n, m, d, e: batch, query heads, key/value heads, queries, keys, widths of queries and of values.
        element: bytes of an input, symbol w (2 for bf16).
        accumulator: bytes of a gradient on its way, symbol a (4 for bf16 and fp32 inputs).
        layout: "zigzag" or "contiguous".
        mask: what queries see, over global positions.

    Raises:
        AttometerError: a size is not a positive integer, or the layout is unknown.

    >>> sequence_split(ranks=2, n=8).keys(sympy.Integer(0))
    4
    """
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    given = {"p": ranks, "b": b, "h": h, "g": g, "n": n, "d": d, "w": element, "a": accumulator}
    sizes = {name: as_size(size(name) if value is None else value, name) for name, value in given.items()}
    return Split(
        ranks=sizes["p"],
        b=sizes["b"],
        h=sizes["h"],
        g=sizes["g"],
        n=sizes["n"],
        m=sizes["n"] if m is None else as_size(m, "m"),
        d=sizes["d"],
        e=sizes["d"] if e is None else as_size(e, "e"),
        element=sizes["w"],
        accumulator=sizes["a"],
        layout=layout,
        mask=mask,
    )


def shard_length(length: sympy.Expr, rank: sympy.Expr, ranks: sympy.Expr, layout: str = "zigzag") -> sympy.Expr:
    """Return how many of `length` positions lie on `rank`.

    >>> [shard_length(sympy.Integer(7), sympy.Integer(r), sympy.Integer(2)) for r in (0, 1)]
    [3, 4]
    """
    if layout == "contiguous":
        return _piece(length, rank, ranks)
    return _piece(length, rank, 2 * ranks) + _piece(length, 2 * ranks - 1 - rank, 2 * ranks)


def _piece(length: sympy.Expr, piece: sympy.Expr, pieces: sympy.Expr) -> sympy.Expr:
    return floor((piece + 1) * length / pieces) - floor(piece * length / pieces)


def pairs_by_rank(split: Split) -> tuple[int, ...]:
    """Return how many pairs of the mask each rank of a ring computes; the largest sets the pace.

    Raises AttometerError unless n, m and ranks are numbers.

    >>> from attometer.program import causal
    >>> [pairs_by_rank(sequence_split(ranks=2, n=8, mask=causal(), layout=layout)) for layout in LAYOUTS]
    [(18, 18), (10, 26)]
    """
    return tuple(sum(row) for row in pairs_by_block(split))


@lru_cache(maxsize=64)
def pairs_by_block(split: Split) -> tuple[tuple[int, ...], ...]:
    """Return for each rank and each owner how many pairs lie between the rank's queries and the owner's keys.

    Raises AttometerError unless n, m and ranks are numbers.
    """
    if not all(x.is_Integer for x in (split.n, split.m, split.ranks)):
        raise AttometerError(f"n, m, ranks: got {split.n}, {split.m}, {split.ranks}, expected numbers")
    n, m, ranks = int(split.n), int(split.m), int(split.ranks)
    table = []
    for rank in range(ranks):
        totals = np.zeros(ranks, np.int64)
        for first, last in _ranges(n, rank, ranks, split.layout):
            for start in range(first, last, _ROWS_AT_ONCE):
                rows = np.arange(start, min(last, start + _ROWS_AT_ONCE))
                totals += _pairs_of_rows(split.mask, rows, n, m, ranks, split.layout)
        table.append(tuple(int(total) for total in totals))
    return tuple(table)


def _ranges(length: int, rank: int, ranks: int, layout: str) -> list[tuple[int, int]]:
    pieces = ranks if layout == "contiguous" else 2 * ranks
    own = [rank] if layout == "contiguous" else [rank, pieces - 1 - rank]
    return [(length * piece // pieces, length * (piece + 1) // pieces) for piece in own]


def _pairs_of_rows(
    mask: Mask | None, rows: NDArray[np.int64], n: int, m: int, ranks: int, layout: str
) -> NDArray[np.int64]:
    everything = (np.zeros((1, len(rows)), np.int64), np.full((1, len(rows)), m))
    start, stop = everything if mask is None else mask.intervals(rows, n, m)

    def within(low: int, high: int) -> int:
        return int(np.maximum(np.minimum(stop, high) - np.maximum(start, low), 0).sum())

    return np.asarray([sum(within(*r) for r in _ranges(m, owner, ranks, layout)) for owner in range(ranks)], np.int64)
