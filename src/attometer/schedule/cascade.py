"""A Program as a cascade: steps over plain axes, which is what a loop nest can tile.

Shared heads `K[b, h // (h/g), j, d]` and chunks `X[c*B + t]` become axes of their own (h splits into groups and their
members, the chunked axis into chunks and places; not where its places are masked, sorted or gone through in order),
so that every read is a rectangle of whole axes. A tensor read under other axis names is an alias: the same words,
addressed by other loops; where no step runs along both, they become one axis. What is read a step earlier (`S[t-1]`)
is a value of its own, `S.before`, which a loop along t carries. What is read at any other place is a value whose
words are loaded one by one from where `at` says, or a window: a tile that holds every place which a step reads
(`X[i+u]`: an axis that is the image of i and u; `K[T[i,k]]`: the whole axis).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Literal

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    Where,
    rewritten,
    walk,
)
from attometer.program.indices import index_names, step_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.printer import expression_text
from attometer.program.program import Program
from attometer.program.recurrences import earlier_places, refs_of
from attometer.program.size_expressions import size_in
from attometer.schedule.nest import Image
from attometer.sizes import size

Windows = Literal["none", "images", "tables"]
"""What is read through windows: nothing, what is a shift away, and what data decide, too."""


@dataclass(frozen=True)
class Step:
    """`name[axes] = expression`, or its sum, max, min or product along `summed`.

    Further kinds: "before", the value that a loop along `along` had a step before (`way` is -1 where it runs from the
    last place); "view", a tile under other axes, those that differ whole; "argsort" and "topk", positions along the one axis
    in `summed`; "scatter", sums into the `places` of the axes that they name. `cycle` names the recurrence that a step is
    part of; where it reads all places before its own, it runs place by place along `along` within a tile.
    """

    name: str
    axes: tuple[str, ...]
    kind: str
    expression: Expression
    summed: tuple[str, ...]
    where: Where | None
    along: str | None = None
    way: int = 1
    cycle: str | None = None
    places: tuple[tuple[str, Expression], ...] = ()

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of the values read."""
        return tuple(dict.fromkeys(r for node in (self.expression, *(p for _, p in self.places)) for r in refs(node)))

    @cached_property
    def whole(self) -> frozenset[str]:
        """The axes that no loop may cut: those that data decide about."""
        if self.kind in ("argsort", "topk"):
            operand = {a.name for n in walk(self.expression) if isinstance(n, Ref) for a in n.indices}  # type: ignore[union-attr]
            return frozenset(self.summed) | (frozenset(self.axes) - operand)
        return frozenset(axis for axis, _ in self.places)

    def __str__(self) -> str:
        shown = expression_text(self.expression)
        return f"{self.name}[{','.join(self.axes)}] = " + (shown if self.kind == "set" else f"{self.kind} {shown}")


@dataclass(frozen=True)
class Value:
    """A tensor as it is read: its axes, and the tensor whose words it names.

    Where it is no rectangle of that tensor, `at` says at which place along each of its indices, of the extents in `shape`,
    a word is found, over axes, sizes and other values; a place outside is read as 0. `where` leaves out words of which
    nothing may be stored, also read as 0.
    """

    name: str
    axes: tuple[str, ...]
    of: str
    at: tuple[Expression, ...] = ()
    shape: tuple[sympy.Expr, ...] = ()
    where: Where | None = None

    @cached_property
    def places(self) -> frozenset[str]:
        """Names of the values that say where it is."""
        return frozenset(r for node in self.at for r in refs(node))


