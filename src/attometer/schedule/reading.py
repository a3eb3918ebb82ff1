"""Reading a Program as a cascade of steps over plain axes.

Shared heads `K[b, h // (h/g), j, d]` and chunks `X[c*B + t]` become axes of their own (h splits into groups and their
members, the chunked axis into chunks and places; not where its places are masked, sorted or gone through in order),
so that every read is a rectangle of whole axes. A tensor read under other axis names is an alias: the same words,
addressed by other loops; where no step runs along both, they become one axis. What is read a step earlier (`S[t-1]`)
is a value of its own, `S.before`, which a loop along t carries. What is read at any other place is a value whose
words are loaded one by one from where `at` says, or a window: a tile that holds every place which a step reads
(`X[i+u]`: an axis that is the image of i and u; `K[T[i,k]]`: the whole axis).
"""

from dataclasses import replace
from functools import lru_cache
from typing import Literal

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, Where
from attometer.program.indices import index_names, step_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor
from attometer.program.printer import expression_text
from attometer.program.program import Program
from attometer.program.recurrences import earlier_places, refs_of
from attometer.program.size_expressions import size_in
from attometer.schedule.cascade import Cascade, Step, Value
from attometer.schedule.nest import Image
from attometer.schedule.places import affine, halves, settled, size_expression, splits
from attometer.schedule.renaming import copied, joined, relabelled, viewed

Windows = Literal["none", "images", "tables"]
"""What is read through windows: nothing, what is a shift away, and what data decide, too."""


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
    return copied(viewed(relabelled(found), small or frozenset())) if again else found


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
        self.splits = dict(splits(program, operations))
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
        return joined(
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
            case Reduce(kind="prod", where=Where()):
                raise _refusal(
                    operation, "it is 0 where its mask lets nothing in, which a running product does not tell from 1"
                )
            case Reduce(kind=kind, operand=operand, summed=summed):
                return kind, self.plain(operand, operation), summed
            case Map(expression=expression):
                return "set", self.plain(expression, operation), ()

    def name_axes(self, index: str, extent: sympy.Expr) -> None:
        if index in self.splits:
            (outer, inner), (length, each) = halves(index), (extent / self.splits[index], self.splits[index])
            self.extents |= {outer: sympy.cancel(length), inner: each}
        else:
            self.extents[index] = extent

    def parts(self, indices: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(axis for i in indices for axis in (halves(i) if i in self.splits else (i,)))

    def plain(self, node: Expression, operation: Operation) -> Expression:
        match node:
            case Ref():
                return self.read(node, operation)
            case Position(index=index) if index in self.splits:
                outer, inner = map(Position, halves(index))
                return Binary("+", Binary("*", outer, size_expression(self.splits[index])), inner)
            case Name(name=name):
                return size_expression(self.program.size_of(name))
            case Negative(operand=operand):
                return Negative(self.plain(operand, operation))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.plain(left, operation), self.plain(right, operation))
            case Call(function=function, arguments=arguments):
                return Call(function, tuple(self.plain(a, operation) for a in arguments))
        return node

    def read(self, ref: Ref, operation: Operation) -> Ref:
        tensor = self.program.tensors[ref.tensor]
        ref = Ref(ref.tensor, tuple(map(settled, ref.indices)))
        found = [self.index(part, operation) for part in ref.indices]
        looks = [k for k, part in enumerate(ref.indices) if step_of(part) and found[k] is None]
        if ref.tensor in self.computed and len(looks) == 1:
            index, way = step_of(ref.indices[looks[0]])  # type: ignore[misc]
            carried = [(index,) if k == looks[0] else parts for k, parts in enumerate(found)]
            if index not in self.splits and (axes := self.rectangle(carried, tensor)):
                return self.before(ref, axes, index, -way, operation)
        axes = self.rectangle(found, tensor)
        if axes is None:
            return self.window(ref, found, operation) or self.addressed(ref, operation)
        return self.value(ref.tensor, Value(ref.tensor, axes, ref.tensor, where=self.unstored(tensor, axes)))

    def rectangle(self, found: list[tuple[str, ...] | None], tensor: Tensor) -> tuple[str, ...] | None:
        """Return the axes along which all of a tensor is read, each once; None where it is not."""
        axes = tuple(axis for parts in found if parts is not None for axis in parts)
        whole = all(f is not None and self.fills(f, e) for f, e in zip(found, tensor.extents, strict=True))
        return axes if whole and len(set(axes)) == len(axes) else None

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
        if made is not None and (len(made) != len(ref.indices) or self.sums_along(ref)):
            return None
        axes, at = list[str](), list[Expression]()
        for k, (part, plain) in enumerate(zip(ref.indices, found, strict=True)):
            place = self.place(part, operation)
            form = affine(place, self.extents)
            if plain is not None and self.fills(plain, tensor.extents[k]):
                axes, at = [*axes, *plain], [*at, Name(plain[0])]
            elif form is not None and form[0]:
                axis, image = (
                    expression_text(place).replace(" ", ""),
                    Image(tuple(form[0].items()), form[1], tensor.extents[k]),
                )
                if self.images.setdefault(axis, image) != image:  # the same place of an axis of another length
                    axis = f"{tensor.name}.{axis}"
                    self.images[axis] = image
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

    def sums_along(self, ref: Ref) -> bool:
        """Whether what makes a tensor sums along an index that leads to a place: no loop along it is inside of both."""
        led = self.parts(tuple(i for part in ref.indices if not isinstance(part, Name) for i in index_names(part)))
        return any({*led} & {*step.summed} for step in self.steps if step.name == ref.tensor)

    def value(self, stem: str, wanted: Value) -> Ref:
        """Return a read of a value, under the name by which it is known, or under one of its own."""
        name = stem
        while name in self.values and (self.values[name].axes, self.values[name].at) != (wanted.axes, wanted.at):
            name += "'"
        self.values.setdefault(name, replace(wanted, name=name))
        return Ref(name, tuple(map(Name, wanted.axes)))

    def before(self, ref: Ref, axes: tuple[str, ...], axis: str, way: int, operation: Operation) -> Ref:
        """A read of what the step before computed: carried along where both are in one loop, else loaded."""
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
                outer, inner = map(Name, halves(name))
                return Binary("+", Binary("*", outer, size_expression(self.splits[name])), inner)
            case Name(name=name) if name in self.extents:
                return part
            case Name(name=name):
                return size_expression(self.program.size_of(name))
            case Number():
                return part
            case Ref():
                return self.read(part, operation)
            case Negative(operand=operand):
                return Negative(self.place(operand, operation))
            case Binary(op="+" | "-" as op, left=left, right=right):
                return Binary(op, self.place(left, operation), self.place(right, operation))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.place(left, operation), size_expression(size_in(right, self.program.size_of)))
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
                return halves(name)[:1]
            case Binary(op="%", left=Name(name=name)) if name in self.splits:
                return halves(name)[1:]
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
