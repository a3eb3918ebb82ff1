"""A Program as a cascade: steps over plain axes, which is what a loop nest can tile.

Shared heads `K[b, h // (h/g), j, d]` and chunks `X[c*B + t]` become axes of their own (h splits into groups and their
members, the chunked axis into chunks and places), so that every read is a rectangle of whole axes. A tensor read under
other axis names is an alias: the same words, addressed by other loops.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, Where, walk
from attometer.program.operations import Einsum, Map, Operation, Reduce
from attometer.program.printer import expression_text
from attometer.program.program import Program
from attometer.program.size_expressions import size_in


@dataclass(frozen=True)
class Step:
    """`name[axes] = expression`, or its sum, max, min or product along `summed`."""

    name: str
    axes: tuple[str, ...]
    kind: str
    expression: Expression
    summed: tuple[str, ...]
    where: Where | None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values read."""
        return tuple(dict.fromkeys(refs(self.expression)))

    def __str__(self) -> str:
        shown = expression_text(self.expression)
        return f"{self.name}[{','.join(self.axes)}] = " + (shown if self.kind == "set" else f"{self.kind} {shown}")


@dataclass(frozen=True)
class Value:
    """A tensor as it is read: its axes, and the tensor whose words it names."""

    name: str
    axes: tuple[str, ...]
    of: str


