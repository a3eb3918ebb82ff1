"""Which positions a Program's result depends on, and through how many recurrence steps: its dependence graph at a small n."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.program.expression import Expression, Name, Ref, Where, refs_in
from attometer.program.grid import Grid
from attometer.program.operations import Einsum, Map, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.program import Program
from attometer.program.recurrences import refs_of
from attometer.sizes import size

Steps = NDArray[np.int32]
NEVER = np.int32(1 << 29)
"""Steps between positions that do not depend on one another."""

POSITIONS = (size("n"), size("m"))


def dependence(program: Program, numbers: Mapping[sympy.Expr, sympy.Expr]) -> Steps:
    """Return the recurrence steps from source to target, as an array [target, source]; NEVER where there is no path.

    A sum, a softmax or a prefix scan passes information in 0 steps, a recurrence in one per position. Positions that
    the data choose (a gather or a sort) are taken as able to be any.

    Args:
        program: one layer, whose inputs and outputs have an axis of n positions.
        numbers: an integer for every size symbol; m must equal n.

    Raises:
        AttometerError: no input, or no output, has an axis of n positions.

    >>> from attometer.program import parse
    >>> sums = parse("axis i: n, j: n" + chr(10) + "Y[i] = A[i] * B[j]   where causal(i, j)")
    >>> (dependence(sums, {size("n"): sympy.Integer(3)}) < NEVER).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    walker = _Walker(program, dict(numbers))
    for operation in program.operations:
        walker.visit(operation)
    for tensor in program.outputs:
        if any(e in POSITIONS for e in tensor.extents):
            return walker.between_positions(tensor)
    raise AttometerError("path length needs an output with an axis of n positions")


class _Walker:
    """Steps to every entry of every tensor from every source position: arrays of the tensor's shape, and [source] last."""

    def __init__(self, program: Program, numbers: dict[sympy.Expr, sympy.Expr]) -> None:
        self.program, self.numbers = program, numbers
        self.count = int(numbers[size("n")])
        self.steps: dict[str, Steps] = {t.name: self.source(t) for t in program.inputs}
        self.running: frozenset[str] = frozenset()
        self.axis = ""
        if all((s == NEVER).all() for s in self.steps.values()):
            raise AttometerError("path length needs an input with an axis of n positions")

    def integer(self, value: sympy.Expr) -> int:
        found = value.xreplace(self.numbers)
        if not found.is_Integer:
            raise AttometerError(f"size {value} is {found}, not an integer")
        return int(found)

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        return tuple(map(self.integer, tensor.extents))

    def source(self, tensor: Tensor) -> Steps:
        """Return the steps of an input: position p of its position axis is source p itself. Weights carry no position."""
        steps = np.full((*self.shape(tensor), self.count), NEVER, dtype=np.int32)
        for axis, extent in enumerate(tensor.extents):
            if extent in POSITIONS and tensor.role != "weight":
                for position in range(self.count):
                    steps[(slice(None),) * axis + (position, ..., position)] = 0
                break
        return steps

    def between_positions(self, tensor: Tensor) -> Steps:
        axis = next(k for k, e in enumerate(tensor.extents) if e in POSITIONS)
        steps = np.moveaxis(self.steps[tensor.name], axis, 0)
        return np.asarray(steps.reshape(self.count, -1, self.count).min(axis=1))

    def visit(self, operation: Any) -> None:
        match operation:
            case Recurrence():
                self.recur(operation)
            case Sort(output=output, operand=operand, extents=extents):
                grid = _Grid(self, dict(extents), None, {})
                found = grid.read(operand).min(axis=len(extents) - 1, keepdims=True)
                names = [i for i in output.indices if i in dict(extents) and i != operation.along]
                order = [names.index(i) if i in names else len(names) for i in output.indices]
                found = np.broadcast_to(np.transpose(found, [*order, len(order)]), (*self.shape(output), self.count))
                self.steps[output.name] = np.array(found)
            case Scatter(output=output, places=places, extents=extents):
                # Any entry may be sent anywhere.
                grid = _Grid(self, dict(extents), operation.where, {})
                found = np.minimum.reduce([grid.full_read(r) for r in refs_of(operation)])
                chosen, names = {i for i, _ in places}, list(grid.axes)
                found = found.min(axis=tuple(k for k, i in enumerate(names) if i in operation.summed), keepdims=True)
                kept = [i for i in names if i not in operation.summed]
                found = found.reshape([*(len(grid.axes[i]) for i in kept), self.count])
                shape = [1 if i in chosen else len(grid.axes[i]) for i in output.indices]
                order = [kept.index(i) for i in output.indices if i not in chosen]
                found = np.transpose(found, [*order, len(order)]).reshape([*shape, self.count])
                self.steps[output.name] = np.array(np.broadcast_to(found, (*self.shape(output), self.count)))
            case Scan(output=output, axis=axis, extents=extents):
                grid = _Grid(self, dict(extents), None, {})
                found = np.minimum.reduce([grid.full_read(r) for r in refs_of(operation)])
                along = output.indices.index(axis)
                found = np.flip(found, along) if operation.step < 0 else found
                found = np.minimum.accumulate(found, axis=along)
                self.steps[output.name] = np.flip(found, along) if operation.step < 0 else found
            case _:
                self.steps[operation.output.name] = self.compute(operation, {})

    def recur(self, operation: Recurrence) -> None:
        self.running, self.axis = frozenset(s.output.name for s in operation.steps), operation.axis
        for step in operation.steps:
            self.steps[step.output.name] = np.full((*self.shape(step.output), self.count), NEVER, dtype=np.int32)
        for at in range(self.integer(operation.length))[:: operation.step]:
            for step in operation.steps:
                where = tuple(at if i == operation.axis else slice(None) for i in step.output.indices)
                kept = tuple(0 if i == operation.axis else slice(None) for i in step.output.indices)
                self.steps[step.output.name][where] = self.compute(step, {operation.axis: at})[kept]
        self.running = frozenset()

    def compute(self, operation: Einsum | Map | Reduce, fixed: dict[str, int]) -> Steps:
        grid = _Grid(self, dict(operation.extents), operation.where, fixed)
        found = np.full((*grid.shape, self.count), NEVER, dtype=np.int32)
        for ref in _outer_refs(operation):
            found = np.minimum(found, grid.read(ref))
        allowed = grid.allowed()
        if allowed is not None:
            found = np.where(allowed[..., None], found, NEVER)
        names = list(grid.axes)
        summed = tuple(k for k, name in enumerate(names) if name not in operation.output.indices)
        left = [name for name in names if name in operation.output.indices]
        found = found.min(axis=summed) if summed else found
        return np.transpose(found, [*(left.index(i) for i in operation.output.indices), len(left)])


