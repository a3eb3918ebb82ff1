"""Measure this machine for a minute, and fit the same coefficients to it: `attometer calibrate --quick`.

Products by shape and type, bandwidth by working set, the launch floor and attention by size take turns in rounds; every
round also times one reference product, and each sample is taken relative to it, so that a machine that slows down or is
busy for a while shifts no case against another. What is measured is kept as rows of the schema beside a machine file.
"""

import csv
import io
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.machine import this_folder
from attometer.price.calibrate import fit_physics
from attometer.price.load import tabulate
from attometer.price.rows import read
from attometer.price.tables import Calibration, save
from attometer.view.files import write_atomically

SECONDS = 60.0
_SAMPLE = 0.02  # seconds that one sample lasts at least

#: rows × columns × depth of products, as layers of small and large models have them
PRODUCTS = (
    *((1, 2048, 2048), (4, 4096, 1024), (16, 1024, 4096), (32, 3072, 768), (64, 768, 3072), (96, 512, 512)),
    *((128, 2304, 768), (200, 1000, 1000), (256, 256, 256), (384, 1536, 384), (512, 768, 768), (512, 2048, 512)),
    *((768, 768, 3072), (1024, 1024, 1024), (1024, 3072, 768), (2048, 512, 2048), (17, 333, 777), (640, 640, 64)),
)
#: bytes of a working set that is read and written
SETS = (1 << 14, 1 << 17, 1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28)
#: batch, heads, length, width of a head, causal
ATTENTION = (
    *((1, 4, 64, 64, 0), (1, 12, 128, 64, 1), (1, 12, 512, 64, 1), (1, 8, 1024, 64, 0), (2, 12, 256, 64, 1)),
    *((1, 4, 1024, 128, 1), (4, 4, 128, 32, 0), (1, 2, 2048, 64, 1), (1, 16, 384, 64, 0), (8, 8, 64, 64, 1)),
)


@dataclass(frozen=True)
class Case:
    """One thing to time: the cells of its row, and a function that runs it once."""

    cells: dict[str, str]
    run: Callable[[], Any]


@dataclass(frozen=True)
class Quick:
    """What a quick calibration found: where it was written, samples, and the machine's figures in base units."""

    folder: str
    cases: int
    rounds: int
    complete: bool
    figures: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: getattr(self, name) for name in ("folder", "cases", "rounds", "complete", "figures")}

    def __str__(self) -> str:
        rates = ", ".join(
            f"{name} {value / 1e9:.0f} GFLOP/s" for name, value in self.figures.items() if name != "memory"
        )
        cut = "" if self.complete else " (stopped early: what was done is kept)"
        return (
            f"this machine: {rates}; memory {self.figures['memory'] / 1e9:.1f} GB/s (measured)\n"
            f"{self.cases} cases in {self.rounds} rounds{cut}; written to {self.folder}; use it with --on this"
        )


def quick(seconds: float = SECONDS, tell: Callable[[float], None] = lambda share: None) -> Quick:
    """Time this machine for about `seconds`, fit its coefficients and write them under the user's data folder.

    `tell` is given the share done. Ctrl-C ends the measuring and keeps what is done; before every case was timed once,
    nothing is written. Raises AttometerError then, and ModuleNotFoundError without torch.
    """
    cases = list(_cases())
    samples: dict[int, list[float]] = {index: [] for index in range(len(cases))}
    reference, complete = _reference(), True
    begun = time.perf_counter()
    try:
        rounds = _measure(cases, samples, reference, begun, seconds, tell)
    except KeyboardInterrupt:
        rounds, complete = min(map(len, samples.values())), False
    if not rounds:
        raise AttometerError("stopped before every case was timed once; nothing was written")
    rows = [{**case.cells, "value": repr(statistics.median(samples[i]) * 1e3)} for i, case in enumerate(cases)]
    found = _figures(rows)
    folder = this_folder()
    _write(folder, rows, found)
    return Quick(str(folder), len(cases), rounds, complete, found)


def _measure(
    cases: list[Case],
    samples: dict[int, list[float]],
    reference: Callable[[], Any],
    begun: float,
    seconds: float,
    tell: Callable[[float], None],
) -> int:
    usual, rounds, drift = _timed(reference), 0, 1.0
    while rounds < 3 or time.perf_counter() - begun < seconds:
        for index, case in enumerate(cases):
            if index % 8 == 0:
                drift = _timed(reference) / usual
            samples[index].append(_timed(case.run) / drift)
            tell(min(1.0, (time.perf_counter() - begun) / max(seconds, 1e-9)))
        rounds += 1
    return rounds


