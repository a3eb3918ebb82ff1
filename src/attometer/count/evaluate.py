"""Counts at sizes: exact integers, or whole NumPy grids at once."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError, unknown

Sizes = Mapping[str, Any]

DEFAULTS: dict[str, str] = {"m": "n", "e": "d", "g": "h", "b": "1"}
"""What a size is when it is not given: self-attention has m = n, values are as wide as keys, heads are not shared, one sequence."""


def check_sizes(symbols: frozenset[sympy.Symbol], sizes: Sizes) -> None:
    """Raise AttometerError for a size that `symbols` do not have, or that is not a positive integer.

    >>> check_sizes(frozenset({size("n")}), {"n": 4})
    """
    known = {str(s) for s in symbols}
    for name, value in sizes.items():
        if name not in known and name not in DEFAULTS and name not in DEFAULTS.values():
            raise unknown("size", name, known)
        _check(name, value)


def bindings(symbols: frozenset[sympy.Symbol], sizes: Sizes) -> dict[sympy.Symbol, Any]:
    """Return a value for every symbol; sizes not given follow DEFAULTS.

    Raises AttometerError naming a size that is missing.

    >>> bindings(frozenset({size("m")}), {"n": 4})
    {m: 4}
    """
    found = {}
    for symbol in sorted(symbols, key=str):
        name = str(symbol)
        while name not in sizes and name in DEFAULTS:
            name = DEFAULTS[name]
        if name.isdigit():
            found[symbol] = int(name)
        elif name in sizes:
            found[symbol] = sizes[name]
        else:
            raise AttometerError(f'size "{symbol}" is missing; needed: {", ".join(sorted(map(str, symbols)))}')
    return found


def _check(name: str, value: Any) -> None:
    array = np.asarray(value)
    if array.dtype == object or not np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
        raise AttometerError(f'size "{name}" must be a positive integer or an integer array, got {value!r:.80}')
    if array.size and array.min() < 1:
        raise AttometerError(f'size "{name}" must be positive, got {array.min()}')


def evaluate(expression: sympy.Expr, sizes: Sizes) -> Any:
    """Return `expression` at `sizes`: an int (or exact fraction), or an array when a size is one.

    Arrays are int64; AttometerError when a count does not fit (use fewer or smaller sizes, or Python integers).

    >>> evaluate(size("n") ** 2, {"n": 10**10})
    100000000000000000000
    """
    bound = bindings(frozenset(expression.free_symbols), sizes)
    if any(np.ndim(v) for v in bound.values()):
        return _on_grid(expression, bound)
    value = expression.xreplace({s: sympy.Integer(int(v)) for s, v in bound.items()})
    if value.is_Integer:
        return int(value)
    return value if value.is_number and value.is_Rational else float(value)


def _on_grid(expression: sympy.Expr, bound: dict[sympy.Symbol, Any]) -> NDArray[Any]:
    symbols = tuple(bound)
    function = _compiled(expression, symbols)
    largest = expression.xreplace({s: sympy.Integer(int(np.max(v))) for s, v in bound.items()})
    # Intermediate terms can exceed the total: a margin keeps int64 arithmetic exact.
    if largest.is_number and abs(float(largest)) > 2**60:
        raise AttometerError(
            "a count on this grid exceeds 2^60 and would not be exact; evaluate it at Python integers instead"
        )
    shape = np.broadcast_shapes(*(np.shape(v) for v in bound.values()))
    values = [np.asarray(v, dtype=np.int64) if np.ndim(v) else int(v) for v in bound.values()]
    return np.broadcast_to(np.asarray(function(*values)), shape)


@lru_cache(maxsize=512)
def _compiled(expression: sympy.Expr, symbols: tuple[sympy.Symbol, ...]) -> Callable[..., Any]:
    whole = _without_fractions(expression)
    modules: list[Any] = [
        {"clog2": _clog2, "scan_work": _vector("scan_work"), "scan_depth": _vector("scan_depth")},
        "numpy",
    ]
    counted = {a.func for a in whole.atoms(sympy.Function) if hasattr(a.func, "mask")}
    modules[0] |= {f.__name__: _counted(f) for f in counted}
    return sympy.lambdify(symbols, whole, modules=modules, cse=True)  # type: ignore[no-any-return]


def _without_fractions(expression: sympy.Expr) -> sympy.Expr:
    """Gather integer halves so that int64 stays exact: p/2 + q/2 becomes (p + q) // 2."""
    bottoms = [sympy.Integer(t.as_coeff_Mul()[0].q) for t in sympy.Add.make_args(sympy.expand(expression))]
    bottom = sympy.ilcm(1, *bottoms)
    return expression if bottom == 1 else _Halved(sympy.expand(expression * bottom), bottom)


class _Halved(sympy.Function):
    """An exact integer quotient, printed as integer division so that arrays stay integers."""

    def _numpycode(self, printer: Any) -> str:
        return f"(({printer._print(self.args[0])}) // {printer._print(self.args[1])})"

    _pythoncode = _numpycode
    _lambdacode = _numpycode


def _clog2(k: Any) -> Any:
    array = np.asarray(k)
    return np.frexp(np.maximum(array - 1, 0).astype(np.float64))[1].astype(np.int64)


def _vector(name: str) -> Callable[[Any], Any]:
    from attometer.program import sizes as functions

    function = getattr(functions, name)
    return np.vectorize(lambda k: int(function(sympy.Integer(int(k)))), otypes=[np.int64])


def _counted(function: Any) -> Callable[..., Any]:
    return np.vectorize(lambda *a: int(function(*(sympy.Integer(int(x)) for x in a))), otypes=[np.int64])
