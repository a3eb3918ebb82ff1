"""Global tokens, which see everything and are seen by everything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.masks.closed_forms import diagonals
from attometer.masks.intervals import Intervals, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, number, parameter
from attometer.sizes import Size


@dataclass(frozen=True)
class Global(Mask):
    """The first `count` tokens see every key and are seen by every query (Longformer's global tokens)."""

    count: Parameter

    name: ClassVar[str] = "global"
    contiguous: ClassVar[bool] = True
    hub: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return p < count or j < count."""
        g = number(self.count, "global count")
        return lambda i, j: (i + (m - n) < g) | (j < g)

    def spans(self, rows: Rows) -> Intervals:
        """Return all keys of the first positions, the first keys of the others."""
        g = number(self.count, "global count")
        return rows.clip(rows.low[None], np.where(rows.positions < g, rows.m, g)[None])

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the first rows and columns, n = m."""
        k = Min(self.count, n)
        return 2 * n * k - k**2 if n == m else None

    def pairs_with(self, other: Mask, n: sympy.Expr) -> sympy.Expr | None:
        """Return that with a band (Longformer): the band starts anew behind the global tokens."""
        if other.reach is None or None in other.reach:
            return None
        g = Min(self.count, n)
        return 2 * n * g - g**2 + n - g + sympy.Add(*(diagonals(n - g, side) for side in other.reach))

    def causal_pairs_with(self, other: Mask, n: sympy.Expr) -> sympy.Expr | None:
        """Return that with a band's left side."""
        if other.reach is None or other.reach[0] is None:
            return None
        g = Min(self.count, n)
        return g * (g + 1) / 2 + g * (n - g) + n - g + diagonals(n - g, other.reach[0])

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return all."""
        return n

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return that of a global token, n = m."""
        return m if n == m else None

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return rows and columns."""
        return n * self.count + m * self.count


def global_(g: Size | str) -> Mask:
    """The first `g` tokens see all and are seen by all.

    >>> global_(1).pairs(3)
    5
    """
    return Global(parameter(g, "global count"))
