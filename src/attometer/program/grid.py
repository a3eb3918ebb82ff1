"""An iteration space as arrays: the positions, index expressions and masks over it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks.counts import substitute
from attometer.program.expression import Binary, Expression, Name, Negative, Number, Ref, Where
from attometer.program.program import Program
from attometer.program.size_expressions import size_in

Index = TypeVar("Index", int, NDArray[np.int64])


def index_value(
    part: Expression,
    at: Mapping[str, Index],
    size: Callable[[Expression], Any],
    gathered: Callable[[Ref], Index],
) -> Index:
    """Return the position that an index expression names.

    Args:
        part: the index expression.
        at: the position of each index: an integer, or an array over a grid.
        size: gives the value of a multiplier, divisor, modulus or offset.
        gathered: gives the position that a tensor of positions holds.

    Raises:
        AttometerError: an expression that is not an index.

    >>> from attometer.program.expression import Binary, Name, Number
    >>> index_value(Binary("//", Name("j"), Number(4)), {"j": 9}, lambda n: n.value, lambda r: 0)
    2
    """

    def value(node: Expression) -> Index:
        match node:
            case Name(name=name) if name in at:
                return at[name]
            case Name() | Number():
                return size(node)  # type: ignore[no-any-return]
            case Ref():
                return gathered(node)
            case Negative(operand=operand):
                return -value(operand)
            case Binary(op="+", left=left, right=right):
                return value(left) + value(right)
            case Binary(op="-", left=left, right=right):
                return value(left) - value(right)
            case Binary(op="*", left=left, right=right):
                return value(left) * size(right)  # type: ignore[no-any-return]
            case Binary(op="//" | "/", left=left, right=right):
                return value(left) // size(right)  # type: ignore[no-any-return]
            case Binary(op="%", left=left, right=right):
                return value(left) % size(right)  # type: ignore[no-any-return]
        raise AttometerError(f"cannot use {type(node).__name__.lower()} as an index")

    return value(part)


class Walk(Protocol):
    """What goes through a program at sizes that are numbers."""

    program: Program
    numbers: dict[Any, Any]

    def integer(self, value: sympy.Expr) -> int:
        """Return a size as a number; raises AttometerError where it is no integer."""


class Grid:
    """An iteration space: one array axis for each index, some held at one position.

    Attributes:
        full: the extent of each index.
        axes: the positions that each index takes.
        shape: how many these are.
    """

    def __init__(
        self, walk: Walk, extents: Mapping[str, sympy.Expr], where: Where | None, fixed: Mapping[str, int]
    ) -> None:
        self.walk, self.where = walk, where
        self.full = {i: walk.integer(e) for i, e in extents.items()}
        self.axes = {i: np.array([fixed[i]]) if i in fixed else np.arange(s) for i, s in self.full.items()}
        self.shape = tuple(map(len, self.axes.values()))
        self.places = {name: self._along(positions, name) for name, positions in self.axes.items()}

    def _along(self, values: NDArray[Any], *names: str) -> NDArray[Any]:
        return np.reshape(values, [len(a) if i in names else 1 for i, a in self.axes.items()])

    def allowed(self) -> NDArray[np.bool_] | None:
        """Return whether the mask allows each point, or None without one."""
        if self.where is None:
            return None
        query, key = self.where.query, self.where.key
        mask = substitute(self.where.mask, dict(self.walk.numbers))
        seen = mask.matrix(self.full[query], self.full[key])[np.ix_(self.axes[query], self.axes[key])]
        names = list(self.axes)
        return self._along(seen if names.index(query) < names.index(key) else seen.T, query, key)

    def index(self, part: Expression) -> NDArray[np.int64]:
        """Return an index expression's positions over the grid."""
        return np.asarray(index_value(part, self.places, self.size, self.gathered))

    def size(self, node: Expression) -> int:
        """Return the value of an expression of sizes."""
        return self.walk.integer(size_in(node, self.walk.program.size_of))

    def gathered(self, ref: Ref) -> NDArray[np.int64]:
        """Return the positions that a tensor holds; where no values are known, none can be followed."""
        raise AttometerError(f'cannot follow "{ref.tensor}" as an index')
