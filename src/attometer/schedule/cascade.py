"""A Program as a cascade: steps over plain axes, which is what a loop nest can tile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import sympy

from attometer.program.expression import Expression, Name, Where, reads, refs_in
from attometer.program.printer import expression_text
from attometer.schedule.nest import Image


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
        nodes = (self.expression, *(place for _, place in self.places))
        return tuple(dict.fromkeys(ref.tensor for node in nodes for ref in refs_in(node)))

    @cached_property
    def whole(self) -> frozenset[str]:
        """The axes that no loop may cut: those that data decide about."""
        if self.kind in ("argsort", "topk"):
            operand = {a.name for n in refs_in(self.expression) for a in n.indices}  # type: ignore[union-attr]
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
        return frozenset(r for node in self.at for r in reads(node))


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
        if not self.images:
            return frozenset(axes)
        parts = ([a for a, _ in self.images[axis].terms] if axis in self.images else [axis] for axis in axes)
        return frozenset(a for part in parts for a in part)

    def decided(self, *nodes: Expression) -> frozenset[str]:
        """Return the axes along which expressions read at places that they compute: no loop may cut them."""
        found = [n for node in nodes for n in refs_in(node)]
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
