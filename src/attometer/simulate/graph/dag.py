"""The computation graph of a Program, built node by node at small sizes: work is its nodes, depth its longest path."""

from collections import Counter
from collections.abc import Mapping
from itertools import product
from typing import TypeAlias

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks.counts import substitute
from attometer.program.conditions import check_conditions
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, refs_in
from attometer.program.grid import index_value
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.program import Program
from attometer.program.size_expressions import size_in
from attometer.simulate.graph.networks import FREE, Graph, bitonic, prefix, tournament, tree
from attometer.sizes import as_size, size

Reader: TypeAlias = tuple[int, str, tuple[int, ...]]
"""Which of a point's reads it is, of which tensor, where."""


def graph(program: Program, sizes: Mapping[str, int], memory: bool = False, exclusive: bool = False) -> Graph:
    """Build the computation graph of `program` at `sizes`, every scalar operation one node, sums as balanced trees.

    Args:
        program: what is computed.
        sizes: an integer for every size symbol.
        memory: also one node to load each input entry and to store each output entry.
        exclusive: one reader at a time (EREW): within an operation, k readers of an entry wait for its k - 1 copies.

    Returns:
        The graph; `work` and `span` are measured on it.

    Raises:
        AttometerError: a size is missing, or the graph has more than two million nodes.

    >>> from attometer.program import parse
    >>> g = graph(parse("Y[i,k] = A[i,j] * B[j,k]"), {"i": 2, "j": 4, "k": 3})
    >>> g.work, g.span
    (42, 3)
    """
    numbers = {size(k): as_size(v, f"size {k}") for k, v in sizes.items()}
    missing = sorted(str(s) for s in program.symbols if s not in numbers)
    if missing:
        raise AttometerError(f"size {', '.join(missing)} is missing")
    check_conditions(program, numbers)
    builder = _Builder(program, numbers, memory, exclusive)
    for operation in program.operations:
        builder.execute(operation)
    if memory:
        for tensor in program.outputs:
            builder.store(tensor)
    return builder.graph


