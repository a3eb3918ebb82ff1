"""The query's own block and the summary keys of all blocks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Integer

from attometer.masks.closed_forms import positive, quotient
from attometer.masks.intervals import Intervals, Ints, Rows, complement, intersect, total, unite
from attometer.masks.mask import Mask, Parameter, Predicate, Reach, number, parameter
from attometer.sizes import Size


@dataclass(frozen=True)
class Fixed(Mask):
    """The query's own block of `stride` keys, and the last `summary` keys of every block (Sparse Transformer, fixed head)."""

    stride: Parameter
    summary: Parameter

    name: ClassVar[str] = "fixed"
    sees_itself: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return same block, or a summary column."""
        s, c = number(self.stride, "stride"), number(self.summary, "summary")
        return lambda i, j: ((i + (m - n)) // s == j // s) | (j % s >= s - c)

    def spans(self, rows: Rows) -> Intervals:
        """Return the own block, and the summaries of the blocks asked for."""
        s, c = self._numbers()
        first = rows.low // s
        most = max(1, int((-(-rows.high // s) - first).max(initial=0)))
        ends = (first + 1 + np.arange(most)[:, None]) * s
        return unite(rows.clip(ends - c, ends), self._own(rows))

    def spread(self, m: int) -> int:
        """Return the blocks of a row."""
        return m // number(self.stride, "stride") + 2

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Return the own block, and the summary keys between the ends of what is left."""
        s, c = self._numbers()
        own = self._own(rows)
        start, end = intersect(complement(own, rows.m), within)
        before = [x // s * c + np.maximum(x % s - (s - c), 0) for x in (start, end)]
        return np.asarray(total(intersect(own, within)) + (before[1] - before[0]).sum(axis=0))

    def _numbers(self) -> tuple[int, int]:
        s = number(self.stride, "stride")
        return s, min(number(self.summary, "summary"), s)

    def _own(self, rows: Rows) -> Intervals:
        s = number(self.stride, "stride")
        start = rows.positions // s * s
        return rows.clip(start[None], start[None] + s)

    def period(self) -> int:
        """Return the length of a block."""
        return number(self.stride, "stride")

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return blocks and columns less where they cross, n = m and numbers."""
        s, c = self.stride, self.summary
        if n != m or not (isinstance(s, int) and isinstance(c, int) and c <= s):
            return None
        q, r = quotient(n, s)
        last = positive(r - (s - c))
        return q * s**2 + r**2 + n * (q * c + last) - q * s * c - r * last

    def pairs_in_band(self, reach: Reach, n: sympy.Expr) -> sympy.Expr | None:
        """Return the causal pairs, for numbers."""
        s, c = self.stride, self.summary
        if reach != (None, 0) or not (isinstance(s, int) and isinstance(c, int) and c <= s):
            return None
        q, r = quotient(n, s)
        return q * Integer(s * (s + 1)) / 2 + r * (r + 1) / 2 + s * c * q * (q - 1) / 2 + r * c * q

    def back_in_two(self, causal: bool = False) -> bool:
        """Return whether it is causal: then through the summary of the key's block."""
        return causal

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return blocks and columns."""
        return n * self.stride + n * m * self.summary / self.stride


def fixed(s: Size | str, c: Size | str = 1) -> Mask:
    """A query sees its block of `s` keys and the last `c` keys of every block; the Sparse Transformer adds `causal()`.

    >>> fixed(2, 1).pairs(4)
    12
    """
    return Fixed(parameter(s, "stride"), parameter(c, "summary"))
