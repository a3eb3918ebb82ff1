"""Which reductions of a cascade run in the same pass over an axis, and which forces another one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from attometer.program.expression import Binary, Call, Expression, Name, Negative, Ref, Where, reads
from attometer.schedule.cascade import Cascade, Step
from attometer.schedule.formulas import axes_of
from attometer.schedule.incremental import Factors, correction, expanded, product_of, products
from attometer.schedule.joint import Joint, joined, terms_of

MERGED = ("sum", "prod", "max", "min")
"""The folds whose partial results can be folded in turn."""


@dataclass(frozen=True)
class Fold:
    """What is folded into an accumulator along one axis, and the mask outside of which that is nothing."""

    term: Expression
    summed: tuple[str, ...]
    where: Where | None


@dataclass(frozen=True)
class Part:
    """One running accumulator of a reduction: what is folded into it, and what multiplies it when it is finished.

    `carried` lists the reductions that move while it runs, each with the factor that corrects it.
    """

    name: str
    folds: tuple[Fold, ...]
    after: Factors
    carried: tuple[tuple[str, Expression], ...]

    @property
    def reads(self) -> set[str]:
        """Names of the values in its terms."""
        return {r for fold in self.folds for r in reads(fold.term)}

    @property
    def wheres(self) -> list[Where | None]:
        """The masks of its terms."""
        return [fold.where for fold in self.folds]


@dataclass(frozen=True)
class Running:
    """A reduction along the streamed axis: the pass that sums it, the one after which it is finished, its accumulators.

    `forced` names the reduction that it had to wait for, and itself, where it is not in the first pass.
    """

    step: Step
    passed: int
    done: int
    parts: tuple[Part, ...]
    forced: tuple[str, str] | None = None

    @property
    def plain(self) -> bool:
        """Whether its accumulator is its value all along: others may be corrected with it."""
        return len(self.parts) == 1 and not self.parts[0].after and not self.parts[0].carried


@dataclass(frozen=True)
class Passes:
    """The steps that a phase needs to compute `targets` from what is `stored`, arranged in passes along `streams`.

    A pass goes along one axis after the other, those that it needs; no step runs along two of them.
    """

    cascade: Cascade
    targets: frozenset[str]
    stored: frozenset[str]
    streams: tuple[str, ...]
    kept: frozenset[str] = frozenset()
    """What is loaded at the first place of each chunk of the stream: its recurrences run again within the chunk."""

    @cached_property
    def rerun(self) -> frozenset[str]:
        """The recurrences that run again within a chunk."""
        return frozenset(s.cycle for n, s in self.steps.items() if n in self.kept and s.cycle is not None)

    @cached_property
    def steps(self) -> dict[str, Step]:
        """The steps between what is stored and the targets, in executable order; reductions along several streams are one."""
        steps = self._steps
        return joined(steps, self.streams, self.targets, dict(self.cascade.axes)) if len(self.streams) > 1 else steps

    @cached_property
    def _steps(self) -> dict[str, Step]:
        todo, needed = list(self.targets), set[str]()
        while todo:
            name = todo.pop()
            if name in needed:
                continue
            step = self.cascade.step(name)
            if step is None or (step.kind == "before" and self._kept(step)) or self._copied(name):
                todo += [place for place in self.cascade.value(name).places if place not in self.stored]
            else:
                needed.add(name)
                todo += [r for r in step.reads if r not in self.stored or self._followed(r, step)]
        return {s.name: s for s in self.cascade.steps if s.name in needed}

    def _copied(self, name: str) -> bool:
        """Whether a value is what is stored, read along other axes."""
        of = self.cascade.value(name).of
        if of == name:
            return False
        if of in self.cascade.inputs and self.cascade.step(name):
            return False  # a view
        return name not in self.targets and (of in self.stored or name in self.stored)

    @cached_property
    def _own(self) -> frozenset[str]:
        """The recurrences that this phase computes: it stores something that they carry."""
        steps = [self.cascade.step(name) for name in self.targets & self.cascade.carried]
        return frozenset(s.cycle for s in steps if s is not None and s.cycle is not None)

    def _kept(self, before: Step) -> bool:
        """Whether a value of the step before is loaded: it is stored, by another phase."""
        return before.reads[0] in self.stored and before.cycle not in self._own

    def _followed(self, read: str, step: Step) -> bool:
        """Whether a step leads on to what it reads though that is stored: something says where it is, or its recurrence goes on."""
        found = self.cascade.step(read) is None and bool(self.cascade.value(read).places)
        return found or self._turns(read, step)

    def _turns(self, read: str, step: Step) -> bool:
        """Whether a step reads what its own recurrence computes, where this phase does: stored or not."""
        made = self.cascade.step(read)
        return made is not None and step.cycle in self._own and made.cycle == step.cycle

    @cached_property
    def carried(self) -> dict[str, Step]:
        """What a loop along the stream carries from step to step: by name, the steps that read it a step later."""
        found: dict[str, list[Step]] = {}
        for step in self.steps.values():
            if step.kind == "before":
                found.setdefault(step.reads[0], []).append(step)
        return {name: self.steps[name] for name in found}

    @property
    def befores(self) -> list[Step]:
        """The values of the step before that this phase carries."""
        return [s for s in self.steps.values() if s.kind == "before"]

    @property
    def driving(self) -> frozenset[str]:
        """What the loop of the phase itself carries: not what runs again within a chunk."""
        return frozenset(s.reads[0] for s in self.befores if s.cycle not in self.rerun)

    @property
    def way(self) -> int:
        """In which direction the stream runs: 1, or -1 from the last place to the first."""
        return next((s.way for s in self.befores if s.cycle not in self.rerun), 1)

    @cached_property
    def whole(self) -> frozenset[str]:
        """The axes that no loop may cut: along which data decide, or under two names of which a carried value is read."""
        found = {axis for name in self.steps for axis in self.cascade.fixed[name]}
        for step in (*self.befores, *self.views):
            own = self.axes(step.reads[0])
            found |= {a for pair in zip(own, step.axes, strict=True) if pair[0] != pair[1] for a in pair}
        found |= {a for steps in self.triangular.values() for s in steps for a in s.summed}
        return frozenset(found)

    @property
    def views(self) -> list[Step]:
        """The tiles that this phase reads under other axes."""
        return [s for s in self.steps.values() if s.kind == "view"]

    @cached_property
    def triangular(self) -> dict[str, list[Step]]:
        """The recurrences that run within a tile, each with its steps."""
        names = {s.cycle for s in self.views if s.along}
        return {str(n): [s for s in self.steps.values() if s.cycle == n] for n in names if n is not None}

    @property
    def along(self) -> frozenset[str]:
        """The axes along which something is carried: at most one, which is the stream, all in one direction."""
        return frozenset(s.along for s in self.befores if s.along)

    def tiles(self, axis: str) -> bool:
        """Whether the phase can run tile by tile along an axis: what folds along it ends in targets, which add up."""
        read = {r for s in self.steps.values() for r in s.reads}
        folds = {name for name, s in self.steps.items() if axis in s.summed}
        parts = {name for name, axes in self.adding.items() if axis in axes}
        kept = all(n in parts for n, s in self.steps.items() if parts & {*s.reads})
        sums = {name for name in parts - read if self.steps[name].kind in ("sum", "scatter")} & self.targets
        along = {name for name, s in self.steps.items() if axis in s.axes}
        return folds <= parts and kept and parts <= sums | read and self.targets <= sums | along

    @cached_property
    def adding(self) -> dict[str, frozenset[str]]:
        """For each step, the axes over whose tiles it adds up: those it sums along, and those of what it is linear in."""
        found: dict[str, frozenset[str]] = {}
        for name, step in self.steps.items():
            plain = step.kind in ("sum", "scatter", "set") and step.cycle is None and not step.places
            own = frozenset(step.summed) if step.kind in ("sum", "scatter") and step.cycle is None else frozenset()
            below = frozenset(a for r in step.reads for a in found.get(r, ()))
            taken = own | {*step.axes}
            found[name] = own | {
                axis
                for axis in below
                if plain
                and axis not in taken
                and _degree(step.expression, {r for r in step.reads if axis in found.get(r, ())}) == 1
            }
        return found

    def adds_up(self, tiled: tuple[str, ...]) -> bool:
        """Whether the targets that add up over tiles of these axes do so in one accumulator that nothing changes."""
        parts = [(r.parts, r.parts[0]) for name, r in self.running.items() if name in self.over(tiled)]
        return all(len(each) == 1 and not part.after and not part.carried for each, part in parts)

    def over(self, tiled: tuple[str, ...]) -> set[str]:
        """Names of the targets that add up over tiles of these axes."""
        return {name for name in self.targets if self.adding[name] & {*tiled}}

    @property
    def possible(self) -> bool:
        """Whether one loop can carry everything that is carried."""
        ways = {(s.along, s.way) for s in self.befores if s.cycle not in self.rerun}
        return len(ways) <= 1 and len(self.along) <= 1

    def loads(self) -> set[str]:
        """Names of the values that are read and not computed, those that say where others are among them."""
        todo, found = [r for s in self.steps.values() for r in s.reads], set[str]()
        while todo:
            name = todo.pop()
            if name not in self.steps and name not in found:
                found.add(name)
                todo += self.places(name)
        return found

    @cached_property
    def shared(self) -> frozenset[str]:
        """The values that are loaded and read only at places of the stream, at each of them as a whole."""
        found = {name for name in self.loads() if not self.along_of(name) and not self.places(name)}
        outside = {r for s in self.steps.values() if not self.along_of(s.name) for r in s.reads}
        return frozenset(found - outside - {p for name in self.loads() for p in self.places(name)})

    @cached_property
    def addressed(self) -> bool:
        """Whether values say where others are."""
        return any(self.places(r) for s in self.steps.values() for r in s.reads)

    def places(self, name: str) -> frozenset[str]:
        """Names of the values that say where a loaded value is."""
        part = "~" in name or self.made(name) is not None
        return frozenset() if part else self.cascade.value(name).places

    def axes(self, name: str) -> tuple[str, ...]:
        """Return the axes of a value."""
        return self.cascade.value(name).axes

    def made(self, name: str) -> Step | None:
        """Return the step of this phase that computes a value; None when it is loaded."""
        return self.steps.get(name)

    def along_of(self, name: str) -> str | None:
        """Return the streamed axis for each place of which a value exists; None where it is none's."""
        if name not in self._along:
            axes = self.cascade.spread(self.axes(name))
            self._along[name] = next((a for a in self.streams if a in axes), None)
        return self._along[name]

    @cached_property
    def _along(self) -> dict[str, str | None]:
        return {}

    def folded(self, summed: tuple[str, ...]) -> frozenset[str]:
        """The streamed axes among those that are folded."""
        return frozenset(self.streams) & {*summed}

    def reduces(self, step: Step) -> bool:
        """Whether a step folds along a streamed axis."""
        return bool(self.folded(step.summed))

    @cached_property
    def after(self) -> Mapping[str, frozenset[str]]:
        """For each step, the streamed reductions that it depends on."""
        found: dict[str, frozenset[str]] = dict.fromkeys(self.steps, frozenset())
        for _ in range(3 if self.befores or self.triangular else 1):  # around a recurrence once more
            for name, step in self.steps.items():
                found[name] = frozenset(r for read in step.reads for r in self._seen(read, found))
        return found

    def _seen(self, read: str, found: Mapping[str, frozenset[str]]) -> frozenset[str]:
        step = self.made(read)
        if step is None:
            return frozenset(r for place in self.places(read) for r in self._seen(place, found))
        return frozenset({read}) if self.reduces(step) else found[read]

    def depends(self, node: Expression) -> set[str]:
        """Return the streamed reductions that an expression depends on."""
        return {r for read in reads(node) for r in self._seen(read, self.after)}

    @cached_property
    def running(self) -> Mapping[str, Running]:
        """Every reduction along the streamed axis, in order."""
        found: dict[str, Running] = {}
        for name, step in self.steps.items():
            if self.reduces(step):
                found[name] = self._place(step, found)
        return found

    def below(self, names: Iterable[str]) -> set[str]:
        """Return the steps that values are computed from, and their own."""
        todo, found = list(names), set[str]()
        while todo:
            name = todo.pop()
            if name in self.steps and name not in found:
                found.add(name)
                todo += self.steps[name].reads
        return found

    def resumes(self, targets: frozenset[str]) -> bool:
        """Whether all is one pass along the stream, and what is kept waits for no other recurrence."""
        ahead = self.below(self.kept)
        others = any(s.name in ahead and s.cycle not in self.rerun for s in self.befores)
        twice = (self.steps[n] for n in ahead & self.driving)
        late = (
            others
            or any(s.kind != "set" or s.cycle is not None or s.name in targets for s in twice)
            or any(r.passed > 1 or r.done > 1 for r in self.running_for_targets.values())
        )
        streamed = [t for t in targets if self.along_of(t)]
        alone = len(self.streams) == 1 and self.along.issuperset(self.streams)
        return alone and not (self.triangular or late or any(self.after[t] for t in streamed))

    @property
    def mergeable(self) -> bool:
        """Whether partial results along the stream can be merged: one pass of folds, nothing carried or stored on the way.

        What is kept in windows, which overlap, is no part of a tensor.
        """
        if len(self.streams) != 1 or self.befores or self.triangular or any(map(self.along_of, self.targets)):
            return False
        folds = self.running_for_targets.values()
        windows = any({*r.step.axes} & self.cascade.images.keys() for r in folds)
        return bool(folds) and not windows and all(r.done == 1 and r.step.kind in MERGED for r in folds)

    @cached_property
    def needed(self) -> frozenset[str]:
        """The steps that are still needed once sums are opened."""
        seen, todo = set[str](), list(self.targets)
        while todo:
            name = todo.pop()
            step = self.made(name)
            if step is None:
                todo += self.places(name)
            if step is None or name in seen:
                continue
            seen.add(name)
            read: set[str] = set(step.reads)
            if self.reduces(step) and not step.places:
                parts = self.running[name].parts
                read = {r for p in parts for r in (*p.reads, *(r for _, f in p.after for r in reads(f)))}
            todo += read
        return frozenset(seen)

    @cached_property
    def running_for_targets(self) -> Mapping[str, Running]:
        """The reductions along the streamed axis that the targets need."""
        return {name: running for name, running in self.running.items() if name in self.needed}

    @cached_property
    def rows(self) -> frozenset[str]:
        """The needed values that do not vary along the streamed axis and are no reductions along it."""
        return frozenset(n for n in self.needed if self.along_of(n) is None and not self.reduces(self.steps[n]))

    def finished(self, name: str) -> int:
        """Return the pass after which a value can be had."""
        running = self.running_for_targets
        if name in running:
            return running[name].done
        return max((running[r].done for r in self.after[name] if r in running), default=0)

    def streamed(self, here: Iterable[Running], targets: Iterable[str]) -> set[str]:
        """Names of what is computed at every place of the stream, for reductions and targets."""
        here = list(here)
        todo = [*(r for each in here for p in each.parts for r in p.reads), *targets]
        todo += [r for each in here for _, place in each.step.places for r in reads(place)]
        streamed = set[str]()
        while todo:
            name = todo.pop()
            step = self.made(name)
            todo += self.places(name)
            if step is not None and self.along_of(name) and name not in streamed:
                streamed.add(name)
                todo += step.reads
        return streamed

    def _place(self, step: Step, found: Mapping[str, Running]) -> Running:
        passed, forced = 1, None
        folds: list[tuple[Factors, dict[str, Expression], Fold]] = []
        for each in terms_of(step):
            for after, term in self._parts(each):
                own: dict[str, Expression] = {}
                for name in sorted(self.depends(term), key=list(found).index):
                    meets = self.folded(each.summed) & self.folded(found[name].step.summed)
                    factor = self._factor(each, term, found[name]) if meets else None
                    least = found[name].done + (factor is None)
                    if least >= passed and factor is None:
                        forced = (name, step.name) if meets else None
                    passed = max(passed, least)
                    if factor is not None:
                        own[name] = factor
                folds.append((after, own, Fold(term, each.summed, each.where or self._masked(each, term))))
        waits = [found[r].done for after, _, _ in folds for _, factor in after for r in self.depends(factor)]
        parts: dict[object, Part] = {}
        for number, (after, own, fold) in enumerate(folds):
            carried = tuple((r, c) for r, c in own.items() if found[r].passed == passed)
            # Terms that are corrected alike, and finished alike, add up in one accumulator.
            key = (tuple(after), carried) if isinstance(step, Joint) else number
            name = step.name if not parts else f"{step.name}~{len(parts) + 1}"
            known = parts.get(key, Part(name, (), after, carried))
            parts[key] = replace(known, folds=(*known.folds, fold))
        return Running(step, passed, max([passed, *waits]), tuple(parts.values()), forced)

    def _factor(self, step: Step, term: Expression, reduction: Running) -> Expression | None:
        """Return what corrects a sum of `term` when `reduction` moves; None where nothing does."""
        if step.kind != "sum" or not reduction.plain or not set(reduction.step.axes) <= set(step.axes):
            return None
        inner = expanded(term, self._element)
        hidden = [
            r for r in reads(inner) if r != reduction.step.name and reduction.step.name in self._seen(r, self.after)
        ]
        return None if hidden else correction(inner, reduction.step.name, lambda _: None)

    def _parts(self, step: Step) -> list[tuple[Factors, Expression]]:
        """Return the accumulators of a reduction: what is taken out of the sum, and the term that stays."""
        if step.kind != "sum":
            return [([], step.expression)]

        def outside(factor: Expression) -> bool:
            along = set(axes_of(factor))
            return bool(self.depends(factor)) and along <= set(step.axes)

        parts = []
        for factors in products(step.expression, self._opened, outside):
            after = [f for f in factors if outside(f[1])]
            inside = [f for f in factors if not outside(f[1])]
            parts.append((after, product_of(inside)))
        return parts

    def _masked(self, step: Step, term: Expression) -> Where | None:
        """Return a mask outside of which a term is 0."""
        made = [s.where for s in map(self.made, reads(term)) if s is not None and s.kind == "set" and s.where]
        return next((w for w in made if {w.query, w.key} <= {*step.axes, *step.summed}), None)

    def _element(self, name: str) -> Expression | None:
        """The expression behind an element-wise value that depends on a streamed reduction."""
        step = self.made(name)
        return step.expression if step is not None and step.kind == "set" and self.after[name] else None

    def _opened(self, name: str) -> Expression | None:
        """As `_element`, where exp(x - r) is opened at the running maximum m of x: exp(x - m) exp(m - r)."""
        if not self.along_of(name) or (node := self._element(name)) is None:
            return None
        difference = expanded(node, self._streamed)
        match difference:
            case Call(function="exp", arguments=(Binary(op="-", left=left, right=right),)) if self._row(right):
                level = self._maximum(left)
                if level is not None and right != level:
                    shifted = self._known(Call("exp", (Binary("-", left, level),)))
                    return Binary("*", shifted, Call("exp", (Binary("-", level, right),)))
        return node

    def _streamed(self, name: str) -> Expression | None:
        return self._element(name) if self.along_of(name) else None

    def _row(self, node: Expression) -> bool:
        along = self.cascade.spread(axes_of(node)).intersection(self.streams)
        return not along and bool(self.depends(node))

    def _maximum(self, node: Expression) -> Ref | None:
        """Return the running maximum of an expression, where the program takes one."""
        for step in self.steps.values():
            if step.kind == "max" and self.reduces(step) and any(t.expression == node for t in terms_of(step)):
                return Ref(step.name, _names(step.axes))
        return None

    def _known(self, node: Expression) -> Expression:
        """Return the value that already holds an expression, else the expression."""
        for step in self.steps.values():
            if step.kind == "set" and self.along_of(step.name) and expanded(step.expression, self._streamed) == node:
                return Ref(step.name, _names(step.axes))
        return node


def _degree(node: Expression, names: set[str]) -> int | None:
    """Return the degree of an expression in some values: 1 where it is linear in them, None where it is no polynomial.

    >>> from attometer.program.expression_reader import read_expression
    >>> [_degree(read_expression(text), {"V"}) for text in ("P[k] * V[k]", "P[k] + V[k]", "exp(V[k])", "V[k] / P[k]")]
    [1, None, None, 1]
    """
    match node:
        case Ref(tensor=tensor):
            return int(tensor in names)
        case Negative(operand=operand):
            return _degree(operand, names)
        case Binary(op="*", left=left, right=right):
            one, other = _degree(left, names), _degree(right, names)
            return None if one is None or other is None else one + other
        case Binary(op="/", left=left, right=right):
            return _degree(left, names) if _degree(right, names) == 0 else None
        case Binary(op="+" | "-", left=left, right=right):
            one = _degree(left, names)
            return one if one == _degree(right, names) else None
        case Call(arguments=arguments):
            return 0 if all(_degree(a, names) == 0 for a in arguments) else None
    return 0


def _names(axes: tuple[str, ...]) -> tuple[Name, ...]:
    return tuple(map(Name, axes))
