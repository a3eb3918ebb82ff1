"""Time on p processors between the bounds of Brent and Graham, and the cut-off where more processors stop helping."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy

from attometer.errors import AttometerError
from attometer.view.printed import Printed


@dataclass(frozen=True)
class Bounds(Printed):
    """Steps on `processors` processors: no schedule beats `lower`, every greedy schedule keeps to `upper`.

    Both are SymPy: integers and rationals for numbers, expressions for symbols.
    """

    processors: sympy.Expr
    lower: sympy.Expr
    upper: sympy.Expr

    def to_dict(self) -> dict[str, Any]:
        """Return the three as ints where they are whole, else as text."""
        return {name: _plain(getattr(self, name)) for name in ("processors", "lower", "upper")}

    def __str__(self) -> str:
        return f"p = {self.processors}: {self.lower} <= T_p <= {self.upper}"


def brent(work: int | sympy.Expr, depth: int | sympy.Expr, processors: int | sympy.Expr) -> Bounds:
    """Bound the time of a greedy schedule: `max(ceil(W/p), D) <= T_p <= (W - D)/p + D`.

    `work` W and `depth` D are in unit-cost operations, `processors` is p; each an int or an expression. Raises
    AttometerError when numbers contradict one another. Sources: Brent, The parallel evaluation of general arithmetic
    expressions, JACM 1974; Graham, Bounds for certain multiprocessing anomalies, 1966.

    >>> print(brent(work=10**6, depth=21, processors=1000))
    p = 1000: 1000 <= T_p <= 1020979/1000
    """
    w, d, p = (sympy.sympify(value) for value in (work, depth, processors))
    _check(w, d, p)
    return Bounds(p, sympy.Max(sympy.ceiling(w / p), d), (w - d) / p + d)


def brent_curve(work: int | sympy.Expr, depth: int | sympy.Expr, processors: Iterable[int]) -> tuple[Bounds, ...]:
    """Return the bounds for each number of processors.

    >>> [int(point.lower) for point in brent_curve(work=64, depth=4, processors=(1, 2, 4, 16, 64))]
    [64, 32, 16, 4, 4]
    """
    return tuple(brent(work, depth, p) for p in processors)


def cutoff(work: int | sympy.Expr, depth: int | sympy.Expr) -> sympy.Expr:
    """Return p* = W/D, the parallelism: with fewer processors work binds, with more the critical path.

    At p* the upper bound is less than twice the lower one.

    >>> cutoff(work=64, depth=4)
    16
    """
    w, d = sympy.sympify(work), sympy.sympify(depth)
    _check(w, d, sympy.Integer(1))
    return w / d


def _check(work: sympy.Expr, depth: sympy.Expr, processors: sympy.Expr) -> None:
    if processors.is_number and not (processors.is_integer and processors >= 1):
        raise AttometerError(f"processors must be a whole number of at least 1, got {processors}")
    if depth.is_number and depth < 1:
        raise AttometerError(f"depth must be at least 1, got {depth}")
    if work.is_number and depth.is_number and work < depth:
        raise AttometerError(f"work must be at least depth, got work {work} and depth {depth}")


def _plain(value: sympy.Expr) -> int | str:
    return int(value) if value.is_Integer else str(value)
