"""Measure implementations on this machine: interleaved rounds, fresh inputs, medians, peak memory, growth with n.

Each sample is appended to a file as it comes, so that a killed run continues where it stopped.
"""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median

import torch

from attometer.errors import AttometerError, unknown
from attometer.run.measured_cases import CASES, Setting, work_of
from attometer.run.memory import high_water, trim
from attometer.run.validation import name_of

GEMM = "gemm"  # the ceiling: a square matrix product, measured in the same run
GEMM_SIZE = 1024
_DEFAULT = Setting()


@dataclass(frozen=True)
class Sample:
    """One timed run: seconds of wall clock and of this process's CPU time, and bytes by which memory peaked (or None)."""

    mechanism: str
    n: int
    b: int
    h: int
    d: int
    dtype: str
    backward: bool
    impl: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    threads: int
    machine: str
    device: str
    torch: str
    runs_with: str

    def key(self) -> tuple[object, ...]:
        """Return what makes samples comparable."""
        own = asdict(self)
        return tuple(own[x] for x in own if x not in ("seconds", "cpu_seconds", "peak_bytes", "runs_with"))

    @property
    def where(self) -> tuple[object, ...]:
        """What it ran on: machine, device, torch and threads."""
        return (self.machine, self.device, self.torch, self.threads)


RUNNERS = tuple(CASES)
"""What can be measured, by name."""


def measure(
    mechanisms: Sequence[str],
    lengths: Sequence[int],
    *,
    setting: Setting = _DEFAULT,
    rounds: int = 5,
    results: Path | None = None,
) -> Iterator[Sample]:
    """Time mechanisms at lengths, one run of each in turn, for some rounds; yield each sample as it comes.

    Two runs of a pair warm up and are not kept; the second of them gives the peak memory. Every run has fresh random
    inputs. A square matrix product is timed in each round as the machine's ceiling. With `results`, samples are appended
    to that file as lines of JSON, and those already in it for the same sizes, machine and threads are yielded instead of
    run again.

    Args:
        mechanisms: names of `RUNNERS`.
        lengths: numbers of tokens.
        setting: sizes, type, direction and implementation.
        rounds: samples of each pair; medians of fewer than three mean little.
        results: where samples are kept.

    Yields:
        The samples.

    Raises:
        AttometerError: an unknown mechanism, a bad number, or a mechanism that cannot run at a length.

    >>> found = list(measure(["linear"], [16], setting=Setting(h=1, d=4), rounds=2))
    >>> [s.mechanism for s in found]
    ['gemm', 'linear', 'gemm', 'linear']
    """
    for name in mechanisms:
        if name not in RUNNERS:
            raise unknown("mechanism to measure", name, RUNNERS)
    for what, numbers in (("lengths", lengths), ("rounds", [rounds])):
        if not numbers or any(isinstance(x, bool) or not isinstance(x, int) or x < 1 for x in numbers):
            raise AttometerError(f"{what}: got {numbers}, expected integers of at least 1")
    return _rounds(pairs(mechanisms, lengths, setting), setting, rounds, results)


def pairs(mechanisms: Sequence[str], lengths: Sequence[int], setting: Setting) -> list[tuple[str, int]]:
    """Return what one round runs, in order."""
    size = GEMM_SIZE if setting.device == "cpu" else 8 * GEMM_SIZE
    return [(GEMM, size), *((m, n) for n in lengths for m in mechanisms)]


def _rounds(order: list[tuple[str, int]], setting: Setting, rounds: int, results: Path | None) -> Iterator[Sample]:
    held = [] if results is None else load(results)
    peaks: dict[tuple[str, int], int | None] = {}
    for turn in range(rounds):
        for name, n in order:
            key = blank(name, n, setting).key()
            known = [s for s in held if s.key() == key]
            if turn < len(known):
                yield known[turn]
                continue
            try:
                if (name, n) not in peaks:
                    peaks[name, n] = _warm_up(name, n, setting)
                sample = _once(name, n, setting, peaks[name, n])
            except RuntimeError as error:
                if "alloc" not in str(error) and "out of memory" not in str(error):
                    raise
                raise AttometerError(f"{name} at n = {n:,} does not fit in the memory of this machine") from None
            if results is not None:
                _append(results, sample)
            yield sample