def _outer_refs(operation: Einsum | Map | Reduce) -> list[Ref]:
    """Return the references an operation reads, without those inside another's index (`read` follows these itself)."""
    refs = refs_of(operation)
    inner = {id(n) for r in refs for part in r.indices for n in refs_in(part)}
    return [r for r in refs if id(r) not in inner]


class _Grid(Grid):
    """Steps over an iteration space."""

    def __init__(
        self, walker: _Walker, extents: dict[str, sympy.Expr], where: Where | None, fixed: dict[str, int]
    ) -> None:
        super().__init__(walker, extents, where, fixed)
        self.walker = walker

    def full_read(self, ref: Ref) -> Steps:
        return np.broadcast_to(self.read(ref), (*self.shape, self.walker.count))

    def read(self, ref: Ref) -> Steps:
        """Return the steps to a tensor's entries over the grid; NEVER outside it."""
        steps = self.walker.steps[ref.tensor]
        at: list[NDArray[np.int64]] = []
        chosen: list[Steps] = []
        for axis, part in enumerate(ref.indices):
            inner = [*refs_in(part)]
            if inner:
                # The data choose this position: it may be any, and depends on what chose it.
                steps = steps.min(axis=axis, keepdims=True)
                chosen += [self.read(node) for node in inner]
            at.append(np.zeros((1,) * len(self.axes), dtype=np.int64) if inner else self.index(part))
        late = int(ref.tensor in self.walker.running and self.walker.axis not in map(_name, ref.indices))
        found = _taken(steps, at) + np.int32(late)
        return reduce(np.minimum, chosen, np.minimum(found, NEVER))


def _name(part: Expression) -> str:
    return part.name if isinstance(part, Name) else ""


def _taken(steps: Steps, at: list[NDArray[np.int64]]) -> Steps:
    if not at:
        return steps
    inside = [(i >= 0) & (i < length) for i, length in zip(at, steps.shape, strict=False)]
    held = np.logical_and.reduce(np.broadcast_arrays(*inside))
    clipped = tuple(np.clip(i, 0, length - 1) for i, length in zip(at, steps.shape, strict=False))
    return np.where(held[..., None], steps[clipped], NEVER)
