"""Causal between chunks, two-sided inside each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.masks.closed_forms import quotient
from attometer.masks.intervals import Intervals, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, number, parameter
from attometer.sizes import Size


@dataclass(frozen=True)
class BlockCausal(Mask):
    """The query's chunk of `chunk` positions, whole, and all earlier ones (block diffusion, arXiv:2503.09573)."""

    chunk: Parameter

    name: ClassVar[str] = "block_causal"
    contiguous: ClassVar[bool] = True
    sees_itself: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return p // chunk >= j // chunk."""
        c = number(self.chunk, "chunk")
        return lambda i, j: (i + (m - n)) // c >= j // c

    def spans(self, rows: Rows) -> Intervals:
        """Return the keys up to the end of the query's chunk."""
        c = number(self.chunk, "chunk")
        return rows.clip(rows.low[None], (rows.positions // c * c + c)[None])

    def period(self) -> int:
        """Return the length of a chunk."""
        return number(self.chunk, "chunk")

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return chunk² for each pair of whole chunks, and n for each query of the last, n = m."""
        q, r = quotient(n, self.chunk)
        return self.chunk**2 * q * (q + 1) / 2 + r * n if n == m else None

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return that of the last query."""
        return m


def block_causal(c: Size | str) -> Mask:
    """Tokens see their own chunk of `c` positions, later ones included, and all chunks before it.

    >>> block_causal(2).matrix(3).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    """
    return BlockCausal(parameter(c, "chunk"))
