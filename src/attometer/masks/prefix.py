"""A prefix that all queries see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.masks.intervals import Intervals, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, number, parameter
from attometer.sizes import Size


@dataclass(frozen=True)
class Prefix(Mask):
    """The first `count` keys are visible to all; `causal() | prefix(p)` is a prefix language model."""

    count: Parameter

    name: ClassVar[str] = "prefix"
    contiguous: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return j < count, in the shape of both indices."""
        p = number(self.count, "prefix")
        return lambda i, j: (j < p) | (i < 0)

    def spans(self, rows: Rows) -> Intervals:
        """Return j < count."""
        return rows.clip(rows.low[None], np.full_like(rows.low, number(self.count, "prefix"))[None])

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the first columns."""
        return n * Min(self.count, m)

    def pairs_with(self, other: Mask, n: sympy.Expr) -> sympy.Expr | None:
        """Return that of a prefix language model."""
        k = Min(self.count, n)
        return n * (n + 1) / 2 + k * (k - 1) / 2 if other.reach == (None, 0) else None

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return all."""
        return n

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return that of every query."""
        return Min(self.count, m)

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the first columns."""
        return n * self.count


def prefix(p: Size | str) -> Mask:
    """All queries see the first `p` keys.

    >>> prefix(2).pairs(3)
    6
    """
    return Prefix(parameter(p, "prefix"))
