"""The report of `attometer io`: what every schedule moves at M words, against what no algorithm can go below."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import sympy
from rich.console import Console, Group
from rich.table import Table

from attometer.count.bounds.attention import ATTENTION_BOUNDS, Bound, BoundSizes, attention_sizes, best_bound
from attometer.count.bounds.backward import BACKWARD_BOUNDS
from attometer.count.evaluate import bindings
from attometer.count.traffic.attention_shape import AttentionShape, attention_shape
from attometer.count.traffic.tile_search import best_tiles, smallest_memory
from attometer.count.traffic.words import traffic
from attometer.errors import AttometerError
from attometer.masks.catalogue import Mask
from attometer.masks.counts import substitute, symbols
from attometer.program.program import Program
from attometer.report.io.verify import Verification, scaled, verify
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.sizes import size


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
class IoReport:
    """Schedules from the fewest words up, and the bounds; printing it gives the tables."""

    name: str
    shape: Shape
    M: int
    rows: tuple[ScheduleRow, ...]
    bounds: tuple[BoundRow, ...]
    show_bounds: bool = False
    verifications: tuple[Verification | str, ...] = ()

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
        }

    def __rich__(self) -> Group:
        parts: list[Any] = [_schedule_table(self)]
        if self.show_bounds:
            parts.append(_bound_table(self))
        parts += [f"[yellow]{note}[/]" for row in self.rows for note in (*row.notes, row.refusal) if note]
        parts += [str(line) for line in self.verifications]
        return Group(*parts)

    def __str__(self) -> str:
        console = Console(file=StringIO(), width=130, no_color=True)
        console.print(self)
        file = console.file
        assert isinstance(file, StringIO)
        return file.getvalue()


def io_report(
    subject: Any,
    *,
    M: int,
    sizes: Mapping[str, int],
    mask: Mask | None = None,
    schedules: Iterable[str] | None = None,
    backward: bool = False,
    bounds: bool = False,
    check: bool = False,
) -> IoReport:
    """Return what each schedule of softmax attention moves through M words, with the ratio to the best bound of its class.

    Args:
        subject: a Program or a mechanism that is softmax attention of Q, K and V (masks and shared heads allowed).
        M: words of fast memory.
        sizes: the program's sizes by name; m, e, g, h and b default to n, d, h, 1 and 1.
        mask: a restriction on top of the program's own.
        schedules: names; by default all of the direction.
        backward: the gradients instead of the result.
        bounds: also print every lower bound.
        check: also run each schedule at a scaled-down size and compare with the count.

    Raises:
        AttometerError: not softmax attention, an unknown schedule, a missing size, or no schedule fits into M words.

    >>> from attometer.mechanisms import mechanism
    >>> report = io_report(mechanism("softmax"), M=98304, sizes={"n": 65536, "d": 64})
    >>> report.best.name, report.best.words, round(report.best.ratio, 2)
    ('flash2_sliced', 746586112, 1.5)
    """
    program = getattr(subject, "program", subject)
    if not isinstance(program, Program):
        raise AttometerError(f"io takes a Program or a mechanism, got {type(subject).__name__}")
    defaults = {k: v for k, v in getattr(subject, "defaults", {}).items() if size(k) in program.symbols}
    shape = shape_at(program, {**defaults, **sizes}, mask)
    known = [name for name in SCHEDULES if schedule(name).backward == backward]
    names = known if schedules is None else [schedule(name).name for name in schedules]
    rules = BACKWARD_BOUNDS if backward else ATTENTION_BOUNDS
    numbers = shape.bound_sizes(M)
    valued = tuple(sorted((BoundRow(b, b.value(numbers)) for b in rules), key=lambda row: -row.words))
    rows = sorted((_row(name, shape, M, rules) for name in names), key=lambda row: (bool(row.refusal), row.words))
    if all(row.refusal for row in rows):
        least, name = min((smallest_memory(k, shape.n, shape.m, shape.d, shape.e), k) for k in names)
        raise AttometerError(
            f"M = {M} is too small for {', '.join(names)} at {shape}; the least is {least} words ({name})"
        )
    name = getattr(subject, "name", "program")
    checked: tuple[Verification | str, ...] = ()
    if check:
        small = scaled(shape.n, shape.m, shape.d, shape.e, M, shape.stack)
        checked = tuple(verify(row.name, small, shape.mask) for row in rows if not row.refusal)
    return IoReport(name, shape, M, tuple(rows), valued, bounds, checked)


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
        raise AttometerError(f"sizes do not divide: {', '.join(map(str, numbers))}; g must divide h")
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
    chosen = schedule(name)
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


def _schedule_table(report: IoReport) -> Table:
    table = Table(title=f"{report.name} at M = {report.M:,} words: {report.shape}", pad_edge=False)
    for name in ("schedule", "words", "reads", "writes", "holds", "× bound", "tiles"):
        table.add_column(name, justify="left" if name in ("schedule", "tiles") else "right", overflow="fold")
    for row in report.rows:
        if row.refusal:
            table.add_row(row.name, "cannot run")
            continue
        tiles = " ".join(f"{k}={v}" for k, v in row.tiles.items() if v > 1) + ("" if row.exact else " (best found)")
        numbers = [f"{x:,}" for x in (row.words, row.reads, row.writes, row.footprint)]
        table.add_row(row.name, *numbers, f"{row.ratio:.2f}", tiles or "all 1")
    strongest = report.bounds[0]
    table.caption = (
        f"× bound: words over the strongest lower bound that covers the schedule; tiles of 1 are left out; "
        f"strongest: {strongest.bound.name}, {strongest.words:,} words"
    )
    return table


_BOUND_COLUMNS = (
    ("bound", 4),
    ("words", 3),
    ("best / bound", 2),
    ("class", 2),
    ("statement", 8),
    ("status, source", 5),
)


def _bound_table(report: IoReport) -> Table:
    table = Table(title="lower bounds: no algorithm of the class moves fewer words", pad_edge=False, show_lines=True)
    for column, share in _BOUND_COLUMNS:
        side: Any = "right" if column in ("words", "best / bound") else "left"
        table.add_column(column, ratio=share, overflow="fold", justify=side)
    for row in report.bounds:
        b = row.bound
        covering = [r.words for r in report.rows if not r.refusal and b.covers(schedule(r.name).accumulators)]
        ratio = f"{min(covering) / row.words:.2f}" if covering and row.words else ""
        statement = f"{b.statement}; {b.order}"
        recomputed = "" if b.recomputation else ", no recomputation"
        table.add_row(b.name, f"{row.words:,}", ratio, b.holds_for + recomputed, statement, f"{b.status}: {b.source}")
    return table
