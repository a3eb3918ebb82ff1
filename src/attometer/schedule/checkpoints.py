"""Recurrences that run again: what one carries is kept at the first place of each chunk of the stream.

A phase that runs along an axis in one direction may need what a recurrence in the other direction left at every place, as
gradients of recurrences do. An earlier phase keeps what that one carries where each chunk of the axis begins; this phase
computes all of a chunk again, in one more loop ahead of its own, and holds for the chunk what its own loop reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from attometer.program.expression import Name, Ref, reads
from attometer.schedule.cascade import Step
from attometer.schedule.running import Passes, Running

ALL, AHEAD = "~all", "~ahead"
"""What a value is called after where it is held for all places of a chunk, and what the loop ahead has in a tile of its own."""


@dataclass(frozen=True)
class Rerun:
    """Which steps of a pass run ahead, within a chunk, and what they leave for the loop of the pass itself."""

    passes: Passes
    streamed: frozenset[str]
    here: tuple[Running, ...]
    targets: frozenset[str]

    @cached_property
    def _driven(self) -> set[str]:
        """What depends on the recurrences of the pass itself."""
        found = {s.name for s in self._steps if s.cycle is not None and s.cycle not in self.passes.rerun}
        found |= {s.name for s in self.passes.befores if s.cycle not in self.passes.rerun}
        for step in self._steps:
            found |= {step.name} if found & {*step.reads} else set()
        return found

    @property
    def _steps(self) -> list[Step]:
        return [s for s in self.passes.steps.values() if s.name in self.streamed]

    @cached_property
    def ahead(self) -> frozenset[str]:
        """What runs ahead: what the recurrences need, and what follows from them alone."""
        found = self.passes.below(self.passes.kept) & self.streamed
        for step in self._steps:
            if found & {*step.reads} and step.name not in self._driven:
                found |= self.passes.below([step.name]) & self.streamed
        return frozenset(found)

    @cached_property
    def _later(self) -> tuple[frozenset[str], frozenset[str]]:
        """What the loop of the pass computes, element by element of what runs ahead anew, and what it reads of that."""
        todo = [r for each in self.here for p in each.parts for r in p.reads]
        todo += [r for each in self.here for _, place in each.step.places for r in reads(place)]
        todo += (self.streamed & (self.targets | self.passes.carried.keys())) - self.ahead
        own, read = set[str](), set[str]()
        while todo:
            name = todo.pop()
            if name not in self.streamed or name in own | read:
                continue
            step = self.passes.steps[name]
            if name in self.ahead and (step.kind != "set" or step.cycle is not None):
                read.add(name)
            else:
                own.add(name)
                todo += step.reads
        return frozenset(own), frozenset(read)

    @property
    def later(self) -> frozenset[str]:
        """What the loop of the pass itself computes."""
        return self._later[0]

    @property
    def crossing(self) -> frozenset[str]:
        """What is held for all places of a chunk."""
        return self._later[1]

    @cached_property
    def copied(self) -> frozenset[str]:
        """What is held beside the tile that moves from place to place."""
        return frozenset(n for n in self.crossing if n in self.passes.carried or self.passes.steps[n].kind == "before")

    @cached_property
    def twice(self) -> frozenset[str]:
        """What runs ahead and is carried by the loop of the pass, too: it has a tile of its own in each."""
        return self.ahead & self.passes.driving

    def loaded(self, names: Iterable[str]) -> frozenset[str]:
        """Return what steps read and do not compute."""
        return frozenset(r for n in names for r in self.passes.steps[n].reads if r not in self.passes.steps)

    @cached_property
    def both(self) -> frozenset[str]:
        """What both loops read from slow memory: it comes in once, for a chunk."""
        folded = frozenset(r for each in self.here for p in each.parts for r in p.reads)
        later = self.loaded(self.later) | (folded - self.passes.steps.keys())
        return frozenset(n for n in self.loaded(self.ahead) & later if self.passes.along_of(n))

    def whole(self, node: Ref) -> Ref | None:
        """Return the read of a copy in place of what it is a copy of; None where there is none."""
        return Ref(node.tensor + ALL, node.indices) if node.tensor in self.copied else None

    def source(self, name: str) -> Ref:
        """Return a read of a value at its own axes."""
        return Ref(name, tuple(map(Name, self.passes.axes(name))))