@dataclass(frozen=True)
class Cascade:
    """The steps of a program in executable order, every value by name, and what must be stored at the end."""

    axes: tuple[tuple[str, sympy.Expr], ...]
    steps: tuple[Step, ...]
    values: tuple[Value, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def value(self, name: str) -> Value:
        """Return the value called `name`."""
        return next(v for v in self.values if v.name == name)

    def step(self, name: str) -> Step | None:
        """Return the step that computes `name`; None for inputs and for aliases."""
        return next((s for s in self.steps if s.name == name), None)


def refs(node: Expression) -> Iterator[str]:
    """Yield the names of the values that an expression reads."""
    return (n.tensor for n in walk(node) if isinstance(n, Ref))


@lru_cache(maxsize=256)
def cascade(program: Program) -> Cascade:
    """Return `program` as a cascade.

    Raises AttometerError naming the operation that no nest over rectangles runs.

    >>> from attometer.program import parse
    >>> print(cascade(parse("S[h,i,j] = Q[h,i,d] * K[h // (h/g), j, d]")).steps[0])
    S[h_group,h_member,i,j] = sum Q[h_group,h_member,i,d] * K[h_group,j,d]
    """
    return cascade_of(program, program.operations, tuple(t.name for t in program.outputs))


def cascade_of(program: Program, operations: tuple[Operation, ...], outputs: tuple[str, ...]) -> Cascade:
    """Return some operations of a program as a cascade; what they read and do not make are its inputs."""
    return _Reader(program, operations).cascade(outputs)


def _refusal(operation: Operation, reason: str) -> AttometerError:
    return AttometerError(f'no nest is derived for "{operation.output.name}" = {operation.label}: {reason}')


class _Reader:
    def __init__(self, program: Program, operations: tuple[Operation, ...]) -> None:
        self.program, self.operations = program, operations
        self.splits = dict(_splits(program, operations))
        self.extents: dict[str, sympy.Expr] = {}
        self.values: dict[str, Value] = {}

    def cascade(self, wanted: tuple[str, ...]) -> Cascade:
        steps = [self.step(operation) for operation in self.operations]
        made = {s.name for s in steps}
        inputs = tuple(v.name for v in self.values.values() if v.name == v.of and v.of not in made)
        outputs = tuple(name for name in wanted if name in made)
        return Cascade(tuple(self.extents.items()), tuple(steps), tuple(self.values.values()), inputs, outputs)

    def step(self, operation: Operation) -> Step:
        if not isinstance(operation, Einsum | Map | Reduce):
            kind = type(operation).__name__.lower()
            raise _refusal(operation, f"a {kind} is no map, sum or reduction over a rectangle")
        where = operation.where
        if where is not None and {where.query, where.key} & self.splits.keys():
            raise _refusal(operation, f"its mask is over an axis that is split ({where.query}, {where.key})")
        for index, extent in operation.extents:
            self.name_axes(index, extent)
        kind, read, summed = self.folded(operation)
        axes = self.parts(operation.output.indices)
        self.values[operation.output.name] = Value(operation.output.name, axes, operation.output.name)
        return Step(operation.output.name, axes, kind, read, self.parts(summed), where)

    def folded(self, operation: Einsum | Map | Reduce) -> tuple[str, Expression, tuple[str, ...]]:
        """Return what an operation does to an expression, that expression, and the indices that it folds."""
        match operation:
            case Einsum(operands=(one, other), summed=summed):
                return "sum", Binary("*", self.plain(one, operation), self.plain(other, operation)), summed
            case Reduce(kind=kind, operand=operand, summed=summed):
                return kind, self.plain(operand, operation), summed
            case Map(expression=expression):
                return "set", self.plain(expression, operation), ()

    def name_axes(self, index: str, extent: sympy.Expr) -> None:
        if index in self.splits:
            (outer, inner), (length, each) = _halves(index), (extent / self.splits[index], self.splits[index])
            self.extents |= {outer: sympy.cancel(length), inner: each}
        else:
            self.extents[index] = extent

    def parts(self, indices: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(axis for i in indices for axis in (_halves(i) if i in self.splits else (i,)))

    def plain(self, node: Expression, operation: Einsum | Map | Reduce) -> Expression:
        match node:
            case Ref():
                return self.read(node, operation)
            case Position(index=index) if index in self.splits:
                outer, inner = map(Position, _halves(index))
                return Binary("+", Binary("*", outer, _size(self.splits[index])), inner)
            case Name(name=name):
                return _size(self.program.size_of(name))
            case Negative(operand=operand):
                return Negative(self.plain(operand, operation))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.plain(left, operation), self.plain(right, operation))
            case Call(function=function, arguments=arguments):
                return Call(function, tuple(self.plain(a, operation) for a in arguments))
        return node

    def read(self, ref: Ref, operation: Einsum | Map | Reduce) -> Ref:
        found = [self.index(part, ref, operation) for part in ref.indices]
        for parts, extent in zip(found, self.program.tensors[ref.tensor].extents, strict=True):
            if sympy.cancel(sympy.Mul(*(self.extents[axis] for axis in parts)) - extent) != 0:
                raise _refusal(operation, f"it reads {expression_text(ref)}, a part of an axis")
        axes = tuple(axis for parts in found for axis in parts)
        if len(set(axes)) < len(axes):
            raise _refusal(operation, f"it reads {expression_text(ref)}, a diagonal")
        name = ref.tensor
        while name in self.values and self.values[name].axes != axes:
            name += "'"
        self.values.setdefault(name, Value(name, axes, ref.tensor))
        return Ref(name, tuple(map(Name, axes)))

    def index(self, part: Expression, ref: Ref, operation: Einsum | Map | Reduce) -> tuple[str, ...]:
        match part:
            case Name(name=name) if name in dict(operation.extents):
                return self.parts((name,))
            case Binary(op="//" | "/", left=Name(name=name)) if name in self.splits:
                return _halves(name)[:1]
            case Binary(op="%", left=Name(name=name)) if name in self.splits:
                return _halves(name)[1:]
            case Binary(op="+", left=Binary(op="*", left=Name(name=chunk), right=length), right=Name(name=place)):
                extents = dict(operation.extents)
                whole = chunk in extents and extents.get(place) == size_in(length, self.program.size_of)
                if whole and not {chunk, place} & self.splits.keys():
                    return chunk, place
        raise _refusal(operation, f"it reads {expression_text(ref)}, which is not a rectangle of whole axes")


def _splits(program: Program, operations: tuple[Operation, ...]) -> Iterator[tuple[str, sympy.Expr]]:
    """Yield each index that is divided, with its divisor; AttometerError where it is divided by two numbers."""
    found: dict[str, sympy.Expr] = {}
    for operation in operations:
        for ref in _all_refs(operation):
            for part in ref.indices:
                if isinstance(part, Binary) and part.op in ("//", "/", "%") and isinstance(part.left, Name):
                    by = size_in(part.right, program.size_of)
                    if found.setdefault(part.left.name, by) != by:
                        raise _refusal(
                            operation, f'index "{part.left.name}" is divided by {found[part.left.name]} and {by}'
                        )
    yield from found.items()


def _all_refs(operation: Operation) -> Iterator[Ref]:
    match operation:
        case Einsum(operands=operands):
            yield from operands
        case Reduce(operand=operand):
            yield operand
        case Map(expression=expression):
            yield from (n for n in walk(expression) if isinstance(n, Ref))


def _halves(index: str) -> tuple[str, str]:
    return f"{index}_group", f"{index}_member"


def _size(value: sympy.Expr) -> Expression:
    """Return a size as an expression of the notation."""
    if value.is_Integer:
        return Number(int(value))
    if value.is_Symbol:
        return Name(value.name)
    numerator, denominator = value.as_numer_denom()
    if value.is_Add:
        first, *rest = value.args
        return Binary("+", _size(first), _size(value.func(*rest)))
    if denominator != 1:
        return Binary("/", _size(numerator), _size(denominator))
    first, *rest = value.args
    return Binary("*", _size(first), _size(value.func(*rest)))
