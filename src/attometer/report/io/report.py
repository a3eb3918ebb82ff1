"""The report of `attometer io`: what every schedule moves at M words, against what no algorithm can go below."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sympy

from attometer.count.bounds.attention import ATTENTION_BOUNDS, Bound, BoundSizes, attention_sizes, best_bound
from attometer.count.bounds.backward import BACKWARD_BOUNDS
from attometer.count.evaluate import bindings
from attometer.count.traffic.attention_shape import AttentionShape, attention_shape
from attometer.count.traffic.tile_search import best_tiles, smallest_memory
from attometer.count.traffic.words import traffic
from attometer.errors import AttometerError, unknown
from attometer.masks import Mask
from attometer.masks.counts import substitute, symbols
from attometer.mechanisms.subject import subject as named
from attometer.program.mask_reader import parse_mask
from attometer.program.program import Program
from attometer.report.io.compiled import NOTE, CompiledLines, compiled_lines, require_simulator
from attometer.report.io.derived import DerivedIo, derived_io
from attometer.report.io.verify import Verification, scaled
from attometer.report.io.verify import verify as executed
from attometer.schedule.catalogue import SCHEDULES
from attometer.schedule.catalogue import schedule as nest
from attometer.sizes import size
from attometer.view.numbers import Cell
from attometer.view.report import Block, Report
from attometer.view.table import Table


@dataclass(frozen=True)
class Shape:
    """Attention at numbers: n queries of `stack` heads each over m keys, `copies` times, head dimensions d and e."""

    n: int
    m: int
    d: int
    e: int
    copies: int
    stack: int
    mask: Mask | None

    def bound_sizes(self, M: int) -> BoundSizes:
        """Return what the bounds need."""
        return attention_sizes(self.n, self.d, M, self.m, self.e, self.mask, self.stack, 1, self.copies)

    def __str__(self) -> str:
        heads = f", {self.copies} × {self.stack} heads" if self.copies * self.stack > 1 else ""
        masked = f", mask {self.mask}" if self.mask is not None else ""
        keys = f", m = {self.m:,}" if self.m != self.n else ""
        values = f", e = {self.e}" if self.e != self.d else ""
        return f"n = {self.n:,}{keys}, d = {self.d}{values}{heads}{masked}"


@dataclass(frozen=True)
class ScheduleRow:
    """One schedule at its best tiles, or why it cannot run."""

    name: str
    tiles: Mapping[str, int]
    reads: int
    writes: int
    footprint: int
    ratio: float
    bound: str
    exact: bool
    notes: tuple[str, ...] = ()
    refusal: str = ""

    @property
    def words(self) -> int:
        """Words moved both ways."""
        return self.reads + self.writes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        if self.refusal:
            return {"schedule": self.name, "refusal": self.refusal}
        return {
            "schedule": self.name,
            "words": self.words,
            "reads": self.reads,
            "writes": self.writes,
            "footprint": self.footprint,
            "tiles": dict(self.tiles),
            "optimal": self.exact,
            "ratio": self.ratio,
            "bound": self.bound,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class BoundRow:
    """One lower bound at the sizes."""

    bound: Bound[BoundSizes]
    words: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        b = self.bound
        return {
            "name": b.name,
            "words": self.words,
            "statement": b.statement,
            "class": b.holds_for,
            "recomputation": b.recomputation,
            "order": b.order,
            "status": b.status,
            "source": b.source,
        }


@dataclass(frozen=True)
class IoReport(Report):
    """Schedules from the fewest words up, and the bounds; printing it gives the tables."""

    name: str
    shape: Shape
    M: int
    rows: tuple[ScheduleRow, ...]
    bounds: tuple[BoundRow, ...]
    show_bounds: bool = False
    verifications: tuple[Verification | str, ...] = ()
    compiled: tuple[CompiledLines | str, ...] = ()

    @property
    def best(self) -> ScheduleRow:
        """The schedule that moves the fewest words."""
        return self.rows[0]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        shape = {k: v for k, v in vars(self.shape).items() if k != "mask"}
        checked = [v if isinstance(v, str) else v.to_dict() for v in self.verifications]
        return {
            "mechanism": self.name,
            "sizes": {**shape, "M": self.M},
            "mask": None if self.shape.mask is None else str(self.shape.mask),
            "schedules": [row.to_dict() for row in self.rows],
            "bounds": [row.to_dict() for row in self.bounds],
            "verified": checked,
            **(
                {"compiled": [x if isinstance(x, str) else x.to_dict() for x in self.compiled]} if self.compiled else {}
            ),
        }

    def page(self) -> list[Block]:
        """Return the schedules, the bounds if asked for, what is noted, and what was verified."""
        parts: list[Block] = [_schedule_table(self), *([_bound_table(self)] if self.show_bounds else [])]
        said = [note for row in self.rows for note in (*row.notes, row.refusal) if note]
        said += map(str, (*self.verifications, *self.compiled))
        if any(isinstance(x, CompiledLines) for x in self.compiled):
            said.append(NOTE)
        return [*parts, "\n".join(said)] if said else parts

    def explain(self, name: str) -> str:
        """Return where a schedule's or a bound's words come from: formula, value and source.

        Raises AttometerError for a name that the report does not have.
        """
        for row in self.rows:
            if row.name == name:
                tiles = tiles_text(row.tiles) or "all 1"
                return f"{name} at {self.shape}, M = {self.M:,}, tiles {tiles}\n{row.words:,} words\n{nest(name)}"
        for one in self.bounds:
            if one.bound.name == name:
                b = one.bound
                return f"{name}: {b.statement}; {b.order}\n{one.words:,} words\n{b.holds_for}\n{b.status}: {b.source}"
        raise unknown("schedule or bound", name, [*(r.name for r in self.rows), *(r.bound.name for r in self.bounds)])

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw words against M into a .png, .svg or .pdf, and return its path."""
        from attometer.report.io.plot import plot_io

        return plot_io(self, path)


