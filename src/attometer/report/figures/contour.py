"""FLOPs of attention as a function of length and width: lines of equal cost."""

from typing import TYPE_CHECKING

import numpy as np

from attometer.count import count
from attometer.mechanisms import mechanism
from attometer.models import Model
from attometer.report.figures.layers import lengths, smooth, width
from attometer.view.style import powers, sheet, source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def contour(model: Model) -> "Figure":
    """Draw the FLOPs of softmax attention over length and width, with the model's own width marked."""
    from matplotlib.colors import LogNorm

    columns, rows = lengths(128, 131072), lengths(64, 16384)
    n, d = np.meshgrid(np.array(smooth(columns[0], columns[-1])), np.array(smooth(rows[0], rows[-1])))
    spent = np.asarray(count(mechanism("softmax")).at(n=n, d=d, h=1).flop, float)
    decades = 10.0 ** np.arange(np.floor(np.log10(spent.min())), np.ceil(np.log10(spent.max())) + 1)
    figure = sheet("Twice the length costs four times as much; twice the width, two times", 8.5, 5.8)
    axes = figure.subplots()
    _scales(axes, columns[::2], rows[::2])
    drawn = axes.contourf(n, d, spent, levels=decades, norm=LogNorm(), cmap="cividis")
    axes.contour(n, d, spent, levels=decades, colors="white", linewidths=0.8)
    bar = figure.colorbar(drawn, ax=axes, label="FLOP of one attention layer; a line is a factor of ten", ticks=decades)
    bar.ax.yaxis.labelpad = 12
    powers(bar.ax.yaxis, "FLOP")
    heads = width(model)
    if rows[0] <= heads.h * heads.d <= rows[-1]:
        _own(axes, columns[0], heads.h * heads.d, f"{model.name}: {heads.h} heads of {heads.d}")
    return source(figure, "scores and weighted sum, no mask, 2 FLOP per multiply-accumulate (flop convention)")


def _scales(axes: "Axes", columns: list[int], rows: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xticks(columns, [f"{t:,}" for t in columns])
    axes.set_yticks(rows, [f"{t:,}" for t in rows])
    axes.minorticks_off()
    axes.set_xlabel("sequence length n (tokens)")
    axes.set_ylabel("width of all heads together, h d")


def _own(axes: "Axes", left: int, wide: int, label: str) -> None:
    """Mark the model's own width, with a label that reads on any shade."""
    axes.axhline(wide, color="white", linestyle="--", linewidth=1.8)
    box = {"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "boxstyle": "round"}
    axes.annotate(label, (left, wide), xytext=(8, 8), textcoords="offset points", color="white", bbox=box)
