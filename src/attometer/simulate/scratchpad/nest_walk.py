"""Walking a schedule's loop nest at given sizes: each transfer and compute step with the tiles that it is at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import sympy

from attometer.errors import AttometerError, positive_int
from attometer.masks import Mask
from attometer.schedule.nest import Loop, Node, Schedule

Span: TypeAlias = tuple[int, int]
"""First index of a tile along one axis, and the one after its last."""


@dataclass(frozen=True)
class Place:
    """Where a step happens: the span of each axis, and the running number of each numbered loop."""

    spans: Mapping[str, Span]
    numbers: Mapping[str, int]

    def length(self, axis: str) -> int:
        """Return the length of the tile along an axis."""
        return self.spans[axis][1] - self.spans[axis][0]


@dataclass(frozen=True)
class Walk:
    """A schedule with a number for each size symbol and each axis."""

    schedule: Schedule
    values: Mapping[sympy.Symbol, sympy.Integer]
    extents: Mapping[str, int]
    mask: Mask | None
    numbers: dict[sympy.Expr, int] = field(default_factory=dict, compare=False, repr=False)

    def number(self, expression: sympy.Expr) -> int:
        """Return the value of an expression in the sizes; a loop asks each time it is entered, so answers are kept."""
        if expression not in self.numbers:
            self.numbers[expression] = int(sympy.sympify(expression).xreplace(dict(self.values)))
        return self.numbers[expression]

    def steps(self) -> Iterator[tuple[Node, Place]]:
        """Yield every step that is not a loop, in the order of execution."""
        return self._run(self.schedule.phases, Place({axis: (0, size) for axis, size in self.extents.items()}, {}))

    def _run(self, nodes: tuple[Node, ...], place: Place) -> Iterator[tuple[Node, Place]]:
        for node in nodes:
            if isinstance(node, Loop):
                yield from self._loop(node, place)
            else:
                yield node, place

    def _loop(self, loop: Loop, place: Place) -> Iterator[tuple[Node, Place]]:
        (start, stop), length = place.spans[loop.axis], self.number(loop.length)
        for number, low in enumerate(range(start, stop, length)):
            spans = {**place.spans, loop.axis: (low, min(low + length, stop))}
            if loop.partner is None or self._visible(spans):
                numbers = {**place.numbers, loop.index: number} if loop.index else place.numbers
                yield from self._run(loop.body, Place(spans, numbers))

    def _visible(self, spans: Mapping[str, Span]) -> bool:
        """Whether the mask leaves a pair in the tile of rows and columns."""
        if self.mask is None:
            return True
        rows, columns = np.arange(*spans["i"])[:, None], np.arange(*spans["j"])[None, :]
        return bool(np.any(self.mask.allows(rows, columns, self.extents["i"], self.extents["j"])))


def walk(schedule: Schedule, sizes: Mapping[str, int], mask: Mask | None = None) -> Walk:
    """Return the walk over a schedule at the sizes and tiles given by name; those left out are 1.

    Raises AttometerError when a name is not a size of the schedule, or a size is below 1.
    """
    values = _values(schedule, sizes)
    extents = {axis: int(sympy.sympify(symbol).xreplace(values)) for axis, symbol in schedule.axes}
    return Walk(schedule, values, extents, mask)


def _values(schedule: Schedule, sizes: Mapping[str, int]) -> dict[sympy.Symbol, sympy.Integer]:
    expressions = [symbol for _, symbol in schedule.axes] + [symbol for symbol, _ in schedule.tiles]
    symbols = {symbol.name: symbol for expression in expressions for symbol in sympy.sympify(expression).free_symbols}
    for name, value in sizes.items():
        if name not in symbols:
            known = ", ".join(sorted(symbols))
            raise AttometerError(f'schedule {schedule.name} has no size "{name}"; its sizes are {known}')
        positive_int(name, value)
    return {symbol: sympy.Integer(sizes.get(name, 1)) for name, symbol in symbols.items()}
