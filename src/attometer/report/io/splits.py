"""Depth against words moved for split-KV attention: table and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attometer.count.work.split_tradeoff import TradeOff, split_tradeoff
from attometer.errors import AttometerError
from attometer.report.io.report import tiles_text
from attometer.view.report import Report
from attometer.view.style import figure_path, save
from attometer.view.table import Table


@dataclass(frozen=True)
class SplitReport(Report):
    """The choices of which no other is both shallower and cheaper; printing it gives the table."""

    title: str
    M: int
    front: tuple[TradeOff, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"title": self.title, "M": self.M, "choices": [point.to_dict() for point in self.front]}

    def page(self) -> list[Table]:
        """Return the table."""
        rows = tuple((p.splits, p.words, p.depth, tiles_text(p.tiles)) for p in self.front)
        note = "depth: longest chain of operations, every split on a processor with M words of its own"
        return [Table(self.title, ("splits", "words", "depth", "tiles"), rows, (note,))]

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw depth against words into a .png, .svg or .pdf, and return its path."""
        return draw_split_tradeoff(self.front, path, self.title)


def split_report(*, n: int, d: int, M: int, m: int | None = None, e: int | None = None) -> SplitReport:
    """Return what splitting the keys of attention costs in words and saves in depth, in a fast memory of M words.

    >>> print(split_report(n=4, m=64, d=4, M=256).front[0].splits)
    1
    """
    keys = n if m is None else m
    title = f"split-KV attention: {n:,} queries, {keys:,} keys, d = {d}, M = {M:,} words"
    return SplitReport(title, M, split_tradeoff(n=n, d=d, M=M, m=m, e=e))


def draw_split_tradeoff(front: Sequence[TradeOff], path: str | Path, title: str = "") -> Path:
    """Draw the choices of which no other is both shallower and cheaper, each with its number of splits.

    Returns the path written. Raises AttometerError for an empty front or a suffix other than .png, .svg or .pdf.
    """
    target = figure_path(path)
    if not front:
        raise AttometerError("there is no choice to draw")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    words, depths = [p.words for p in front], [p.depth for p in front]
    axes.plot(words, depths, color="#0072B2", lw=1.4, drawstyle="steps-post")
    axes.scatter(words, depths, color="#D55E00", s=22, zorder=3)
    labelled: set[int] = set()
    for point in front:
        if point.splits not in labelled:
            label = f"S = {point.splits}" if point.splits > 1 else "not split"
            axes.annotate(label, (point.words, point.depth), textcoords="offset points", xytext=(5, 5), fontsize=8)
            labelled.add(point.splits)
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    axes.set_xlabel("words moved")
    axes.set_ylabel("depth (longest chain of operations)")
    axes.set_title(title or "split-KV attention: depth against words moved", loc="left", fontsize=11)
    axes.grid(True, which="major", lw=0.3)
    return save(figure, target)
