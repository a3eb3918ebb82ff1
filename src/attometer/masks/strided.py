"""Keys at multiples of a stride from the query."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min, floor

from attometer.masks.closed_forms import diagonals, quotient
from attometer.masks.intervals import Intervals, Ints, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, Reach, number, parameter
from attometer.sizes import Size


@dataclass(frozen=True)
class Strided(Mask):
    """Keys a multiple of `stride` positions away (Sparse Transformer, strided head)."""

    stride: Parameter

    name: ClassVar[str] = "strided"
    sees_itself: ClassVar[bool] = True

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return (p - j) mod stride == 0."""
        s = number(self.stride, "stride")
        return lambda i, j: (i + (m - n) - j) % s == 0

    def spans(self, rows: Rows) -> Intervals:
        """Return single keys, from the first of those asked for on."""
        s = number(self.stride, "stride")
        first = rows.low + (rows.positions - rows.low) % s
        most = max(1, -(-int((rows.high - rows.low).max(initial=0)) // s))
        start = first + np.arange(most)[:, None] * s
        return rows.clip(start, start + 1)

    def spread(self, m: int) -> int:
        """Return the keys of a row."""
        return m // number(self.stride, "stride") + 2

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Return how many multiples lie between the ends of each interval."""
        s, p = number(self.stride, "stride"), rows.positions
        return np.asarray(((within[1] - 1 - p) // s - (within[0] - 1 - p) // s).sum(axis=0))

    def period(self) -> int:
        """Return one: only the distance tells."""
        return 1

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return the pairs of positions with the same remainder, n = m."""
        q, r = quotient(n, self.stride)
        return r * (q + 1) ** 2 + (self.stride - r) * q**2 if n == m else None

    def pairs_in_band(self, reach: Reach, n: sympy.Expr) -> sympy.Expr:
        """Return every stride-th diagonal inside the band."""
        if reach == (None, 0):
            q, r = quotient(n, self.stride)
            return r * (q + 1) * (q + 2) / 2 + (self.stride - r) * q * (q + 1) / 2
        return n + sympy.Add(*(self._one_side(side, n) for side in reach))

    def _one_side(self, side: Parameter | None, n: sympy.Expr) -> sympy.Expr:
        k = floor((n - 1 if side is None else Min(side, n - 1)) / sympy.sympify(self.stride))
        return n * k - self.stride * k * (k + 1) / 2

    def causal_pairs_with(self, other: Mask, n: sympy.Expr) -> sympy.Expr | None:
        """Return that with a window as wide as the stride: the Sparse Transformer's strided head."""
        if not self.back_in_two_with(other):
            return None
        return diagonals(n, self.stride - 1) + self.pairs_in_band((None, 0), n)

    def back_in_two_with(self, other: Mask) -> bool:
        """Return whether it is a window as wide as the stride: strides lead near, the window all the way."""
        left, right = other.reach or (None, None)
        return left is not None and right == 0 and sympy.expand(left + 1 - self.stride) == 0

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return one key in every stride."""
        return n * m / self.stride


def strided(s: Size | str) -> Mask:
    """A query sees the keys a multiple of `s` positions away; the Sparse Transformer's head is `causal() & (window(s) | strided(s))`.

    >>> strided(2).pairs(4)
    8
    """
    return Strided(parameter(s, "stride"))