def _timed(run: Callable[[], Any]) -> float:
    run()
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < _SAMPLE:
        run()
        count += 1
    return passed / count if count else passed


def _reference() -> Callable[[], Any]:
    import torch

    left, right = torch.randn(256, 256), torch.randn(256, 256)
    return lambda: left @ right


def _row(source: str, **cells: object) -> dict[str, str]:
    import torch

    engine = f"torch {torch.__version__.split('+')[0]}"
    plain = {"source_id": source, "hw_id": "this", "engine": engine, "metric": "latency", "unit": "ms", "tier": "A"}
    text = {name: str(value) for name, value in cells.items()}
    return {**plain, "mode": "kernel_fwd", "split_group": f"{source}-{'-'.join(text.values())}", **text}


def _cases() -> Iterator[Case]:
    import torch
    from torch.nn.functional import scaled_dot_product_attention as sdpa

    for dtype, name in ((torch.float32, "fp32"), (torch.bfloat16, "bf16")):
        for m, n, k in PRODUCTS:
            left, right = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)
            run = partial(torch.nn.functional.linear, left, right)
            yield Case(_row("this_gemm", dtype=name, extra=f"m={m};n={n};k={k}"), run)
    for size in SETS:
        source = torch.randn(size // 8)
        target = torch.empty_like(source)
        width = max(1, size // 8 // 64)
        yield Case(
            _row("this_copy", dtype="fp32", extra="op=copy;tokens=64", hidden_size=width), partial(target.copy_, source)
        )
    for b, h, s, d, causal in ATTENTION:
        q, k, v = (torch.randn(b, h, s, d) for _ in range(3))
        shape = {"batch": b, "n_heads": h, "n_kv_heads": h, "seq_len": s, "kv_len": s, "head_dim": d, "causal": causal}
        run = partial(sdpa, q, k, v, is_causal=bool(causal))
        yield Case(_row("this_attention", dtype="fp32", arch_kind="attention-kernel", **shape), run)


def _figures(rows: list[dict[str, str]]) -> dict[str, float]:
    rates: dict[str, float] = {}
    sets: dict[int, float] = {}
    for row in rows:
        seconds = float(row["value"]) / 1e3
        if row["source_id"] == "this_gemm":
            m, n, k = (int(part.split("=")[1]) for part in row["extra"].split(";"))
            rates[row["dtype"]] = max(rates.get(row["dtype"], 0.0), 2 * m * n * k / seconds)
        elif row["source_id"] == "this_copy":
            moved = int(row["hidden_size"]) * 64 * 8
            sets[moved] = moved / seconds
    # the largest working set is beyond every cache
    memory = sets[max(sets)]
    return {**rates, "memory": memory}


def _write(folder: Path, rows: list[dict[str, str]], found: dict[str, float]) -> None:
    """Write rows and machine file, then the coefficients; each file at once or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted({name for row in rows for name in row})
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(folder / "measured.csv", text.getvalue())
    write_atomically(folder / "this.toml", _machine_text(found))
    for table in tabulate(read(folder / "measured.csv")).tables.values():
        physics = fit_physics(table)
        save(
            Calibration(table.kind, physics.pooled, physics.cells, width=dict.fromkeys(("unseen shape",), 2.5)), folder
        )


def _cache(source: str) -> str:
    """Return the line of the last-level cache, where the system says its size."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    kib = [int(size[:-1]) for size in sizes if size.endswith("K") and size[:-1].isdigit()]
    return f'llc = {{ value = {max(kib)}, unit = "KiB", {source} }}\n' if kib else ""


def _machine_text(found: dict[str, float]) -> str:
    import torch

    source = f'source = "attometer calibrate --quick, {time.strftime("%Y-%m-%d")}", status = "measured"'
    rates = "\n".join(
        f'{name} = {{ value = {value / 1e9:.2f}, unit = "GFLOP/s", {source} }}'
        for name, value in found.items()
        if name != "memory"
    )
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f'name = "this machine ({platform.machine()}, {platform.system()})"\nvendor = "measured"\nkind = "cpu"\n\n'
        f"[peak]\n{rates}\n\n[memory]\n"
        f'capacity = {{ value = {total / 1e9:.1f}, unit = "GB", {source} }}\n'
        f'bandwidth = {{ value = {found["memory"] / 1e9:.2f}, unit = "GB/s", {source} }}\n\n'
        f"{_cache(source)}\n[chip]\n"
        f'multiprocessors = {{ value = {torch.get_num_threads()}, unit = "units", {source} }}\n'
    )
