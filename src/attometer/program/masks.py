"""The mask algebra: a mask is a relation between query and key positions, and knows its exact number of pairs.

Query `i` of `n` stands at position `p = i + m - n` among `m` keys, so that a decode step (n = 1) sees every key: masks
are aligned bottom-right. `window(w)` lets a query see the w newest keys, itself included (Mistral's convention).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from operator import and_, or_
from typing import Any, TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.program.sizes import Size, as_size, size

Bools: TypeAlias = NDArray[np.bool_]
_LARGEST = 2**48  # keeps positions plus parameters inside int64
Parameter: TypeAlias = int | sympy.Expr


@dataclass(frozen=True)
class Mask:
    """A relation between query `i` (of `n`) and key `j` (of `m`); combine with `&`, `|`, `~`."""

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return whether query `i` sees key `j`, elementwise over broadcast integer arrays."""
        raise AttometerError(f"{type(self).__name__} has no predicate")

    def matrix(self, n: int, m: int | None = None) -> Bools:
        """Return the relation as a boolean array [n, m].

        >>> causal().matrix(3).astype(int).tolist()
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        """
        keys = n if m is None else m
        return self.allows(np.arange(n)[:, None], np.arange(keys)[None, :], n, keys)

    def pairs(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the exact number of (query, key) pairs: a closed form, or a counting function that evaluates exactly.

        >>> from attometer.program.sizes import size
        >>> causal().pairs(size("n")).factor()
        n*(n + 1)/2
        """
        from attometer.program.mask_counts import pairs

        return pairs(self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def rows(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the number of queries that see at least one key.

        >>> causal().rows(5, 3)
        3
        """
        from attometer.program.mask_counts import rows

        return rows(self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def longest_row(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the largest number of keys that one query sees.

        >>> window(4).longest_row(9)
        4
        """
        from attometer.program.mask_counts import longest_row

        return longest_row(self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def tiles(self, n: int, m: int, rows: int, columns: int) -> NDArray[np.int8]:
        """Classify each tile of `rows` × `columns`: 0 empty, 1 mixed, 2 full. Ragged edges count what exists.

        >>> causal().tiles(4, 4, 2, 2).tolist()
        [[1, 0], [2, 1]]
        """
        from attometer.program.mask_counts import tiles

        for what, value in (("n", n), ("m", m), ("tile rows", rows), ("tile columns", columns)):
            as_size(value, what)
        return tiles(self, n, m, rows, columns)

    def __and__(self, other: "Mask") -> "Mask":
        return _joined(And, self, other)

    def __or__(self, other: "Mask") -> "Mask":
        return _joined(Or, self, other)

    def __invert__(self) -> "Mask":
        return self.part if isinstance(self, Not) else Not(self)


def _joined(kind: "type[And] | type[Or]", *masks: Mask) -> Mask:
    parts = dict.fromkeys(p for mask in masks for p in (mask.parts if isinstance(mask, kind) else (mask,)))
    return kind(tuple(parts)) if len(parts) > 1 else next(iter(parts))


@dataclass(frozen=True)
class And(Mask):
    """Pairs that every part allows."""

    parts: tuple[Mask, ...]

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return the conjunction of the parts."""
        return reduce(and_, (p.allows(i, j, n, m) for p in self.parts))

    def __str__(self) -> str:
        return " & ".join(f"({p})" if isinstance(p, Or) else str(p) for p in self.parts)


@dataclass(frozen=True)
class Or(Mask):
    """Pairs that some part allows."""

    parts: tuple[Mask, ...]

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return the disjunction of the parts."""
        return reduce(or_, (p.allows(i, j, n, m) for p in self.parts))

    def __str__(self) -> str:
        return " | ".join(f"({p})" if isinstance(p, And) else str(p) for p in self.parts)


@dataclass(frozen=True)
class Not(Mask):
    """Pairs that the part forbids."""

    part: Mask

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return the negation of the part."""
        return ~self.part.allows(i, j, n, m)

    def __str__(self) -> str:
        return f"~({self.part})" if isinstance(self.part, And | Or) else f"~{self.part}"


@dataclass(frozen=True)
class Band(Mask):
    """Keys from `left` positions before the query to `right` after it; None is unbounded. `causal` and `window` are bands."""

    left: Parameter | None
    right: Parameter | None

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return -right <= p - j <= left."""
        back = np.asarray(i) + (m - n) - np.asarray(j)
        inside = np.ones(np.shape(back), dtype=bool)
        if self.left is not None:
            inside &= back <= _number(self.left, "left")
        if self.right is not None:
            inside &= back >= -_number(self.right, "right")
        return inside

    def __str__(self) -> str:
        if self.left is None and self.right == 0:
            return "causal"
        if self.left is not None and self.right == 0:
            return f"window({self.left + 1})"
        return f"band({'*' if self.left is None else self.left}, {'*' if self.right is None else self.right})"


@dataclass(frozen=True)
class Global(Mask):
    """The first `count` tokens see every key and are seen by every query (Longformer's global tokens)."""

    count: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return p < count or j < count."""
        g = _number(self.count, "global count")
        return np.asarray((np.asarray(i) + (m - n) < g) | (np.asarray(j) < g))

    def __str__(self) -> str:
        return f"global({self.count})"


@dataclass(frozen=True)
class Prefix(Mask):
    """The first `count` keys are visible to all; `causal() | prefix(p)` is a prefix language model."""

    count: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return j < count."""
        seen = np.asarray(j) < _number(self.count, "prefix")
        return np.broadcast_to(seen, np.broadcast_shapes(np.shape(i), np.shape(j)))

    def __str__(self) -> str:
        return f"prefix({self.count})"


@dataclass(frozen=True)
class Strided(Mask):
    """Keys a multiple of `stride` positions away (Sparse Transformer, strided head)."""

    stride: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return (p - j) mod stride == 0."""
        back = np.asarray(i) + (m - n) - np.asarray(j)
        return np.asarray(back % _number(self.stride, "stride") == 0)

    def __str__(self) -> str:
        return f"strided({self.stride})"


@dataclass(frozen=True)
class Fixed(Mask):
    """The query's own block of `stride` keys, and the last `summary` keys of every block (Sparse Transformer, fixed head)."""

    stride: Parameter
    summary: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return same block, or a summary column."""
        s = _number(self.stride, "stride")
        p, key = np.asarray(i) + (m - n), np.asarray(j)
        return np.asarray((p // s == key // s) | (key % s >= s - _number(self.summary, "summary")))

    def __str__(self) -> str:
        return f"fixed({self.stride}, {self.summary})"


@dataclass(frozen=True)
class Chunked(Mask):
    """Query and key in the same chunk of `chunk` positions (Llama 4's local layers)."""

    chunk: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return p // chunk == j // chunk."""
        c = _number(self.chunk, "chunk")
        return np.asarray((np.asarray(i) + (m - n)) // c == np.asarray(j) // c)

    def __str__(self) -> str:
        return f"chunked({self.chunk})"


@dataclass(frozen=True)
class Document(Mask):
    """Query and key in the same document of a packed sequence; positions past the last document see nothing."""

    lengths: tuple[int, ...]

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return same document."""
        ends = np.asarray(list(accumulate(self.lengths)))
        p = np.asarray(i) + (m - n)
        key = np.searchsorted(ends, np.asarray(j), side="right")
        return np.asarray((np.searchsorted(ends, p, side="right") == key) & (key < len(ends)) & (p >= 0))

    def __str__(self) -> str:
        return f"document([{', '.join(map(str, self.lengths))}])"


@dataclass(frozen=True)
class Random(Mask):
    """Each query sees `count` distinct keys drawn uniformly from a generator seeded by (seed, query) (BigBird)."""

    count: int
    seed: int

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return whether key j is among the keys drawn for query i."""
        queries, keys = np.broadcast_arrays(np.asarray(i), np.asarray(j))
        drawn = {int(q): self.keys(int(q), m) for q in np.unique(queries)}
        return np.asarray(
            [int(k) in drawn[int(q)] for q, k in zip(queries.flat, keys.flat, strict=True)], bool
        ).reshape(queries.shape)

    def matrix(self, n: int, m: int | None = None) -> Bools:
        """Return the relation as a boolean array [n, m]."""
        keys = n if m is None else m
        seen = np.zeros((n, keys), dtype=bool)
        for query in range(n):
            seen[query, list(self.keys(query, keys))] = True
        return seen

    def keys(self, query: int, m: int) -> frozenset[int]:
        """Return the keys drawn for one query."""
        generator = np.random.default_rng((self.seed, query))
        return frozenset(int(k) for k in generator.choice(m, size=min(self.count, m), replace=False))

    def __str__(self) -> str:
        return f"random({self.count}, {self.seed})"


@dataclass(frozen=True)
class Block(Mask):
    """A block-sparse layout: query block I sees key block J where `layout[I][J]` is 1; blocks beyond the layout are empty."""

    block: int
    layout: tuple[tuple[int, ...], ...]

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return the layout's entry for the two blocks."""
        table = np.asarray(self.layout, dtype=bool)
        row = (np.asarray(i) + (m - n)) // self.block
        column = np.asarray(j) // self.block
        inside = (row >= 0) & (row < table.shape[0]) & (column < table.shape[1])
        return np.asarray(inside & table[np.where(inside, row, 0), np.where(inside, column, 0)])

    def __str__(self) -> str:
        rows = ", ".join(f"[{', '.join(map(str, row))}]" for row in self.layout)
        return f"block({self.block}, [{rows}])"


def _number(value: Parameter, what: str) -> int:
    if isinstance(value, int) or value.is_Integer:
        return int(value)
    raise AttometerError(
        f'mask parameter {what} = "{value}" is symbolic; substitute a number before evaluating the mask'
    )


def _parameter(value: Size | str, what: str, least: int = 1) -> Parameter:
    chosen: Parameter = size(value) if isinstance(value, str) else value
    if isinstance(chosen, sympy.Expr) and chosen.is_Integer:
        chosen = int(chosen)
    # Not known to be an integer is allowed (d/2), known not to be one (1/2), or negative (-d), is not.
    wrong = isinstance(chosen, sympy.Expr) and (chosen.is_integer is False or chosen.is_negative)
    if wrong or isinstance(chosen, bool) or not isinstance(chosen, int | sympy.Expr):
        raise AttometerError(f"{what} must be an integer of at least {least} or a size symbol, got {chosen!r:.80}")
    if isinstance(chosen, int) and chosen < least:
        raise AttometerError(f"{what} must be at least {least}, got {chosen}")
    if isinstance(chosen, int) and chosen > _LARGEST:
        raise AttometerError(f"{what} must be at most 2^48, got {str(chosen)[:30]}")
    return chosen


def causal() -> Mask:
    """A query sees itself and what came before it.

    >>> causal().pairs(4)
    10
    """
    return Band(None, 0)


def window(w: Size | str) -> Mask:
    """A query sees the `w` newest keys, itself included (Mistral); for both sides use `band(left, right)`.

    >>> window(2).matrix(3).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    return Band(_parameter(w, "window") - 1, 0)


def band(left: Size | str | None, right: Size | str | None) -> Mask:
    """A query sees `left` keys before it, itself, and `right` after it; None is all. The symmetric window is `band(r, r)`.

    >>> band(1, 1).matrix(3).astype(int).tolist()
    [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    return Band(
        None if left is None else _parameter(left, "left", 0), None if right is None else _parameter(right, "right", 0)
    )


def global_(g: Size | str) -> Mask:
    """The first `g` tokens see all and are seen by all.

    >>> global_(1).pairs(3)
    5
    """
    return Global(_parameter(g, "global count"))


def random(r: int, seed: int = 0) -> Mask:
    """Each query sees `r` distinct random keys, the same ones for the same seed.

    >>> random(2).pairs(8)
    16
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise AttometerError(f"seed must be an integer of at least 0, got {seed!r}")
    chosen = _parameter(r, "random count")
    if not isinstance(chosen, int):
        raise AttometerError(f"random count must be a number, got {chosen}")
    return Random(chosen, seed)


def strided(s: Size | str) -> Mask:
    """A query sees the keys a multiple of `s` positions away; the Sparse Transformer's head is `causal() & (window(s) | strided(s))`.

    >>> strided(2).pairs(4)
    8
    """
    return Strided(_parameter(s, "stride"))


def fixed(s: Size | str, c: Size | str = 1) -> Mask:
    """A query sees its block of `s` keys and the last `c` keys of every block; the Sparse Transformer adds `causal()`.

    >>> fixed(2, 1).pairs(4)
    12
    """
    return Fixed(_parameter(s, "stride"), _parameter(c, "summary"))


def prefix(p: Size | str) -> Mask:
    """All queries see the first `p` keys.

    >>> (causal() | prefix(2)).pairs(3)
    7
    """
    return Prefix(_parameter(p, "prefix"))


def document(lengths: tuple[int, ...] | list[int]) -> Mask:
    """Tokens see their own document in a packed sequence.

    >>> document([2, 1]).pairs(3)
    5
    """
    if not isinstance(lengths, list | tuple):
        raise AttometerError(f"document lengths must be a non-empty list of integers, got {lengths!r:.80}")
    sizes = tuple(_parameter(length, "document length") for length in lengths)
    if not sizes or not all(isinstance(s, int) for s in sizes):
        raise AttometerError(f"document lengths must be a non-empty list of integers, got {lengths!r:.80}")
    return Document(tuple(int(s) for s in sizes))


def chunked(c: Size | str) -> Mask:
    """Tokens see their own chunk of `c` positions.

    >>> chunked(2).pairs(5)
    9
    """
    return Chunked(_parameter(c, "chunk"))


def block(size: int, layout: Any) -> Mask:
    """A block-sparse mask: `layout[I][J]` says whether query block I sees key block J.

    >>> block(2, [[1, 0], [1, 1]]).pairs(4)
    12
    """
    if not isinstance(layout, list | tuple) or not all(isinstance(row, list | tuple) for row in layout):
        raise AttometerError("block layout must be a non-empty rectangle of 0 and 1")
    if not layout or len({len(row) for row in layout}) != 1 or not layout[0]:
        raise AttometerError("block layout must be a non-empty rectangle of 0 and 1")
    if any(x not in (0, 1) for row in layout for x in row):
        raise AttometerError("block layout must hold only 0 and 1")
    chosen = _parameter(size, "block size")
    if not isinstance(chosen, int):
        raise AttometerError(f"block size must be a number, got {chosen}")
    return Block(chosen, tuple(tuple(int(x) for x in row) for row in layout))


MASKS: dict[str, Callable[..., Mask]] = {
    "causal": causal,
    "window": window,
    "band": band,
    "global": global_,
    "random": random,
    "strided": strided,
    "fixed": fixed,
    "prefix": prefix,
    "document": document,
    "chunked": chunked,
    "block": block,
}
"""The masks of the notation, by name."""
