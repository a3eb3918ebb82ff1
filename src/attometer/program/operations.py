"""Primitive operations: what a Program's statements lower to. Counting and executing read nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import sympy

from attometer.program.expression import Expression, Ref, Where


@dataclass(frozen=True)
class Tensor:
    """A named array over axes; `where` says which pairs exist when a mask restricts it."""

    name: str
    indices: tuple[str, ...]
    extents: tuple[sympy.Expr, ...]
    role: str
    where: Where | None = None

    @property
    def size(self) -> sympy.Expr:
        """Number of entries of the dense array."""
        return sympy.Mul(*self.extents)

    @property
    def stored(self) -> sympy.Expr:
        """Number of entries that exist: a masked pair of axes counts its pairs."""
        return space(dict(zip(self.indices, self.extents, strict=True)), self.where)


@dataclass(frozen=True)
class Origin:
    """Which part of a composite an operation is: `exp` of the softmax `P`, say; `result` is what holds its value.

    Attributes:
        composite: softmax, logsumexp, rmsnorm or layernorm.
        instance: the statement it stands in, numbered from the second one on.
        part: what the expansion calls it.
    """

    composite: str
    instance: str
    part: str


@dataclass(frozen=True)
class Einsum:
    """A sum over `summed` of a product of two tensors: a matrix product."""

    output: Tensor
    operands: tuple[Ref, Ref]
    summed: tuple[str, ...]
    extents: tuple[tuple[str, sympy.Expr], ...]
    where: Where | None
    label: str


@dataclass(frozen=True)
class Map:
    """An element-wise expression over the output's indices; a bare reference is a copy or a gather."""

    output: Tensor
    expression: Expression
    extents: tuple[tuple[str, sympy.Expr], ...]
    where: Where | None
    label: str
    origin: Origin | None = None


@dataclass(frozen=True)
class Reduce:
    """`sum`, `max`, `min` or `prod` of one tensor along `summed`."""

    output: Tensor
    kind: str
    operand: Ref
    summed: tuple[str, ...]
    extents: tuple[tuple[str, sympy.Expr], ...]
    where: Where | None
    label: str
    origin: Origin | None = None


@dataclass(frozen=True)
class Sort:
    """Positions that sort `operand` along an index: ascending, or the `keep` largest first; forbidden pairs come last.

    A `tournament` finds the `keep` largest one after the other, a bitonic network sorts all.
    """

    output: Tensor
    operand: Ref
    along: str
    keep: sympy.Expr | None
    extents: tuple[tuple[str, sympy.Expr], ...]
    label: str
    where: Where | None = None
    tournament: bool = False


@dataclass(frozen=True)
class Scatter:
    """Sums of the entries of `operand` over `summed`, each into the place of the output that `places` name: data choose.

    `places` are pairs of an index of the output and what it is at a point of the iteration space.
    """

    output: Tensor
    operand: Ref
    places: tuple[tuple[str, Expression], ...]
    summed: tuple[str, ...]
    extents: tuple[tuple[str, sympy.Expr], ...]
    where: Where | None
    label: str

    @property
    def together(self) -> Reduce:
        """The sum that it is where data send every entry to one place: the most additions and levels there can be."""
        chosen = {index for index, _ in self.places}
        kept = [(i, e) for i, e in zip(self.output.indices, self.output.extents, strict=True) if i not in chosen]
        output = replace(self.output, indices=tuple(i for i, _ in kept), extents=tuple(e for _, e in kept))
        return Reduce(output, "sum", self.operand, self.summed, self.extents, self.where, self.label)


@dataclass(frozen=True)
class Recurrence:
    """Operations repeated along `axis`, each step reading the one before: sequential, depth grows with the length.

    `step` is 1, or -1 where they run from the last place to the first, reading `[t+1]`.
    """

    axis: str
    length: sympy.Expr
    steps: tuple["Einsum | Map | Reduce", ...]
    label: str
    step: int = 1

    @property
    def output(self) -> Tensor:
        """The tensor of the last step."""
        return self.steps[-1].output


@dataclass(frozen=True)
class Scan:
    """An associative first-order recurrence `z[t] = decay[t] * z[t-1] + term[t]` (or maximum), done as a parallel prefix.

    `step` is -1 where it runs from the last place to the first, reading `z[t+1]`.
    """

    output: Tensor
    axis: str
    kind: str
    term: Ref
    decay: Ref | None
    extents: tuple[tuple[str, sympy.Expr], ...]
    label: str
    step: int = 1


Operation: TypeAlias = Einsum | Map | Reduce | Sort | Scatter | Recurrence | Scan


def steps_of(operations: Iterable[Operation]) -> list["Einsum | Map | Reduce | Sort | Scatter | Scan"]:
    """Return the operations with those inside a recurrence in its place."""
    return [s for o in operations for s in (o.steps if isinstance(o, Recurrence) else (o,))]


def space(extents: dict[str, sympy.Expr], where: Where | None) -> sympy.Expr:
    """Return the number of points of an iteration space: the product of extents, with a masked pair counted by its pairs.

    >>> space({"i": sympy.Integer(3), "j": sympy.Integer(4)}, None)
    12
    """
    if where is None or where.query not in extents or where.key not in extents:
        return sympy.Mul(*extents.values())
    rest = [size for index, size in extents.items() if index not in (where.query, where.key)]
    return sympy.Mul(where.mask.pairs(extents[where.query], extents[where.key]), *rest)


def renamed(operation: "Einsum | Map | Reduce | Sort", name: str, role: str) -> "Einsum | Map | Reduce | Sort":
    """Return `operation` with its output called `name`."""
    return replace(operation, output=replace(operation.output, name=name, role=role))
