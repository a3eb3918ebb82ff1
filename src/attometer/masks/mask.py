"""What a mask is: a relation between query and key positions that knows its exact number of pairs.

Query `i` of `n` stands at position `p = i + m - n` among `m` keys, so that a decode step (n = 1) sees every key: masks
are aligned bottom-right. Each mask is one file with one class; counting, printing and running use only its methods.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks.intervals import AT_ONCE, Intervals, Ints, Rows, compact, intersect, total
from attometer.sizes import Size, as_size, size, size_text

Bools: TypeAlias = NDArray[np.bool_]
Parameter: TypeAlias = int | sympy.Expr
Predicate: TypeAlias = Callable[[Any, Any], Any]
"""A function of integer arrays (query i, key j), of NumPy or torch, or of integers."""

Reach: TypeAlias = tuple[Parameter | None, Parameter | None]
"""Keys seen before and after a query; None is all."""

_LARGEST = 2**48  # keeps positions plus parameters inside int64


@dataclass(frozen=True)
class Mask:
    """A relation between query `i` (of `n`) and key `j` (of `m`); combine with `&`, `|`, `~`.

    A new mask is a subclass with `name`, `predicate` and `spans`, and a line in `attometer.masks.catalogue.MASKS`. All
    else follows exactly; closed forms (`pairs_formula`, ...) make counts symbolic, `order` tells their growth.
    """

    name: ClassVar[str] = ""
    contiguous: ClassVar[bool] = False
    """Whether every row is one interval of keys."""
    draws: ClassVar[bool] = False
    """Whether keys are drawn at random, for whole sequences only."""
    reach: ClassVar[Reach | None] = None
    """The band that the mask is, if it is one."""
    sees_itself: ClassVar[bool] = False
    """Whether each query sees its own key when n = m."""
    hub: ClassVar[bool] = False
    """Whether the first token sees all and is seen by all when n = m."""

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return the relation as a function of index arrays; `array` turns a table into an array of their kind."""
        raise AttometerError(f"mask {type(self).__name__} has no predicate")

    def spans(self, rows: Rows) -> Intervals:
        """Return the sorted disjoint intervals of keys that each row sees, cut to the keys asked for."""
        raise AttometerError(f"mask {type(self).__name__} has no row intervals")

    def spread(self, m: int) -> int:
        """Return how many intervals a row of m keys may have."""
        return 1

    def period(self) -> int | None:
        """Return by how much query and key may move together without a change, 1 where only their distance tells; or None."""
        return None

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Return how many keys of `within` each row sees."""
        parts = rows.parts(within, self.spread(rows.m) + len(within[0]))
        return np.concatenate([total(intersect(self.spans(r.between(w)), w)) for r, w in parts])

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the number of pairs, None where none is known."""
        return None

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the number of queries that see a key, None where none is known."""
        return n if self.sees_itself and n == m else None

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the most keys that a query sees, None where none is known."""
        return None

    def columns_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the number of keys that a query sees, None where none is known."""
        return m if self.sees_itself and n == m else None

    def longest_column_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the most queries that see one key, None where none is known."""
        return None

    def pairs_in_band(self, reach: Reach, n: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the pairs inside a band, n = m; None where none is known."""
        return None

    def pairs_with(self, other: "Mask", n: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the pairs of the union with `other`, n = m; None where none is known."""
        return None

    def causal_pairs_with(self, other: "Mask", n: sympy.Expr) -> sympy.Expr | None:
        """Return the closed form of the causal pairs of the union with `other`, n = m; None where none is known."""
        return None

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return an expression that the number of pairs grows no faster than."""
        return n * m

    def back_in_two(self, causal: bool = False) -> bool:
        """Return whether two hops surely reach every earlier position and none later, within causal attention or alone."""
        return False

    def back_in_two_with(self, other: "Mask") -> bool:
        """Return whether the union with `other` does, within causal attention."""
        return False

    def keys_seen(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return how many keys the n queries see together, or all m where that is not known."""
        return m

    def sizes(self) -> tuple[tuple[str, Parameter, int], ...]:
        """Return the parameters that are sizes: name, value, least value."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return tuple((name, value, 1) for name, value in values)

    def resized(self, values: tuple[Parameter, ...]) -> "Mask":
        """Return the mask with other values of its `sizes`."""
        changes: dict[str, Any] = {name: v for (name, _, _), v in zip(self.sizes(), values, strict=True)}
        return replace(self, **changes)

    def written(self) -> tuple[str, tuple[str, ...]]:
        """Return name and parameters as the notation writes them."""
        return self.name, tuple(size_text(sympy.sympify(value)) for _, value, _ in self.sizes())

    def from_key(self, start: int, keys: int) -> "Mask | None":
        """Return the mask among the `keys` keys from `start` on, their queries with them; None sees all of them.

        >>> from attometer.masks import chunked, document
        >>> str(document([3, 4]).from_key(5, 2)), str(chunked(4).from_key(3, 6))
        ('document([2])', 'document([1, 4, 1])')
        """
        if start and self.reach is None:
            raise AttometerError(f"mask {self} has no form among the keys from {start} on")
        return self

    @property
    def looks_back(self) -> bool:
        """Whether it is a band without keys after the query."""
        return self.reach is not None and self.reach[1] == 0

    def atoms(self) -> Iterator["Mask"]:
        """Yield the masks that this one is combined from."""
        yield self

    def mapped(self, change: Callable[["Mask"], "Mask"]) -> "Mask":
        """Return the mask with each of its atoms changed."""
        return change(self)

    def text(self, over: tuple[str, ...] = (), level: int = 0) -> str:
        """Return the mask in the notation, over its two indices or bare, with the fewest parentheses.

        >>> from attometer.masks import causal, window
        >>> (causal() & ~window("w")).text(("i", "j"))
        'causal(i, j) & ~window(i, j, w)'
        """
        name, parameters = self.written()
        inside = ", ".join((*over, *parameters))
        return f"{name}({inside})" if inside else name

    def __str__(self) -> str:
        return self.text()

    def allows(self, i: Any, j: Any, n: int, m: int) -> Bools:
        """Return whether query `i` sees key `j`, elementwise over broadcast integer arrays within n and m."""
        return np.asarray(self.predicate(n, m)(i, j))

    def intervals(self, queries: Ints, n: int, m: int) -> Intervals:
        """Return the sorted disjoint key intervals [k, rows] that each of `queries` [rows] sees.

        >>> from attometer.masks import window
        >>> start, end = window(2).intervals(np.arange(3), 3, 3)
        >>> start.tolist(), end.tolist()
        ([[0, 0, 1]], [[1, 2, 3]])
        """
        return compact(self.spans(Rows.of(queries, n, m)))

    def row_lengths(self, n: int, m: int) -> Ints:
        """Return how many keys each query sees, int64 [n]."""
        blocks = (Rows.of(np.arange(k, min(n, k + AT_ONCE)), n, m) for k in range(0, n, AT_ONCE))
        return np.concatenate([self.seen(rows, (rows.low[None], rows.high[None])) for rows in blocks])

    def column_lengths(self, n: int, m: int) -> Ints:
        """Return how many queries see each key, int64 [m].

        >>> from attometer.masks import window
        >>> window(2).column_lengths(3, 3).tolist()
        [2, 2, 1]
        """
        from attometer.masks.counts import chunks_of_rows
        from attometer.masks.periodic import column_lengths, has_table

        if has_table(self, n, m):
            return column_lengths(self, n, m)
        steps = np.zeros(m + 1, dtype=np.int64)
        for start, end in chunks_of_rows(self, n, m):
            steps += np.bincount(start.ravel(), minlength=m + 1) - np.bincount(end.ravel(), minlength=m + 1)
        return np.cumsum(steps)[:m]

    def matrix(self, n: int, m: int | None = None) -> Bools:
        """Return the relation as a boolean array [n, m].

        >>> from attometer.masks import causal
        >>> causal().matrix(3).astype(int).tolist()
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        """
        keys = n if m is None else m
        return self.allows(np.arange(n)[:, None], np.arange(keys)[None, :], n, keys)

    def pairs(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the exact number of (query, key) pairs: a closed form, or a counting function that evaluates exactly.

        Raises AttometerError where a parameter is not a whole number, or too small, at the sizes it is evaluated at.

        >>> from attometer.sizes import size
        >>> from attometer.masks import causal
        >>> causal().pairs(size("n")).factor()
        n*(n + 1)/2
        """
        return self._counted("pairs", n, m)

    def rows(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the number of queries that see at least one key.

        >>> from attometer.masks import causal
        >>> causal().rows(5, 3)
        3
        """
        return self._counted("rows", n, m)

    def longest_row(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the largest number of keys that one query sees.

        >>> from attometer.masks import window
        >>> window(4).longest_row(9)
        4
        """
        return self._counted("longest_row", n, m)

    def columns(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the number of keys that at least one query sees.

        >>> from attometer.masks import window
        >>> window(2).columns(3, 8)
        4
        """
        return self._counted("columns", n, m)

    def longest_column(self, n: Size, m: Size | None = None) -> sympy.Expr:
        """Return the largest number of queries that see one key.

        >>> from attometer.masks import causal
        >>> causal().longest_column(4, 9)
        4
        """
        return self._counted("longest_column", n, m)

    def _counted(self, what: str, n: Size, m: Size | None) -> sympy.Expr:
        from attometer.masks.counts import count

        return count(what, self, as_size(n, "n"), as_size(n if m is None else m, "m"))

    def tiles(self, n: int, m: int, rows: int, columns: int) -> NDArray[np.int8]:
        """Classify each tile of `rows` × `columns`: 0 empty, 1 mixed, 2 full. Ragged edges count what exists.

        >>> from attometer.masks import causal
        >>> causal().tiles(4, 4, 2, 2).tolist()
        [[1, 0], [2, 1]]
        """
        from attometer.masks.counts import tiles

        for what, value in (("n", n), ("m", m), ("tile rows", rows), ("tile columns", columns)):
            as_size(value, what)
        return tiles(self, n, m, rows, columns)

    def picture(self, n: int, m: int | None = None) -> str:
        """Return the relation as text: a row per query, a block per key it sees.

        >>> from attometer.masks import window
        >>> print(window(2).picture(3))
        █··
        ██·
        ·██
        """
        return "\n".join("".join("█" if seen else "·" for seen in row) for row in self.matrix(n, m))

    def __and__(self, other: "Mask") -> "Mask":
        from attometer.masks.algebra import And

        return And.of(self, other)

    def __or__(self, other: "Mask") -> "Mask":
        from attometer.masks.algebra import Or

        return Or.of(self, other)

    def __invert__(self) -> "Mask":
        from attometer.masks.algebra import Not

        return Not(self)


def parameter(value: Size | str, what: str, least: int = 1) -> Parameter:
    """Return a mask's parameter, checked: an integer of at least `least`, or an expression that may become one.

    Raises AttometerError naming `what` otherwise.
    """
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


def number(value: Parameter, what: str) -> int:
    """Return a parameter as an int; AttometerError while it is symbolic."""
    if isinstance(value, int) or value.is_Integer:
        return int(value)
    raise AttometerError(
        f'mask parameter {what} = "{value}" is symbolic; substitute a number before evaluating the mask'
    )
