"""Executes a Program with PyTorch, every sum of products as torch.einsum, so that PyTorch's own counter can watch."""

import math
from typing import Any

import numpy as np
import sympy
import torch

from attometer.masks.counts import substitute
from attometer.program import Program
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, Where, walk
from attometer.program.indices import indices_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort
from attometer.program.size_expressions import to_size
from attometer.sizes import size

CALLS: dict[str, Any] = {
    name: getattr(torch, name)
    for name in [
        "exp",
        "log",
        "sqrt",
        "rsqrt",
        "tanh",
        "sigmoid",
        "relu",
        "cos",
        "sin",
        "sign",
        "abs",
        "square",
        "erf",
        "floor",
        "maximum",
        "minimum",
        "pow",
    ]
} | {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "softplus": torch.nn.functional.softplus,
    "less": lambda x, y: torch.less(x, y).to(torch.float64),
    "equal": lambda x, y: torch.eq(x, y).to(torch.float64),
}
FOLDS: dict[str, tuple[Any, float]] = {
    "sum": (lambda x, axes: x.sum(axes), 0.0),
    "prod": (lambda x, axes: x.flatten(axes[0]).prod(-1), 1.0),
    "max": (lambda x, axes: x.amax(axes), -math.inf),
    "min": (lambda x, axes: x.amin(axes), math.inf),
}


def execute(program: Program, arrays: dict[str, np.ndarray], sizes: dict[str, int]) -> dict[str, torch.Tensor]:
    """Return every tensor the program computes, in float64."""
    run = Executor(program, {size(k): sympy.Integer(v) for k, v in sizes.items()})
    for name, array in arrays.items():
        found = torch.as_tensor(np.asarray(array))
        run.tensors[name] = found if not found.is_floating_point() else found.double()
    for operation in program.operations:
        run.execute(operation)
    return run.tensors


class Executor:
    def __init__(self, program: Program, numbers: dict[sympy.Symbol, sympy.Integer]) -> None:
        self.program, self.numbers = program, numbers
        self.tensors: dict[str, torch.Tensor] = {}

    def number(self, value: sympy.Expr) -> int:
        return int(value.xreplace(self.numbers))

    def execute(self, operation: Operation) -> None:
        match operation:
            case Recurrence(axis=axis, length=length, steps=steps, step=way):
                for step in steps:
                    self.tensors[step.output.name] = torch.zeros(
                        [self.number(e) for e in step.output.extents], dtype=torch.float64
                    )
                for at in range(self.number(length))[::way]:
                    for step in steps:
                        where = tuple(at if i == axis else slice(None) for i in step.output.indices)
                        kept = tuple(0 if i == axis else slice(None) for i in step.output.indices)
                        self.tensors[step.output.name][where] = self.compute(step, {axis: at})[kept]
            case Scan(output=output, axis=axis, term=term, decay=decay, kind=kind):
                grid = Grid(self, operation.extents, None, {})
                at = output.indices.index(axis)
                terms = grid.read(term).expand(grid.shape).movedim(at, 0)
                decays = torch.ones_like(terms) if decay is None else grid.read(decay).expand(grid.shape).movedim(at, 0)
                state, found = torch.zeros_like(terms[0]), []
                for x, a in list(zip(terms, decays, strict=True))[:: operation.step]:
                    state = torch.maximum(state, x) if kind == "max" else a * state + x
                    found.append(state)
                self.tensors[output.name] = torch.stack(found[:: operation.step]).movedim(0, at)
            case Sort(output=output, operand=operand, along=along, keep=keep):
                grid = Grid(self, operation.extents, operation.where, {})
                value = grid.read(operand).expand(grid.shape)
                if (held := grid.allowed()) is not None:
                    value = torch.where(held, value, torch.inf if keep is None else -torch.inf)
                order = torch.argsort(value, dim=-1, descending=keep is not None, stable=True)
                order = order if keep is None else order[..., : self.number(keep)]
                new = next(i for i in output.indices if i not in grid.full or i == along)
                names = [*list(grid.full)[:-1], new]
                self.tensors[output.name] = order.permute([names.index(i) for i in output.indices])
            case Scatter(output=output, operand=operand, places=places):
                grid = Grid(self, operation.extents, operation.where, {})
                value = grid.read(operand).expand(grid.shape)
                held = grid.allowed()
                value = value if held is None else torch.where(held, value, torch.zeros_like(value))
                at = {i: grid.index(place) for i, place in places}
                at = [(at[i] if i in at else grid.positions(i)).expand(grid.shape) for i in output.indices]
                found = torch.zeros([self.number(e) for e in output.extents], dtype=torch.float64)
                self.tensors[output.name] = found.index_put(tuple(at), value, accumulate=True)
            case _:
                self.tensors[operation.output.name] = self.compute(operation, {})

    def compute(self, operation: Einsum | Map | Reduce, fixed: dict[str, int]) -> torch.Tensor:
        grid = Grid(self, operation.extents, operation.where, fixed)
        output = operation.output.indices
        names = list(grid.full)
        held = grid.allowed()
        match operation:
            case Einsum(operands=operands):
                found = grid.contract(operands, output)
                if held is not None and {operation.where.query, operation.where.key} <= set(output):
                    order = [names.index(i) for i in output]
                    rest = [k for k in range(len(names)) if k not in order]
                    found = torch.where(held.permute(order + rest).reshape([held.shape[k] for k in order]), found, 0.0)
                return found
            case Map(expression=expression):
                value = grid.evaluate(expression).expand(grid.shape)
                value = value if held is None else torch.where(held, value, torch.zeros_like(value))
                return value.permute([names.index(i) for i in output]).contiguous()
        function, empty = FOLDS[operation.kind]
        value = grid.read(operation.operand).expand(grid.shape)
        value = value if held is None else torch.where(held, value, empty)
        folded = function(value, tuple(range(len(output), len(names))))
        return torch.where(torch.isinf(folded), 0.0, folded) if held is not None else folded


