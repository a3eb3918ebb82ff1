"""How a Program scales over processors: its work and depth, and those of the nest that moves the fewest words through M."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from attometer.count import count
from attometer.count.derive import derive
from attometer.count.derived import Derived
from attometer.count.nest_search import filled
from attometer.count.work.schedule_work import depth, work
from attometer.errors import AttometerError
from attometer.mechanisms.subject import Subject, subject
from attometer.price.brent import Bounds, brent_curve, cutoff
from attometer.view.report import Block, Report
from attometer.view.table import Table


@dataclass(frozen=True)
class Curve:
    """Work, depth and steps on each number of processors, between the bounds of Brent and Graham."""

    work: int
    depth: int
    points: tuple[Bounds, ...]

    @property
    def parallelism(self) -> float:
        """p* = W / D: more processors than that wait for the longest chain."""
        return float(cutoff(self.work, self.depth))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        points = [point.to_dict() for point in self.points]
        return {"work": self.work, "depth": self.depth, "cutoff": self.parallelism, "points": points}


@dataclass(frozen=True)
class Scaling(Report):
    """The curve of a program on an unlimited fast memory, and of its derived nest where each processor has M words."""

    sizes: dict[str, int]
    free: Curve
    nest: Curve | None
    derived: Derived | None

    def page(self) -> Iterable[Block]:
        """Return the paragraphs and the table."""
        at = ", ".join(f"{k} = {v:,}" for k, v in self.sizes.items())
        yield f"at {at}: work {self.free.work:,}, depth {self.free.depth:,}, p* = {self.free.parallelism:,.0f} processors"
        if self.nest and self.derived:
            yield (
                f"in fast memories of M = {self.derived.M:,} words, on the nest that moves the fewest words "
                f"({self.derived.words:,}): work {self.nest.work:,}, depth {self.nest.depth:,}, "
                f"p* = {self.nest.parallelism:,.0f} processors"
            )
        yield Table("steps T_p", self._columns(), tuple(self._rows()), self._notes())

    def _columns(self) -> tuple[str, ...]:
        columns = ("processors", "at least", "at most", "bound by")
        return (*columns, "at least in M", "at most in M") if self.nest else columns

    def _rows(self) -> Iterable[tuple[Any, ...]]:
        for k, point in enumerate(self.free.points):
            bound = "depth" if point.lower == self.free.depth else "work"
            row = (int(point.processors), int(point.lower), _above(point), bound)
            yield (*row, int(self.nest.points[k].lower), _above(self.nest.points[k])) if self.nest else row

    def _notes(self) -> tuple[str, ...]:
        notes = ["unit cost; balanced trees; at least max(⌈W/p⌉, D), at most (W - D)/p + D rounded up (Brent, Graham)"]
        if self.nest:
            notes.append(
                "in M: tiles of parallel loops run at once, a fast memory each; a stream is one step after another"
            )
        return (*notes, "words that lie apart are not charged more than neighbours: contiguity is not modelled")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        nest = self.nest.to_dict() if self.nest else None
        return {"sizes": self.sizes, "free": self.free.to_dict(), "nest": nest,
                "derived": self.derived.to_dict() if self.derived else None}  # fmt: skip


def scale(what: Subject, /, processors: Iterable[int], M: int | None = None, **sizes: int) -> Scaling:
    """Return how a program scales over numbers of processors, and with M how its derived nest does.

    Args:
        what: what is computed: a Program, a mechanism, its name, or a file of notation.
        processors: how many work at once, each at least 1.
        M: words of fast memory of each; None for one that holds everything.
        **sizes: sizes by name; those left out are typical ones.

    Returns:
        Work, depth, p* = W/D and the steps on each number of processors.

    Raises:
        AttometerError: a number below 1, an unknown size, or with M a program that no nest runs.

    >>> from attometer.program import parse
    >>> print(scale(parse("C[m,n] = A[m,k] * B[k,n]"), [1, 64], m=8, n=8, k=8).text().splitlines()[0])
    at k = 8, m = 8, n = 8: work 960, depth 4, p* = 240 processors
    """
    program, counted = subject(what).program, tuple(processors)
    if not counted:
        raise AttometerError("processors must name at least one number")
    whole = filled(program, sizes)
    cost = count(program).at(**whole)
    free = _curve(int(cost.work), int(cost.depth), counted)
    if M is None:
        return Scaling(whole, free, None, None)
    found = derive(program, M, **sizes)
    own = {k: v for k, v in {**found.sizes, **found.tiles}.items() if k in found.names}
    operations = int(work(found.schedule, own))
    return Scaling(whole, free, _curve(operations, min(operations, int(depth(found.schedule, own))), counted), found)


def _curve(operations: int, chain: int, processors: tuple[int, ...]) -> Curve:
    return Curve(operations, max(1, chain), brent_curve(max(1, operations), max(1, chain), processors))


def _above(point: Bounds) -> int:
    return -int(-point.upper // 1)