class _Builder:
    """Node numbers per tensor entry, while operations are unrolled."""

    def __init__(
        self, program: Program, numbers: dict[sympy.Symbol, sympy.Expr], memory: bool, exclusive: bool
    ) -> None:
        self.program, self.numbers, self.exclusive, self.graph = program, numbers, exclusive, Graph()
        self.readers: Counter[Reader] | None = None
        self.copies: dict[Reader, int] = {}
        self.reads = 0
        self.arrays: dict[str, NDArray[np.int64]] = {}
        for tensor in program.inputs:
            entries = np.full(self.shape(tensor.extents), FREE)
            if memory:
                entries = np.array([self.graph.node() for _ in entries.flat], dtype=np.int64).reshape(entries.shape)
            self.arrays[tensor.name] = entries

    def shape(self, extents: tuple[sympy.Expr, ...]) -> tuple[int, ...]:
        return tuple(int(e.xreplace(self.numbers)) for e in extents)

    def store(self, tensor: Tensor) -> None:
        array = self.arrays[tensor.name]
        held = np.ones(array.shape, dtype=bool)
        if tensor.where is not None:
            extents = dict(zip(tensor.indices, array.shape, strict=True))
            mask = substitute(tensor.where.mask, dict(self.numbers))
            seen = mask.matrix(extents[tensor.where.query], extents[tensor.where.key])
            at = [tensor.indices.index(tensor.where.query), tensor.indices.index(tensor.where.key)]
            seen = seen if at[0] < at[1] else seen.T
            held = np.broadcast_to(np.expand_dims(seen, [k for k in range(array.ndim) if k not in at]), array.shape)
        for entry in array[held]:
            self.graph.node(int(entry))

    def execute(self, operation: Operation) -> None:
        match operation:
            case Recurrence(axis=axis, length=length, steps=steps, step=way):
                for step in steps:
                    self.arrays[step.output.name] = np.full(self.shape(step.output.extents), FREE)
                for at in range(int(length.xreplace(self.numbers)))[::way]:
                    for step in steps:
                        self.unroll(step, {axis: at})
            case Scan():
                self.scan(operation)
            case Scatter():
                self.scatter(operation)
            case Sort():
                self.sort(operation)
            case _:
                self.arrays[operation.output.name] = np.full(self.shape(operation.output.extents), FREE)
                self.unroll(operation, {})

    def unroll(
        self, operation: Einsum | Map | Reduce, fixed: dict[str, int], waits: tuple[Expression, ...] = ()
    ) -> None:
        extents = {i: int(e.xreplace(self.numbers)) for i, e in operation.extents}
        seen = None
        if operation.where is not None:
            mask = substitute(operation.where.mask, dict(self.numbers))
            seen = mask.matrix(extents[operation.where.query], extents[operation.where.key])
        kept = operation.output.indices
        leaves: dict[tuple[int, ...], list[int]] = {}
        ranges = [[fixed[i]] if i in fixed else range(s) for i, s in extents.items()]
        points = [dict(zip(extents, values, strict=True)) for values in product(*ranges)]
        if seen is not None and operation.where:
            points = [at for at in points if seen[at[operation.where.query], at[operation.where.key]]]
        if self.exclusive:
            self.broadcast(operation, points)
        for at in points:
            leaf = self.point(operation, at)
            positions = [self.read(n, at) for part in waits for n in refs_in(part)]
            leaf = self.graph.wait(leaf, *positions) if positions else leaf
            leaves.setdefault(tuple(at[i] for i in kept), []).append(leaf)
        self.copies = {}
        array = self.arrays[operation.output.name]
        for place, nodes in leaves.items():
            array[place] = tree(self.graph, nodes)

    def broadcast(self, operation: Einsum | Map | Reduce, points: list[dict[str, int]]) -> None:
        """Copy every entry until each of its readers has one; all wait for the last copy."""
        built, self.graph, self.readers = self.graph, Graph(), Counter()
        for at in points:
            self.point(operation, at)
        self.graph, readers, self.readers = built, self.readers, None
        for reader, count in readers.items():
            cells = [self.entry(reader[1], reader[2])]
            while len(cells) < count:
                # The newest are copied, so that the last copy is as deep as the tree.
                more = min(len(cells), count - len(cells))
                cells += [self.graph.node(cell) for cell in cells[-more:]]
            self.copies[reader] = cells[-1]

    def point(self, operation: Einsum | Map | Reduce, at: dict[str, int]) -> int:
        self.reads = 0
        match operation:
            case Einsum(operands=(one, other)):
                return self.graph.node(self.read(one, at), self.read(other, at))
            case Map(expression=expression):
                return self.value(expression, at)
            case Reduce(operand=operand):
                return self.read(operand, at)

    def value(self, node: Expression, at: dict[str, int]) -> int:
        match node:
            case Number() | Name() | Position():
                return FREE
            case Ref():
                return self.read(node, at)
            case Negative(operand=operand):
                return self.scalar_or_node(operand, self.value(operand, at))
            case Call(arguments=arguments):
                return self.scalar_or_node(node, *(self.value(a, at) for a in arguments))
            case Binary(op="+" | "*" as op):
                terms = _terms(node, op)
                return self.chain(terms, at)
            case Binary(left=left, right=right):
                return self.scalar_or_node(node, self.value(left, at), self.value(right, at))
        raise AttometerError(f"cannot unroll {type(node).__name__.lower()}")

    def chain(self, terms: list[Expression], at: dict[str, int]) -> int:
        varying = [self.value(t, at) for t in terms if _varies(t)]
        if not varying:
            return FREE
        # Constants are multiplied together before anything runs; together they are one operand.
        return tree(self.graph, varying + ([FREE] if len(varying) < len(terms) else []))

    def scalar_or_node(self, node: Expression, *parents: int) -> int:
        return self.graph.node(*parents) if _varies(node) else FREE

    def read(self, ref: Ref, at: dict[str, int]) -> int:
        place = tuple(self.index(part, at) for part in ref.indices)
        self.reads += 1
        reader = (self.reads, ref.tensor, place)
        if self.readers is not None:
            self.readers[reader] += 1
            return FREE
        entry = self.copies.get(reader, self.entry(ref.tensor, place))
        # A gather reads where data says: it waits for the position.
        positions = [self.read(n, at) for part in ref.indices for n in refs_in(part)]
        if positions and self.exclusive:
            raise AttometerError(f'a gather of "{ref.tensor}" has as many readers of an entry as data says')
        return self.graph.wait(entry, *positions) if positions else entry

    def entry(self, tensor: str, place: tuple[int, ...]) -> int:
        array = self.arrays[tensor]
        return int(array[place]) if all(0 <= p < s for p, s in zip(place, array.shape, strict=True)) else FREE

    def index(self, part: Expression, at: dict[str, int]) -> int:
        # Which entry is gathered depends on data; any one of them has the same cost.
        return index_value(part, at, self.scalar, lambda _: 0)

    def scalar(self, node: Expression) -> int:
        return int(size_in(node, self.program.size_of).xreplace(self.numbers))

    def scatter(self, operation: Scatter) -> None:
        """Which place is filled depends on data: here all of them are the first."""
        name, fold = operation.output.name, operation.together
        self.arrays[name] = np.full(self.shape(fold.output.extents), FREE)
        self.unroll(fold, {}, tuple(place for _, place in operation.places))
        filled, array = self.arrays[name], np.full(self.shape(operation.output.extents), FREE)
        chosen = {index for index, _ in operation.places}
        array[tuple(0 if i in chosen else slice(None) for i in operation.output.indices)] = filled
        self.arrays[name] = array

    def sort(self, operation: Sort) -> None:
        """A bitonic sorting network over the next power of two (Batcher 1968), or a tournament of as many."""
        extents = {i: int(e.xreplace(self.numbers)) for i, e in operation.extents}
        rest = [i for i in extents if i != operation.along]
        new = next(i for i in operation.output.indices if i not in rest)
        array = np.full(self.shape(operation.output.extents), FREE)
        length = 1 << (extents[operation.along] - 1).bit_length()
        for values in product(*(range(extents[i]) for i in rest)):
            at = dict(zip(rest, values, strict=True))
            wires = [
                self.read(operation.operand, at | {operation.along: j}) if j < extents[operation.along] else FREE
                for j in range(length)
            ]
            kept = array.shape[operation.output.indices.index(new)]
            if operation.tournament:
                wires = tournament(self.graph, wires, kept)
            else:
                bitonic(self.graph, wires)
            for place in range(kept):
                array[tuple((at | {new: place})[i] for i in operation.output.indices)] = wires[place]
        self.arrays[operation.output.name] = array

    def scan(self, operation: Scan) -> None:
        extents = {i: int(e.xreplace(self.numbers)) for i, e in operation.extents}
        rest = [i for i in extents if i != operation.axis]
        array = np.full(self.shape(operation.output.extents), FREE)
        for values in product(*(range(extents[i]) for i in rest)):
            at = dict(zip(rest, values, strict=True))
            items, places = [], range(extents[operation.axis])[:: operation.step]
            for t in places:
                here = at | {operation.axis: t}
                decay = FREE if operation.decay is None else self.read(operation.decay, here)
                items.append((decay, self.read(operation.term, here)))
            for t, (_, total) in zip(places, prefix(self.graph, items, operation.decay is not None), strict=True):
                array[tuple((at | {operation.axis: t})[i] for i in operation.output.indices)] = total
        self.arrays[operation.output.name] = array


def _terms(node: Expression, op: str) -> list[Expression]:
    if isinstance(node, Binary) and node.op == op:
        return _terms(node.left, op) + _terms(node.right, op)
    return [node]


def _varies(node: Expression) -> bool:
    match node:
        case Ref() | Position():
            return True
        case Negative(operand=operand):
            return _varies(operand)
        case Call(arguments=arguments):
            return any(map(_varies, arguments))
        case Binary(left=left, right=right):
            return _varies(left) or _varies(right)
    return False
