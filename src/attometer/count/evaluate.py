"""Counts at sizes: exact integers, or whole NumPy grids at once."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import sympy

from attometer.count.grids import on_grid
from attometer.errors import AttometerError, unknown

Sizes = Mapping[str, Any]

DEFAULTS: dict[str, str] = {"m": "n", "e": "d", "g": "h", "b": "1"}
"""What a size is when it is not given: self-attention has m = n, values are as wide as keys, heads are not shared, one sequence."""


def check_sizes(symbols: frozenset[sympy.Symbol], sizes: Sizes) -> None:
    """Raise AttometerError for a size that `symbols` do not have, or that is not a positive integer.

    >>> from attometer.program import size
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

    >>> from attometer.program import size
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


def usual(known: Iterable[str], given: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of `known` that are given or follow from those by DEFAULTS.

    >>> usual(("n", "m", "d"), {"n": 4})
    {'n': 4, 'm': 4}
    """
    found = dict[str, int]()
    for own in known:
        name = own
        while name not in given and name in DEFAULTS:
            name = DEFAULTS[name]
        if name.isdigit() or name in given:
            found[own] = int(name) if name.isdigit() else given[name]
    return found


def _check(name: str, value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        smallest: Any = value
    else:
        array = np.asarray(value)
        if array.dtype == object or not np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_:
            raise AttometerError(f'size "{name}" must be a positive integer or an integer array, got {value!r:.80}')
        smallest = array.min() if array.size else 1
    if smallest < 1:
        raise AttometerError(f'size "{name}" must be positive, got {smallest}')


def evaluate(expression: sympy.Expr, sizes: Sizes) -> Any:
    """Return `expression` at `sizes`: an int (or exact fraction), or an array of their common shape when a size is one.

    Arrays are int64; AttometerError when a count might not fit (use fewer or smaller sizes, or Python integers).

    >>> from attometer.program import size
    >>> evaluate(size("n") ** 2, {"n": 10**10})
    100000000000000000000
    """
    bound = bindings(frozenset(expression.free_symbols), sizes)
    if any(np.ndim(v) for v in sizes.values()):
        shape = _shape(sizes)
        return np.broadcast_to(on_grid(expression, bound), shape)
    value = expression.xreplace({s: sympy.Integer(int(v)) for s, v in bound.items()})
    if value.is_Integer:
        return int(value)
    if value.has(sympy.zoo, sympy.nan, sympy.oo):
        raise AttometerError(f"{expression} divides by zero at {', '.join(f'{s} = {v}' for s, v in bound.items())}")
    if value.atoms(sympy.Function):
        told = ", ".join(f"{s} = {v}" for s, v in bound.items())
        raise AttometerError(
            f"{value.atoms(sympy.Function).pop()} has no value: at {told} some size does not divide another"
        )
    return value if value.is_Rational else float(value)


def _shape(sizes: Sizes) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(np.shape(v) for v in sizes.values()))
    except ValueError:
        told = ", ".join(f"{name} {np.shape(v)}" for name, v in sizes.items() if np.ndim(v))
        raise AttometerError(f"sizes do not broadcast together: {told}") from None
