"""Bands: keys within a distance of the query. `causal` and `window` are bands."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.masks.closed_forms import diagonals, newest, positive
from attometer.masks.intervals import Intervals, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, Reach, number, parameter
from attometer.sizes import Size, size_text


@dataclass(frozen=True)
class Band(Mask):
    """Keys from `left` positions before the query to `right` after it; None is unbounded."""

    left: Parameter | None
    right: Parameter | None

    contiguous: ClassVar[bool] = True
    sees_itself: ClassVar[bool] = True

    @property
    def reach(self) -> Reach:  # type: ignore[override]
        """Both sides."""
        return self.left, self.right

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return -right <= p - j <= left."""
        high = m + n if self.left is None else number(self.left, "left")
        low = m + n if self.right is None else number(self.right, "right")
        return lambda i, j: (i + (m - n) - j <= high) & (i + (m - n) - j >= -low)

    def spans(self, rows: Rows) -> Intervals:
        """Return p - left <= j <= p + right."""
        p = rows.positions
        start = rows.low if self.left is None else p - number(self.left, "left")
        end = rows.high if self.right is None else p + number(self.right, "right") + 1
        return rows.clip(start[None], end[None])

    def period(self) -> int:
        """Return one: only the distance tells."""
        return 1

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return that of causal attention, of a window, and for n = m of every band."""
        if self.reach == (None, 0):
            k = Min(n, m)
            return k * m - k * (k - 1) / 2
        if self.left is not None and self.right == 0:
            return newest(m, self.left + 1) - newest(positive(m - n), self.left + 1)
        return self.pairs_in_band(self.reach, n) if n == m else None

    def pairs_in_band(self, reach: Reach, n: sympy.Expr) -> sympy.Expr | None:
        """Return the diagonals of the narrower band."""
        left, right = (
            n - 1 if all(side is None for side in sides) else Min(*(side for side in sides if side is not None))
            for sides in zip(self.reach, reach, strict=True)
        )
        return n + diagonals(n, left) + diagonals(n, right)

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the queries that do not stand too far before the first key."""
        if self.right is None:
            return super().rows_formula(n, m)
        return Min(n, m + self.right) if self.right == 0 or self.left is not None else super().rows_formula(n, m)

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return that of the last query, or of one in the middle."""
        if self.reach == (None, 0):
            return m
        if self.left is not None and self.right is not None and (self.right == 0 or n == m):
            return Min(self.left + self.right + 1, m)
        return None

    def columns_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the keys that the first query reaches, or one after it."""
        return self.keys_seen(n, m) if self.right == 0 else super().columns_formula(n, m)

    def longest_column_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return how many queries the best-seen key has before and after it."""
        if self.right != 0 and n != m:
            return None
        if self.left is None or self.right is None:
            return Min(n, m)
        return Min(n, m, self.left + self.right + 1)

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return n times the width of the band."""
        if self.left is None or self.right is None:
            return n * m
        return sympy.expand(n * (self.left + self.right + 1))

    def keys_seen(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return n and a window's reach."""
        return Min(m, n + self.left) if self.left is not None and self.right == 0 else m

    def sizes(self) -> tuple[tuple[str, Parameter, int], ...]:
        """Return the window, itself included, or the sides that are bounded."""
        if self.left is not None and self.right == 0:
            return (("window", self.left + 1, 1),)
        sides = (("left", self.left, 0), ("right", self.right, 0))
        return () if self.reach == (None, 0) else tuple((name, v, least) for name, v, least in sides if v is not None)

    def resized(self, values: tuple[Parameter, ...]) -> Mask:
        """Return the band with other bounds, on the sides that have one."""
        if self.right == 0:
            return Band(values[0] - 1, 0) if values else self
        given = iter(values)
        return Band(*(None if side is None else next(given) for side in self.reach))

    def written(self) -> tuple[str, tuple[str, ...]]:
        """Return causal, window(w) or band(left, right), * being unbounded."""
        if self.right == 0:
            return "causal" if self.left is None else "window", tuple(
                size_text(sympy.sympify(value)) for _, value, _ in self.sizes()
            )
        return "band", tuple("*" if side is None else size_text(sympy.sympify(side)) for side in self.reach)


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
    return Band(parameter(w, "window") - 1, 0)


def band(left: Size | str | None, right: Size | str | None) -> Mask:
    """A query sees `left` keys before it, itself, and `right` after it; None is all. The symmetric window is `band(r, r)`.

    >>> band(1, 1).matrix(3).astype(int).tolist()
    [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    return Band(
        None if left is None else parameter(left, "left", 0), None if right is None else parameter(right, "right", 0)
    )
