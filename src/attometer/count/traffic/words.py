"""Words moved and words held by a schedule, derived by walking its loop nest; exact on ragged sizes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy

from attometer.count.traffic.walk import Number, Place, Problem, greatest, peaks, problem, total, walk
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.schedule.nest import Load, Node, Schedule, Store
from attometer.sizes import size
from attometer.view.printed import Printed


@dataclass(frozen=True)
class Traffic(Printed):
    """Words moved per tensor: `reads` into fast memory and `writes` out of it; `footprint` words held, where known."""

    reads: Mapping[str, Number]
    writes: Mapping[str, Number]
    footprint: Number = None

    @property
    def read(self) -> Number:
        """Words moved into fast memory."""
        return total(self.reads.values())

    @property
    def written(self) -> Number:
        """Words moved out of fast memory."""
        return total(self.writes.values())

    @property
    def words(self) -> Number:
        """Words moved both ways."""
        return total([*self.reads.values(), *self.writes.values()])

    def at(self, **sizes: int) -> "Traffic":
        """Return the traffic with sizes and tiles replaced by numbers; those left out stay symbols.

        >>> from attometer.schedule.catalogue import schedule
        >>> traffic(schedule("flash2")).at(n=8, m=8, d=2, e=2, B_r=4).words
        104
        """
        known = {s.name for w in (*self.reads.values(), *self.writes.values()) for s in sympy.sympify(w).free_symbols}
        extra = sorted(set(sizes) - known)
        if extra:
            raise AttometerError(
                f'the traffic has no size "{extra[0]}"; it has {", ".join(sorted(known)) or "none left"}'
            )
        bound = {size(name): sympy.sympify(value) for name, value in sizes.items()}

        def fixed(words: Number) -> Number:
            return None if words is None else sympy.sympify(words).xreplace(bound).doit()

        reads, writes = ({k: fixed(v) for k, v in side.items()} for side in (self.reads, self.writes))
        return Traffic(reads, writes, fixed(self.footprint))

    def to_dict(self) -> dict[str, Any]:
        """Return the words per tensor as text, with totals."""
        rows = {"reads": self.reads, "writes": self.writes}
        named = {side: {name: str(words) for name, words in moves.items()} for side, moves in rows.items()}
        return {**named, "words": str(self.words), "footprint": str(self.footprint)}

    def __str__(self) -> str:
        rows = [f"read  {name}: {words}" for name, words in self.reads.items()]
        rows += [f"write {name}: {words}" for name, words in self.writes.items()]
        rows.append(f"total: {self.words} words")
        return "\n".join(rows if self.footprint is None else [*rows, f"holds: {self.footprint} words"])


def traffic(
    schedule: Schedule,
    sizes: Mapping[str, Number] | None = None,
    mask: Mask | None = None,
    copies: Number = 1,
    stack: Number = 1,
) -> Traffic:
    """Return the words that a schedule moves, per tensor.

    `copies` independent problems (batch × key/value heads) of `stack` query heads each; sizes left out stay symbols.

    >>> from attometer.schedule.catalogue import schedule
    >>> traffic(schedule("flash2")).words
    d*m*ceiling(n/B_r) + d*n + e*m*ceiling(n/B_r) + e*n + n
    """
    return moved(schedule, schedule.phases, problem(schedule, sizes, mask, copies, stack))


def moved(schedule: Schedule, phases: Iterable[Node], problem: Problem) -> Traffic:
    """Return the words that some phases of a schedule move."""
    where = Place(schedule, problem)
    reads: dict[str, list[Number]] = {}
    writes: dict[str, list[Number]] = {}
    for node, place in walk(phases, where):
        if isinstance(node, Load):
            reads.setdefault(node.tile.name, []).append(place.times(node.tile.axes))
        elif isinstance(node, Store):
            writes.setdefault(node.tensor, []).append(place.times(node.tile.axes))
    return Traffic({k: total(v) for k, v in reads.items()}, {k: total(v) for k, v in writes.items()})


def footprint(schedule: Schedule, sizes: Mapping[str, Number] | None = None, stack: Number = 1) -> Number:
    """Return the fast-memory words that a schedule needs: the most that its tiles occupy at once.

    >>> from attometer.schedule.catalogue import schedule
    >>> footprint(schedule("flash1"))
    B_c*B_r + B_c*d + B_c*e + B_r*d + B_r*e + 2*B_r
    """
    return held(schedule, schedule.phases, problem(schedule, sizes, stack=stack))


def held(schedule: Schedule, phases: Iterable[Node], problem: Problem) -> Number:
    """Return the fast-memory words that some phases of a schedule need."""
    return greatest(list(peaks(phases, Place(schedule, problem), lambda tile, place: place.words(tile), total)))
