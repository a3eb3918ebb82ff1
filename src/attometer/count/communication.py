"""What the ranks of a sequence-parallel attention send, compute and keep: exact, in bytes, per rank.

A sequence of m positions lies on p ranks in equal pieces: `contiguous`, rank r holds piece r of p; `zigzag`, rank r holds
pieces r and 2p - 1 - r of 2p (Llama 3, arXiv:2407.21783, section 3.3.2). Piece c of k ends at floor((c + 1) m / k).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Add, Integer, floor

from attometer.errors import AttometerError, unknown
from attometer.program.mask_rows import row_intervals
from attometer.program.masks import Mask
from attometer.program.sizes import Size, as_size, size

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


@dataclass(frozen=True)
class Communication:
    """Bytes that one rank sends to others in the forward and in the backward pass."""

    forward: sympy.Expr
    backward: sympy.Expr


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

    >>> ring_total(sequence_split()).forward
    2*b*d*g*n*w*(p - 1)
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

    >>> [shard_length(Integer(7), Integer(r), Integer(2)) for r in (0, 1)]
    [3, 4]
    """
    if layout == "contiguous":
        return _piece(length, rank, ranks)
    return _piece(length, rank, 2 * ranks) + _piece(length, 2 * ranks - 1 - rank, 2 * ranks)


def _piece(length: sympy.Expr, piece: sympy.Expr, pieces: sympy.Expr) -> sympy.Expr:
    return floor((piece + 1) * length / pieces) - floor(piece * length / pieces)


def ring_communication(split: Split, rank: Size | None = None) -> Communication:
    """Count what a rank sends in ring attention (Liu et al. 2023, arXiv:2310.01889).

    Forward, the keys and values of every block take p - 1 hops. Backward they do so again, and the gradients of both, in the
    accumulator's type, start at the owner's neighbour and take p - 1 hops to come home. With a mask, or with numbers for n,
    m and p, a block stops at the last rank that sees it, and its gradients go home from there in one hop.

    Args:
        split: what is computed where.
        rank: which rank, symbol r if not given.

    Returns:
        Bytes forward and backward; with symbols, for at least one query on each rank.

    Raises:
        AttometerError: a mask without numbers for n, m and p.

    >>> sent = ring_communication(sequence_split(ranks=2, b=1, g=1, n=8, d=4, element=2, accumulator=4), 0)
    >>> sent.forward, sent.backward
    (64, 192)
    """
    at = size("r") if rank is None else sympy.sympify(rank)
    if all(x.is_Integer for x in (split.n, split.m, split.ranks, at)):
        return _routed(split, int(at))
    if split.mask is not None:
        raise AttometerError(f"mask: got {split.mask} with symbols, expected numbers for n, m, ranks and rank")
    position = split.b * split.g * (split.d + split.e)
    # A rank passes on every block but its successor's, and the gradients of every block but its own.
    onward = position * split.element * (split.m - split.keys(sympy.Mod(at + 1, split.ranks)))
    return Communication(onward, onward + position * split.accumulator * (split.m - split.keys(at)))


def ring_total(split: Split) -> Communication:
    """Count what all ranks together send in ring attention without a mask: p - 1 hops of everything, with no rounding.

    >>> print(ring_total(sequence_split(m=size("m"), e=size("e"))).backward)
    a*b*g*m*(d + e)*(p - 1) + b*g*m*w*(d + e)*(p - 1)
    """
    hops = split.b * split.g * split.m * (split.d + split.e) * (split.ranks - 1)
    return Communication(hops * split.element, hops * split.element + hops * split.accumulator)


def _routed(split: Split, rank: int) -> Communication:
    ranks = int(split.ranks)
    seen = [[count > 0 for count in row] for row in _pairs(split.mask, int(split.n), int(split.m), ranks, split.layout)]
    keys, gradients = [], []
    for owner in range(ranks):
        distances = [t for t in range(1, ranks) if seen[(owner + t) % ranks][owner]]
        here = (rank - owner) % ranks
        if distances and here < distances[-1]:
            keys.append(split.keys(Integer(owner)))
        if distances and distances[0] <= here <= distances[-1]:
            gradients.append(split.keys(Integer(owner)))
    position = split.b * split.g * (split.d + split.e)
    onward = position * split.element * Add(*keys)
    return Communication(onward, onward + position * split.accumulator * Add(*gradients))


