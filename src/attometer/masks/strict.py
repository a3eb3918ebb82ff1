"""Strictly causal: what came before the query, without itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.masks.closed_forms import positive
from attometer.masks.intervals import Intervals, Rows
from attometer.masks.mask import Mask, Predicate


@dataclass(frozen=True)
class Strict(Mask):
    """Keys before the query; the first query sees none."""

    name: ClassVar[str] = "strict"
    contiguous: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return j < p."""
        return lambda i, j: j < i + (m - n)

    def spans(self, rows: Rows) -> Intervals:
        """Return j < p."""
        return rows.clip(rows.low[None], rows.positions[None])

    def period(self) -> int:
        """Return one: only the distance tells."""
        return 1

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the sum of the positions that are not negative."""
        before = positive(m - n)
        return m * (m - 1) / 2 - before * (before - 1) / 2

    def rows_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the queries that do not stand at or before the first key."""
        return Min(n, m - 1)

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return that of the last query."""
        return m - 1


def strict() -> Mask:
    """A query sees what came before it and not itself: `causal()` without its diagonal.

    >>> strict().matrix(3).astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """
    return Strict()
