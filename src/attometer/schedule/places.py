"""Places: what an index expression says over axes, and which indices split into two."""

from collections.abc import Container, Iterator

import sympy

from attometer.program.expression import Binary, Expression, Name, Negative, Number
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort
from attometer.program.program import Program
from attometer.program.recurrences import refs_of
from attometer.program.size_expressions import size_in
from attometer.sizes import size


def splits(program: Program, operations: tuple[Operation, ...]) -> Iterator[tuple[str, sympy.Expr]]:
    """Yield each index that is divided by one number, with that; what is masked, sorted or carried along stays one axis."""
    found: dict[str, set[sympy.Expr]] = {}
    for operation in operations:
        for ref in refs_of(operation):
            for part in ref.indices:
                if isinstance(part, Binary) and part.op in ("//", "/", "%") and isinstance(part.left, Name):
                    found.setdefault(part.left.name, set()).add(size_in(part.right, program.size_of))
    kept = {index for operation in operations for index in _in_order(operation)}
    yield from ((index, by.pop()) for index, by in found.items() if len(by) == 1 and index not in kept)


def _in_order(operation: Operation) -> Iterator[str]:
    """Yield the indices whose places an operation compares, orders or goes through one by one."""
    match operation:
        case Recurrence(axis=axis, steps=steps):
            yield from (axis, *(index for step in steps for index in _in_order(step)))
        case Scan(axis=axis):
            yield axis
        case Einsum(where=where) | Map(where=where) | Reduce(where=where) | Sort(where=where) | Scatter(where=where):
            yield from () if where is None else (where.query, where.key)
    if isinstance(operation, Sort):
        yield from (operation.along, *(i for i in operation.output.indices if i not in dict(operation.extents)))
    if isinstance(operation, Scatter):
        yield from (index for index, _ in operation.places)


def settled(part: Expression) -> Expression:
    """Return an index without a shift by 0."""
    return part.left if isinstance(part, Binary) and part.op in "+-" and part.right == Number(0) else part


def halves(index: str) -> tuple[str, str]:
    """Return the axes of an index that splits: its groups and their members."""
    return f"{index}_group", f"{index}_member"


def size_expression(value: sympy.Expr) -> Expression:
    """Return a size as an expression of the notation."""
    if value.is_Integer:
        return Number(int(value))
    if value.is_Symbol:
        return Name(value.name)
    numerator, denominator = value.as_numer_denom()
    if value.is_Add:
        first, *rest = value.args
        return Binary("+", size_expression(first), size_expression(value.func(*rest)))
    if denominator != 1:
        return Binary("/", size_expression(numerator), size_expression(denominator))
    first, *rest = value.args
    return Binary("*", size_expression(first), size_expression(value.func(*rest)))


def affine(place: Expression, extents: Container[str]) -> tuple[dict[str, int], sympy.Expr] | None:
    """Return the coefficients of axes in a place, and what is added to them; None where that is not all."""
    match place:
        case Number(value=value):
            return {}, sympy.nsimplify(value)
        case Name(name=name):
            return ({name: 1}, sympy.Integer(0)) if name in extents else ({}, size(name))
        case Negative(operand=operand):
            return affine(Binary("*", Number(-1), operand), extents)
        case Binary(op="+" | "-" as op, left=left, right=right):
            one, other = affine(left, extents), affine(right, extents)
            if one is None or other is None or one[0].keys() & other[0].keys():
                return None
            sign = 1 if op == "+" else -1
            return one[0] | {a: sign * c for a, c in other[0].items()}, one[1] + sign * other[1]
        case Binary(op="*", left=left, right=right):
            one, other = affine(left, extents), affine(right, extents)
            for number, form in ((one, other), (other, one)):
                if number is not None and form is not None and not number[0] and number[1].is_Integer:
                    times = int(number[1])
                    return {a: times * c for a, c in form[0].items() if times}, times * form[1]
    return None