def io_report(
    subject: Any,
    *,
    M: int,
    mask: Mask | str | None = None,
    schedule: str | Iterable[str] | None = None,
    backward: bool = False,
    bounds: bool = False,
    verify: bool = False,
    compiled: bool = False,
    **sizes: int,
) -> IoReport | DerivedIo:
    """Return what schedules of a mechanism move through M words, with the ratio to the best bound of its class.

    Softmax attention of Q, K and V (masks, shared heads allowed) runs under every schedule of the catalogue; of any other
    Program the best nest is derived (`derived_io`).

    Args:
        subject: a Program, or a mechanism, its name or its file.
        M: words of fast memory.
        mask: a restriction on top of the program's own, such as causal() or its text.
        schedule: a name, or several; by default all of the direction.
        backward: the gradients instead of the result.
        bounds: also print every lower bound.
        verify: also run each schedule at a scaled-down size and compare with the count.
        compiled: with `verify`, also run those that are compiled, at this size, under valgrind's cachegrind.
        **sizes: the program's sizes by name; m, e, g, h and b default to n, d, h, 1 and 1.

    Raises:
        AttometerError: not softmax attention, an unknown schedule, a missing size, no schedule fits into M words, or
            no valgrind or compiler where one is needed.

    >>> from attometer.mechanisms import mechanism
    >>> report = io_report(mechanism("softmax"), M=98304, n=65536, d=64)
    >>> report.best.name, report.best.words, round(report.best.ratio, 2)
    ('flash2_sliced', 746586112, 1.5)
    """
    subject = named(subject)
    program = subject.program
    try:
        attention_shape(program)
    except AttometerError as error:
        if mask is not None or schedule is not None or compiled:
            option = "mask" if mask is not None else "schedule" if schedule is not None else "compiled"
            hint = "; write the mask in the text" if mask is not None else ""
            raise AttometerError(f"{option}: {error}{hint}") from None
        return derived_io(subject, M=M, sizes=sizes, backward=backward, bounds=bounds, verify=verify)
    defaults = {k: v for k, v in subject.defaults.items() if size(k) in program.symbols}
    shape = shape_at(program, _heads({**defaults, **sizes}), parse_mask(mask) if isinstance(mask, str) else mask)
    names = _schedules(schedule, backward)
    rules = BACKWARD_BOUNDS if backward else ATTENTION_BOUNDS
    numbers = shape.bound_sizes(M)
    valued = tuple(sorted((BoundRow(b, b.value(numbers)) for b in rules), key=lambda row: -row.words))
    rows = sorted((_row(name, shape, M, rules) for name in names), key=lambda row: (bool(row.refusal), row.words))
    if all(row.refusal for row in rows):
        least, name = min((smallest_memory(k, shape.n, shape.m, shape.d, shape.e), k) for k in names)
        raise AttometerError(
            f"M = {M} is too small for {', '.join(names)} at {shape}; the least is {least} words ({name})"
        )
    checked: tuple[Verification | str, ...] = ()
    if verify:
        small = scaled(shape.n, shape.m, shape.d, shape.e, M, shape.stack)
        checked = tuple(executed(row.name, small, shape.mask) for row in rows if not row.refusal)
    lines = _compiled([row.name for row in rows if not row.refusal], shape, M) if compiled else ()
    return IoReport(subject.name, shape, M, tuple(rows), valued, bounds, checked, lines)


def _schedules(asked: str | Iterable[str] | None, backward: bool) -> list[str]:
    if asked is None:
        return [name for name in SCHEDULES if nest(name).backward == backward]
    return [nest(name).name for name in ([asked] if isinstance(asked, str) else asked)]


def _compiled(names: list[str], shape: Shape, M: int) -> tuple[CompiledLines | str, ...]:
    require_simulator(names)
    sizes = {name: getattr(shape, name) for name in ("n", "m", "d", "e", "copies", "stack")}
    found = (compiled_lines(name, sizes, M, shape.mask) for name in names)
    return tuple(x for x in found if x is not None)


def _heads(sizes: Mapping[str, int]) -> dict[str, int]:
    """Let key/value heads alone stand for four query heads each, as in the models that share heads."""
    return {"h": 4 * sizes["g"], **sizes} if "g" in sizes else dict(sizes)