class Grid:
    """One axis per index of an operation; indices in `fixed` have a single value."""

    def __init__(self, run: Executor, extents: Any, where: Where | None, fixed: dict[str, int]) -> None:
        self.run, self.where = run, where
        self.full = {i: run.number(e) for i, e in extents}
        self.axes = {i: torch.tensor([fixed[i]]) if i in fixed else torch.arange(s) for i, s in self.full.items()}
        self.shape = [len(a) for a in self.axes.values()]

    def positions(self, index: str) -> torch.Tensor:
        return self.axes[index].reshape([-1 if name == index else 1 for name in self.axes])

    def allowed(self) -> torch.Tensor | None:
        if self.where is None:
            return None
        mask = substitute(self.where.mask, dict(self.run.numbers))
        seen = torch.as_tensor(mask.matrix(self.full[self.where.query], self.full[self.where.key]))
        return seen[self.positions(self.where.query), self.positions(self.where.key)]

    def index(self, part: Expression) -> torch.Tensor:
        match part:
            case Name(name=name) if name in self.axes:
                return self.positions(name)
            case Ref():
                return self.read(part).long()
            case Binary(op="+", left=left, right=right):
                return self.index(left) + self.index(right)
            case Binary(op="-", left=left, right=right):
                return self.index(left) - self.index(right)
            case Binary(op=op, left=left, right=right):
                scale = self.scalar(right)
                return {"*": torch.mul, "//": torch.floor_divide, "/": torch.floor_divide, "%": torch.remainder}[op](
                    self.index(left), scale
                )
        return torch.tensor(self.scalar(part))

    def scalar(self, node: Expression) -> int:
        names = {n.name for n in walk(node) if isinstance(n, Name)}
        return self.run.number(to_size(node, {name: self.run.program.size_of(name) for name in names}))

    def read(self, ref: Ref) -> torch.Tensor:
        array = self.run.tensors[ref.tensor]
        at = [self.index(part) for part in ref.indices]
        if not at:
            return array.reshape([1] * len(self.shape))
        held = torch.ones([1] * len(self.shape), dtype=torch.bool)
        for place, extent in zip(at, array.shape, strict=True):
            held = held & (place >= 0) & (place < extent)
        found = array[tuple(p.clamp(0, max(s - 1, 0)) for p, s in zip(at, array.shape, strict=True))]
        found = found.reshape([1] * (len(self.shape) - found.dim()) + list(found.shape))
        return found if bool(held.all()) else torch.where(held, found, torch.zeros_like(found))

    def evaluate(self, node: Expression) -> torch.Tensor:
        match node:
            case Number(value=value):
                return torch.tensor(float(value), dtype=torch.float64)
            case Name(name=name):
                value = self.run.program.size_of(name).xreplace(self.run.numbers)
                return torch.tensor(float(value), dtype=torch.float64)
            case Position(index=index):
                return self.positions(index).double()
            case Ref():
                return self.read(node)
            case Negative(operand=operand):
                return -self.evaluate(operand)
            case Call(function=function, arguments=arguments):
                return CALLS[function](*map(self.evaluate, arguments))
            case Binary(op=op, left=left, right=right):
                return {"+": torch.add, "-": torch.sub, "*": torch.mul, "/": torch.div}[op](
                    self.evaluate(left), self.evaluate(right)
                )
        raise TypeError(f"cannot evaluate {node}")

    def contract(self, operands: tuple[Ref, Ref], output: tuple[str, ...]) -> torch.Tensor:
        letters = {name: chr(ord("a") + k) for k, name in enumerate(self.axes)}
        terms, texts = [], []
        for ref in operands:
            value = self.read(ref)
            used = [k for k, name in enumerate(self.axes) if name in indices_of(ref)]
            shape = [extent if k in used else 1 for k, extent in enumerate(self.shape)]
            terms.append(value.expand(shape).reshape([self.shape[k] for k in used]))
            texts.append("".join(letters[list(self.axes)[k]] for k in used))
        return torch.einsum(f"{','.join(texts)}->{''.join(letters[i] for i in output)}", *terms)
