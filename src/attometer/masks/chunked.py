"""Chunks of positions that see only themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.masks.closed_forms import quotient
from attometer.masks.document import documents_ending
from attometer.masks.intervals import Intervals, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, Reach, number, parameter
from attometer.sizes import Size


@dataclass(frozen=True)
class Chunked(Mask):
    """Query and key in the same chunk of `chunk` positions (Llama 4's local layers)."""

    chunk: Parameter

    name: ClassVar[str] = "chunked"
    contiguous: ClassVar[bool] = True
    sees_itself: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return p // chunk == j // chunk."""
        c = number(self.chunk, "chunk")
        return lambda i, j: (i + (m - n)) // c == j // c

    def spans(self, rows: Rows) -> Intervals:
        """Return the query's chunk."""
        c = number(self.chunk, "chunk")
        start = rows.positions // c * c
        return rows.clip(start[None], start[None] + c)

    def from_key(self, start: int, keys: int) -> Mask | None:
        """Return the chunks where they begin at one, else documents of what is left of them."""
        c = number(self.chunk, "chunk")
        return documents_ending(range(c, start + keys + c, c), start, keys) if start % c else self

    def period(self) -> int:
        """Return the length of a chunk."""
        return number(self.chunk, "chunk")

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the whole chunks and the last, n = m."""
        q, r = quotient(n, self.chunk)
        return q * self.chunk**2 + r**2 if n == m else None

    def pairs_in_band(self, reach: Reach, n: sympy.Expr) -> sympy.Expr | None:
        """Return the causal pairs."""
        q, r = quotient(n, self.chunk)
        return q * self.chunk * (self.chunk + 1) / 2 + r * (r + 1) / 2 if reach == (None, 0) else None

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return a chunk, n = m."""
        return Min(self.chunk, m) if n == m else None

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return a chunk each."""
        return n * self.chunk

    def keys_seen(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return n and what the first query's chunk holds before it."""
        return Min(m, n + self.chunk - 1)


def chunked(c: Size | str) -> Mask:
    """Tokens see their own chunk of `c` positions.

    >>> chunked(2).pairs(5)
    9
    """
    return Chunked(parameter(c, "chunk"))
