"""Samples summed up: medians, speed-ups over a baseline, and growth with n."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from attometer.run.bench.measuring import GEMM, Sample
from attometer.view.printed import Printed


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
class Measurements(Printed):
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
