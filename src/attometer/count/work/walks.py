"""The longest walk through the steps of a recurrence where no closed form is known: exact for every number of steps."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

_NEVER = -(1 << 60)

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
    def evaluate(cls: Any, length: Any, *numbers: Any) -> Any:
        if not all(a.is_Integer for a in (length, *numbers)):
            return None
        if length < 1:
            return sympy.Integer(0)
        bound = dict(zip(free, numbers, strict=True))
        names = [name for name, _ in entry]
        # One row more: what the step itself decides holds in every step.
        step = np.full((len(names) + 1, len(names) + 1), _NEVER, dtype=np.int64)
        step[-1, -1] = 0
        for name, own in entry:
            step[names.index(name), -1] = int(own.xreplace(bound))
        for name, found in paths:
            for source, levels in found:
                step[names.index(name), names.index(source)] = int(levels.xreplace(bound))
        return sympy.Integer(int(_power(step, int(length))[names.index(q), -1]))

    def text(self: Any, printer: Any) -> str:
        return f"walk[{q}]({printer._print(self.args[0])})"

    def growth(length: sympy.Expr, *sizes: sympy.Expr) -> sympy.Expr:
        bound = dict(zip(free, sizes, strict=True))
        heaviest = sympy.Add(*(levels for _, found in paths for _, levels in found))
        return (length * heaviest + sympy.Add(*(e for _, e in entry))).xreplace(bound)

    return type(
        f"walk_{abs(hash((q, entry, paths))):x}",
        (sympy.Function,),
        {
            "eval": classmethod(evaluate),
            "_sympystr": text,
            "is_integer": True,
            "is_nonnegative": True,
            "growth": staticmethod(growth),
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