@lru_cache(maxsize=1)
def machine_name() -> str:
    """Return this machine's name, and its processor's where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return f"{platform.node()}, {models[0] if models else platform.machine()}"


def blank(name: str, n: int, s: Setting) -> Sample:
    """Return a sample without its measurements."""
    device = s.device if s.device == "cpu" else torch.cuda.get_device_name(s.device)
    return Sample(
        name, n, s.b, s.h, s.d, name_of(s.dtype), s.backward, s.impl, 0.0, 0.0, None, torch.get_num_threads(),
        machine_name(), device, torch.__version__, "",
    )  # fmt: skip


def _warm_up(name: str, n: int, setting: Setting) -> int | None:
    _prepared(name, n, setting)[0]()
    return _peak(_prepared(name, n, setting)[0], setting)


def _once(name: str, n: int, setting: Setting, peak: int | None) -> Sample:
    work, runs_with = _prepared(name, n, setting)
    wall, cpu = _time(work, setting)
    made = {"seconds": wall, "cpu_seconds": cpu, "peak_bytes": peak, "runs_with": runs_with}
    return Sample(**{**asdict(blank(name, n, setting)), **made})


def _prepared(name: str, n: int, setting: Setting) -> tuple[Callable[[], object], str]:
    return (_gemm(n, setting), "torch.mm") if name == GEMM else work_of(name, n, setting)


def _time(work: Callable[[], object], setting: Setting) -> tuple[float, float]:
    """Return seconds of wall clock (of the device's own events on a GPU) and of this process's CPU time."""
    if setting.device == "cpu":
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return time.perf_counter() - wall, time.process_time() - cpu
    with torch.cuda.device(setting.device):
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        cpu = time.process_time()
        begun.record()
        work()
        ended.record()
        torch.cuda.synchronize()
        return begun.elapsed_time(ended) / 1e3, time.process_time() - cpu


def _peak(work: Callable[[], object], setting: Setting) -> int | None:
    if setting.device == "cpu":
        trim()  # pages that the allocator kept from earlier runs would hide growth
        return high_water(work)
    with torch.cuda.device(setting.device):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)


def _gemm(n: int, setting: Setting) -> Callable[[], object]:
    one, other = (torch.randn(n, n, device=setting.device).to(setting.dtype) for _ in range(2))
    return lambda: torch.mm(one, other)


def load(results: Path) -> list[Sample]:
    """Return the samples of a file of results; a last line that a killed run left unfinished is ignored.

    Raises AttometerError for any other line that is not a sample: it is another kind of file.
    """
    found = []
    for number, line in enumerate(_whole(results).splitlines() if results.exists() else [], 1):
        try:
            found.append(_read(line))
        except (ValueError, TypeError):  # not text, not JSON, or not a sample's fields
            raise AttometerError(f"results {results}: line {number} is not a sample; give another file") from None
    return found


def _read(line: bytes) -> Sample:
    found = Sample(**json.loads(line))
    if not (isinstance(found.seconds, float) and isinstance(found.cpu_seconds, float) and isinstance(found.n, int)):
        raise TypeError
    return found


def _whole(results: Path) -> bytes:
    content = results.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _append(results: Path, sample: Sample) -> None:
    kept = len(_whole(results)) if results.exists() else 0
    with results.open("r+b" if results.exists() else "wb") as file:
        file.truncate(kept)
        file.seek(kept)
        file.write(json.dumps(asdict(sample)).encode() + b"\n")


@dataclass(frozen=True)
class Row:
    """Medians of one mechanism at one length, and its speed-up over softmax: measured, and predicted if it was given."""

    mechanism: str
    n: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    samples: int
    speedup: float | None
    predicted: float | None


@dataclass(frozen=True)
class Measurements:
    """Rows, the exponent of growth in n of each mechanism, and the ceiling in FLOPs per second; prints as a table."""

    rows: tuple[Row, ...]
    exponents: Mapping[str, float]
    ceiling: float | None

    def crossover(self, mechanism: str) -> int | None:
        """Return the least measured length from which `mechanism` stays faster than softmax, or None."""
        own = sorted((r for r in self.rows if r.mechanism == mechanism and r.speedup is not None), key=lambda r: -r.n)
        least = None
        for row in own:
            if row.speedup is None or row.speedup <= 1:
                break
            least = row.n
        return least

    def __str__(self) -> str:
        lines = [f"{'mechanism':<28}{'n':>8}{'seconds':>11}{'peak MiB':>10}{'speed-up':>10}{'predicted':>11}"]
        for r in self.rows:
            peak = "-" if r.peak_bytes is None else f"{r.peak_bytes / 2**20:.0f}"
            ratios = ("-" if x is None else f"{x:.2f}x" for x in (r.speedup, r.predicted))
            lines.append(f"{r.mechanism:<28}{r.n:>8}{r.seconds:>11.4g}{peak:>10}{next(ratios):>10}{next(ratios):>11}")
        lines += [f"{name}: grows as n^{power:.2f}" for name, power in self.exponents.items()]
        if self.ceiling is not None:
            lines.append(f"square matrix product: {self.ceiling / 1e9:.1f} GFLOP/s, measured in the same run")
        return "\n".join(lines)


def summarise(
    samples: Sequence[Sample],
    *,
    baseline: str = "softmax",
    predicted: Mapping[tuple[str, int], float] | None = None,
) -> Measurements:
    """Return medians, growth exponents (least squares in logarithms) and speed-ups over `baseline`.

    Args:
        samples: what `measure` yielded, of one setting.
        baseline: the mechanism that speed-ups are relative to.
        predicted: speed-ups that a model predicts, by (mechanism, n).

    Returns:
        The table.
    """
    groups: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.mechanism, sample.n), []).append(sample)
    seconds = {key: median(s.seconds for s in group) for key, group in groups.items()}
    rows = tuple(_row(key, groups[key], seconds, baseline, predicted or {}) for key in groups if key[0] != GEMM)
    ceiling = next((2 * n**3 / t for (name, n), t in seconds.items() if name == GEMM), None)
    names = dict.fromkeys(r.mechanism for r in rows)
    exponents = {name: growth([(n, t) for (m, n), t in seconds.items() if m == name]) for name in names}
    return Measurements(rows, {k: v for k, v in exponents.items() if v is not None}, ceiling)


def _row(
    key: tuple[str, int],
    group: list[Sample],
    seconds: Mapping[tuple[str, int], float],
    baseline: str,
    predicted: Mapping[tuple[str, int], float],
) -> Row:
    base = seconds.get((baseline, key[1]))
    peaks = [s.peak_bytes for s in group if s.peak_bytes is not None]
    speedup = None if base is None else base / seconds[key]
    cpu = median(s.cpu_seconds for s in group)
    peak = int(median(peaks)) if peaks else None
    return Row(*key, seconds[key], cpu, peak, len(group), speedup, predicted.get(key))


def growth(points: Sequence[tuple[int, float]]) -> float | None:
    """Return the slope of log(seconds) in log(n), or None for fewer than two lengths.

    >>> round(growth([(1, 3.0), (2, 12.0), (4, 48.0)]), 6)
    2.0
    """
    if len({n for n, _ in points}) < 2:
        return None
    xs, ys = [math.log(n) for n, _ in points], [math.log(t) for _, t in points]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)
