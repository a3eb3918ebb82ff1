"""The longest walk through the steps of a recurrence where no closed form is known: exact for every number of steps."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

_NEVER = -(1 << 60)

Bound = dict[sympy.Symbol, Any]
"""The number of each size."""
Paths = tuple[tuple[str, tuple[tuple[str, sympy.Expr], ...]], ...]


def longest_walk(
    q: str,
    entry: Mapping[str, sympy.Expr],
    paths: Mapping[str, Mapping[str, sympy.Expr]],
    length: sympy.Expr,
) -> sympy.Expr:
    """Return when `q` is ready after `length` steps, as a function that evaluates at integers.

    Args:
        q: the tensor.
        entry: when each tensor of a step is ready as far as the step itself decides.
        paths: per tensor, the levels from each tensor of the step before.
        length: the number of steps.

    Source: a step is a matrix over (max, +), and n steps are its power (Baccelli et al. 1992, Synchronization and
    Linearity, section 3.2).

    >>> n = sympy.Symbol("n", integer=True, positive=True)
    >>> walk = longest_walk("a", {"a": sympy.Integer(1), "b": sympy.Integer(1)}, {"a": {"b": n}, "b": {"a": n}}, n)
    >>> walk.xreplace({n: sympy.Integer(3)})
    7
    """
    frozen = tuple((name, tuple(found.items())) for name, found in paths.items())
    free = sorted(
        {s for e in (*entry.values(), *(w for _, f in frozen for _, w in f)) for s in e.free_symbols}, key=str
    )
    return _walk(q, tuple(entry.items()), frozen, tuple(free))(length, *free)


@lru_cache(maxsize=1024)
def _walk(q: str, entry: tuple[tuple[str, sympy.Expr], ...], paths: Paths, free: tuple[sympy.Symbol, ...]) -> Any:
    def levels_at(length: int, bound: Bound) -> int:
        names = [name for name, _ in entry]
        # One row more: what the step itself decides holds in every step.
        step = np.full((len(names) + 1, len(names) + 1), _NEVER, dtype=np.int64)
        step[-1, -1] = 0
        for name, own in entry:
            step[names.index(name), -1] = int(own.xreplace(bound))
        for name, found in paths:
            for source, levels in found:
                step[names.index(name), names.index(source)] = int(levels.xreplace(bound))
        return int(_power(step, length)[names.index(q), -1])

    def growth(length: sympy.Expr) -> sympy.Expr:
        heaviest = sympy.Add(*(levels for _, found in paths for _, levels in found))
        return length * heaviest + sympy.Add(*(e for _, e in entry))

    return at_integers("walk", q, hash((q, entry, paths)), free, levels_at, growth)


def at_integers(
    kind: str,
    q: str,
    key: int,
    free: tuple[sympy.Symbol, ...],
    levels_at: Callable[[int, Bound], int],
    growth: Callable[[sympy.Expr], sympy.Expr],
) -> Any:
    """Return a function of a number of steps and the sizes `free` that evaluates once all are integers.

    Args:
        kind: what it is called in print, as in `walk[q](n)`.
        q: the tensor whose readiness it tells.
        key: tells apart functions of one kind.
        free: the sizes that follow the number of steps.
        levels_at: its value after so many steps, at least 1, with each size's number.
        growth: its order of growth, of a number of steps.
    """

    def evaluate(cls: Any, length: Any, *numbers: Any) -> Any:
        if not all(a.is_Integer for a in (length, *numbers)):
            return None
        return sympy.Integer(0 if length < 1 else levels_at(int(length), dict(zip(free, numbers, strict=True))))

    def text(self: Any, printer: Any) -> str:
        return f"{kind}[{q}]({printer._print(self.args[0])})"

    def order(length: sympy.Expr, *sizes: sympy.Expr) -> sympy.Expr:
        return growth(length).xreplace(dict(zip(free, sizes, strict=True)))

    return type(
        f"{kind}_{abs(key):x}",
        (sympy.Function,),
        {
            "eval": classmethod(evaluate),
            "_sympystr": text,
            "is_integer": True,
            "is_nonnegative": True,
            "growth": staticmethod(order),
        },
    )


def _power(matrix: NDArray[np.int64], exponent: int) -> NDArray[np.int64]:
    """Return a power over (max, +)."""
    result, square = matrix, matrix
    exponent -= 1
    while exponent:
        if exponent % 2:
            result = _times(result, square)
        square = _times(square, square)
        exponent //= 2
    return result


def _times(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    found = (one[:, :, None] + other[None]).max(axis=1)
    return np.asarray(np.maximum(found, _NEVER))