def shape_at(program: Program, sizes: Mapping[str, int], mask: Mask | None = None) -> Shape:
    """Return the shape of a program's attention at numbers, with both masks.

    >>> from attometer.mechanisms import mechanism
    >>> print(shape_at(mechanism("gqa").program, {"n": 64, "d": 8, "h": 4, "g": 2}))
    n = 64, d = 8, 2 × 2 heads
    """
    found = _untied(attention_shape(program), sizes)
    given = {"h": 1, **sizes}
    expressions = (found.n, found.m, found.d, found.e, found.copies, found.stack)
    free = frozenset().union(*(x.free_symbols for x in expressions), symbols(found.mask) if found.mask else ())
    fixed = {"n": found.n, "m": found.m}
    for name, value in sizes.items():
        if size(name) not in free and fixed.get(name) != value:
            known = ", ".join(sorted(s.name for s in free))
            raise AttometerError(f'the program has no size "{name}" to set to {value}; it has {known}')
    chosen = bindings(free, {k: v for k, v in given.items() if size(k) in free})
    bound = {symbol: sympy.Integer(value) for symbol, value in chosen.items()}
    numbers = [sympy.sympify(x).xreplace(bound) for x in expressions]
    if not all(x.is_Integer for x in numbers):
        heads = ", ".join(f"{name} = {sizes[name]}" for name in ("h", "g") if name in sizes)
        raise AttometerError(f"sizes do not divide: {heads or ', '.join(map(str, numbers))}; g must divide h")
    own = None if found.mask is None else substitute(found.mask, bound)
    both = own if mask is None else mask if own is None else own & mask
    n, m, d, e, copies, stack = map(int, numbers)
    return Shape(n, m, d, e, copies, stack, both)


def _untied(found: AttentionShape, sizes: Mapping[str, int]) -> AttentionShape:
    """Let the number of keys and the width of values be given where the program only says that they are n and d."""
    if "m" in sizes and found.m == found.n:
        found = replace(found, m=size("m"))
    if "e" in sizes and found.e == found.d:
        found = replace(found, e=size("e"))
    return found


def _row(name: str, shape: Shape, M: int, rules: tuple[Bound[BoundSizes], ...]) -> ScheduleRow:
    chosen = nest(name)
    s = {"n": shape.n, "m": shape.m, "d": shape.d, "e": shape.e}
    try:
        best = best_tiles(name, **s, M=M, mask=shape.mask, heads=shape.stack, kv_heads=1, batch=shape.copies)
    except AttometerError as error:
        return ScheduleRow(name, {}, 0, 0, 0, 0.0, "", False, refusal=str(error))
    moved = traffic(chosen, {**s, **best.tiles}, shape.mask, shape.copies, shape.stack)
    bound, words = best_bound(shape.bound_sizes(M), chosen.accumulators, rules)
    ratio = best.words / max(1, words)
    return ScheduleRow(
        name, best.tiles, int(moved.read), int(moved.written), best.footprint, ratio, bound.name, best.exact, best.notes
    )


def tiles_text(tiles: Mapping[str, int]) -> str:
    """Return the tiles larger than 1.

    >>> tiles_text({"B_r": 64, "B_d": 1})
    'B_r=64'
    """
    return " ".join(f"{name}={value}" for name, value in tiles.items() if value > 1)


def times(words: int, bound: int) -> Cell:
    """Return words over a bound; nothing where the bound is 0."""
    return Cell(words / bound, f"{words / bound:.2f}") if bound else Cell(None, "")


def _schedule_table(report: IoReport) -> Table:
    strongest = report.bounds[0]
    note = (
        "× bound: words over the strongest lower bound that covers the schedule; tiles of 1 are left out; "
        f"strongest: {strongest.bound.name}, {strongest.words:,} words"
    )
    columns = ("schedule", "words", "reads", "writes", "holds", "× bound", "tiles")
    title = f"{report.name} at M = {report.M:,} words: {report.shape}"
    return Table(title, columns, tuple(map(_schedule_row, report.rows)), (note,))


def _schedule_row(row: ScheduleRow) -> tuple[Any, ...]:
    if row.refusal:
        return (f"{row.name} (cannot run)", *[None] * 6)
    tiles = tiles_text(row.tiles) + ("" if row.exact else " (best found)")
    return (
        row.name,
        row.words,
        row.reads,
        row.writes,
        row.footprint,
        Cell(row.ratio, f"{row.ratio:.2f}"),
        tiles or "all 1",
    )


def _bound_table(report: IoReport) -> Table:
    columns = ("bound", "words", "best / bound", "class", "statement", "status, source")
    title = "lower bounds: no algorithm of the class moves fewer words"
    return Table(title, columns, tuple(_bound_row(report, row) for row in report.bounds))


def _bound_row(report: IoReport, row: BoundRow) -> tuple[Any, ...]:
    b = row.bound
    covering = [r.words for r in report.rows if not r.refusal and b.covers(nest(r.name).accumulators)]
    best = times(min(covering), row.words) if covering else ""
    recomputed = "" if b.recomputation else ", no recomputation"
    return b.name, row.words, best, b.holds_for + recomputed, f"{b.statement}; {b.order}", f"{b.status}: {b.source}"
