"""Words that cuts, phases and plans move at least, before any nest is made: what need not be tried, and what comes first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import sympy

from attometer.count.bounds.program import entries
from attometer.schedule.cascade import Cascade
from attometer.schedule.fused import Plan
from attometer.schedule.running import Passes


@dataclass(frozen=True)
class Floors:
    """Lower bounds on the words of the phases of a cascade at some sizes, in a fast memory of M words."""

    cascade: Cascade
    extent: Mapping[str, int]
    numbers: dict[sympy.Expr, sympy.Expr]
    M: int

    def cut(self, names: Iterable[str]) -> int:
        """Return words that the phases of a cut move at least, merged or not: every result and stored value is written."""
        least = 0
        for name in names:
            step = self.cascade.step(name)
            assert step is not None
            least += entries(step.axes, step.where, self.extent, self.numbers)
        return least

    def phase(self, passes: Passes, loads: set[str]) -> int:
        """Return words that a phase moves whatever its loops: results, and what is read, where no mask leaves words out."""
        bare = all(s.where is None for s in passes.steps.values())
        moved = passes.targets | loads if bare else passes.targets & set(self.cascade.outputs)
        return sum(map(self.size, moved))

    def again(self, axis: str, loads: set[str]) -> int:
        """Return words that are read again where an axis runs one by one: a tile of it can save no more."""
        lacking = [v for v in loads if axis not in self._spread(v)]
        return sum(map(self.size, lacking)) * (self.extent[axis] - 1)

    def size(self, value: str) -> int:
        """The words of a value."""
        return prod(self.extent[a] for a in self.cascade.value(value).axes)

    def plan(self, plan: Plan, loads: set[str]) -> float | None:
        """Return words that a plan moves at least; None where its results alone do not fit."""
        whole = {a: e for a, e in self.extent.items() if a not in (*plan.tiled, *plan.streams)}
        most = {a: self.extent[a] for a in (plan.row, plan.panel) if a}
        for target in plan.targets:
            axes = self.cascade.value(target).axes
            held = prod(whole[a] for a in axes if a in whole)
            if held > self.M:
                return None
            most = {a: min(b, self.M // held) if a in axes else b for a, b in most.items()}
        times: dict[str, float] = {a: self.extent[a] for a in plan.batch}
        times |= {a: self.extent[a] / b for a, b in most.items()}
        total = 0.0
        for value in loads:
            along = self._spread(value)
            kept = () if along.intersection(plan.streams) else (plan.panel,)
            total += self.size(value) * prod(t for a, t in times.items() if a not in along and a not in kept)
        return total * self.density + sum(map(self.size, plan.targets & set(self.cascade.outputs)))

    @cached_property
    def density(self) -> float:
        """The least part of its pairs that a mask of the program leaves: no loop skips more."""
        left = [
            entries((w.query, w.key), w, self.extent, self.numbers) / (self.extent[w.query] * self.extent[w.key])
            for w in {s.where for s in self.cascade.steps if s.where is not None}
        ]
        return min([1.0, *left])

    def _spread(self, value: str) -> frozenset[str]:
        """The axes of a value along which loops run."""
        return self.cascade.spread(self.cascade.value(value).axes)
