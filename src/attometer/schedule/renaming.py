"""Which axes values are made and read along: axes that become one, tensors read under others, steps that compute these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from attometer.program.expression import Expression, Name, Position, Ref, Where, refs_in, rewritten, walk
from attometer.program.indices import index_names
from attometer.schedule.cascade import Cascade, Step, Value


def joined(found: Cascade) -> Cascade:
    """Let axes along which one tensor is made and read be one, where no step runs along both."""
    extents = dict(found.axes)
    together = [_axes_of(step) for step in found.steps]
    for value in found.values:
        if value.name == value.of or value.at or found.step(value.of) is None or {*value.axes} & found.images.keys():
            continue
        for own, other in zip(found.value(value.of).axes, value.axes, strict=False):
            apart = own != other and not any({own, other} <= axes for axes in together)
            if apart and len(value.axes) == len(found.value(value.of).axes) and extents[own] == extents[other]:
                return joined(_without(found, other, own))
    return found


def _axes_of(step: Step) -> set[str]:
    """The axes that a step runs along."""
    nodes = [n for node in (step.expression, *(p for _, p in step.places)) for n in walk(node)]
    read = {n.name for n in nodes if isinstance(n, Name)} | {n.index for n in nodes if isinstance(n, Position)}
    return {*step.axes, *step.summed} | read


def _without(found: Cascade, axis: str, kept: str) -> Cascade:
    """Return the cascade with one axis named as another; values that become the same are one."""

    one = {axis: kept}

    def axes(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one.get(name, name) for name in names)

    values: dict[tuple[object, ...], Value] = {}
    names: dict[str, str] = {}
    for value in found.values:
        at = tuple(_place(part, one, {}) for part in value.at)
        moved = replace(value, axes=axes(value.axes), at=at, where=_moved(value.where, one))
        names[value.name] = values.setdefault((moved.of, moved.axes, moved.at), moved).name

    steps = tuple(
        replace(
            step, axes=axes(step.axes), expression=_over(step.expression, one, names), summed=axes(step.summed),
            where=_moved(step.where, one), along=step.along and one.get(step.along, step.along),
            places=tuple((one.get(i, i), _place(place, one, names)) for i, place in step.places),
        )
        for step in found.steps
        if step.name == names.get(step.name, step.name)
    )  # fmt: skip
    kept_values = tuple(replace(v, at=tuple(_place(part, {}, names) for part in v.at)) for v in values.values())
    extents = tuple((name, extent) for name, extent in found.axes if name != axis)
    images = {
        name: replace(image, terms=tuple((one.get(a, a), c) for a, c in image.terms))
        for name, image in found.images.items()
    }
    return Cascade(extents, steps, kept_values, found.inputs, found.outputs, images)


def relabelled(found: Cascade) -> Cascade:
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
                return relabelled(moved)
    return found


def _transposed(found: Cascade, step: Step, value: Value) -> Cascade | None:
    """Return the cascade where a step runs over the axes of a tensor that it reads transposed; None where that is no gain."""
    made, extents = found.step(value.of), dict(found.axes)
    if made is None or value.name == value.of or value.at or found.step(value.name) or {*made.axes} != {*value.axes}:
        return None
    axes = dict(zip(value.axes, made.axes, strict=True))
    refs_read = [*refs_in(step.expression)]
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
        places = tuple((axis, _place(place, {}, change)) for axis, place in other.places)
        return replace(other, expression=_over(other.expression, {}, change), places=places)

    steps = tuple(map(reading, found.steps))
    at = {n: replace(v, at=tuple(_place(part, {}, {step.name: under}) for part in v.at)) for n, v in values.items()}
    used = {r for s in steps for r in s.reads} | {p for v in at.values() for p in v.places}
    kept = tuple(v for v in at.values() if v.name == v.of or v.name in used)
    return replace(found, steps=steps, values=kept)


def _over(node: Expression, axes: Mapping[str, str], names: Mapping[str, str]) -> Expression:
    """Return an expression along other axes that reads values of other names; outside of indices a name is a size."""

    def change(part: Expression) -> Expression:
        return _place(part, axes, names) if isinstance(part, Ref | Position) else part

    return rewritten(node, change, outer=True)


def _place(node: Expression, axes: Mapping[str, str], names: Mapping[str, str]) -> Expression:
    """Return an index along other axes."""

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


def viewed(found: Cascade, small: frozenset[str]) -> Cascade:
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


def copied(found: Cascade) -> Cascade:
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
        step, at = self.found.step(name), self.known(name, axes, known)
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
                step,
                name=at,
                axes=self.values[at].axes,
                expression=expression,
                summed=summed,
                where=_moved(step.where, axes),
            )
        )
        return at

    def known(self, name: str, axes: Mapping[str, str], at: str | None = None) -> str:
        """Return the name under which a value is read along other axes, `at` or a new one where there was none."""
        value = self.found.value(name)
        moved = replace(value, axes=tuple(axes.get(a, a) for a in value.axes), where=_moved(value.where, axes))
        others = {(v.of, v.axes): v.name for v in (*self.found.values, *self.values.values()) if not v.at}
        at = at or others.get((moved.of, moved.axes)) or self.fresh(value.of)
        self.values.setdefault(at, replace(moved, name=at))
        return at

    def along(self, node: Expression, axes: dict[str, str]) -> Expression | None:
        """Return an expression along other axes; None where it reads what cannot be computed there."""
        moved = dict[str, str]()
        for ref in refs_in(node):
            plain = all(isinstance(part, Name) for part in ref.indices)
            touched = {n for part in ref.indices for n in index_names(part)} & axes.keys()
            name = self.of(ref.tensor, axes) if plain else None if touched else ref.tensor
            if name is None:
                return None
            moved[ref.tensor] = name

        return _over(node, axes, moved)

    def fresh(self, name: str) -> str:
        """Return a name that no value has."""
        while name in self.values or any(v.name == name for v in self.found.values):
            name += "'"
        return name


def _moved(where: Where | None, axes: Mapping[str, str]) -> Where | None:
    return where and Where(where.mask, axes.get(where.query, where.query), axes.get(where.key, where.key))
