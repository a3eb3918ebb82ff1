"""The figure of words moved against fast memory: schedules, simulated caches, lower bounds, and real cache sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.count.traffic.io_curve import IoCurve
from attometer.count.traffic.tile_search import best_tiles
from attometer.errors import AttometerError
from attometer.machine import machine
from attometer.view.style import COLOURS, figure_path, save

# A colour for each schedule: Okabe and Ito's, then four of Paul Tol's muted ones; line styles say the same again.
_COLOURS = (*COLOURS, "#332288", "#882255", "#999933", "#AA4499")
_STYLES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
_CLASS_NAMES = {
    "accumulator": "single accumulators",
    "tree": "any summation tree",
    "explicit": "any that forms QKᵀ",
    "any": "inputs and outputs",
}
_CACHES = (
    ("a100-80gb-sxm", "memory.shared_memory", "A100 shared"),
    ("h100-sxm", "memory.shared_memory", "H100 shared"),
    ("a100-80gb-sxm", "memory.l2", "A100 L2"),
    ("h100-sxm", "memory.l2", "H100 L2"),
)


def cache_sizes(bytes_per_word: int = 2) -> dict[str, int]:
    """Return the capacity in words of some real caches.

    >>> cache_sizes()["A100 shared"]
    83968
    """
    return {label: int(machine(name).amount(path)) // bytes_per_word for name, path, label in _CACHES}


def simulated_caches(n: int, d: int, M: int, limit: int = 4096) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return (sizes, words fetched) under LRU and optimal replacement of FlashAttention 2 with its best tiles at M.

    Raises AttometerError when the trace would have more than 30 million references.

    >>> sorted(simulated_caches(32, 4, 64, 256))
    ['LRU', 'OPT']
    """
    from attometer.schedule.catalogue import schedule
    from attometer.simulate import misses_by_size, optimal_misses, schedule_trace

    if 8 * n * n * d > 30_000_000:
        raise AttometerError(
            f"n = {n}, d = {d} makes a trace of about {8 * n * n * d:,} references; hint: n of at most 512"
        )
    tiles = best_tiles("flash2", n=n, d=d, M=M).tiles
    trace = schedule_trace(schedule("flash2"), {"n": n, "m": n, "d": d, "e": d, **tiles})
    lru, opt = misses_by_size(trace), optimal_misses(trace, limit)
    sizes = np.unique(np.geomspace(1, len(lru.misses) - 1, 200).astype(np.int64))
    inside = sizes[sizes < len(opt.misses)]
    return {
        "LRU": (sizes, np.array([lru.reads(int(c)) for c in sizes])),
        "OPT": (inside, np.array([opt.reads(int(c)) for c in inside])),
    }


def draw_io_curve(
    curve: IoCurve,
    path: str | Path,
    caches: Mapping[str, tuple[NDArray[Any], NDArray[Any]]] | None = None,
    marks: Mapping[str, int] | None = None,
    schedules: Sequence[str] | None = None,
    asked: int | None = None,
) -> Path:
    """Draw words moved against fast memory, both logarithmic, to `path` (PNG, SVG or PDF by its suffix).

    `caches` are curves of simulated caches, `marks` capacities in words to name on the axis (by default some GPUs'),
    `asked` is the M that a report was asked for.

    Returns the path written. Raises AttometerError for another suffix.
    """
    target = figure_path(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.2), layout="constrained")
    axes = figure.add_subplot()
    _schedules(axes, curve, schedules)
    _bounds(axes, curve)
    for number, (label, (sizes, words)) in enumerate((caches or {}).items()):
        axes.plot(
            sizes, words, color="0.25", lw=1.1, ls=("-", "--")[number % 2], label=f"flash2 on an {label} cache, fetches"
        )
    _marks(axes, curve, cache_sizes() if marks is None else marks)
    if asked is not None:
        axes.axvline(asked, color="black", lw=1.6)
        axes.annotate(
            f"M = {asked:,}", (asked, 0.72), xycoords=("data", "axes fraction"), ha="center", fontsize=8,
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "black", "linewidth": 0.6},
        )  # fmt: skip
    _frame(axes, curve)
    return save(figure, target)


def _schedules(axes: Any, curve: IoCurve, chosen: Sequence[str] | None) -> None:
    shown = [
        name for name, words in curve.words.items() if np.isfinite(words).any() and name in (chosen or curve.words)
    ]
    for number, name in enumerate(shown):
        colour, style = _COLOURS[number % len(_COLOURS)], _STYLES[number % len(_STYLES)]
        axes.plot(curve.M, curve.words[name], color=colour, ls=style, lw=1.8, label=name)


def _bounds(axes: Any, curve: IoCurve) -> None:
    floor = np.ones_like(curve.classes["accumulator"])
    for shade, (name, words) in zip(("0.80", "0.72", "0.62", "0.50"), curve.classes.items(), strict=True):
        axes.fill_between(
            curve.M, floor, np.maximum(words, 1), color=shade, lw=0, label=f"out of reach: {_CLASS_NAMES[name]}"
        )
    best = np.max(list(curve.bounds.values()), axis=0)
    for name, words in curve.bounds.items():
        axes.plot(curve.M, np.where(words > 0, words, np.nan), color="white", lw=0.6)
        binding = np.flatnonzero((words == best) & (words > 0))
        if len(binding):  # named where it is the highest of all; a bound that never is says nothing here
            middle = binding[len(binding) // 2]
            axes.annotate(
                name, (curve.M[middle], words[middle]), textcoords="offset points", xytext=(0, -3), ha="center", va="top",
                fontsize=6.5, color="0.15",
            )  # fmt: skip


def _marks(axes: Any, curve: IoCurve, marks: Mapping[str, int]) -> None:
    low, high = int(curve.M.min()), int(curve.M.max())
    own = {"d²": curve.d**2, "n d": curve.n * curve.d}
    for label, words in own.items():
        if low <= words <= high:
            axes.axvline(words, color="black", lw=0.8, ls=":")
            axes.annotate(label, (words, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    for label, words in marks.items():
        if low <= words <= high:
            axes.axvline(words, color="#999999", lw=0.6)
            axes.annotate(
                label, (words, 0.985), xycoords=("data", "axes fraction"), rotation=90, ha="right", va="top", fontsize=7,
                color="0.35",
            )  # fmt: skip


def _frame(axes: Any, curve: IoCurve) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(curve.M.min(), curve.M.max())
    finite = [w[np.isfinite(w)] for w in curve.words.values() if np.isfinite(w).any()]
    lowest = float(curve.classes["any"].min())
    axes.set_ylim(lowest / 3, 1.5 * max(float(w.max()) for w in finite))
    axes.set_xlabel("fast memory M (words; caches at 2 bytes per word)")
    axes.set_ylabel("words moved, reads and writes")
    masked = f", {curve.mask}" if curve.mask else ""
    keys = f", m = {curve.m:,}" if curve.m != curve.n else ""
    axes.set_title(f"attention, n = {curve.n:,}{keys}, d = {curve.d}{masked}", loc="left", fontsize=11, pad=16)
    key = axes.legend(
        fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False, alignment="left",
        title="white lines: lower bounds,\nnamed where one is the highest",
    )  # fmt: skip
    key.get_title().set_fontsize(8)
    axes.grid(True, which="major", lw=0.3)
