"""What any Program moves at M words: the nest derived from its text, its bounds by product, and the nest executed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attometer.count.bounds.attention import AlgorithmClass
from attometer.count.bounds.program import Bounds, ProgramBound, bounds
from attometer.count.derive import derive
from attometer.count.derived import Derived
from attometer.count.evaluate import usual
from attometer.errors import AttometerError
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.subject import gradient_of
from attometer.program import size
from attometer.report.io.verify import Verification, verify_nest
from attometer.view.numbers import Cell
from attometer.view.report import Block, Report
from attometer.view.style import COLOURS, DASHES, figure_path, look, save, sheet
from attometer.view.table import Table

OF_A_NEST: AlgorithmClass = "accumulator"
"""The class of every derived nest: each sum is added up in one place."""


@dataclass(frozen=True)
class DerivedIo(Report):
    """The nest that moves the fewest words of a Program, words by tensor, and bounds; printing it gives the tables."""

    name: str
    found: Derived
    show_bounds: bool = False
    checked: Verification | str | None = None

    @property
    def words(self) -> int:
        """Words that the nest moves."""
        return self.found.words

    @property
    def ratio(self) -> float:
        """Words over the strongest lower bound for algorithms such as the nest."""
        return self.found.ratio

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        known = [{**vars(b), "ratio": _ratio(self.words, b)} for b in self.found.bounds.bounds]
        checked = self.checked.to_dict() if isinstance(self.checked, Verification) else self.checked
        return {"mechanism": self.name, **self.found.to_dict(), "bounds": known, "verified": checked}

    def page(self) -> list[Block]:
        """Return the nest, its words by tensor, the bounds if asked for, and what was verified."""
        parts: list[Block] = [str(self.found.schedule), _moves(self), "\n".join(self.found.notes)]
        parts += [_bound_table(self)] if self.show_bounds else []
        return [*parts, str(self.checked)] if self.checked else parts

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw words against M into a .png, .svg or .pdf, with a nest derived at each of five M, and return its path."""
        return _draw(self, figure_path(path))


def derived_io(
    made: Mechanism,
    *,
    M: int,
    sizes: Mapping[str, int],
    backward: bool = False,
    bounds: bool = False,
    verify: bool = False,
) -> DerivedIo:
    """Return what the best nest derived from a mechanism's text moves through M words, and what no algorithm can beat.

    Args:
        made: what is computed: any Program, as a mechanism.
        M: words of fast memory.
        sizes: the program's sizes by name; what is left out is typical, and said. Sizes of attention that it lacks are
            refused.
        backward: the gradients instead of the result.
        bounds: also print every lower bound.
        verify: also run the nest at a scaled-down size, and compare with the count.

    Raises:
        AttometerError: an operation that no nest runs, an unknown size, or an M in which nothing fits.

    >>> from attometer.mechanisms.subject import subject
    >>> from attometer.program import parse
    >>> found = derived_io(subject(parse("Y[i,k] = A[i,j] * B[j,k]")), M=300, sizes={"i": 64, "j": 64, "k": 64}, verify=True)
    >>> found.words, round(found.ratio, 2), found.checked.holds
    (36864, 1.23, True)
    """
    if backward:
        made = gradient_of(made)
    given = {k: v for k, v in made.defaults.items() if size(k) in made.program.symbols and isinstance(v, int)}
    known = [s.name for s in made.program.symbols]
    found = derive(made.program, M, **{**sizes, **usual(known, {**given, **sizes})})
    checked = verify_nest(made.program, found.schedule, found.sizes, found.tiles) if verify else None
    return DerivedIo(made.name, found, bounds, checked)


def _ratio(words: int, bound: ProgramBound) -> float | None:
    return words / bound.words if bound.words else None


def _moves(report: DerivedIo) -> Table:
    found = report.found
    moved, strongest = found.traffic, found.bounds.best(OF_A_NEST)
    at = ", ".join(f"{k} = {v:,}" for k, v in found.sizes.items())
    tiles = ", ".join(f"{k} = {v:,}" for k, v in found.tiles.items()) or "none"
    rows = [(name, moved.reads.get(name, 0), moved.writes.get(name, 0)) for name in {**moved.reads, **moved.writes}]
    notes = (
        f"tiles: {tiles}; holds {found.footprint:,} words",
        f"{found.ratio:.3f} × the strongest lower bound: {strongest.name}, {strongest.words:,} words ({strongest.status})",
    )
    total = ("in all", moved.read, moved.written)
    title = f"{report.name} at M = {found.M:,} words: {at}; moves {found.words:,} words"
    return Table(title, ("tensor", "reads", "writes"), (*rows, total), notes)


def _bound_table(report: DerivedIo) -> Table:
    rows = []
    for b in sorted(report.found.bounds.bounds, key=lambda b: -b.words):
        ratio = _ratio(report.words, b)
        rows.append(
            (b.name, b.words, Cell(ratio, "" if ratio is None else f"{ratio:.2f}"), b.holds_for, b.statement, b.status)
        )
    columns = ("bound", "words", "nest / bound", "class", "statement", "status")
    return Table("lower bounds: no algorithm of the class moves fewer words", columns, tuple(rows))


def _draw(report: DerivedIo, target: Path) -> Path:
    found = report.found
    memory = [max(1, found.M * 4**step // 16) for step in range(5)]
    nests = {found.M: found.words}
    limits: dict[int, Bounds] = {}
    for M in memory:
        limits[M] = bounds(found.program, M, **found.sizes)
        try:
            nests[M] = nests.get(M) or derive(found.program, M, **found.sizes).words
        except AttometerError:
            continue  # nothing fits
    with look():
        at = ", ".join(f"{k} = {v:,}" for k, v in found.sizes.items())
        figure = sheet(f"{report.name}: words moved against fast memory")
        axes = figure.subplots()
        axes.loglog(sorted(nests), [nests[M] for M in sorted(nests)], "o-", color=COLOURS[0], label="derived nest")
        for number, kind in enumerate(("accumulator", "tree", "any"), start=1):
            words = [limits[M].best(kind).words for M in memory]  # type: ignore[arg-type]
            label = f"lower bound, {_CLASSES[kind]}"
            axes.loglog(memory, words, color=COLOURS[number], ls=DASHES[number], label=label)
        axes.set(xlabel="fast memory M (words)", ylabel="words moved, reads and writes")
        axes.set_title(at, fontsize=9)
        axes.legend()
        return save(figure, target)


_CLASSES = {"accumulator": "one accumulator for each sum", "tree": "any summation tree", "any": "inputs and results"}
