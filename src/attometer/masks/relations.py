"""The mask algebra: a mask is a relation between query and key positions, and knows its exact number of pairs.

Query `i` of `n` stands at position `p = i + m - n` among `m` keys, so that a decode step (n = 1) sees every key: masks
are aligned bottom-right. `window(w)` lets a query see the w newest keys, itself included (Mistral's convention).
"""

from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from operator import and_, or_
from typing import Any, TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.sizes import Size, as_size

Bools: TypeAlias = NDArray[np.bool_]
Parameter: TypeAlias = int | sympy.Expr


@dataclass(frozen=True)
class Mask:
    """A relation between query `i` (of `n`) and key `j` (of `m`); combine with `&`, `|`, `~`."""

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return whether query `i` sees key `j`, elementwise over broadcast integer arrays."""
        raise AttometerError(f"{type(self).__name__} has no predicate")

    def matrix(self, n: int, m: int | None = None) -> Bools:
        """Return the relation as a boolean array [n, m].

        >>> from attometer.masks.catalogue import causal
        >>> causal().matrix(3).astype(int).tolist()
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        """
        keys = n if m is None else m
        return self.allows(np.arange(n)[:, None], np.arange(keys)[None, :], n, keys)

    def pairs(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the exact number of (query, key) pairs: a closed form, or a counting function that evaluates exactly.

        >>> from attometer.sizes import size
        >>> from attometer.masks.catalogue import causal
        >>> causal().pairs(size("n")).factor()
        n*(n + 1)/2
        """
        from attometer.masks.counts import pairs

        return pairs(self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def rows(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the number of queries that see at least one key.

        >>> from attometer.masks.catalogue import causal
        >>> causal().rows(5, 3)
        3
        """
        from attometer.masks.counts import rows

        return rows(self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def longest_row(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the largest number of keys that one query sees.

        >>> from attometer.masks.catalogue import window
        >>> window(4).longest_row(9)
        4
        """
        from attometer.masks.counts import longest_row

        return longest_row(self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def tiles(self, n: int, m: int, rows: int, columns: int) -> NDArray[np.int8]:
        """Classify each tile of `rows` × `columns`: 0 empty, 1 mixed, 2 full. Ragged edges count what exists.

        >>> from attometer.masks.catalogue import causal
        >>> causal().tiles(4, 4, 2, 2).tolist()
        [[1, 0], [2, 1]]
        """
        from attometer.masks.counts import tiles

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
            inside &= back <= number(self.left, "left")
        if self.right is not None:
            inside &= back >= -number(self.right, "right")
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
        g = number(self.count, "global count")
        return np.asarray((np.asarray(i) + (m - n) < g) | (np.asarray(j) < g))

    def __str__(self) -> str:
        return f"global({self.count})"


@dataclass(frozen=True)
class Prefix(Mask):
    """The first `count` keys are visible to all; `causal() | prefix(p)` is a prefix language model."""

    count: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return j < count."""
        seen = np.asarray(j) < number(self.count, "prefix")
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
        return np.asarray(back % number(self.stride, "stride") == 0)

    def __str__(self) -> str:
        return f"strided({self.stride})"


@dataclass(frozen=True)
class Fixed(Mask):
    """The query's own block of `stride` keys, and the last `summary` keys of every block (Sparse Transformer, fixed head)."""

    stride: Parameter
    summary: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return same block, or a summary column."""
        s = number(self.stride, "stride")
        p, key = np.asarray(i) + (m - n), np.asarray(j)
        return np.asarray((p // s == key // s) | (key % s >= s - number(self.summary, "summary")))

    def __str__(self) -> str:
        return f"fixed({self.stride}, {self.summary})"


@dataclass(frozen=True)
class Chunked(Mask):
    """Query and key in the same chunk of `chunk` positions (Llama 4's local layers)."""

    chunk: Parameter

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return p // chunk == j // chunk."""
        c = number(self.chunk, "chunk")
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


def number(value: Parameter, what: str) -> int:
    """Return a parameter as an int; AttometerError while it is symbolic."""
    if isinstance(value, int) or value.is_Integer:
        return int(value)
    raise AttometerError(
        f'mask parameter {what} = "{value}" is symbolic; substitute a number before evaluating the mask'
    )
