"""FLOPs of a model against the length of its input."""

from typing import TYPE_CHECKING

from attometer.models import Model
from attometer.report.figures.layers import at, components, lengths, whole
from attometer.view.style import COLOURS, lengths_axis, powers, sheet, source

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def flops(model: Model) -> "Figure":
    """Draw FLOPs of one forward pass: the whole model and its attention, a mask counted both ways."""
    columns = lengths(128, 131072)
    figure = sheet(f"FLOPs of one forward pass of {model.name}", 8.5, 5.4)
    axes = figure.subplots()
    ways = (("full", "-", "masked pairs counted (full square)"), ("exact", "--", "only the pairs that masks allow"))
    for causal, dash, way in ways:
        core = components(model, causal)["attention core"]
        lines = (("whole model", whole(model, causal)), ("attention core, all layers", core),
                 ("attention core, one layer (mean)", core / model.depth))  # fmt: skip
        for (name, spent), colour in zip(lines, COLOURS, strict=False):
            counts = [at(spent, n) for n in columns]
            axes.plot(columns, counts, color=colour, linestyle=dash, label=f"{name}, {way}", marker="o", markersize=3)
    lengths_axis(axes, columns)
    axes.set_yscale("log")
    powers(axes.yaxis, "FLOP")
    axes.set_ylabel("FLOP (floating-point operations)")
    axes.grid(axis="y")
    axes.legend(loc="lower right", fontsize=8)
    return source(figure, "one sequence, 2 FLOP per multiply-accumulate of matrix products (flop convention)")