@dataclass(frozen=True)
class Cascade:
    """The steps of a program in executable order, every value by name, and what must be stored at the end."""

    axes: tuple[tuple[str, sympy.Expr], ...]
    steps: tuple[Step, ...]
    values: tuple[Value, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    images: Mapping[str, Image] = field(default_factory=dict, hash=False)

    def spread(self, axes: Iterable[str]) -> frozenset[str]:
        """Return axes, those that loops may run along in place of their images."""
        parts = ([a for a, _ in self.images[axis].terms] if axis in self.images else [axis] for axis in axes)
        return frozenset(a for part in parts for a in part)

    def decided(self, *nodes: Expression) -> frozenset[str]:
        """Return the axes along which expressions read at places that they compute: no loop may cut them."""
        found = [n for node in nodes for n in walk(node) if isinstance(n, Ref)]
        places = [pair for n in found for pair in zip(self.value(n.tensor).axes, n.indices, strict=False)]
        return frozenset(axis for axis, part in places if not isinstance(part, Name) and axis not in self.images)

    def value(self, name: str) -> Value:
        """Return the value called `name`."""
        return self._values[name]

    def step(self, name: str) -> Step | None:
        """Return the step that computes `name`; None for inputs and for aliases."""
        return self._steps.get(name)

    @cached_property
    def fixed(self) -> dict[str, frozenset[str]]:
        """Per step, the axes that no loop may cut, since data decide along them."""
        return {s.name: s.whole | self.decided(s.expression, *(p for _, p in s.places)) for s in self.steps}

    @cached_property
    def carried(self) -> frozenset[str]:
        """Names of what loops may carry from one place to the next."""
        return frozenset(s.reads[0] for s in self.steps if s.kind == "before")

    @cached_property
    def stores(self) -> list[str]:
        """The steps in the order in which phases store them: what a recurrence carries before what is computed from it."""
        place = {s.name: k for k, s in enumerate(self.steps)}
        last = {s.cycle: k for k, s in enumerate(self.steps) if s.cycle is not None and s.name in self.carried}

        def order(step: Step) -> tuple[int, int]:
            inner = step.cycle is not None and step.name not in self.carried
            first = last.get(step.cycle or "", place[step.name]) if inner else place[step.name]
            return first, place[step.name] + len(place) * inner

        return [s.name for s in sorted(self.steps, key=order)]

    @cached_property
    def _values(self) -> dict[str, Value]:
        return {v.name: v for v in self.values}

    @cached_property
    def _steps(self) -> dict[str, Step]:
        return {s.name: s for s in self.steps}


def refs(node: Expression) -> Iterator[str]:
    """Yield the names of the values that an expression reads."""
    return (n.tensor for n in walk(node) if isinstance(n, Ref))


@lru_cache(maxsize=256)
def cascade(
    program: Program, windows: Windows = "none", again: bool = False, small: frozenset[str] | None = None
) -> Cascade:
    """Return `program` as a cascade, read through `windows`; with `again` what is read under other axes has steps for these.

    Along axes in `small`, and those of a triangular recurrence, what is read under other axes is a view of one tile.

    Raises AttometerError naming the operation that no nest over rectangles runs.

    >>> from attometer.program import parse
    >>> print(cascade(parse("S[h,i,j] = Q[h,i,d] * K[h // (h/g), j, d]")).steps[0])
    S[h_group,h_member,i,j] = sum Q[h_group,h_member,i,d] * K[h_group,j,d]
    """
    found = _Reader(program, program.operations, windows).cascade(tuple(t.name for t in program.outputs))
    return _again(_viewed(_relabelled(found), small or frozenset())) if again else found


def cascade_of(program: Program, operations: tuple[Operation, ...], outputs: tuple[str, ...]) -> Cascade:
    """Return some operations of a program as a cascade; what they read and do not make are its inputs.

    Raises AttometerError where they read what is no rectangle of whole axes.
    """
    found = _Reader(program, operations).cascade(outputs)
    for value in found.values:
        if value.at:
            reader = next(o for o in operations for r in refs_of(o) if r.tensor == value.of)
            place = expression_text(next(r for r in refs_of(reader) if r.tensor == value.of))
            raise _refusal(reader, f"it reads {place}, which is not a rectangle of whole axes")
    return found


class Unnested(AttometerError):
    """No nest runs what makes a tensor."""

    def __init__(self, tensor: str, message: str) -> None:
        super().__init__(message)
        self.tensor = tensor


def _refusal(operation: Operation, reason: str) -> Unnested:
    name = operation.output.name
    return Unnested(name, f'no nest is derived for "{name}" = {operation.label}: {reason}')


class _Reader:
    def __init__(self, program: Program, operations: tuple[Operation, ...], windows: Windows = "none") -> None:
        self.program, self.operations, self.windows = program, operations, windows
        self.images: dict[str, Image] = {}
        self.splits = dict(_splits(program, operations))
        self.extents: dict[str, sympy.Expr] = {}
        self.values: dict[str, Value] = {}
        self.steps: list[Step] = []
        self.computed = {t.name for operation in operations for t in _made(operation)}

    def cascade(self, wanted: tuple[str, ...]) -> Cascade:
        for operation in self.operations:
            match operation:
                case Recurrence() if earlier_places(operation):
                    self.triangular(operation)
                case Recurrence(axis=axis, steps=inner, step=way):
                    for step in inner:
                        self.recurrent(step, axis, way, operation)
                case Scan():
                    self.scan(operation)
                case Sort():
                    self.sort(operation)
                case Scatter():
                    self.scatter(operation)
                case _:
                    self.steps.append(self.step(operation))
        made = {s.name for s in self.steps}
        inputs = tuple(v.name for v in self.values.values() if v.name == v.of and v.of not in made)
        outputs = tuple(name for name in wanted if name in made)
        return _joined(
            Cascade(
                tuple(self.extents.items()),
                tuple(self.steps),
                tuple(self.values.values()),
                inputs,
                outputs,
                self.images,
            )
        )

    def step(self, operation: Einsum | Map | Reduce) -> Step:
        where = self.masked(operation)
        kind, read, summed = self.folded(operation)
        return self.made(operation.output, kind, read, summed, where)

    def masked(self, operation: Einsum | Map | Reduce | Sort | Scatter) -> Where | None:
        """Name the axes of an operation and return its mask."""
        for index, extent in operation.extents:
            self.name_axes(index, extent)
        return operation.where

    def made(
        self, output: Tensor, kind: str, read: Expression, summed: tuple[str, ...], where: Where | None = None
    ) -> Step:
        """Return a step that computes a tensor, which can be read from now on."""
        axes = self.parts(output.indices)
        # What a mask leaves out is read as 0, also where no tile of it was stored.
        kept = where if where and {where.query, where.key} <= {*axes} else None
        self.values[output.name] = Value(output.name, axes, output.name, where=kept)
        return Step(output.name, axes, kind, read, self.parts(summed), where)

    def recurrent(self, operation: Einsum | Map | Reduce, axis: str, way: int, whole: Recurrence) -> None:
        """A step of a recurrence; it may read what the step before left."""
        first = len(self.steps)
        self.steps.append(replace(self.step(operation), along=axis, way=way))
        self.turns(first, whole)

    def triangular(self, operation: Recurrence) -> None:
        """A recurrence whose steps read all places before their own: it runs within a tile that holds them all."""
        axis, own = operation.axis, {t.name for t in _made(operation)}
        for tensor in _made(operation):  # under its own name, however it is read before it is made
            axes = self.parts(tensor.indices)
            self.values[tensor.name] = Value(tensor.name, axes, tensor.name)
        made = [self.step(step) for step in operation.steps]
        for name in dict.fromkeys(r for step in made for r in step.reads):
            value = self.values[name]
            if value.at and value.of in own:
                raise _refusal(operation, "it reads one place before its own and all of them")
            if value.of in own and name != value.of:
                source = Ref(value.of, tuple(map(Name, self.values[value.of].axes)))
                self.steps.append(
                    Step(name, value.axes, "view", source, (), None, axis, operation.step, operation.label)
                )
        self.steps += [replace(s, along=axis, way=operation.step, cycle=operation.label) for s in made]

    def turns(self, first: int, operation: Recurrence | Scan) -> None:
        """Say of steps that they are part of a recurrence; what came a step before may be something else's."""
        own = {t.name for t in _made(operation)}
        for at, step in enumerate(self.steps[first:], first):
            if step.kind != "before" or step.reads[0] in own:
                self.steps[at] = replace(step, cycle=operation.label)

    def scan(self, operation: Scan) -> None:
        """An associative recurrence, which a loop carries from place to place."""
        output, axis = operation.output, operation.axis
        for index, extent in operation.extents:
            self.name_axes(index, extent)
        first = len(self.steps)
        term = self.plain(operation.term, operation)
        shift = Binary("-" if operation.step > 0 else "+", Name(axis), Number(1))
        before: Expression = self.plain(
            Ref(output.name, tuple(shift if i == axis else Name(i) for i in output.indices)), operation
        )
        if operation.decay is not None:
            before = Binary("*", self.plain(operation.decay, operation), before)
        read = Call("maximum", (before, term)) if operation.kind == "max" else Binary("+", before, term)
        self.steps.append(replace(self.made(output, "set", read, ()), along=axis, way=operation.step))
        self.turns(first, operation)

    def sort(self, operation: Sort) -> None:
        """Positions along an axis that stays whole."""
        where = self.masked(operation)
        new = [i for i in operation.output.indices if i not in dict(operation.extents)]
        if not new:
            raise _refusal(
                operation, "its positions stand along the axis that it sorts; give them an index of their own"
            )
        for index, extent in zip(operation.output.indices, operation.output.extents, strict=True):
            self.name_axes(index, extent)
        kind = "argsort" if operation.keep is None else "topk"
        operand = self.plain(operation.operand, operation)
        self.steps.append(self.made(operation.output, kind, operand, (operation.along,), where))

    def scatter(self, operation: Scatter) -> None:
        """Sums into places that data choose, along axes that stay whole."""
        where = self.masked(operation)
        for index, extent in zip(operation.output.indices, operation.output.extents, strict=True):
            self.name_axes(index, extent)
        places = tuple((index, self.place(place, operation)) for index, place in operation.places)
        read = self.plain(operation.operand, operation)
        self.steps.append(replace(self.made(operation.output, "scatter", read, operation.summed, where), places=places))

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

    def plain(self, node: Expression, operation: Operation) -> Expression:
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

    def read(self, ref: Ref, operation: Operation) -> Ref:
        tensor = self.program.tensors[ref.tensor]
        ref = Ref(ref.tensor, tuple(map(_settled, ref.indices)))
        found = [self.index(part, operation) for part in ref.indices]
        looks = [k for k, part in enumerate(ref.indices) if step_of(part) and found[k] is None]
        if (
            ref.tensor in self.computed
            and len(looks) == 1
            and all(f is not None for k, f in enumerate(found) if k != looks[0])
        ):
            index, way = step_of(ref.indices[looks[0]])  # type: ignore[misc]
            if index not in self.splits:
                found[looks[0]] = (index,)
                return self.before(ref, [f for f in found if f is not None], index, -way, operation)
        rectangle = all(f is not None and self.fills(f, e) for f, e in zip(found, tensor.extents, strict=True))
        axes = tuple(axis for parts in found if parts is not None for axis in parts)
        if not rectangle or len(set(axes)) < len(axes):
            return self.window(ref, found, operation) or self.addressed(ref, operation)
        return self.value(ref.tensor, Value(ref.tensor, axes, ref.tensor, where=self.unstored(tensor, axes)))

    def unstored(self, tensor: Tensor, axes: tuple[str, ...]) -> Where | None:
        """Return the mask of a computed tensor under other axes."""
        where, own = tensor.where, dict(zip(tensor.indices, axes, strict=False))
        if where is None or len(tensor.indices) != len(axes) or axes == tensor.indices or where.query not in own:
            return None
        return Where(where.mask, own[where.query], own[where.key]) if where.key in own else None

    def window(self, ref: Ref, found: list[tuple[str, ...] | None], operation: Operation) -> Ref | None:
        """A read of a tile that holds every place which is read; None where there is none."""
        tensor = self.program.tensors[ref.tensor]
        own = {t.name for t in _made(operation)}
        if self.windows == "none" or tensor.name in own or any(f is not None and len(f) > 1 for f in found):
            return None
        made = self.values[tensor.name].axes if tensor.name in self.computed else None
        if made is not None and len(made) != len(ref.indices):
            return None
        axes, at = list[str](), list[Expression]()
        for k, (part, plain) in enumerate(zip(ref.indices, found, strict=True)):
            place = self.place(part, operation)
            form = self.affine(place)
            if plain is not None and self.fills(plain, tensor.extents[k]):
                axes, at = [*axes, *plain], [*at, Name(plain[0])]
            elif form is not None and form[0]:
                axis = expression_text(place).replace(" ", "")
                self.images[axis] = Image(tuple(form[0].items()), form[1], tensor.extents[k])
                axes, at = [*axes, axis], [*at, place]
            elif self.windows == "tables":  # the whole axis
                axis = f"{tensor.name}.{tensor.indices[k]}" if made is None else made[k]
                self.extents.setdefault(axis, tensor.extents[k])
                axes, at = [*axes, axis], [*at, place]
            else:
                return None
        bases = [a for axis in axes for a in (dict(self.images[axis].terms) if axis in self.images else (axis,))]
        if len(set(bases)) < len(bases):
            return None
        if made is None and not any(v.of == ref.tensor for v in self.values.values()):
            self.declared(tensor)
        stem = ref.tensor if tuple(axes) == made else f"{ref.tensor}'"
        value = Value(ref.tensor, tuple(axes), ref.tensor, where=self.unstored(tensor, tuple(axes)))
        return Ref(self.value(stem, value).tensor, tuple(at))

    def affine(self, place: Expression) -> tuple[dict[str, int], sympy.Expr] | None:
        """Return the coefficients of axes in a place, and what is added to them; None where that is not all."""
        match place:
            case Number(value=value):
                return {}, sympy.nsimplify(value)
            case Name(name=name):
                return ({name: 1}, sympy.Integer(0)) if name in self.extents else ({}, size(name))
            case Negative(operand=operand):
                return self.affine(Binary("*", Number(-1), operand))
            case Binary(op="+" | "-" as op, left=left, right=right):
                one, other = self.affine(left), self.affine(right)
                if one is None or other is None or one[0].keys() & other[0].keys():
                    return None
                sign = 1 if op == "+" else -1
                return one[0] | {a: sign * c for a, c in other[0].items()}, one[1] + sign * other[1]
            case Binary(op="*", left=left, right=right):
                one, other = self.affine(left), self.affine(right)
                for number, form in ((one, other), (other, one)):
                    if number is not None and form is not None and not number[0] and number[1].is_Integer:
                        times = int(number[1])
                        return {a: times * c for a, c in form[0].items() if times}, times * form[1]
        return None

    def value(self, stem: str, wanted: Value) -> Ref:
        """Return a read of a value, under the name by which it is known, or under one of its own."""
        name = stem
        while name in self.values and (self.values[name].axes, self.values[name].at) != (wanted.axes, wanted.at):
            name += "'"
        self.values.setdefault(name, replace(wanted, name=name))
        return Ref(name, tuple(map(Name, wanted.axes)))

    def before(self, ref: Ref, found: list[tuple[str, ...]], axis: str, way: int, operation: Operation) -> Ref:
        """A read of what the step before computed: carried along where both are in one loop, else loaded."""
        axes = tuple(a for parts in found for a in parts)
        at = tuple(self.place(part, operation) for part in ref.indices)
        shape = self.program.tensors[ref.tensor].extents
        stem = f"{ref.tensor}.{'before' if way > 0 else 'after'}"
        read = self.value(stem, Value(stem, axes, ref.tensor, at, shape))
        if not any(s.name == read.tensor for s in self.steps):
            source = Ref(ref.tensor, tuple(map(Name, axes)))
            self.steps.append(Step(read.tensor, axes, "before", source, (), None, axis, way))
        return read

    def addressed(self, ref: Ref, operation: Operation) -> Ref:
        """A read of words that are no rectangle of whole axes."""
        tensor = self.program.tensors[ref.tensor]
        pair = set() if tensor.where is None else {tensor.where.query, tensor.where.key}
        unstored = any(
            own in pair and not isinstance(part, Name) for own, part in zip(tensor.indices, ref.indices, strict=True)
        )
        at = tuple(self.place(part, operation) for part in ref.indices)
        used = dict.fromkeys(n for part in ref.indices for n in index_names(part))
        axes = self.parts(tuple(used))
        if not any(v.of == ref.tensor and not v.at for v in self.values.values()):
            self.declared(tensor)
        where = tensor.where if unstored else None
        return self.value(f"{ref.tensor}'", Value(ref.tensor, axes, ref.tensor, at, tensor.extents, where))

    def declared(self, tensor: Tensor) -> None:
        """Name the axes of an input that is never read as a whole."""
        for index, extent in zip(tensor.indices, tensor.extents, strict=True):
            self.extents.setdefault(f"{tensor.name}.{index}", extent)
        axes = tuple(f"{tensor.name}.{index}" for index in tensor.indices)
        self.values.setdefault(tensor.name, Value(tensor.name, axes, tensor.name))

    def place(self, part: Expression, operation: Operation) -> Expression:
        """Return an index expression over axes, numbers of sizes and values."""
        match part:
            case Name(name=name) if name in self.splits:
                outer, inner = map(Name, _halves(name))
                return Binary("+", Binary("*", outer, _size(self.splits[name])), inner)
            case Name(name=name) if name in self.extents:
                return part
            case Name(name=name):
                return _size(self.program.size_of(name))
            case Number():
                return part
            case Ref():
                return self.read(part, operation)
            case Negative(operand=operand):
                return Negative(self.place(operand, operation))
            case Binary(op="+" | "-" as op, left=left, right=right):
                return Binary(op, self.place(left, operation), self.place(right, operation))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.place(left, operation), _size(size_in(right, self.program.size_of)))
        raise _refusal(operation, f"its place {expression_text(part)} is no index")

    def fills(self, axes: tuple[str, ...], extent: sympy.Expr) -> bool:
        """Whether axes together are a whole index of a tensor."""
        return bool(sympy.cancel(sympy.Mul(*(self.extents[axis] for axis in axes)) - extent) == 0)

    def index(self, part: Expression, operation: Operation) -> tuple[str, ...] | None:
        """Return the axes that an index expression runs along from end to end; None where it does not."""
        match part:
            case Name(name=name) if name in self.indices(operation):
                return self.parts((name,))
            case Binary(op="//" | "/", left=Name(name=name)) if name in self.splits:
                return _halves(name)[:1]
            case Binary(op="%", left=Name(name=name)) if name in self.splits:
                return _halves(name)[1:]
            case Binary(op="+", left=Binary(op="*", left=Name(name=chunk), right=length), right=Name(name=place)):
                extents = self.indices(operation)
                whole = chunk in extents and extents.get(place) == size_in(length, self.program.size_of)
                if whole and not {chunk, place} & self.splits.keys():
                    return chunk, place
        return None

    def indices(self, operation: Operation) -> dict[str, sympy.Expr]:
        """The indices that an operation runs over."""
        return dict(operation.steps[0].extents if isinstance(operation, Recurrence) else operation.extents)


