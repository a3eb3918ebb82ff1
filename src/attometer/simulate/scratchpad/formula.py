"""Compute steps that are expressions, on real float64 tiles; each returns the scalar operations it did and their depth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref
from attometer.schedule.nest import Formula
from attometer.simulate.functions import FUNCTIONS

Array = NDArray[np.float64]
Named: TypeAlias = str | tuple[str, tuple[str, ...]]
"""A tile by its name, or by its name and the axes under which it is read."""
_FOLDS: dict[str, tuple[np.ufunc, float]] = {
    "sum": (np.add, 0.0),
    "prod": (np.multiply, 1.0),
    "max": (np.maximum, -np.inf),
    "min": (np.minimum, np.inf),
}
_ARITHMETIC: dict[str, np.ufunc] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide}


@dataclass
class Evaluation:
    """Where an expression is evaluated: the span of each axis, the tiles by name, those under other axes with these, too.

    What follows the first output, corrected when it has moved, is ready `late` levels after it.
    """

    spans: Mapping[str, tuple[int, int]]
    tiles: Mapping[Named, tuple[Array, tuple[str, ...]]]
    number: Callable[[str], float]
    allowed: NDArray[np.bool_] | None
    pair: tuple[str, str]
    operations: int = 0
    late: int = 0

    def run(self, formula: Formula, out: tuple[Array, ...], axes: tuple[tuple[str, ...], ...]) -> tuple[int, int]:
        """Execute a formula on its outputs; return operations and depth."""
        with np.errstate(all="ignore"):
            if formula.kind == "settle":
                out[0][out[0] == formula.expression.value] = 0.0  # type: ignore[union-attr]
                return 0, 0
            if formula.kind == "scale":
                return self.scale(formula, out[0])
            value, depth = self.value(formula.expression, formula.axes)
            if formula.kind in ("argsort", "topk"):
                return self.sort(formula, value, depth, out[0], axes[0])
            if formula.kind == "scatter":
                return self.scatter(formula, value, depth, out[0], axes[0])
            if formula.kind in _FOLDS:
                depth = self.fold(formula, value, depth, out, axes)
                return self.operations, depth
            value = self.spread(value, formula.axes)
            if formula.kind == "move":
                old = out[0].copy()
                out[0][...] = np.transpose(value, [formula.axes.index(axis) for axis in axes[0]])
                self.correct(formula, old, out, axes)
                return self.operations, depth
            out[0][...] = self.held(value, formula, 0.0)
            return self.operations, depth

    def fold(
        self, formula: Formula, value: Array, depth: int, out: tuple[Array, ...], axes: tuple[tuple[str, ...], ...]
    ) -> int:
        """Fold the points of a formula into the first output and correct the others; return the depth."""
        function, empty = _FOLDS[formula.kind]
        value = self.spread(value, formula.axes)
        value = self.held(value, formula, empty)
        self.operations += value.size
        reduced = tuple(k for k, axis in enumerate(formula.axes) if axis not in axes[0])
        levels: int = sum((value.shape[k] - 1).bit_length() for k in reduced) + 1
        folded = function.reduce(value, axis=reduced) if reduced else value
        kept = [axis for axis in formula.axes if axis in axes[0]]
        old = out[0].copy()
        out[0][...] = function(old, np.transpose(folded, [kept.index(axis) for axis in axes[0]]))
        self.correct(formula, old, out, axes)
        return depth + levels

    def scale(self, formula: Formula, out: Array) -> tuple[int, int]:
        """Multiply an output by a factor, or divide it by what the factor is 1 over; return operations and depth."""
        match formula.expression:
            case Binary(op="/", left=Number(value=1), right=factor):
                function = _ARITHMETIC["/"]
            case factor:
                function = _ARITHMETIC["*"]
        value, depth = self.value(factor, formula.axes)
        out[...] = np.where(out == 0, 0.0, function(out, self.spread(value, formula.axes)))
        return self.operations + out.size, depth + 1

    def sort(self, formula: Formula, value: Array, depth: int, out: Array, axes: tuple[str, ...]) -> tuple[int, int]:
        """Write the positions along the last axis in the order of a key, masked ones last; return operations and depth."""
        value = self.spread(value, formula.axes)
        value = self.held(value, formula, np.inf if formula.kind == "argsort" else -np.inf)
        order = np.argsort(value if formula.kind == "argsort" else -value, axis=-1, kind="stable")
        kept = formula.axes[:-1]
        (new,) = (axis for axis in axes if axis not in kept)
        names = (*kept, new)
        out[...] = np.transpose(order[..., : self.length(new)], [names.index(axis) for axis in axes])
        levels = (self.length(formula.axes[-1]) - 1).bit_length()
        each = (1 << levels) * levels * (levels + 1) // 4
        return self.operations + each * order[..., 0].size, depth + levels * (levels + 1) // 2

    def scatter(self, formula: Formula, value: Array, depth: int, out: Array, axes: tuple[str, ...]) -> tuple[int, int]:
        """Add every point into the place that its tiles name, those outside left out; return operations and depth."""
        value = self.spread(value, formula.axes)
        value = self.held(value, formula, 0.0)
        chosen = dict(formula.places)
        places = []
        for axis in axes:
            if axis in chosen:
                places.append(self.place(chosen[axis], formula.axes).astype(np.int64) - self.spans[axis][0])
            else:
                places.append(_aligned(np.arange(self.length(axis)), (axis,), formula.axes).astype(np.int64))
        at = [np.broadcast_to(p, value.shape) for p in places]
        inside = np.logical_and.reduce([(p >= 0) & (p < size) for p, size in zip(at, out.shape, strict=True)])
        np.add.at(out, tuple(p[inside] for p in at), value[inside])
        summed = [axis for axis in formula.axes if axis not in axes or axis in chosen]
        levels: int = sum((self.length(axis) - 1).bit_length() for axis in summed) + 1
        return self.operations + value.size, depth + levels

    def correct(self, formula: Formula, old: Array, out: tuple[Array, ...], axes: tuple[tuple[str, ...], ...]) -> None:
        """Multiply the other outputs by their factors, each computed once, where the first one has moved."""
        tiles: dict[Named, tuple[Array, tuple[str, ...]]] = {"old": (old, axes[0]), "new": (out[0], axes[0])}
        inner = Evaluation(self.spans, tiles, self.number, None, self.pair)
        factors = {factor: inner.value(factor, axes[0]) for factor in dict.fromkeys(formula.carried)}
        self.operations += inner.operations + sum(target.size for target in out[1:])
        self.late = max((depth + 1 for _, depth in factors.values()), default=0)
        for factor, target, own in zip(formula.carried, out[1:], axes[1:], strict=True):
            value = np.where(out[0] == old, 1.0, self.spread(factors[factor][0], axes[0]))
            target *= _aligned(value, axes[0], own)

    def place(self, node: Expression, axes: tuple[str, ...]) -> Array:
        """Return the positions that an index expression names along `axes`: its names are indices or sizes."""
        match node:
            case Name(name=name) if name in self.spans:
                return _aligned(np.arange(*self.spans[name]), (name,), axes)
            case Negative(operand=operand):
                return -self.place(operand, axes)
            case Binary(op=op, left=left, right=right):
                function = np.floor_divide if op in ("//", "/") else np.mod if op == "%" else _ARITHMETIC[op]
                return np.asarray(function(self.place(left, axes), self.place(right, axes)))
        return self.value(node, axes)[0]

    def found(self, data: Array, own: tuple[str, ...], at: tuple[Expression, ...], axes: tuple[str, ...]) -> Array:
        """Return what a tile holds at places along its axes, 0 outside of them."""
        found = (np.asarray(self.place(part, axes)).astype(np.int64) for part in at)
        places = np.broadcast_arrays(*(place - self.spans[axis][0] for axis, place in zip(own, found, strict=True)))
        inside = np.logical_and.reduce([(p >= 0) & (p < n) for p, n in zip(places, data.shape, strict=True)])
        clipped = tuple(np.clip(p, 0, n - 1) for p, n in zip(places, data.shape, strict=True))
        return np.where(inside, data[clipped], 0.0)

    def spread(self, value: Array, axes: tuple[str, ...]) -> Array:
        """Return values at every place of `axes`."""
        shape = [self.length(axis) for axis in axes]
        return np.broadcast_to(value, shape or [1]).reshape(shape)

    def length(self, axis: str) -> int:
        """Return how many places of an axis are in the tile."""
        low, high = self.spans[axis]
        return high - low

    def held(self, value: Array, formula: Formula, forbidden: float) -> Array:
        """Return the values with those that the mask forbids replaced."""
        if self.allowed is None:
            return value
        query, key = self.pair
        return np.where(_aligned(self.allowed, (query, key), formula.axes), value, forbidden)

    def value(self, node: Expression, axes: tuple[str, ...]) -> tuple[Array, int]:
        """Return an expression's values along `axes`, 1 long where it does not vary, and its depth; 0-d for constants."""
        match node:
            case Number(value=value):
                return np.asarray(float(value)), 0
            case Name(name=name):
                return np.asarray(self.number(name)), 0
            case Position(index=index):
                return _varying(_aligned(np.arange(*self.spans[index], dtype=np.float64), (index,), axes)), 0
            case Ref(tensor=name, indices=indices):
                read = tuple(part.name for part in indices if isinstance(part, Name))
                data, own = self.tiles.get((name, read)) or self.tiles[name]
                if not all(isinstance(part, Name) for part in indices):
                    return _varying(self.found(data, own, indices, axes)), 0
                read = read or own
                return _varying(_aligned(data, read, axes)), 0
            case Negative(operand=operand):
                return self.applied(np.negative, [operand], axes)
            case Binary(op=op, left=left, right=right):
                return self.applied(_ARITHMETIC[op], [left, right], axes)
            case Call(function=function, arguments=arguments):
                return self.applied(FUNCTIONS[function], list(arguments), axes)
        raise AttometerError(f"cannot evaluate {type(node).__name__.lower()}")

    def applied(
        self, function: Callable[..., Array], nodes: list[Expression], axes: tuple[str, ...]
    ) -> tuple[Array, int]:
        """Apply one scalar operation."""
        values, depths = zip(*(self.value(node, axes) for node in nodes), strict=True)
        result = np.asarray(function(*values))
        constant = all(np.ndim(v) == 0 for v in values)
        self.operations += 0 if constant else result.size
        return result, 0 if constant else max(depths) + 1


def _varying(data: Array) -> Array:
    """Return what a tile holds as an array: one of no axes is a constant, which is folded before anything runs."""
    return data.reshape(1) if data.ndim == 0 else data


def _aligned(data: NDArray[np.generic], own: tuple[str, ...], axes: tuple[str, ...]) -> Array:
    """Return `data` with one array axis per entry of `axes`, 1 long where it has none; others of its own are 1 long."""
    gone = tuple(k for k, axis in enumerate(own) if axis not in axes)
    if gone:
        data, own = data.squeeze(gone), tuple(axis for axis in own if axis in axes)
    order = [own.index(axis) for axis in axes if axis in own]
    shape = [data.shape[own.index(axis)] if axis in own else 1 for axis in axes]
    return np.asarray(np.transpose(data, order).reshape(shape))
