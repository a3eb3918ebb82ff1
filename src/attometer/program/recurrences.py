"""Statements that read an earlier step of themselves: which operations must run step by step, and which need not."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Expression, Name, Ref, refs_in, walk
from attometer.program.indices import look_of, step_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor

Op = TypeVar("Op", bound=Operation)


def reads(expression: Expression) -> set[str]:
    """Return the names that an expression may read: references, and bare names that may be tensors."""
    return {n.tensor for n in refs_in(expression)} | {n.name for n in walk(expression) if isinstance(n, Name)}


def group_steps(operations: list[Operation], made: set[str], tensors: dict[str, Tensor]) -> list[Operation]:
    """Return the operations of one group of statements with those on a cycle gathered into a Recurrence."""
    position = {op.output.name: k for k, op in enumerate(operations)}
    edges = {k: {position[n] for n in _operand_names(op) if n in position} for k, op in enumerate(operations)}
    before = _closure(edges)
    looping = [k for k in edges if k in before[k] and not isinstance(operations[k], Scan)]
    if not looping:
        return [operations[k] for k in _ordered(list(edges), before)]
    first = [k for k in edges if k not in looping and not before[k] & set(looping)]
    rest = [k for k in edges if k not in looping and before[k] & set(looping)]
    loop = _recurrence([operations[k] for k in looping], made, tensors)
    return [*(operations[k] for k in _ordered(first, before)), loop, *(operations[k] for k in _ordered(rest, before))]


def _ordered(some: list[int], before: dict[int, set[int]]) -> list[int]:
    """Return operations in an order in which each follows what it depends on: a look back may be at a later statement."""
    left, done = list(some), list[int]()
    while left:
        done.append(next((k for k in left if not (before[k] & {*left}) - {k}), left[0]))
        left.remove(done[-1])
    return done


def _closure(edges: dict[int, set[int]]) -> dict[int, set[int]]:
    """Return, for each operation, every operation it depends on."""
    found = {}
    for start in edges:
        seen: set[int] = set()
        todo = list(edges[start])
        while todo:
            at = todo.pop()
            if at not in seen:
                seen.add(at)
                todo.extend(edges[at])
        found[start] = seen
    return found


def refs_of(operation: Operation) -> list[Ref]:
    """Return the tensor references an operation reads."""
    match operation:
        case Einsum(operands=operands):
            return [n for ref in operands for n in refs_in(ref)]
        case Map(expression=expression):
            return [*refs_in(expression)]
        case Reduce(operand=operand) | Sort(operand=operand):
            return [*refs_in(operand)]
        case Scatter(operand=operand, places=places):
            return [n for node in (operand, *(place for _, place in places)) for n in refs_in(node)]
        case Scan(term=term, decay=decay):
            return [term] if decay is None else [term, decay]
        case Recurrence(steps=steps):
            return [ref for step in steps for ref in refs_of(step)]


def with_expressions(operation: Op, change: Callable[[Expression], Expression]) -> Op:
    """Return a map, a product or a reduction that computes from what `change` makes of its expressions; others as they are."""
    match operation:
        case Einsum(operands=(one, other)):
            return replace(operation, operands=(change(one), change(other)))  # type: ignore[arg-type]
        case Map(expression=expression):
            return replace(operation, expression=change(expression))
        case Reduce(operand=operand):
            return replace(operation, operand=change(operand))  # type: ignore[arg-type]
    return operation


def _operand_names(operation: Operation) -> set[str]:
    return {ref.tensor for ref in refs_of(operation)}


def _recurrence(steps: list[Operation], made: set[str], tensors: dict[str, Tensor]) -> Recurrence:
    names = {s.output.name for s in steps}
    each = [found for s in steps for r in refs_of(s) if r.tensor in names and (found := _looks(s, r, tensors))]
    # X[s, t] under strict(s, t) looks along t or along s: what all reads have in common tells.
    looks = set.intersection(*each) if each else set()
    looks = looks if len(looks) == 1 else set().union(*each)
    label = steps[-1].output.name
    if len(looks) != 1:
        told = sorted({i for i, _ in looks}) or "none"
        both = len(looks) > len({i for i, _ in looks})
        raise AttometerError(
            f'recurrence "{label}" must look back along one index, got {told}{" in both directions" if both else ""}'
        )
    axis, look = looks.pop()
    plain: list[Einsum | Map | Reduce] = []
    done: set[str] = set()
    for step in steps:
        if not isinstance(step, Einsum | Map | Reduce):
            raise AttometerError(f'recurrence "{label}" may not contain a {type(step).__name__.lower()}')
        if axis not in step.output.indices:
            raise AttometerError(f'recurrence "{label}": operation "{step.output.name}" has no index "{axis}"')
        for ref in refs_of(step):
            if ref.tensor in names and ref.tensor not in done and (axis, look) not in _looks(step, ref, tensors):
                raise AttometerError(f'statement "{step.output.name}" reads "{ref.tensor}" before it is computed')
        done.add(step.output.name)
        plain.append(step)
    length: sympy.Expr = dict(plain[0].extents)[axis]
    way = "" if look < 0 else " from the last"
    return Recurrence(axis, length, tuple(plain), f"for {axis}{way}: {'; '.join(s.output.name for s in plain)}", -look)


def _looks(step: Operation, ref: Ref, tensors: dict[str, Tensor]) -> set[tuple[str, int]]:
    where = None if isinstance(step, Recurrence | Scan) else step.where
    found = {
        look
        for own, part in zip(tensors[ref.tensor].indices, ref.indices, strict=True)
        if (look := look_of(part, own, where))
    }
    # What a step reads at its own place is no look back.
    return found if not any(step_of(p) for p in ref.indices) else {look for p in ref.indices if (look := step_of(p))}


def earlier_places(operation: Operation) -> list[Ref]:
    """Return what the steps of a recurrence read at all earlier places, not only at the one before."""
    if not isinstance(operation, Recurrence):
        return []
    at = {step.output.name: step.output.indices.index(operation.axis) for step in operation.steps}
    own = Name(operation.axis)
    found = [(ref, ref.indices[at[ref.tensor]]) for ref in refs_of(operation) if ref.tensor in at]
    return [ref for ref, part in found if isinstance(part, Name) and part != own]