def _made(operation: Operation) -> tuple[Tensor, ...]:
    return tuple(s.output for s in operation.steps) if isinstance(operation, Recurrence) else (operation.output,)


def _joined(found: Cascade) -> Cascade:
    """Let axes along which one tensor is made and read be one, where no step runs along both."""
    extents = dict(found.axes)
    together = [_axes_of(step) for step in found.steps]
    for value in found.values:
        if value.name == value.of or value.at or found.step(value.of) is None or {*value.axes} & found.images.keys():
            continue
        for own, other in zip(found.value(value.of).axes, value.axes, strict=False):
            apart = own != other and not any({own, other} <= axes for axes in together)
            if apart and len(value.axes) == len(found.value(value.of).axes) and extents[own] == extents[other]:
                return _joined(_without(found, other, own))
    return found


def _axes_of(step: Step) -> set[str]:
    """The axes that a step runs along."""
    nodes = [n for node in (step.expression, *(p for _, p in step.places)) for n in walk(node)]
    read = {n.name for n in nodes if isinstance(n, Name)} | {n.index for n in nodes if isinstance(n, Position)}
    return {*step.axes, *step.summed} | read


def _without(found: Cascade, axis: str, kept: str) -> Cascade:
    """Return the cascade with one axis named as another; values that become the same are one."""

    def axes(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(kept if name == axis else name for name in names)

    def named(node: Expression) -> Expression:
        if isinstance(node, Name) and node.name == axis:
            return Name(kept)
        return Position(kept) if isinstance(node, Position) and node.index == axis else node

    values: dict[tuple[object, ...], Value] = {}
    names: dict[str, str] = {}
    for value in found.values:
        where = value.where and Where(value.where.mask, *axes((value.where.query, value.where.key)))
        moved = replace(
            value, axes=axes(value.axes), at=tuple(rewritten(part, named) for part in value.at), where=where
        )
        names[value.name] = values.setdefault((moved.of, moved.axes, moved.at), moved).name

    def read(node: Expression) -> Expression:
        return Ref(names[node.tensor], node.indices) if isinstance(node, Ref) else named(node)

    steps = []
    for step in found.steps:
        where = step.where and Where(step.where.mask, *axes((step.where.query, step.where.key)))
        places = tuple((axes((i,))[0], rewritten(place, read)) for i, place in step.places)
        expression = rewritten(step.expression, read)
        along = step.along and axes((step.along,))[0]
        if step.name == names.get(step.name, step.name):
            steps.append(
                replace(
                    step, axes=axes(step.axes), expression=expression, summed=axes(step.summed), where=where,
                    along=along, places=places,
                )
            )  # fmt: skip
    kept_values = tuple(replace(v, at=tuple(rewritten(part, read) for part in v.at)) for v in values.values())
    extents = tuple((name, extent) for name, extent in found.axes if name != axis)
    images = {
        name: replace(image, terms=tuple((axes((a,))[0], c) for a, c in image.terms))
        for name, image in found.images.items()
    }
    return Cascade(extents, tuple(steps), kept_values, found.inputs, found.outputs, images)


def _relabelled(found: Cascade) -> Cascade:
    """Let a step that reads a transposed tensor run over the axes that it is made along; its result is what is transposed.

    `y[j] = sum[i](T[j,i])` runs as `y[i] = sum[j](T[i,j])`, beside what else reads T, and y is read along j, where that
    leaves less to be read under other axes.
    """
    for step in found.steps:
        if step.kind not in ("set", "sum", "max", "min", "prod") or step.cycle is not None:
            continue
        for value in map(found.value, step.reads):
            moved = _transposed(found, step, value)
            if moved is not None:
                return _relabelled(moved)
    return found


def _transposed(found: Cascade, step: Step, value: Value) -> Cascade | None:
    """Return the cascade where a step runs over the axes of a tensor that it reads transposed; None where that is no gain."""
    made, extents = found.step(value.of), dict(found.axes)
    if made is None or value.name == value.of or value.at or found.step(value.name) or {*made.axes} != {*value.axes}:
        return None
    axes = dict(zip(value.axes, made.axes, strict=True))
    refs_read = [n for n in walk(step.expression) if isinstance(n, Ref)]
    plain = all(isinstance(part, Name) for n in refs_read for part in n.indices)
    if not plain or any(found.value(n.tensor).at for n in refs_read) or not {*axes} <= extents.keys():
        return None
    if any(extents[a] != extents[b] for a, b in axes.items()) or not {*axes} & {*step.axes}:
        return None
    copy = _Copy(found)
    names = {r: copy.known(r, axes) for r in step.reads}
    values = {**{v.name: v for v in found.values}, **copy.values}

    def renamed(names: Iterable[str]) -> int:
        """The most axes of what is read under other axes than it is made along."""
        read = [values[n] for n in names if values[n].name != values[n].of and found.step(values[n].of)]
        return max((len(v.axes) for v in read), default=0)

    own = tuple(axes.get(a, a) for a in step.axes)
    seen = own != step.axes and any(step.name in s.reads for s in found.steps)
    if max(renamed(names.values()), len(own) if seen else 0) >= renamed(step.reads):
        return None
    expression = _over(step.expression, axes, names)
    where, summed = _moved(step.where, axes), tuple(axes.get(a, a) for a in step.summed)
    under = copy.fresh(step.name)
    values[under] = replace(found.value(step.name), name=under)
    masked = found.value(step.name).where is not None
    values[step.name] = replace(found.value(step.name), axes=own, where=where if masked else None)

    def reading(other: Step) -> Step:
        if other.name == step.name:
            return replace(step, axes=own, expression=expression, summed=summed, where=where)
        change = {step.name: under}
        places = tuple((axis, _over(place, {}, change)) for axis, place in other.places)
        return replace(other, expression=_over(other.expression, {}, change), places=places)

    steps = tuple(map(reading, found.steps))
    at = {n: replace(v, at=tuple(_over(part, {}, {step.name: under}) for part in v.at)) for n, v in values.items()}
    used = {r for s in steps for r in s.reads} | {p for v in at.values() for p in v.places}
    kept = tuple(v for v in at.values() if v.name == v.of or v.name in used)
    return replace(found, steps=steps, values=kept)


def _over(node: Expression, axes: Mapping[str, str], names: Mapping[str, str]) -> Expression:
    """Return an expression along other axes, that reads values of other names."""

    def change(part: Expression) -> Expression:
        match part:
            case Ref(tensor=tensor, indices=indices):
                return Ref(names.get(tensor, tensor), indices)
            case Name(name=name):
                return Name(axes.get(name, name))
            case Position(index=name):
                return Position(axes.get(name, name))
        return part

    return rewritten(node, change)


def _viewed(found: Cascade, small: frozenset[str]) -> Cascade:
    """Let tiles be read under other axes where these are whole: small ones, and those of triangular recurrences."""
    extents = dict(found.axes)
    triangular = [(found.value(s.reads[0]).axes, s.axes) for s in found.steps if s.kind == "view"]
    whole = small | {
        a for pair in triangular for own, other in zip(*pair, strict=True) if own != other for a in (own, other)
    }
    for value in found.values:
        source = found.value(value.of)
        if value.name == value.of or value.at or found.step(value.name) or len(source.axes) != len(value.axes):
            continue
        apart = {a for own, other in zip(source.axes, value.axes, strict=True) if own != other for a in (own, other)}
        made = found.step(source.name)
        if not apart <= (small if made is None else whole) or any(
            extents[a] != extents[b] for a, b in zip(source.axes, value.axes, strict=True)
        ):
            continue
        inner = made is not None and any(value.name in s.reads for s in found.steps if s.cycle == made.cycle)
        read = Ref(source.name, tuple(map(Name, source.axes)))
        step = Step(
            value.name, value.axes, "view", read, (), None, cycle=made.cycle if made is not None and inner else None
        )
        at = 1 + found.steps.index(made) if made is not None else 0
        if made is not None and made.cycle in {s.cycle for s in found.steps if s.kind == "view" and s.along}:
            at = 1 + max(k for k, s in enumerate(found.steps) if s.cycle == made.cycle)
            step = replace(step, cycle=None)
        found = replace(found, steps=(*found.steps[:at], step, *found.steps[at:]))
    return found


def _again(found: Cascade) -> Cascade:
    """Give what is read under other axes than it is made along steps that compute it there, where that can be."""
    for value in found.values:
        if value.name == value.of or value.at or found.step(value.name) or not (made := found.step(value.of)):
            continue
        extents = dict(found.axes) | {axis: image.extent for axis, image in found.images.items()}
        if [extents[a] for a in made.axes] != [extents[a] for a in value.axes]:
            continue  # it is read in other parts
        copy = _Copy(found)
        name = copy.of(made.name, dict(zip(made.axes, value.axes, strict=True)), value.name)
        if name is not None:
            at = 1 + found.steps.index(made)
            steps = (*found.steps[:at], *copy.steps, *found.steps[at:])
            values = {v.name: v for v in (*found.values, *copy.values.values())}
            found = replace(found, steps=steps, values=tuple(values.values()))
    return found


@dataclass
class _Copy:
    """Steps that compute a value along other axes, and the values that they read."""

    found: Cascade
    steps: list[Step] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def of(self, name: str, axes: dict[str, str], known: str | None = None) -> str | None:
        """Return the name of a value along other axes; None where it cannot be computed there."""
        value = self.found.value(name)
        axes = {own: new for own, new in axes.items() if own in value.axes and own != new}
        if not axes:
            return name
        if value.at:
            return None
        step = self.found.step(name)
        where = step.where if step is not None else value.where
        where = _moved(where, axes) if where and {where.query, where.key} <= {*value.axes} else None
        moved = replace(value, axes=tuple(axes.get(a, a) for a in value.axes), where=where)
        others = {(v.of, v.axes): v.name for v in (*self.found.values, *self.values.values()) if not v.at}
        at = known or others.get((moved.of, moved.axes)) or self.fresh(value.of)
        self.values[at] = replace(moved, name=at)
        if step is None or any(s.name == at for s in (*self.found.steps, *self.steps)):
            return at
        if step.kind not in ("set", "sum", "max", "min", "prod") or step.cycle is not None:
            return None
        extents = dict(self.found.axes)
        for taken in (a for a in step.summed if a in axes.values()):
            free = [a for a in axes if a not in axes.values() and extents[a] == extents[taken]]
            if not free:
                return None
            axes[taken] = free[0]
        expression = self.along(step.expression, axes)
        if expression is None:
            return None
        summed = tuple(axes.get(a, a) for a in step.summed)
        self.steps.append(
            replace(
                step, name=at, axes=moved.axes, expression=expression, summed=summed, where=_moved(step.where, axes)
            )
        )
        return at

    def known(self, name: str, axes: Mapping[str, str]) -> str:
        """Return the name under which a value is read along other axes, a new one where there was none."""
        value = self.found.value(name)
        moved = tuple(axes.get(a, a) for a in value.axes)
        others = {(v.of, v.axes): v.name for v in (*self.found.values, *self.values.values()) if not v.at}
        at = others.get((value.of, moved)) or self.fresh(value.of)
        if at not in {v.name for v in self.found.values}:
            self.values[at] = replace(value, name=at, axes=moved, where=_moved(value.where, axes))
        return at

    def along(self, node: Expression, axes: dict[str, str]) -> Expression | None:
        """Return an expression along other axes; None where it reads what cannot be computed there."""
        moved = dict[str, str]()
        for ref in (n for n in walk(node) if isinstance(n, Ref)):
            plain = all(isinstance(part, Name) for part in ref.indices)
            touched = {n for part in ref.indices for n in index_names(part)} & axes.keys()
            name = self.of(ref.tensor, axes) if plain else None if touched else ref.tensor
            if name is None:
                return None
            moved[ref.tensor] = name

        def change(part: Expression) -> Expression:
            match part:
                case Ref(tensor=tensor, indices=indices):
                    return Ref(moved[tensor], tuple(change(i) for i in indices))
                case Name(name=name) if name in axes:
                    return Name(axes[name])
                case Position(index=name) if name in axes:
                    return Position(axes[name])
            return part

        def whole(part: Expression) -> Expression:
            return change(part) if isinstance(part, Ref | Position) else part

        return _outer(node, whole)

    def fresh(self, name: str) -> str:
        """Return a name that no value has."""
        while name in self.values or any(v.name == name for v in self.found.values):
            name += "'"
        return name


def _moved(where: Where | None, axes: Mapping[str, str]) -> Where | None:
    return where and Where(where.mask, axes.get(where.query, where.query), axes.get(where.key, where.key))


def _outer(node: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """Return an expression with every part outside of indices replaced."""
    match node:
        case Negative(operand=operand):
            return Negative(_outer(operand, change))
        case Binary(op=op, left=left, right=right):
            return Binary(op, _outer(left, change), _outer(right, change))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(_outer(a, change) for a in arguments))
    return change(node)


def _splits(program: Program, operations: tuple[Operation, ...]) -> Iterator[tuple[str, sympy.Expr]]:
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


def _settled(part: Expression) -> Expression:
    """Return an index without a shift by 0."""
    return part.left if isinstance(part, Binary) and part.op in "+-" and part.right == Number(0) else part


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
