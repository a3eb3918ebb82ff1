"""Measure this machine for a minute, and fit the same coefficients to it: `attometer calibrate --quick`.

Products by shape and type, bandwidth by working set, attention by size, the steps of a layer and small models take turns
in rounds. Every few samples one reference product is timed, and each sample is taken relative to those around it, so that a
machine that slows down or is busy for a while shifts no case against another. One thread of a CPU is timed by what the
process ran, not by what passed while others ran; a GPU by its own events. What is measured is kept as rows of the schema
beside a machine file and the coefficients: the folder is replaced as a whole.
"""

import csv
import io
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attometer.count.model_cost import model_cost
from attometer.count.placement.rank_cost import shard
from attometer.errors import AttometerError
from attometer.machine import Machine, machine, this_folder
from attometer.models import from_values
from attometer.price.calibrate import fit_physics
from attometer.price.composed import engine_of, priced
from attometer.price.figures import known
from attometer.price.intervals import width
from attometer.price.kernels import Array
from attometer.price.load import LABELS, Table, tabulate
from attometer.price.model_calls import Pass
from attometer.price.own import ENGINE, own_calls
from attometer.price.predict import PLAIN, predict
from attometer.price.rows import Row, read
from attometer.price.tables import Calibration, calibration, save
from attometer.schedule.placement import Placement
from attometer.view.files import write_atomically

if TYPE_CHECKING:
    from attometer.price.quick_cases import Case

SECONDS = 60.0
REFERENCE = "this_reference"  # the row of what drift is seen by
ROUNDS = 3  # at least, where nothing interrupts
_NO_RATES = ("memory", "cache", "fresh")  # figures that are no rates of products
_SAMPLE = 0.01  # seconds that one sample lasts at least
_ONCE = 1.0  # seconds of a case that has one turn: where a type is slow, a round of such would take minutes
_LONG = 0.1  # seconds of a call that is timed as it is, without one before to warm up
_BETWEEN = 8  # samples between two of the reference
_AROUND = 2  # of the reference's, on each side, of whose median a sample is taken
_EVERY = 40  # cases between two of new pages
_TOUCHED = 2 << 30  # bytes: more than the largest case holds
_APART = 1.0  # of a prior's width: a machine's kernels were all timed here, and need not be alike
_FOLDS = 4  # parts of the rows, each predicted by a fit on the others, for the interval

Timer = Callable[[Callable[[], Any]], float]


@dataclass(frozen=True)
class Quick:
    """What a quick calibration found: where it was written, samples, and the machine's figures in base units."""

    folder: str
    cases: int
    rounds: int
    complete: bool
    threads: int
    figures: dict[str, float]
    ends: dict[str, float]  # half-widths of the 90 % intervals by class, of log time

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(vars(self))

    def __str__(self) -> str:
        rates = ", ".join(
            f"{name} {value / 1e9:.0f} GFLOP/s" for name, value in self.figures.items() if name not in _NO_RATES
        )
        cut = "" if self.complete else " (stopped early: what was done is kept)"
        ends = ", ".join(f"{name} ±{100 * np.expm1(value):.0f} %" for name, value in self.ends.items())
        return (
            f"this machine, {self.threads} thread{'s' * (self.threads > 1)}: {rates}; "
            f"memory {self.figures['memory'] / 1e9:.1f} GB/s (measured)\n"
            f"90 % of unseen sizes are expected within: {ends}\n"
            f"{self.cases} cases in {self.rounds} rounds{cut}; written to {self.folder}; use it with --on this"
        )


