"""Counts over whole NumPy grids: compiled once, exact in int64, refused where they do not fit."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Integer, floor

from attometer.errors import AttometerError
from attometer.masks.counts import SizeGuard
from attometer.sizes import clog2, scan_depth, scan_work

_LARGEST = 2**62
_MOST_LEVELS = 128

Bound = Mapping[sympy.Symbol, Any]


def on_grid(expression: sympy.Expr, bound: Bound) -> NDArray[Any]:
    """Return `expression` at integer arrays and integers that broadcast together: int64, or float64 when not whole.

    Raises AttometerError when a count exceeds 2^62.

    >>> n = sympy.Symbol("n", integer=True, positive=True)
    >>> on_grid(n * (n + 1) / 2, {n: np.array([3, 4])}).tolist()
    [6, 10]
    """
    symbols = tuple(bound)
    top, bottom = _as_quotient(expression)
    least = {s: Fraction(int(np.min(v))) for s, v in bound.items()}
    most = {s: Fraction(int(np.max(v))) for s, v in bound.items()}
    inside = {a for part in (top, bottom) for f in part.atoms(sympy.Function, sympy.Min, sympy.Max) for a in f.args}
    small = all(_most(part, least, most) <= _LARGEST for part in (top, bottom, *inside))
    # Python's integers in an object array are exact at any size, and some fifty times slower.
    values = [np.asarray(v, dtype=np.int64 if small else object) if np.ndim(v) else int(v) for v in bound.values()]
    above, below = (np.asarray(_compiled(part, symbols)(*values)) for part in (top, bottom))
    if not np.all(above % below == 0):
        return np.asarray(above / below, dtype=np.float64)
    found = above // below
    if not small and found.size and max(found.max(), -found.min()) > _LARGEST:
        raise AttometerError("a count on this grid exceeds 2^62; evaluate it at Python integers instead")
    return np.asarray(found.astype(np.int64))


class _Floor(sympy.Function):  # type: ignore[misc]  # SymPy is untyped
    """An exact integer quotient, printed as integer division so that arrays stay integers."""

    is_integer = True

    def _numpycode(self, printer: Any) -> str:
        return f"(({printer._print(self.args[0])}) // ({printer._print(self.args[1])}))"

    _pythoncode = _numpycode
    _lambdacode = _numpycode


@lru_cache(maxsize=512)
def _as_quotient(expression: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    """Return a numerator and a denominator without fractions, and with roundings as integer divisions."""
    rounded = expression.replace(floor, lambda x: _Floor(*sympy.fraction(sympy.together(x))))
    if any(p.exp.is_negative for p in rounded.atoms(sympy.Pow)):
        top, bottom = sympy.fraction(sympy.together(rounded))
        return top, bottom
    terms = sympy.Add.make_args(sympy.expand(rounded))
    bottom = sympy.ilcm(1, *(t.as_coeff_Mul()[0].q for t in terms))
    return (rounded, Integer(1)) if bottom == 1 else (sympy.Add(*(t * bottom for t in terms)), Integer(bottom))


def _most(node: sympy.Expr, least: Bound, most: Bound) -> Fraction:
    """Return a number that no term of `node` exceeds anywhere on the grid, in absolute value."""
    if node.is_Rational:
        return abs(Fraction(int(node.p), int(node.q)))
    if node.is_Symbol:
        return Fraction(most[node])
    if node.is_Pow and node.exp.is_Rational and node.exp < 0:
        # Sums of sizes are at least 1, and so are their roots.
        return 1 / least[node.base] ** max(1, int(-node.exp)) if node.base.is_Symbol else Fraction(1)
    parts = [_most(argument, least, most) for argument in node.args]
    if isinstance(node, sympy.Add):
        return sum(parts, Fraction(0))
    if isinstance(node, sympy.Mul):
        # A factor may be 0 or a fraction where another is largest; only divisors known to be large are below 1.
        return prod((p if p.denominator > 1 else max(p, Fraction(1)) for p in parts), start=Fraction(1))
    if node.is_Pow and isinstance(node.exp, clog2):
        return 2 * _most(node.exp.args[0], least, most)  # 2^⌈log2 k⌉ < 2k
    if node.is_Pow:
        return max(parts[0], Fraction(1)) ** int(sympy.ceiling(node.exp))
    if isinstance(node, clog2 | scan_depth):
        return Fraction(_MOST_LEVELS)
    if isinstance(node, sympy.Min) and all(a.is_nonnegative for a in node.args):
        return min(parts)
    if hasattr(node.func, "mask"):
        return parts[0] * parts[1]
    return 2 * parts[0] if isinstance(node, scan_work) else max(parts)


@lru_cache(maxsize=512)
def _compiled(expression: sympy.Expr, symbols: tuple[sympy.Symbol, ...]) -> Callable[..., Any]:
    names: dict[str, Any] = {"clog2": _clog2, "scan_work": _each(scan_work), "scan_depth": _each(scan_depth)}
    names |= {a.func.__name__: _each(a.func) for a in expression.atoms(sympy.Function) if hasattr(a.func, "mask")}
    names |= {a.func.__name__: a.func.on_arrays for a in expression.atoms(SizeGuard)}
    return sympy.lambdify(symbols, expression, modules=[names, "numpy"], cse=True)  # type: ignore[no-any-return]


def _clog2(k: Any) -> Any:
    array = np.asarray(k)
    if array.dtype == object:
        return np.frompyfunc(lambda x: (int(x) - 1).bit_length(), 1, 1)(array)
    # frexp's exponent of k - 1 is ⌈log2 k⌉, unless k - 1 has rounded up to a power of two.
    below = np.maximum(array - 1, 0)
    exponent = np.frexp(below.astype(np.float64))[1].astype(np.int64)
    return exponent - ((exponent > 0) & ((np.asarray(1) << np.maximum(exponent - 1, 0)) > below))


def _each(function: Any) -> Callable[..., Any]:
    return np.vectorize(lambda *k: int(function(*(Integer(int(x)) for x in k))), otypes=[np.int64])
