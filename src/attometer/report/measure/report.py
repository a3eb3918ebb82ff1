"""`measure`: time mechanisms on this machine, and hold the times against their counted FLOPs and printed speed-ups."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from attometer.errors import extras
from attometer.report.measure.fit import Crossing, Growth, Range, crossings, growth
from attometer.report.measure.options import Options
from attometer.report.measure.prediction import PRINTED, flops
from attometer.view.report import Report
from attometer.view.table import Table

if TYPE_CHECKING:
    from attometer.run import Sample, Setting

BASELINE = "softmax"


@dataclass(frozen=True)
class Measured:
    """The samples of one mechanism at one length, summed up.

    Attributes:
        mechanism: its name.
        n: tokens.
        time: median, least and most seconds of wall clock.
        cpu: median seconds of the process's CPU time, of all its threads.
        peak: bytes by which memory grew at most in one run, None where the system does not tell.
        samples: how many.
        runs_with: what ran it.
        flops: counted FLOPs of the forward pass, None where the mechanism is not catalogued.
    """

    mechanism: str
    n: int
    time: Range
    cpu: float
    peak: int | None
    samples: int
    runs_with: str
    flops: int | None


@dataclass(frozen=True)
class MeasureReport(Report):
    """What was measured; printing it gives the tables.

    Attributes:
        options: what was asked for.
        rows: one for each mechanism and length.
        ceiling: FLOPs per second of a square matrix product in the same run.
        ceiling_size: its rows.
        where: machine, device, torch, threads.
        load: the system's load average before the first sample and after the last, None where it does not tell.
        remarks: what the reader must know besides.
    """

    options: Options
    rows: tuple[Measured, ...]
    ceiling: float
    ceiling_size: int
    where: dict[str, Any]
    load: tuple[float, float] | None
    remarks: tuple[str, ...] = ()

    def times(self, mechanism: str) -> dict[int, Range]:
        """Return a mechanism's times by length."""
        return {r.n: r.time for r in self.rows if r.mechanism == mechanism}

    @property
    def names(self) -> tuple[str, ...]:
        """The mechanisms, in the order asked for."""
        return tuple(dict.fromkeys(r.mechanism for r in self.rows))

    def speedup(self, row: Measured, over: str = BASELINE) -> float | None:
        """Return how many times faster than `over` the median is, or None for `over` itself or where it is not known."""
        return self._over(row, over, lambda r: r.time.median)

    def cpu_speedup(self, row: Measured, over: str = BASELINE) -> float | None:
        """Return the same of CPU time."""
        return self._over(row, over, lambda r: r.cpu)

    def _over(self, row: Measured, over: str, read: Callable[[Measured], float]) -> float | None:
        if over == row.mechanism or row.mechanism == "decode":  # one query is no rival of n
            return None
        base = next((r for r in self.rows if (r.mechanism, r.n) == (over, row.n)), None)
        return None if base is None or not read(row) else read(base) / read(row)

    def predicted(self, row: Measured) -> float | None:
        """Return softmax's counted FLOPs over this one's, or None where a speed-up is."""
        o = self.options
        base = flops(BASELINE, b=o.batch, h=o.heads, n=row.n, d=o.d)
        return None if not base or not row.flops or row.mechanism == BASELINE else base / row.flops

    @cached_property
    def growths(self) -> dict[str, Growth]:
        """The fit of each mechanism with at least two lengths, to medians of wall-clock time."""
        return self._fits(lambda r: r.time.median)

    @cached_property
    def cpu_growths(self) -> dict[str, Growth]:
        """The same, to CPU time."""
        return self._fits(lambda r: r.cpu)

    def _fits(self, read: Callable[[Measured], float]) -> dict[str, Growth]:
        fits = {x: growth({r.n: read(r) for r in self.rows if r.mechanism == x and read(r)}) for x in self.names}
        return {name: fit for name, fit in fits.items() if fit is not None}

    @cached_property
    def crossings(self) -> dict[str, tuple[Crossing, ...]]:
        """Where each mechanism overtakes softmax, or is overtaken."""
        others = [x for x in self.names if x not in (BASELINE, "decode")] if BASELINE in self.names else []
        return {x: crossings((x, self.times(x)), (BASELINE, self.times(BASELINE))) for x in others}

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Times, growth, crossovers, and speed-ups in print."""
        from attometer.report.measure.tables import tables

        return tables(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; times in seconds, memory in bytes."""
        return {
            "where": self.where,
            "load_average": list(self.load) if self.load else None,
            "options": self.options.to_dict(),
            "ceiling": {"flops_per_second": self.ceiling, "size": self.ceiling_size},
            "rows": [
                {
                    **asdict(r),
                    "speedup": self.speedup(r),
                    "cpu_speedup": self.cpu_speedup(r),
                    "predicted_speedup": self.predicted(r),
                }
                for r in self.rows
            ],
            "growth": {name: asdict(fit) for name, fit in self.growths.items()},
            "cpu_growth": {name: asdict(fit) for name, fit in self.cpu_growths.items()},
            "crossovers": {name: [asdict(c) for c in found] for name, found in self.crossings.items()},
            "printed": [asdict(p) for p in PRINTED if p.mechanism in self.names],
            "remarks": list(self.remarks),
        }

    def page(self) -> tuple[Table, ...]:
        """Return the tables."""
        return self.tables

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw time against length into a .png, .svg or .pdf, and return its path."""
        from attometer.report.measure.plot import plot

        return plot(self, path)


def measure(
    names: Options | str | Sequence[str],
    n: str | Sequence[int] = "512,1024,2048",
    *,
    out: Path | None = None,
    said: Callable[[str], None] | None = None,
    **settings: Any,
) -> MeasureReport:
    """Time mechanisms on this machine, each at every length, and return the report.

    Args:
        names: a mechanism's name, several, or all that is asked for, checked.
        n: numbers of tokens, where `names` are names.
        out: a file that each sample is appended to as it comes; what it already holds is not run again.
        said: called with a line of text as each round ends; None draws a progress bar if stderr is a terminal.
        **settings: dtype, heads, d, batch, impl, backward, repeats, device, threads, as `Options.of` takes them.

    Returns:
        The report.

    Raises:
        AttometerError: torch is missing, an implementation that does not support a mechanism, or a file that holds something
            else.

    >>> report = measure(["softmax", "linear"], "16,32", dtype="fp32", heads=1, d=4, repeats=2)
    >>> [(row.mechanism, row.n, row.samples) for row in report.rows]
    [('softmax', 16, 2), ('linear', 16, 2), ('softmax', 32, 2), ('linear', 32, 2)]
    """
    with extras("measuring needs"):
        from attometer.run.bench.cases import Setting

    o = names if isinstance(names, Options) else Options.of([names] if isinstance(names, str) else names, n, **settings)
    setting = Setting(o.batch, o.heads, o.d, o.torch_dtype, o.backward, o.impl, o.device)
    with _threads(o.threads):
        return _measured(o, setting, out, said)


def _measured(o: Options, setting: "Setting", out: Path | None, said: Callable[[str], None] | None) -> MeasureReport:
    from attometer.report.measure.progress import follow
    from attometer.run.bench.measuring import blank, load, pairs
    from attometer.run.bench.measuring import measure as samples_of

    probe = blank(BASELINE, 1, setting)
    here = probe.where
    held = load(out) if out else []
    strangers = [s for s in held if s.where != here]
    order = pairs(o.mechanisms, o.lengths, setting)
    begun = _load_average()
    found = list(
        follow(samples_of(o.mechanisms, o.lengths, setting=setting, rounds=o.repeats, results=out), order, o, said)
    )
    ended = _load_average()
    ceilings = [s for s in found if (s.mechanism, s.n) == order[0]]
    ceiling = 2 * order[0][1] ** 3 / median(s.seconds for s in ceilings)
    return MeasureReport(
        o,
        tuple(_summed([s for s in found if (s.mechanism, s.n) == pair], o) for pair in order[1:]),
        ceiling,
        order[0][1],
        dict(zip(("machine", "device", "torch", "threads"), here, strict=True)),
        (begun, ended) if begun is not None and ended is not None else None,
        (*_busy(begun, probe.threads), *_remarks(o, len(strangers), sum(s in held for s in found), out)),
    )


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _summed(samples: Sequence["Sample"], o: Options) -> Measured:
    first, walls = samples[0], [s.seconds for s in samples]
    peaks = [s.peak_bytes for s in samples if s.peak_bytes is not None]
    return Measured(
        first.mechanism,
        first.n,
        Range(median(walls), min(walls), max(walls)),
        median(s.cpu_seconds for s in samples),
        int(median(peaks)) if peaks else None,
        len(samples),
        "/".join(dict.fromkeys(s.runs_with for s in samples)),
        flops(first.mechanism, b=o.batch, h=o.heads, n=first.n, d=o.d),
    )


def _remarks(o: Options, strangers: int, earlier: int, out: Path | None) -> tuple[str, ...]:
    own = [x for x in o.mechanisms if not o.chooses(x)]
    return tuple(
        text
        for text in (
            f"{strangers:,} samples in {out} are of another machine, device, torch or thread count, and are left out"
            if strangers
            else "",
            f"{earlier:,} samples are of an earlier run, from {out}" if earlier else "",
            f"--impl {o.impl} says nothing to {', '.join(own)}: one implementation each"
            if o.impl != "auto" and own
            else "",
            f"{o.repeats} samples: the median of fewer than three says little" if o.repeats < 3 else "",
        )
        if text
    )


def _busy(load: float | None, threads: int) -> tuple[str, ...]:
    """Say that others used the processors: torch's threads wait for each other at every operation."""
    processors = os.cpu_count() or 1
    if load is None or load + threads <= processors + 0.5:
        return ()
    hint = "; with more threads than idle processors times mean little: use --threads 1" if threads > 1 else ""
    return (f"the machine was busy: load average {load:.1f} on {processors} processors before the first sample{hint}",)


def _load_average() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None
