"""Sparse and approximate attention beside exact attention: words moved at M words, each with its own lower bound."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attometer.count.bounds.attention import attention_sizes, best_bound
from attometer.count.traffic.sorting import sort_lsh_words
from attometer.count.traffic.tile_search import BestTiles, best_tiles
from attometer.errors import AttometerError
from attometer.masks import Mask, band, causal, chunked, global_, prefix, strided, window
from attometer.report.io.report import times
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.view.numbers import Cell
from attometer.view.report import Report
from attometer.view.table import Table


@dataclass(frozen=True)
class ApproximateRow:
    """One mechanism: its best schedule, words moved, and the bound on its own pairs (or on its inputs and outputs)."""

    mechanism: str
    best: BestTiles
    pairs: int | None
    bound: int
    bound_name: str
    share: float
    note: str = ""
    sorting: int = 0

    @property
    def words(self) -> int:
        """Words moved by the schedule and, where rows are brought into another order first, by that."""
        return self.best.words + self.sorting

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        rest = {k: v for k, v in vars(self).items() if k != "best"}
        return {**rest, "schedule": self.best.schedule, "tiles": dict(self.best.tiles), "words": self.words}


@dataclass(frozen=True)
class ApproximateReport(Report):
    """Mechanisms from the fewest words up, beside the lower bound of exact attention; printing it gives the table."""

    n: int
    d: int
    M: int
    rows: tuple[ApproximateRow, ...]
    exact_bound: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**{k: v for k, v in vars(self).items() if k != "rows"}, "rows": [row.to_dict() for row in self.rows]}

    def page(self) -> list[Table]:
        """Return the table."""
        rows = tuple(
            (
                r.mechanism,
                r.best.schedule,
                r.words,
                Cell(r.share, f"{r.share:.3f}"),
                r.bound,
                times(r.words, r.bound),
            )
            for r in self.rows
        )
        exact = f"of exact: share of the best schedule without a mask; any algorithm for that moves {self.exact_bound:,} words"
        notes = (exact, *(f"{row.mechanism}: {row.note}" for row in self.rows if row.note))
        columns = ("mechanism", "schedule", "words", "of exact", "own bound", "× own bound")
        return [Table(f"words moved at M = {self.M:,}: n = {self.n:,}, d = {self.d}", columns, rows, notes)]


def masks_of(n: int, w: int, block: int, samples: int) -> dict[str, tuple[Mask, str]]:
    """Return sparse patterns by mechanism, with what the count leaves out.

    >>> sorted(masks_of(64, 8, 8, 4))
    ['causal', 'hyperattention', 'longformer', 'sliding window', 'sparse transformer']
    """
    sorting = "blocks of the sorted order and sampled keys, after hashing, two merge sorts, and moving rows into order"
    stride = max(2, round(n**0.5))
    return {
        "causal": (causal(), ""),
        "sliding window": (window(w), ""),
        "longformer": (band(w // 2, w // 2) | global_(1), ""),
        "sparse transformer": (causal() & (window(stride) | strided(stride)), ""),
        "hyperattention": (chunked(block) | prefix(samples), sorting),
    }


def io_approximate(
    *, n: int, d: int, M: int, w: int = 256, block: int = 256, samples: int = 256, k: int = 256, f: int = 256
) -> ApproximateReport:
    """Return what sparse and approximate attention moves through M words, with the words that its own pairs demand.

    `w` is the window, `block` and `samples` HyperAttention's, `k` Linformer's projected length, `f` Performer's features.
    The Sparse Transformer's stride is √n.

    Raises AttometerError when exact attention cannot run in M words.

    >>> report = io_approximate(n=1024, d=16, M=1024, w=64, block=64, samples=16, k=32, f=32)
    >>> report.rows[-1].mechanism
    'exact'
    """
    plain = attention_sizes(n, d, M)
    exact_bound = best_bound(plain, "tree")[1]
    exact = _best(n, d, M, None)
    rows = [ApproximateRow("exact", exact, plain.pairs, best_bound(plain, "accumulator")[1], "", 1.0)]
    for name, (mask, note) in masks_of(n, w, block, samples).items():
        sizes = attention_sizes(n, d, M, mask=mask)
        best = _best(n, d, M, mask)
        bound, words = best_bound(sizes, schedule(best.schedule).accumulators)
        sorting = sort_lsh_words(n, d, d, M) if name == "hyperattention" else 0
        share = (best.words + sorting) / exact.words
        rows.append(ApproximateRow(name, best, sizes.pairs, words, bound.name, share, note, sorting))
    for name, best in _others(n, d, M, {"linformer": {"k": k}, "linear": {}, "performer": {"f": f}}):
        needed = 4 * n * d + {"linformer": 2 * k * n, "performer": f * d}.get(name, 0)
        rows.append(ApproximateRow(name, best, None, needed, "compulsory", best.words / exact.words))
    return ApproximateReport(n, d, M, tuple(sorted(rows, key=lambda row: row.words)), exact_bound)


def _best(n: int, d: int, M: int, mask: Mask | None) -> BestTiles:
    """The forward schedule of softmax attention that moves the fewest words."""
    found = []
    for name in SCHEDULES:
        if schedule(name).backward or (mask is not None and name.startswith("naive")):
            continue
        try:
            found.append(best_tiles(name, n=n, d=d, M=M, mask=mask))
        except AttometerError:
            continue
    if not found:
        raise AttometerError(f"M = {M} is too small for every schedule of attention at d = {d}")
    return min(found, key=lambda best: best.words)


def _others(n: int, d: int, M: int, extra: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, BestTiles]]:
    for name, sizes in extra.items():
        try:
            yield name, best_tiles(name, n=n, d=d, M=M, **sizes)
        except AttometerError:
            continue
