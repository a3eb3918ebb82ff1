"""The reference: a float64 NumPy interpreter that executes any Program, one primitive operation at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray

from attometer.errors import AttometerError, unknown
from attometer.mechanisms.subject import Subject, subject
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, Where
from attometer.program.grid import Grid
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.program import Program
from attometer.simulate.functions import FUNCTIONS
from attometer.simulate.sizes import bind

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


def interpret(
    program: Subject,
    arrays: Mapping[str, ArrayLike],
    sizes: Mapping[str, int] | None = None,
    between: Callable[[int, Arrays], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Execute `program` in float64 and return every tensor it computes, by name.

    Entries that a mask forbids are 0, and a row that sees nothing is 0. Reads outside a tensor (such as `t-1` at the
    first step) are 0.

    Args:
        program: what to compute: a Program, a mechanism, its name or its file.
        arrays: one array per input, with the program's shapes.
        sizes: sizes that the arrays' shapes do not tell.
        between: called with the number of each operation before it runs, and with their number at the end, and with all
            arrays so far, of which it may replace some: what other processes hold is added there.

    Returns:
        Arrays by tensor name: float64, or int64 for sorted positions.

    Raises:
        AttometerError: an input is missing, has the wrong shape, or a size cannot be told.

    >>> from attometer.program import parse
    >>> interpret(parse("Y[i] = A[i,j] * X[j]"), {"A": [[1, 2]], "X": [3, 4]})["Y"]
    array([11.])
    """
    program = subject(program).program
    for name in arrays:
        if name not in {t.name for t in program.inputs}:
            raise unknown("input", name, [t.name for t in program.inputs])
    held = {name: _numbers(name, value) for name, value in arrays.items()}
    for tensor in program.inputs:
        if tensor.name not in held:
            raise AttometerError(f'input "{tensor.name}"{_shape_text(tensor)} is missing')
    run = _Run(program, held, bind(program, held, sizes or {}))
    for at, operation in enumerate(program.operations):
        if between is not None:
            between(at, run.arrays)
        run.execute(operation)
    if between is not None:
        between(len(program.operations), run.arrays)
    return {name: array for name, array in run.arrays.items() if name not in arrays}


def _numbers(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return an input as float64, or as it is when it holds integers (positions)."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise AttometerError(f'input "{name}" must be an array of numbers') from None
    if np.issubdtype(array.dtype, np.integer):
        return array
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != np.bool_:
        raise AttometerError(f'input "{name}" must hold numbers, got {array.dtype}')
    return array.astype(np.float64)


def _shape_text(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.extents))}]"


class _Run:
    """The arrays so far, and the sizes as integers."""

    def __init__(self, program: Program, arrays: Arrays, sizes: dict[sympy.Symbol, int]) -> None:
        self.program, self.arrays, self.sizes = program, arrays, sizes
        self.numbers = {symbol: sympy.Integer(value) for symbol, value in sizes.items()}

    def integer(self, value: sympy.Expr) -> int:
        found = value.xreplace(self.numbers)
        if not found.is_Integer:
            raise AttometerError(f"size {value} is {found}, not an integer, at {self._sizes_text()}")
        return int(found)

    def scalar(self, name: str) -> float:
        return float(self.program.size_of(name).xreplace(self.numbers))

    def _sizes_text(self) -> str:
        return ", ".join(f"{k}={v}" for k, v in self.sizes.items())

    def execute(self, operation: Operation) -> None:
        match operation:
            case Recurrence(axis=axis, length=length, steps=steps, step=way):
                for step in steps:
                    self.arrays[step.output.name] = np.zeros(self.shape(step.output))
                for at in range(self.integer(length))[::way]:
                    for step in steps:
                        self.assign(step, {axis: at})
            case Scan():
                self.arrays[operation.output.name] = self.scan(operation)
            case Scatter():
                self.arrays[operation.output.name] = self.scatter(operation)
            case Sort():
                self.arrays[operation.output.name] = self.sort(operation)
            case _:
                self.arrays[operation.output.name] = self.compute(operation, {})

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        return tuple(map(self.integer, tensor.extents))

    def assign(self, step: Einsum | Map | Reduce, fixed: dict[str, int]) -> None:
        value = self.compute(step, fixed)
        where = tuple(fixed.get(i, slice(None)) for i in step.output.indices)
        kept = tuple(0 if i in fixed else slice(None) for i in step.output.indices)
        self.arrays[step.output.name][where] = value[kept]

    def compute(self, operation: Einsum | Map | Reduce, fixed: dict[str, int]) -> NDArray[Any]:
        grid = _Grid(self, dict(operation.extents), operation.where, fixed)
        kept = [list(grid.axes).index(i) for i in operation.output.indices]
        match operation:
            case Einsum(operands=(one, other)):
                return grid.contract(one, other, operation.output.indices)
            case Map(expression=expression):
                value = np.broadcast_to(grid.evaluate(expression), grid.shape)
                held = grid.allowed()
                value = value if held is None else np.where(held, value, 0)
            case Reduce(kind=kind, operand=operand):
                value = grid.evaluate(operand)
                value = grid.fold(kind, np.broadcast_to(value, grid.shape), len(operation.output.indices))
                kept = list(range(len(operation.output.indices)))
        return np.array(np.transpose(value, kept), order="C")  # ascontiguousarray would turn a scalar into [1]

    def sort(self, operation: Sort) -> NDArray[np.int64]:
        grid = _Grid(self, dict(operation.extents), operation.where, {})
        value = np.broadcast_to(grid.evaluate(operation.operand), grid.shape)
        if (seen := grid.allowed()) is not None:
            # What a mask forbids is never among the largest, and last among the smallest.
            value = np.where(seen, value, np.inf if operation.keep is None else -np.inf)
        new = next(i for i in operation.output.indices if i not in grid.axes or i == operation.along)
        order = np.argsort(value if operation.keep is None else -value, axis=-1, kind="stable")
        if operation.keep is not None:
            kept = self.integer(operation.keep)
            order = order[..., :kept]
        names = [*list(grid.axes)[:-1], new]
        return np.transpose(order, [names.index(i) for i in operation.output.indices]).astype(np.int64)

    def scatter(self, operation: Scatter) -> Floats:
        grid = _Grid(self, dict(operation.extents), operation.where, {})
        value = np.broadcast_to(grid.evaluate(operation.operand), grid.shape)
        places = {index: grid.index(place) for index, place in operation.places}
        places |= {i: grid.places[i] for i in operation.output.indices if i not in places}
        at = np.broadcast_arrays(*(places[i] for i in operation.output.indices), np.empty(grid.shape))[:-1]
        found = np.zeros(self.shape(operation.output))
        inside = np.logical_and.reduce([(p >= 0) & (p < size) for p, size in zip(at, found.shape, strict=True)])
        if (seen := grid.allowed()) is not None:
            inside = inside & seen
        np.add.at(found, tuple(p[inside] for p in at), value[inside])
        return found

    def scan(self, operation: Scan) -> Floats:
        grid = _Grid(self, dict(operation.extents), None, {})
        at = operation.output.indices.index(operation.axis)
        term = np.moveaxis(np.broadcast_to(grid.evaluate(operation.term), grid.shape), at, 0)
        decay = np.ones_like(term)
        if operation.decay is not None:
            decay = np.moveaxis(np.broadcast_to(grid.evaluate(operation.decay), grid.shape), at, 0)
        result = np.empty(term.shape)
        state = np.zeros(term.shape[1:])
        for step in range(len(term))[:: operation.step]:
            state = np.maximum(state, term[step]) if operation.kind == "max" else decay[step] * state + term[step]
            result[step] = state
        return np.moveaxis(result, 0, at)


