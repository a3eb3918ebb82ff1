"""Measure implementations on this machine: interleaved rounds, fresh inputs, medians, peak memory, growth with n.

Each sample is appended to a file as it comes, so that a killed run continues where it stopped.
"""

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from attometer.errors import AttometerError, unknown
from attometer.program import Mask, band, causal, fixed, global_, random, strided, window
from attometer.run.attention import attention
from attometer.run.cache import ContiguousCache
from attometer.run.decode import decode_attention
from attometer.run.hyper import hyper_attention
from attometer.run.linear import linear_attention
from attometer.run.linformer import linformer_attention
from attometer.run.memory import high_water
from attometer.run.performer import favor_features, performer_attention
from attometer.run.validation import name_of

GEMM = "gemm"  # the ceiling: a square matrix product, measured in the same run
GEMM_SIZE = 1024


@dataclass(frozen=True)
class Setting:
    """Sizes and type of a measurement: b batch, h heads, d head width, and whether the backward pass is included."""

    b: int = 1
    h: int = 8
    d: int = 64
    dtype: torch.dtype = torch.float32
    backward: bool = False
    impl: str = "auto"


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

    def key(self) -> tuple[object, ...]:
        """Return what makes samples comparable."""
        return (
            self.mechanism,
            self.n,
            self.b,
            self.h,
            self.d,
            self.dtype,
            self.backward,
            self.impl,
            self.threads,
            self.machine,
        )


Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Runner = Callable[[Tensors, Setting], Any]


def _masked(mask: Mask | None) -> Runner:
    return lambda x, s: attention(*x, mask=mask, impl=s.impl)


def _performer(is_causal: bool) -> Runner:
    return lambda x, s: performer_attention(*x, features=favor_features(256, s.d), causal=is_causal)


def _linformer(x: Tensors, setting: Setting) -> torch.Tensor:
    mix = torch.randn(256, x[1].shape[2], dtype=x[0].dtype) / 16
    return linformer_attention(*x, key_mix=mix, value_mix=mix)


def _decode(x: Tensors, setting: Setting) -> torch.Tensor:
    cache = ContiguousCache()
    cache.append(x[1], x[2])
    output: torch.Tensor = decode_attention(x[0][:, :, -1:], cache)
    return output


RUNNERS: dict[str, Runner] = {
    "softmax": _masked(None),
    "softmax_causal": _masked(causal()),
    "sliding_window": _masked(window(256)),
    "longformer": _masked(band(256, 256) | global_(1)),
    "bigbird": _masked(band(96, 96) | global_(2) | random(3, 0)),
    "sparse_transformer_strided": _masked(causal() & (window(128) | strided(128))),
    "sparse_transformer_fixed": _masked(causal() & fixed(128, 8)),
    "linear": lambda x, s: linear_attention(*x),
    "linear_causal": lambda x, s: linear_attention(*x, causal=True),
    "performer": _performer(False),
    "performer_causal": _performer(True),
    "linformer": _linformer,
    "hyperattention": lambda x, s: hyper_attention(*x),
    "hyperattention_causal": lambda x, s: hyper_attention(*x, causal=True),
    "decode": _decode,
}
"""What can be measured, by name."""


def measure(
    mechanisms: Sequence[str],
    lengths: Sequence[int],
    *,
    setting: Setting = Setting(),
    rounds: int = 5,
    results: Path | None = None,
) -> Iterator[Sample]:
    """Time mechanisms at lengths, one run of each in turn, for some rounds; yield each sample as it comes.

    The first run of a pair warms up and is not kept; every run has fresh random inputs. A matrix product of 1024² is
    timed in each round as the machine's ceiling. With `results`, samples are appended to that file as lines of JSON, and
    those already in it for the same sizes, machine and threads are yielded instead of run again.

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
    return _rounds([(GEMM, GEMM_SIZE), *((m, n) for n in lengths for m in mechanisms)], setting, rounds, results)


def _rounds(pairs: list[tuple[str, int]], setting: Setting, rounds: int, results: Path | None) -> Iterator[Sample]:
    held = [] if results is None else load(results)
    warm: set[tuple[str, int]] = set()
    for turn in range(rounds):
        for name, n in pairs:
            key = _blank(name, n, setting).key()
            known = [s for s in held if s.key() == key]
            if turn < len(known):
                yield known[turn]
                continue
            if (name, n) not in warm:
                warm.add((name, n))
                _once(name, n, setting)
            sample = _once(name, n, setting)
            if results is not None:
                _append(results, sample)
            yield sample


def _blank(name: str, n: int, s: Setting) -> Sample:
    machine = f"{platform.node()} {platform.machine()}"
    return Sample(
        name, n, s.b, s.h, s.d, name_of(s.dtype), s.backward, s.impl, 0.0, 0.0, None, torch.get_num_threads(), machine
    )


def _once(name: str, n: int, setting: Setting) -> Sample:
    work = _gemm(n, setting) if name == GEMM else _work(name, n, setting)
    took: list[float] = []

    def timed() -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        took.extend((time.perf_counter() - wall, time.process_time() - cpu))

    peak = high_water(timed)
    return Sample(
        **{**asdict(_blank(name, n, setting)), "seconds": took[0], "cpu_seconds": took[1], "peak_bytes": peak}
    )


def _gemm(n: int, setting: Setting) -> Callable[[], object]:
    one, other = (torch.randn(n, n).to(setting.dtype) for _ in range(2))
    return lambda: one @ other


def _work(name: str, n: int, setting: Setting) -> Callable[[], object]:
    shape = (setting.b, setting.h, n, setting.d)
    wants = setting.backward and name != "decode"
    q, k, v = (torch.randn(shape).to(setting.dtype).requires_grad_(wants) for _ in range(3))

    def work() -> None:
        output = RUNNERS[name]((q, k, v), setting)
        if wants:
            output.sum().backward()

    return work


def load(results: Path) -> list[Sample]:
    """Return the samples of a file of results; a line that a killed run left unfinished is skipped."""
    found = []
    for line in results.read_text().splitlines() if results.exists() else []:
        try:
            found.append(Sample(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            continue
    return found


def _append(results: Path, sample: Sample) -> None:
    torn = results.exists() and not results.read_bytes().endswith(b"\n") and results.stat().st_size
    with results.open("a") as file:
        file.write(("\n" if torn else "") + json.dumps(asdict(sample)) + "\n")


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
            lines.append(f"matrix product of {GEMM_SIZE}²: {self.ceiling / 1e9:.1f} GFLOP/s, measured in the same run")
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
    ceiling = 2 * GEMM_SIZE**3 / seconds[GEMM, GEMM_SIZE] if (GEMM, GEMM_SIZE) in seconds else None
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
