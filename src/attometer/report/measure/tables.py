"""A measurement as tables: times, growth, crossovers, and speed-ups in print."""

from typing import TYPE_CHECKING

from attometer.report.measure.fit import Growth
from attometer.report.measure.prediction import PRINTED, Printed
from attometer.view.numbers import Cell, seconds
from attometer.view.table import Table

if TYPE_CHECKING:
    from attometer.report.measure.report import Measured, MeasureReport


def tables(report: "MeasureReport") -> tuple[Table, ...]:
    """Return the tables that have rows."""
    made = (_times(report), _speeds(report), _growth(report), _crossovers(report), _printed(report))
    return tuple(table for table in made if table.rows)


def times(value: float | None) -> Cell:
    """Return a ratio as a cell, as in 2.1×.

    >>> str(times(2.125)), str(times(0.5)), str(times(None))
    ('2.12×', '0.50×', '-')
    """
    if value is None:
        return Cell(None, "-")
    return Cell(value, f"{value:.2f}×" if value < 100 else f"{value:,.0f}×")


def _times(report: "MeasureReport") -> Table:
    o, where = report.options, report.where
    what = "forward and backward" if o.backward else "forward"
    title = f"{what}, {o.dtype}, b = {o.batch}, h = {o.heads}, d = {o.d}, {o.repeats} samples; {where['machine']}"
    title += f", {where['device']}, {_threads(where['threads'])}, torch {where['torch']}"
    load = f"; load average {report.load[0]:.1f} before, {report.load[1]:.1f} after" if report.load else ""
    product = f"torch.mm of {report.ceiling_size}² in {o.dtype} at {report.ceiling / 1e9:,.1f} GFLOP/s, same run{load}"
    fastest = max((rate for r in report.rows if (rate := _rate(report, r)) is not None), default=0.0)
    # A product of one size is no ceiling where something measured ran faster.
    notes = (
        f"ceiling: {product}"
        if fastest <= report.ceiling / 1e9
        else f"ceiling: {fastest:,.1f} GFLOP/s, measured here; {product}",
        "CPU time: of all threads of this process; what other processes took is in the wall clock only",
        *report.remarks,
    )
    columns = ("mechanism", "n", "median", "least", "most", "CPU time", "peak MiB")
    return Table(title, columns, tuple(_spent(r) for r in report.rows), notes)


def _spent(r: "Measured") -> tuple[object, ...]:
    spent = [Cell(x, seconds(x)) for x in (r.time.median, r.time.least, r.time.most, r.cpu)]
    return (r.mechanism, r.n, *spent, Cell(r.peak, "-" if r.peak is None else f"{r.peak / 2**20:.1f}"))


def _speeds(report: "MeasureReport") -> Table:
    both = ", times 3 (the backward pass as twice the forward)" if report.options.backward else ""
    notes = (
        f"GFLOP/s: counted FLOPs of the forward pass{both} over the median time",
        "wall clock, CPU time: softmax's median over this one's; by FLOPs: what the counted matrix products predict",
    )
    columns = ("mechanism", "n", "runs with", "GFLOP/s", "wall clock", "CPU time", "by FLOPs")
    return Table("speed-ups over softmax", columns, tuple(_speed(report, r) for r in report.rows), notes)


def _rate(report: "MeasureReport", r: "Measured") -> float | None:
    """Return GFLOP/s over the median time."""
    return None if r.flops is None else r.flops * (3 if report.options.backward else 1) / r.time.median / 1e9


def _speed(report: "MeasureReport", r: "Measured") -> tuple[object, ...]:
    rate = _rate(report, r)
    shown = Cell(rate, "-" if rate is None else f"{rate:.1f}")
    ratios = map(times, (report.speedup(r), report.cpu_speedup(r), report.predicted(r)))
    return (r.mechanism, r.n, r.runs_with, shown, *ratios)


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _growth(report: "MeasureReport") -> Table:
    rows = tuple(
        (name, *_power(report.growths[name]), *_power(report.cpu_growths.get(name)), report.growths[name].points)
        for name in report.growths
    )
    notes = (
        "least squares on ln(median) over ln(n), at the measured lengths only; residual: root mean square of "
        "ln(measured/fitted), '-' for a line through two points",
    )
    return Table(
        "growth with n",
        ("mechanism", "wall clock", "residual", "CPU time", "its residual", "lengths"),
        rows,
        notes,
    )


def _power(fit: Growth | None) -> tuple[Cell, Cell]:
    if fit is None:
        return Cell(None, "-"), Cell(None, "-")
    return Cell(fit.exponent, f"n^{fit.exponent:.2f}"), Cell(
        fit.residual, "-" if fit.residual is None else f"{fit.residual:.3f}"
    )


def _crossovers(report: "MeasureReport") -> Table:
    rows = tuple((name, verdict) for name in report.crossings for verdict in _verdicts(report, name))
    notes = ("interpolated on logarithmic axes between measured lengths; nothing is said beyond them",)
    return Table("crossovers with softmax, wall clock", ("mechanism", "crossing"), rows, notes)


def _verdicts(report: "MeasureReport", name: str) -> list[str]:
    found = report.crossings[name]
    if found:
        return [
            f"{c.faster} is faster from n ≈ {c.n:,.0f} (between {c.below:,} and {c.above:,}"
            + (")" if c.clear else "; the samples' ranges overlap there)")
            for c in found
        ]
    own, base = report.times(name), report.times("softmax")
    word = "faster" if all(own[n].median < base[n].median for n in own) else "slower"
    where = f"at n = {next(iter(own)):,}" if len(own) == 1 else f"at every measured n, {min(own):,} to {max(own):,}"
    return [f"{word} {where}"]


def _printed(report: "MeasureReport") -> Table:
    held = [p for p in PRINTED if {p.mechanism, p.over} <= set(report.names)]
    columns = ("speed-up", "printed", "its formula", "n", "by FLOPs", "wall clock", "CPU time")
    notes = (
        *dict.fromkeys(f"{p.speedup}: {p.said_by}" for p in held),
        "the article's are ratios of FLOPs; its d is one head as wide as the model, the formula here takes a head's d",
    )
    return Table(
        "speed-ups in print, at the longest length measured", columns, tuple(_compared(report, p) for p in held), notes
    )


def _compared(report: "MeasureReport", p: Printed) -> tuple[object, ...]:
    row = max((r for r in report.rows if r.mechanism == p.mechanism), key=lambda r: r.n)
    formula = p.at(row.n, report.options.d)
    shown = Cell(formula, "-" if formula is None else f"{p.formula} = {formula:.3g}×")
    counted = report.predicted(row) if p.over == "softmax" else 1.0
    measured = (report.speedup(row, p.over), report.cpu_speedup(row, p.over))
    return (f"{p.mechanism} over {p.over}", p.speedup, shown, row.n, *map(times, (counted, *measured)))
