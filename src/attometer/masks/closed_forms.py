"""Sums that several closed forms share."""

from typing import Any

import sympy
from sympy import Max, Min, floor

from attometer.masks.mask import Parameter


def diagonals(n: sympy.Expr, k: Parameter) -> sympy.Expr:
    """Return the sum of max(n - t, 0) for t = 1 … k.

    >>> diagonals(sympy.Integer(3), 5)
    3
    """
    reach = Min(k, n)
    return n * reach - reach * (reach + 1) / 2


def newest(x: sympy.Expr, w: Parameter) -> sympy.Expr:
    """Return the pairs of positions 0 … x-1, each with its w newest keys.

    >>> newest(sympy.Integer(3), 2)
    5
    """
    k = Min(w, x)
    return x * k - k * (k - 1) / 2


def quotient(n: sympy.Expr, s: Parameter) -> tuple[sympy.Expr, sympy.Expr]:
    """Return n // s and n mod s.

    >>> quotient(sympy.Integer(7), 3)
    (2, 1)
    """
    q = floor(n / sympy.sympify(s))
    return q, n - q * s


def positive(value: Any) -> sympy.Expr:
    """Return the value, or 0 where it is negative.

    >>> positive(sympy.Integer(-2))
    0
    """
    return Max(value, 0)