def ulysses_communication(split: Split, rank: Size | None = None, *, return_lse: bool = False) -> Communication:
    """Count what a rank sends in Ulysses attention (Jacobs et al. 2023, arXiv:2309.14509).

    Forward, queries, keys and values trade positions for heads and outputs go back; backward, the outputs' gradients and
    those of queries, keys and values. A mask changes nothing. With g < p, each key/value head goes to p/g ranks, and its
    gradients come back in the accumulator's type.

    Args:
        split: what is computed where; h is a multiple of p, and so is g, or g divides p.
        rank: which rank, symbol r if not given.
        return_lse: whether the log-sum-exp is returned and differentiated too.

    >>> sent = ulysses_communication(sequence_split(ranks=2, b=1, h=2, g=2, n=8, d=4, element=2, accumulator=4), 0)
    >>> sent.forward, sent.backward
    (128, 128)
    """
    p = split.ranks
    at = size("r") if rank is None else sympy.sympify(rank)
    heads, replicated = split.h / p, _replicated(split)
    here, keys_here = split.queries(at), split.keys(at)
    others, keys_elsewhere = split.n - here, split.m - keys_here
    lse = split.b * heads * split.accumulator if return_lse else Integer(0)
    rows = split.b * heads * split.element
    columns = split.b * _key_heads(split) * (split.d + split.e)
    return Communication(
        Add(
            (p - 1) * (rows * here * split.d + columns * split.element * keys_here),
            rows * others * split.e,
            lse * others,
        ),
        Add(
            (p - 1) * rows * here * split.e,
            (p - 1) * lse * here,
            rows * others * split.d,
            columns * keys_elsewhere * (split.accumulator if replicated else split.element),
        ),
    )


def ring_kept(split: Split, rank: Size | None = None) -> sympy.Expr:
    """Return the bytes alive on a rank of a ring between forward and backward: its shards of Q, K, V, O, log-sum-exp.

    >>> ring_kept(sequence_split(ranks=2, b=1, h=2, g=1, n=8, d=4, element=2, accumulator=4), 0)
    224
    """
    at = size("r") if rank is None else sympy.sympify(rank)
    return _shards(split, at) + split.b * split.h * split.queries(at) * split.accumulator


def ulysses_kept(split: Split, rank: Size | None = None) -> sympy.Expr:
    """Return the bytes alive on a rank of Ulysses between forward and backward.

    These are its shards of Q, K, V, O, and again Q, K, V, O and the log-sum-exp of whole sequences of its heads.

    >>> ulysses_kept(sequence_split(ranks=2, b=1, h=2, g=2, n=8, d=4, element=2, accumulator=4), 0)
    544
    """
    at = size("r") if rank is None else sympy.sympify(rank)
    heads, groups = split.h / split.ranks, _key_heads(split)
    whole = split.b * (split.d + split.e) * split.element * (heads * split.n + groups * split.m)
    return _shards(split, at) + whole + split.b * heads * split.n * split.accumulator


def _shards(split: Split, rank: sympy.Expr) -> sympy.Expr:
    positions = split.h * split.queries(rank) + split.g * split.keys(rank)
    return split.b * (split.d + split.e) * split.element * positions


def _replicated(split: Split) -> bool:
    return bool((split.g / split.ranks).is_integer is False)


def _key_heads(split: Split) -> sympy.Expr:
    """Return the key/value heads of a rank in Ulysses."""
    return Integer(1) if _replicated(split) else split.g / split.ranks


def pairs_by_rank(split: Split) -> tuple[int, ...]:
    """Return how many pairs of the mask each rank of a ring computes; the largest sets the pace.

    Raises AttometerError unless n, m and ranks are numbers.

    >>> from attometer.program import causal
    >>> [pairs_by_rank(sequence_split(ranks=2, n=8, mask=causal(), layout=layout)) for layout in LAYOUTS]
    [(18, 18), (10, 26)]
    """
    if not all(x.is_Integer for x in (split.n, split.m, split.ranks)):
        raise AttometerError(f"n, m, ranks: got {split.n}, {split.m}, {split.ranks}, expected numbers")
    table = _pairs(split.mask, int(split.n), int(split.m), int(split.ranks), split.layout)
    return tuple(sum(row) for row in table)


def _ranges(length: int, rank: int, ranks: int, layout: str) -> list[tuple[int, int]]:
    pieces = ranks if layout == "contiguous" else 2 * ranks
    own = [rank] if layout == "contiguous" else [rank, pieces - 1 - rank]
    return [(length * piece // pieces, length * (piece + 1) // pieces) for piece in own]


@lru_cache(maxsize=64)
def _pairs(mask: Mask | None, n: int, m: int, ranks: int, layout: str) -> tuple[tuple[int, ...], ...]:
    """Return for each rank and owner how many pairs lie between the rank's queries and the owner's keys."""
    table = []
    for rank in range(ranks):
        totals = np.zeros(ranks, np.int64)
        for first, last in _ranges(n, rank, ranks, layout):
            for start in range(first, last, _ROWS_AT_ONCE):
                totals += _pairs_of_rows(mask, np.arange(start, min(last, start + _ROWS_AT_ONCE)), n, m, ranks, layout)
        table.append(tuple(int(total) for total in totals))
    return tuple(table)


def _pairs_of_rows(
    mask: Mask | None, rows: NDArray[np.int64], n: int, m: int, ranks: int, layout: str
) -> NDArray[np.int64]:
    everything = (np.zeros((1, len(rows)), np.int64), np.full((1, len(rows)), m))
    start, stop = everything if mask is None else row_intervals(mask, rows, n, m)

    def within(low: int, high: int) -> int:
        return int(np.maximum(np.minimum(stop, high) - np.maximum(start, low), 0).sum())

    return np.asarray([sum(within(*r) for r in _ranges(m, owner, ranks, layout)) for owner in range(ranks)], np.int64)