def quick(
    seconds: float = SECONDS, tell: Callable[[float], None] = lambda share: None, device: str | None = None
) -> Quick:
    """Time this machine for about `seconds`, fit its coefficients and write them under the user's data folder.

    `tell` is given the share done. `device` is cpu or cuda; the GPU where PyTorch sees one. Ctrl-C ends the measuring and
    keeps what is done; before the machine's rates were timed, nothing is written. Raises AttometerError then, and
    ModuleNotFoundError without torch.
    """
    import torch

    from attometer.price.quick_cases import cases, pages, row

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    found = list(cases(place))
    if place == "cpu":
        touched()
        new = pages()  # what they cost moves with the system's memory: a case that has many turns in a round
        found = [each for k, case in enumerate(found) for each in ((case, new) if k % _EVERY == 0 else (case,))]
    samples, usual, complete = measure(found, timer(place), reference(place), seconds, tell)
    middle = statistics.median(usual)
    timed: dict[int, tuple[dict[str, str], list[float]]] = {}
    for case, some in zip(found, samples, strict=True):
        timed.setdefault(id(case), (case.cells, []))[1].extend(each * middle for each in some)
    return fitted([*timed.values(), (row(REFERENCE, REFERENCE), usual)], _facts(place), complete)


def touched() -> None:
    """Touch memory and give it back: a hypervisor backs a page of its guest when it is touched for the first time."""
    import torch

    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    torch.ones(min(pages // 4, _TOUCHED) // 4)


def measure(
    cases: "list[Case]",
    timed: Timer,
    reference: Callable[[], Any],
    seconds: float,
    tell: Callable[[float], None],
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[list[list[float]], list[float], bool]:
    """Return the samples of each case over what the reference took beside them, those of the reference, and whether all ran.

    The cases take turns for `seconds` of `clock`, and `ROUNDS` times at least; those of a second and more have one turn. What
    the reference took beside a sample is the median of those around it: one that waited for others' work shifts nothing.
    """
    taken: list[list[tuple[float, int]]] = [[] for _ in cases]
    begun, usual, rounds = clock(), [timed(reference)], 0
    complete = True
    try:
        while rounds < ROUNDS or clock() - begun < seconds:
            for index, case in enumerate(cases):
                if index % _BETWEEN == 0:
                    usual.append(timed(reference))
                if not taken[index] or taken[index][-1][0] < _ONCE:
                    taken[index].append((timed(case.run), len(usual) - 1))
                share = (rounds + (index + 1) / len(cases)) / ROUNDS
                tell(min(1.0, share, max(1 / ROUNDS, (clock() - begun) / max(seconds, 1e-9))))
            rounds += 1
    except KeyboardInterrupt:
        complete = False
    beside = [statistics.median(usual[max(0, k - _AROUND) : k + _AROUND + 1]) for k in range(len(usual))]
    return [[each / beside[k] for each, k in some] for some in taken], usual, complete


def timer(device: str) -> Timer:
    """Return what times a function on a device: seconds of one call, over calls that last `_SAMPLE` seconds or more.

    One thread of a CPU is timed by the time that the process ran, where the system's clock is fine enough.
    """
    import torch

    if device != "cpu":
        return _on_gpu
    fine = time.get_clock_info("process_time").resolution < 1e-5
    return _by(time.process_time if torch.get_num_threads() == 1 and fine else time.perf_counter)


def _by(clock: Callable[[], float]) -> Timer:
    def timed(run: Callable[[], Any]) -> float:
        start = clock()
        run()
        if (first := clock() - start) > _LONG:
            return first
        count, start = 0, clock()
        while (passed := clock() - start) < _SAMPLE:
            run()
            count += 1
        return passed / max(count, 1)

    return timed


def _on_gpu(run: Callable[[], Any]) -> float:
    import torch

    run()
    torch.cuda.synchronize()
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    times = 1
    while True:
        first.record()
        for _ in range(times):
            run()
        last.record()
        last.synchronize()
        passed = first.elapsed_time(last) / 1e3
        if passed >= _SAMPLE:
            return float(passed / times)
        times = max(2 * times, int(1.2 * times * _SAMPLE / max(passed, 1e-7)))


def reference(device: str) -> Callable[[], Any]:
    """Return what drift is seen by: a product and a copy, which take about as long."""
    import torch

    size = 384 if device == "cpu" else 2048
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    source = torch.randn(8 * size * size, device=device)
    target = torch.empty_like(source)

    def run() -> None:
        left @ right
        target.copy_(source)

    return run


@dataclass(frozen=True)
class Facts:
    """What a system says of the device that is timed: name, kind, threads or multiprocessors, bytes of memory and cache."""

    name: str
    kind: str
    units: int
    memory: float
    cache: float = 0.0


def _facts(device: str) -> Facts:
    import torch

    if device == "cpu":
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Facts(f"{platform.machine()}, {platform.system()}", "cpu", torch.get_num_threads(), total)
    found = torch.cuda.get_device_properties(device)
    return Facts(found.name, "gpu", found.multi_processor_count, found.total_memory, found.L2_cache_size)


def fitted(timed: Iterable[tuple[dict[str, str], list[float]]], facts: Facts, complete: bool = True) -> Quick:
    """Fit what was timed (cells and samples in seconds of each case), write it, and say what was found.

    Raises AttometerError when no product or no copy was timed: then nothing is written.
    """
    done = [(cells, each) for cells, each in timed if each]
    rows = [{**cells, "value": repr(statistics.median(each) * 1e3)} for cells, each in done]
    found = _figures(rows)
    if not {"memory"} < found.keys():
        raise AttometerError("stopped before the machine's rates were timed; nothing was written")
    folder = this_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".this."))
    try:
        ends = _write(made, rows, found, facts)
        _swap(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    known.cache_clear()
    calibration.cache_clear()
    rounds = statistics.median_low(len(each) for _, each in done)
    return Quick(str(folder), len(rows), rounds, complete, facts.units, found, ends)


def _swap(made: Path, folder: Path) -> None:
    """Put a finished folder in the place of the old one, which is there until the new one is."""
    old = made.with_name(f"{made.name}.old")
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _figures(rows: list[dict[str, str]]) -> dict[str, float]:
    """Return peak rates by type, bandwidth of memory, how fast new pages are handed out, and the cache.

    The cache is the largest working set that moves much faster than memory.
    """
    rates: dict[str, float] = {}
    sets: dict[int, float] = {}
    new: dict[int, float] = {}
    for row in rows:
        seconds = float(row["value"]) / 1e3
        if row["source_id"] == "this_gemm":
            m, n, k = (int(part.split("=")[1]) for part in row["extra"].split(";")[:3])
            rates[row["dtype"]] = max(rates.get(row["dtype"], 0.0), 2 * m * n * k / seconds)
        elif row["source_id"] == "this_pages":
            new[int(row["extra"].split("=")[1])] = seconds
        elif "op=copy" in row.get("extra", ""):
            moved = int(row["hidden_size"]) * 64 * 8
            sets[moved] = moved / seconds
    if not sets:
        return rates
    # the largest working set is beyond every cache
    memory = sets[max(sets)]
    near = [moved for moved, rate in sets.items() if rate > 1.5 * memory]
    rates |= {"memory": memory} | ({"cache": float(max(near))} if near else {})
    for size, seconds in new.items():  # beside what is written at the pace of a copy
        rates["fresh"] = size / max(seconds - size / memory, size / memory)
    return rates


def _write(folder: Path, rows: list[dict[str, str]], found: dict[str, float], facts: Facts) -> dict[str, float]:
    """Write rows, machine file and coefficients; return the half-width of each class's interval."""
    names = sorted({name for row in rows for name in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "measured.csv", text.getvalue())
    write_atomically(folder / "this.toml", machine_text(found, facts))
    place = machine(folder / "this.toml")
    read_rows = list(read(folder / "measured.csv"))
    tables = list(tabulate(read_rows, place).tables.values())
    made = [_save(table, folder) for table in tables]
    passes = _passes([row for row in read_rows if row.text("source_id") == "this_pass"], place, folder)
    made += [_save(passes, folder)] if passes is not None else []
    return {each.kind: each.width["unseen shape"] * PLAIN for each in made}


def _save(table: Table, folder: Path) -> Calibration:
    physics = fit_physics(table, apart=_APART)
    error = _apart(table)
    made = replace(
        physics,
        width={"unseen shape": width(error, np.full(len(error), PLAIN))},
        provenance={"script": "attometer calibrate --quick", "date": time.strftime("%Y-%m-%d"), "rows": len(table)},
    )
    save(made, folder)
    return made


def _apart(table: Table) -> Array:
    """Return errors of log time of rows by fits that did not see them; families with few rows keep one part of `_FOLDS`."""
    fold = np.zeros(len(table), dtype=np.int64)
    for name in np.unique(table.labels["family"]):
        rows = table.labels["family"] == name
        fold[rows] = np.arange(rows.sum()) % _FOLDS
    error = np.zeros(len(table))
    for k in range(_FOLDS):
        out = fold == k
        if not out.any() or out.all():
            continue
        rest, part = table.where(~out), table.where(out)
        labels = part.labels
        made = predict(fit_physics(rest, 20, _APART), part.x, labels["family"], labels["machine"])
        error[out] = np.log(part.seconds / made.seconds)
    return error


def _passes(rows: list[Row], on: Machine, folder: Path) -> Table | None:
    """Return passes of small models as counts: what their kernels take by the coefficients of `folder`, and their layers."""
    from attometer.price.quick_model import Shape

    if not rows:
        return None
    x: dict[str, list[float]] = {"kernels": [], "layers": [], "passes": []}
    families = []
    for row in rows:
        mode, dtype = row.text("mode").removeprefix("pass_"), row.text("dtype")
        names = ("n_layers", "hidden_size", "n_heads", "vocab", "batch", "seq_len")
        shape = Shape(*(int(row.number(name)) for name in names))
        model = from_values(shape.configuration, row.place, "passes")
        ranks = shard(model_cost(model, phase="decode" if mode == "decode" else "prefill"), Placement())
        one = Pass(shape.batch, 1 if mode == "decode" else shape.length, shape.length)
        groups = priced(own_calls(ranks, [one], mode, dtype, on), on, engine_of(ENGINE), folder)
        x["kernels"].append(sum(float(group.seconds.sum()) for group in groups))
        x["layers"].append(float(shape.layers))
        x["passes"].append(1.0)
        families.append(f"{ENGINE}|{mode}|{dtype}")
    labels = {name: np.array([""] * len(rows)) for name in LABELS}
    labels |= {"family": np.array(families), "machine": np.array(["this"] * len(rows))}
    labels["group"] = np.array([row.text("split_group") for row in rows])
    seconds = np.array([row.value for row in rows])
    return Table("passes", {name: np.array(values) for name, values in x.items()}, seconds, labels)


def machine_text(found: dict[str, float], facts: Facts) -> str:
    """Return the machine file of measured figures (base units) and of what the system says."""
    source = f'source = "attometer calibrate --quick, {time.strftime("%Y-%m-%d")}", status = "measured"'
    rates = "\n".join(
        f'{name} = {{ value = {value / 1e9:.2f}, unit = "GFLOP/s", {source} }}'
        for name, value in found.items()
        if name not in _NO_RATES
    )
    fresh = f'fresh = {{ value = {found["fresh"] / 1e9:.3f}, unit = "GB/s", {source} }}\n' if "fresh" in found else ""
    cache = facts.cache or found.get("cache", 0.0)
    level = f'llc = {{ value = {cache / 1024:.0f}, unit = "KiB", {source} }}\n' if cache else ""
    return (
        f'name = "this machine ({facts.name})"\nvendor = "measured"\nkind = "{facts.kind}"\n\n'
        f"[peak]\n{rates}\n\n[memory]\n"
        f'capacity = {{ value = {facts.memory / 1e9:.1f}, unit = "GB", {source} }}\n'
        f'bandwidth = {{ value = {found["memory"] / 1e9:.2f}, unit = "GB/s", {source} }}\n'
        f"{level}{fresh}\n[chip]\n"
        f'multiprocessors = {{ value = {facts.units}, unit = "units", {source} }}\n'
    )
