"""Measure implementations on this machine: interleaved rounds, fresh inputs, medians, peak memory, growth with n.

Each sample is appended to a file as it comes, so that a killed run continues where it stopped.
"""

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch

from attometer.errors import AttometerError, positive_int
from attometer.run.bench.cases import CASES, Setting, work_of
from attometer.run.bench.memory import high_water, trim
from attometer.run.bench.own import refuse_unknown
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
        mechanisms: names of `RUNNERS`; a file of notation (`mine.att`), `-`, or a mechanism of the catalogue, compiled.
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
        refuse_unknown(name)
    if not lengths:
        raise AttometerError("no length was asked for")
    for number in lengths:
        positive_int("length", number)
    positive_int("rounds", rounds)
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
