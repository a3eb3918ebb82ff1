"""Counts over whole NumPy grids: compiled once, exact in int64, refused where they do not fit."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.count.formulas import Compiled, Graph
from attometer.errors import AttometerError

_LARGEST = 2**62

Bound = Mapping[sympy.Symbol, Any]


def on_grid(expression: sympy.Expr, bound: Bound) -> NDArray[Any]:
    """Return `expression` at integer arrays and integers that broadcast together: int64, or float64 when not whole.

    Raises AttometerError when a count exceeds 2^62.

    >>> n = sympy.Symbol("n", integer=True, positive=True)
    >>> on_grid(n * (n + 1) / 2, {n: np.array([3, 4])}).tolist()
    [6, 10]
    """
    above, below = map(np.asarray, _quotient(expression, tuple(s.name for s in bound)).vector(*bound.values()))
    if not np.all(above % below == 0):
        return np.asarray(above / below, dtype=np.float64)
    found = above // below
    if found.dtype == object and found.size and max(found.max(), -found.min()) > _LARGEST:
        raise AttometerError("a count on this grid exceeds 2^62; evaluate it at Python integers instead")
    return np.asarray(found.astype(np.int64))


@lru_cache(maxsize=512)
def _quotient(expression: sympy.Expr, sizes: tuple[str, ...]) -> Compiled:
    """Return a numerator and a denominator."""
    graph = Graph()
    above, below = graph.quotient(expression, {})
    return Compiled(graph, {"above": above, "below": below}, sizes)
