"""Which indices an expression uses, and what extent an index expression has."""

from collections.abc import Callable

import sympy

from attometer.errors import AttometerError
from attometer.masks.algebra import And
from attometer.masks.strict import Strict
from attometer.program.expression import (
    REDUCTIONS,
    Along,
    Binary,
    Expression,
    Name,
    Number,
    Position,
    Ref,
    Where,
    children,
)
from attometer.program.size_expressions import to_size


def indices_of(node: Expression) -> tuple[str, ...]:
    """Return the free indices of a resolved expression, in order of first use.

    >>> indices_of(Binary("*", Ref("A", (Name("i"), Name("j"))), Ref("B", (Name("j"),))))
    ('i', 'j')
    """
    return tuple(dict.fromkeys(_indices(node)))


def _indices(node: Expression) -> list[str]:
    match node:
        case Ref(indices=parts):
            return [name for part in parts for name in index_names(part)]
        case Position(index=index):
            return [index]
        case Along(function="scatter", index=index, parameters=(place, *more), argument=argument):
            chosen = [index, *(i.name for i in more[::2] if isinstance(i, Name))]
            return [*chosen, *(n for p in (place, *more[1::2]) for n in index_names(p)), *_indices(argument)]
        case Along(function=function, index=index, argument=argument):
            inner = _indices(argument)
            return [i for i in inner if i != index] if function in REDUCTIONS else inner
    return [name for child in children(node) for name in _indices(child)]


def index_names(part: Expression) -> list[str]:
    """Return the index names in one index expression; multipliers, divisors and moduli are sizes."""
    match part:
        case Name(name=name):
            return [name]
        case Binary(op="+" | "-", left=left, right=right):
            return index_names(left) + index_names(right)
        case Binary(left=left):
            return index_names(left)
        case Ref():
            return _indices(part)
    return []


def meets_here(index: str, factors: list[Expression]) -> bool:
    """Return whether a summed index belongs to this product, not to the inside of one of its factors.

    `exp(A[i,j] * B[j]) / c[i]` sums inside the exponential, as `exp(A[i,j] * B[j])` does.
    """
    using = [f for f in factors if index in indices_of(f)]
    return len(using) > 1 or any(isinstance(f, Ref) for f in using)


def is_shift(part: Expression) -> str | None:
    """Return the index that `part` looks one step back along (`t-1`), or None.

    >>> is_shift(Binary("-", Name("t"), Number(1)))
    't'
    """
    found = step_of(part)
    return found[0] if found is not None and found[1] == -1 else None


def step_of(part: Expression) -> tuple[str, int] | None:
    """Return the index that `part` looks one step along, and -1 for back (`t-1`) or 1 for ahead (`t+1`); or None.

    >>> step_of(Binary("+", Name("t"), Number(1)))
    ('t', 1)
    """
    match part:
        case Binary(op="-" | "+" as op, left=Name(name=name), right=Number(value=1)):
            return name, 1 if op == "+" else -1
    return None


def look_of(part: Expression, axis: str, where: Where | None) -> tuple[str, int] | None:
    """Return the index and direction in which `part`, in the place of `axis`, reads what a recurrence has already computed.

    That is the step before (`t-1`) or after (`t+1`); or every one of them, where the mask of the statement is strict:
    `X[s]` under `strict(t, s)` reads all earlier places, under `strict(s, t)` all later ones.

    >>> look_of(Name("s"), "t", Where(Strict(), "t", "s"))
    ('t', -1)
    """
    if not isinstance(part, Name) or where is None:
        return step_of(part)
    parts = where.mask.parts if isinstance(where.mask, And) else (where.mask,)
    pair = (where.query, where.key)
    if Strict() not in parts or pair not in ((axis, part.name), (part.name, axis)):
        return None
    return axis, -1 if where.query == axis else 1


def extent(part: Expression, size_of: Callable[[str], sympy.Expr]) -> sympy.Expr:
    """Return the extent an undeclared tensor must have at an index expression."""

    def sized(node: Expression) -> sympy.Expr:
        return to_size(node, _Sizes(size_of))

    match part:
        case Name(name=name):
            return size_of(name)
        case Binary(op="//", left=left, right=right):
            return extent(left, size_of) / sized(right)
        case Binary(op="%", right=right):
            return sized(right)
        case Binary(op="*", left=left, right=right):
            return extent(left, size_of) * sized(right)
        case Binary(op="+", left=left, right=Name()):
            return extent(left, size_of)
        case Binary(op="-", left=left):
            return extent(left, size_of)
    raise AttometerError("its extent cannot be inferred from how it is read; declare it with input, weight or cache")


class _Sizes(dict[str, sympy.Expr]):
    """Sizes by name, the axis declaration first."""

    def __init__(self, size_of: Callable[[str], sympy.Expr]) -> None:
        super().__init__()
        self._size_of = size_of

    def get(self, name: str, default: sympy.Expr | None = None) -> sympy.Expr:
        return self._size_of(name)
