"""One Program on many ranks: some of its axes cut, and the collectives that its contractions then need."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TypeAlias

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import (
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    refs_in,
    walk,
)
from attometer.program.indices import indices_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.program import Program
from attometer.program.recurrences import refs_of

# Functions that are 0 at 0: what one rank holds and the others have as 0 stays so.
_ZERO_AT_ZERO = frozenset({"silu", "gelu", "relu", "square", "tanh", "sqrt", "abs"})
# Composites divide by the length of the axis, or keep its statistics to themselves.
_WHOLE_AXIS = frozenset({"rmsnorm", "layernorm", "mean", "topk", "select", "argsort", "prod"})


@dataclass(frozen=True)
class Cut:
    """The index `axis` in `pieces` over the mesh dimension `over`.

    A `padded` axis may end in entries that are nowhere; a `shared` one that is shorter than the pieces stands on several
    ranks alike, as key/value heads do below the tensor degree.
    """

    axis: str
    pieces: int
    over: str = "tp"
    padded: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Collective:
    """`kind` of `tensor` over the ranks of all of `over`, before operation number `at`; scattered or gathered along `axis`."""

    kind: str
    tensor: str
    over: tuple[str, ...]
    at: int
    axis: str | None = None


Owners: TypeAlias = frozenset[str] | None
"""Of a tensor that is the sum of what the ranks hold: the indices that say which single rank holds an entry; None: all do."""
State: TypeAlias = Mapping[str, Owners]
"""By mesh dimension, what a tensor is there; a dimension that is absent holds it whole, or its slices."""


class Held(Enum):
    """What else a tensor can be over a mesh dimension: `WHOLE` or its slice, or a function of a sum that is no sum."""

    WHOLE = 0
    NOT_LINEAR = 1


Kind: TypeAlias = Owners | Held
Holds: TypeAlias = Callable[[Ref], Kind]


@dataclass(frozen=True)
class Sharded:
    """A program with axes cut; `left` are results that are still sums over ranks, `collectives` what it needs on the way.

    `once` are terms (result, term, mesh dimension) that are added to a sum over ranks, as a bias is: on the first one alone.
    """

    whole: Program
    cuts: tuple[Cut, ...]
    collectives: tuple[Collective, ...]
    once: tuple[tuple[str, Expression, str], ...] = ()
    left: tuple[tuple[str, tuple[tuple[str, Owners], ...]], ...] = ()

    def pieces(self, axis: str) -> int:
        """Return into how many different slices an axis is cut (1: every rank has all of it)."""
        cut = next((c for c in self.cuts if c.axis == axis), None)
        return 1 if cut is None else min(cut.pieces, _length(self.whole, axis))

    def slice_of(self, axis: str, place: Mapping[str, int]) -> tuple[int, int, int]:
        """Return where a rank's slice of an axis begins, where it ends, and its length with padding."""
        cut = next(c for c in self.cuts if c.axis == axis)
        size, rank = _length(self.whole, axis), place.get(cut.over, 0)
        local = -(-size // cut.pieces)
        start = min(rank * local if size >= cut.pieces else rank * size // cut.pieces, size)
        return start, min(start + local, size), local

    @cached_property
    def program(self) -> Program:
        """The program of the first rank: what it costs is what each rank spends."""
        return self.local({})

    def local(self, place: Mapping[str, int]) -> Program:
        """Return the program of the rank at `place` (mesh dimension → number): its slices, and positions where they lie."""
        if not self.cuts:
            return self.whole
        starts = {c.axis: self.slice_of(c.axis, place) for c in self.cuts}
        axes = dict(self.whole.axes) | {axis: sympy.Integer(local) for axis, (_, _, local) in starts.items()}
        rewritten = _Rewrite(self.whole, {axis: start for axis, (start, _, _) in starts.items()})
        absent = {(tensor, term) for tensor, term, over in self.once if place.get(over, 0)}
        statements = tuple(
            s.saying(rewritten.expression(_without(s.expression, s.tensor, absent)), s.where)
            for s in self.whole.statements
        )
        return Program(statements, tuple(axes.items()), self.whole.declarations)

    def cut_axes(self, tensor: Tensor) -> dict[int, str]:
        """Return the positions of a tensor's axes that are cut, with the axis."""
        cut = {c.axis for c in self.cuts}
        return {k: index for k, index in enumerate(tensor.indices) if index in cut}


def shard_program(
    program: Program,
    cuts: Iterable[Cut],
    given: Mapping[str, State] | None = None,
    leave: Collection[str] = (),
    sequence: Mapping[str, str] | None = None,
    whole: Mapping[str, tuple[str, str]] | None = None,
) -> Sharded:
    """Return `program` with axes cut and the collectives that follow from which index is contracted, looked up or kept.

    A sum over a cut axis is a sum over ranks: it is reduced before anything that is not linear in it, and at the end. A
    look-up along a cut axis finds its entry on one rank and 0 on the others.

    Args:
        program: what is computed, with numbers for the axes that are cut.
        cuts: the axes.
        given: inputs that are sums over ranks already.
        leave: results that stay sums over ranks.
        sequence: by mesh dimension, the index along which what its ranks would hold alike is shared instead: inputs are
            gathered, results scattered.
        whole: inputs that arrive in slices and are gathered first: tensor → (index, mesh dimension).

    Raises AttometerError naming the axis and the degree of what does not divide or cannot be cut.

    >>> from attometer.program import parse
    >>> row = parse("axis i: n, c: 8, o: 4" + chr(10) + "weight W[c,o]" + chr(10) + "Y[i,o] = X[i,c] * W[c,o]")
    >>> found = shard_program(row, [Cut("c", 2)])
    >>> found.program.shape("W"), [(c.kind, c.tensor) for c in found.collectives]
    ((4, 4), [('all_reduce', 'Y')])
    """
    chosen = tuple(c for c in cuts if c.pieces > 1 and _has(program, c.axis))
    for cut in chosen:
        _check(program, cut)
    flow = _Flow(program, chosen, dict(given or {}), sequence or {})
    flow.gather_inputs(whole or {})
    for at, operation in enumerate(program.operations):
        flow.operation(at, operation)
    return flow.finish(frozenset(leave))


def _has(program: Program, axis: str) -> bool:
    return any(axis in tensor.indices for tensor in program.tensors.values())


def _length(program: Program, axis: str) -> int:
    size = program.size_of(axis)
    if not size.is_Integer:
        raise AttometerError(f'axis "{axis}" has the size {size}; only an axis of known size is cut')
    return int(size)


def _check(program: Program, cut: Cut) -> None:
    size = _length(program, cut.axis)
    if cut.padded or size % cut.pieces == 0 or (cut.shared and cut.pieces % size == 0):
        return
    shared = f", nor {size} it" if cut.shared else ""
    raise AttometerError(f'{cut.over} {cut.pieces} does not divide axis "{cut.axis}" of size {size}{shared}')


class _Flow:
    """Follows through the operations which tensors are sums over ranks, and puts collectives where one must be whole."""

    def __init__(self, program: Program, cuts: tuple[Cut, ...], states: dict[str, State], sequence: Mapping[str, str]):
        self.program, self.cuts, self.states, self.sequence = program, cuts, states, sequence
        self.axes: dict[str, set[str]] = {}
        for cut in cuts:
            self.axes.setdefault(cut.over, set()).add(cut.axis)
        self.repeated = {c.axis for c in cuts if _length(program, c.axis) < c.pieces}
        self.collectives: list[Collective] = []
        self.once: list[tuple[str, Expression, str]] = []

    @property
    def dims(self) -> tuple[str, ...]:
        """Mesh dimensions that something is cut or summed over."""
        return tuple(dict.fromkeys([*self.axes, *(d for state in self.states.values() for d in state)]))

    def gather_inputs(self, whole: Mapping[str, tuple[str, str]]) -> None:
        for name, (axis, over) in whole.items():
            self.collectives.append(Collective("all_gather", name, (over,), 0, axis))
        cut = {c.axis for c in self.cuts}
        for over, axis in self.sequence.items():
            for tensor in self.program.inputs:
                data = tensor.role == "input" and axis in tensor.indices and not cut & set(tensor.indices)
                if data and tensor.name not in self.states and tensor.name not in whole:
                    self.collectives.append(Collective("all_gather", tensor.name, (over,), 0, axis))

    def operation(self, at: int, operation: Operation) -> None:
        if isinstance(operation, Recurrence):
            before = len(self.collectives)
            for step in operation.steps:
                self.operation(at, step)
            if len(self.collectives) > before:
                raise AttometerError(f'recurrence "{operation.label}" would need a collective in each step')
            return
        for dim in self.dims:
            found = self.state(at, operation, dim)
            if not isinstance(found, Held):
                name = operation.output.name
                self.states[name] = {**self.states.get(name, {}), dim: found}

    def state(self, at: int, operation: Operation, dim: str) -> Kind:
        """Return what the result is over the ranks of `dim`; operands that must be whole are made so first."""
        axes = self.axes.get(dim, set())
        looked = {id(ref): owners for ref in refs_of(operation) if (owners := self.looked_up(ref, axes)) is not None}

        def held(ref: Ref) -> Kind:
            if id(ref) in looked:
                return looked[id(ref)]
            return self.states.get(ref.tensor, {}).get(dim, Held.WHOLE)

        match operation:
            case Einsum(operands=operands, summed=summed):
                kinds = [held(ref) for ref in operands]
                if all(kind is not Held.WHOLE for kind in kinds) and (kinds[0] != kinds[1] or kinds[0] is None):
                    self.reduce(at, operands, dim)
                    kinds = [held(ref) for ref in operands]
                return self.summed(next((k for k in kinds if k is not Held.WHOLE), Held.WHOLE), summed, axes)
            case Reduce(kind="sum", operand=operand, summed=summed):
                return self.summed(held(operand), summed, axes)
            case Map(expression=expression):
                kind = _mapped(expression, held)
                if kind is Held.NOT_LINEAR and (terms := _added(expression, held)):
                    self.once += [(operation.output.name, term, dim) for term in terms]
                    return None
                if kind is Held.NOT_LINEAR:
                    self.reduce(at, [r for r in refs_of(operation) if id(r) not in looked], dim)
                    kind = _mapped(expression, held)
                if kind is Held.NOT_LINEAR:
                    raise AttometerError(
                        f'"{operation.label}" looks up a cut axis inside a function that is not 0 at 0'
                    )
                return kind
        self.reduce(at, refs_of(operation), dim)
        along = {operation.along} if isinstance(operation, Sort) else set()
        along |= {operation.axis} if isinstance(operation, Scan) else set()
        along |= set(operation.summed) if isinstance(operation, Reduce) else set()
        along |= {*operation.summed, *(i for i, _ in operation.places)} if isinstance(operation, Scatter) else set()
        if along & axes and isinstance(operation, Reduce) and operation.kind == "max":
            self.collectives.append(Collective("all_max", operation.output.name, (dim,), at + 1))
        elif along & axes or looked:
            raise AttometerError(f'axis "{min(along & axes or axes)}" is cut and "{operation.label}" needs all of it')
        return Held.WHOLE

    def looked_up(self, ref: Ref, axes: set[str]) -> Owners:
        """Return the indices that say on which rank a look-up along a cut axis finds its entry; None: it is no look-up."""
        owners: set[str] = set()
        for axis, part in zip(self.program.tensors[ref.tensor].indices, ref.indices, strict=True):
            if axis in axes and any(isinstance(node, Ref) for node in walk(part)):
                owners |= {i for node in refs_in(part) for i in indices_of(node)}
                if axis in self.repeated:
                    raise AttometerError(f'axis "{axis}" is looked up and shorter than its pieces')
        return frozenset(owners) or None

    def summed(self, kind: Kind, summed: tuple[str, ...], axes: set[str]) -> Kind:
        if set(summed) & self.repeated:
            raise AttometerError(f'axis "{min(set(summed) & self.repeated)}" is summed and shorter than its pieces')
        if set(summed) & axes:
            return None
        return None if isinstance(kind, frozenset) and kind & set(summed) else kind

    def reduce(self, at: int, refs: Iterable[Ref], dim: str) -> None:
        for name in dict.fromkeys(ref.tensor for ref in refs):
            if dim in self.states.get(name, {}):
                self.collectives.append(Collective("all_reduce", name, (dim,), at))
                self.states[name] = {d: s for d, s in self.states[name].items() if d != dim}

    def finish(self, leave: frozenset[str]) -> Sharded:
        end = len(self.program.operations)
        left = []
        for tensor in self.program.outputs:
            state = self.states.get(tensor.name, {})
            if tensor.name in leave:
                left.append((tensor.name, tuple(state.items())))
                continue
            axes = {axis for dim in state if (axis := self.sequence.get(dim)) in tensor.indices}
            kind = "reduce_scatter" if axes else "all_reduce"
            if state:
                self.collectives.append(Collective(kind, tensor.name, tuple(state), end, next(iter(axes), None)))
        return Sharded(self.program, self.cuts, tuple(self.collectives), tuple(self.once), tuple(left))


def _mapped(node: Expression, held: Holds) -> Kind:
    """Return what an element-wise expression is over ranks: whole, a sum that every rank adds to, or one rank's entry."""
    kinds = [held(ref) for ref in refs_in(node)]
    sums = [kind for kind in kinds if kind is not Held.WHOLE]
    if not sums:
        return Held.WHOLE
    if len(set(sums)) == 1 and isinstance(sums[0], frozenset) and _vanishes(node, held):
        return sums[0]
    return None if _linear(node, held) == 1 else Held.NOT_LINEAR


def _added(node: Expression, held: Holds) -> list[Expression]:
    """Return the tensors that are whole and added to what is linear in a sum over ranks; empty where it is not so."""
    terms = _terms(node)
    degrees = [_linear(term, held) for term in terms]
    plain = all(isinstance(term, Ref) for term, degree in zip(terms, degrees, strict=True) if degree == 0)
    if None in degrees or 1 not in degrees or not plain:
        return []
    return [term for term, degree in zip(terms, degrees, strict=True) if degree == 0]


def _terms(node: Expression) -> list[Expression]:
    return [*_terms(node.left), *_terms(node.right)] if isinstance(node, Binary) and node.op == "+" else [node]


def _without(node: Expression, tensor: str, absent: Collection[tuple[str, Expression]]) -> Expression:
    """Return the statement of `tensor` with the terms that another rank adds taken 0 times."""
    if (tensor, node) in absent:
        return Binary("*", Number(0), node)
    if absent and isinstance(node, Binary) and node.op == "+":
        return Binary("+", _without(node.left, tensor, absent), _without(node.right, tensor, absent))
    return node


def _vanishes(node: Expression, held: Holds) -> bool:
    """Return whether the expression is 0 where all that is one rank's entry is 0."""
    match node:
        case Number(value=value):
            return value == 0
        case Ref():
            return held(node) is not Held.WHOLE
        case Negative(operand=operand):
            return _vanishes(operand, held)
        case Binary(op="*", left=left, right=right):
            return _vanishes(left, held) or _vanishes(right, held)
        case Binary(op="/", left=left):
            return _vanishes(left, held)
        case Binary(op="+" | "-", left=left, right=right):
            return _vanishes(left, held) and _vanishes(right, held)
        case Call(function=function, arguments=(argument,)):
            return function in _ZERO_AT_ZERO and _vanishes(argument, held)
    return False


def _linear(node: Expression, held: Holds) -> int | None:
    """Return the degree in what is a sum over ranks: 0, 1 (linear, nothing added), or None for anything else."""
    match node:
        case Ref():
            return 0 if held(node) is Held.WHOLE else 1
        case Number() | Name() | Position():
            return 0
        case Negative(operand=operand):
            return _linear(operand, held)
        case Binary(op=op, left=left, right=right):
            one, other = _linear(left, held), _linear(right, held)
            if one is None or other is None:
                return None
            if op in ("+", "-"):
                return one if one == other else None
            return one + other if one + other < 2 and not (op == "/" and other) else None
        case Call(arguments=arguments):
            return 0 if all(_linear(a, held) == 0 for a in arguments) else None
    return None


class _Rewrite:
    """Puts a rank's offsets into a program: where its slices begin, for positions and look-ups; sizes stay the whole's."""

    def __init__(self, program: Program, starts: Mapping[str, int]) -> None:
        self.program, self.starts = program, starts

    def expression(self, node: Expression) -> Expression:
        match node:
            case Position(index=index) if self.starts.get(index):
                return Binary("+", node, Number(self.starts[index]))
            case Name(name=name) if name in self.starts and name not in self.program.tensors:
                return Number(_length(self.program, name))
            case Ref(tensor=tensor, indices=indices):
                axes = self.program.tensors[tensor].indices
                return Ref(tensor, tuple(self.index(axis, part) for axis, part in zip(axes, indices, strict=True)))
            case Negative(operand=operand):
                return Negative(self.expression(operand))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.expression(left), self.expression(right))
            case Call(function=function, arguments=arguments):
                return Call(function, tuple(map(self.expression, arguments)))
            case Along(function=function, index=index, parameters=parameters, argument=argument):
                cut = [i for i in node.runs if i in self.starts]
                if cut and function in _WHOLE_AXIS:
                    raise AttometerError(f'axis "{cut[0]}" is cut and {function}[{cut[0]}] needs all of it')
                return Along(function, index, parameters, self.expression(argument))
        return node

    def index(self, axis: str, part: Expression) -> Expression:
        looked_up = any(isinstance(node, Ref) for node in walk(part))
        start = self.starts.get(axis, 0) if looked_up else 0
        return Binary("-", part, Number(start)) if start else part