class _Grid(Grid):
    """Arithmetic over an iteration space."""

    def __init__(self, run: _Run, extents: dict[str, sympy.Expr], where: Where | None, fixed: dict[str, int]) -> None:
        super().__init__(run, extents, where, fixed)
        self.run = run

    def evaluate(self, node: Expression) -> NDArray[Any]:
        match node:
            case Number(value=value):
                return np.asarray(float(value))
            case Name(name=name):
                return np.asarray(self.run.scalar(name))
            case Position(index=index):
                return self.places[index].astype(np.float64)
            case Ref():
                return self.read(node)
            case Negative(operand=operand):
                return -self.evaluate(operand)
            case Call(function=function, arguments=arguments):
                with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                    return np.asarray(FUNCTIONS[function](*map(self.evaluate, arguments)))
            case Binary(op=op, left=left, right=right):
                return _arithmetic(op, self.evaluate(left), self.evaluate(right))
        raise AttometerError(f"cannot evaluate {type(node).__name__.lower()}")

    def read(self, ref: Ref) -> NDArray[Any]:
        """Return a tensor's entries over the grid; 0 where an index expression falls outside."""
        array = self.run.arrays[ref.tensor]
        at = [self.index(part) for part in ref.indices]
        inside = [(i >= 0) & (i < size) for i, size in zip(at, array.shape, strict=True)]
        if all(np.all(i) for i in inside):
            return np.asarray(array[tuple(at)])
        held = np.logical_and.reduce(np.broadcast_arrays(*inside))
        clipped = tuple(np.clip(i, 0, max(size - 1, 0)) for i, size in zip(at, array.shape, strict=True))
        return np.where(held, array[clipped], 0)

    def gathered(self, ref: Ref) -> NDArray[np.int64]:
        return self.read(ref).astype(np.int64)

    def contract(self, one: Ref, other: Ref, kept: tuple[str, ...]) -> Floats:
        letters = {name: k for k, name in enumerate(self.axes)}
        operands: list[Any] = []
        for ref in (one, other):
            value = self.read(ref)
            value = value.reshape((1,) * (len(self.shape) - value.ndim) + value.shape)
            used = [k for k, size in enumerate(value.shape) if size == self.shape[k] and size > 1]
            operands += [value.reshape([value.shape[k] for k in used]), used]
        held = self.allowed()
        if held is not None:
            used = [k for k, size in enumerate(held.shape) if size > 1]
            operands += [held.reshape([held.shape[k] for k in used]).astype(np.float64), used]
        # An index of size 1, or one that no operand varies along, still has a place in the output.
        ones = [letters[i] for i in letters if letters[i] not in {u for used in operands[1::2] for u in used}]
        operands += [np.ones([self.shape[k] for k in ones]), ones]
        return np.asarray(np.einsum(*operands, [letters[i] for i in kept], optimize="greedy"), dtype=np.float64)

    def fold(self, kind: str, value: NDArray[Any], kept: int) -> NDArray[Any]:
        axes = tuple(range(kept, len(self.shape)))
        held = self.allowed()
        function, empty = _FOLDS[kind]
        if held is not None:
            value = np.where(held, value, empty)
        result = function(value, axis=axes)
        if held is not None:
            # A row that sees nothing is 0: it has no largest entry and no product.
            result = np.where(np.broadcast_to(held, self.shape).any(axis=axes), result, 0)
        return np.asarray(result)


_FOLDS: dict[str, tuple[Any, float]] = {
    "sum": (np.sum, 0.0),
    "prod": (np.prod, 1.0),
    "max": (np.max, -np.inf),
    "min": (np.min, np.inf),
}


def _arithmetic(op: str, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    match op:
        case "+":
            return np.asarray(left + right)
        case "-":
            return np.asarray(left - right)
        case "*":
            return np.asarray(left * right)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(left / right)
