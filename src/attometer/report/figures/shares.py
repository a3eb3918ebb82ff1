"""Shares of a layer's FLOPs against length: the attention core takes over."""

from typing import TYPE_CHECKING

import numpy as np

from attometer.models import Model
from attometer.report.crossover import Crossover, crossovers
from attometer.report.figures.layers import COMPONENTS, at, components, lengths, smooth
from attometer.view.style import COLOURS, lengths_axis, sheet, source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_LAST = 131072
_FILLS = (COLOURS[1], COLOURS[5], COLOURS[2])
# A thinner band has no room for its name.
_LEAST_LABELLED = 8


def component_crossovers(model: Model, causal: str = "full") -> tuple[Crossover, ...]:
    """Solve for the lengths at which the attention core equals the projections, the feed-forward layers, and both.

    >>> from attometer.models import model
    >>> [int(c.root) for c in component_crossovers(model("gpt2"))]
    [1536, 3072, 4608]
    """
    spent = components(model, causal)
    core, projections, feed_forward = (spent[name] for name in COMPONENTS)
    against = (
        ("projections", projections),
        ("feed-forward", feed_forward),
        ("all the rest", projections + feed_forward),
    )
    return tuple(c for other in against for c in crossovers(("attention core", core), other, {}))


def shares(model: Model) -> "Figure":
    """Draw the stacked shares of attention core, projections and feed-forward layers, with their crossings."""
    figure = sheet(f"Where the FLOPs of the layers of {model.name} go", 13, 5.8, wspace=0.05)
    ways = (("full", "masked pairs counted (full square)"), ("exact", "only the pairs that masks allow"))
    for axes, (causal, title) in zip(figure.subplots(1, 2, sharey=True), ways, strict=True):
        _stacked(axes, model, causal)
        axes.set_title(title)
    figure.axes[0].set_ylabel("share of the FLOPs of the layers (%)")
    return source(
        figure, "matrix products of all layers, 2 FLOP per multiply-accumulate; the crossings are solved exactly"
    )


def _stacked(axes: "Axes", model: Model, causal: str) -> None:
    spent = components(model, causal)
    columns = smooth(128, _LAST, 4)
    counts = np.array([[at(spent[name], n) for n in columns] for name in COMPONENTS], dtype=float)
    stacked = 100 * counts / counts.sum(axis=0)
    axes.stackplot(columns, stacked, colors=_FILLS, edgecolor="white", linewidth=0.8)
    lengths_axis(axes, lengths(128, _LAST))
    axes.set_xlim(columns[0], columns[-1])
    axes.set_ylim(0, 100)
    for crossing in component_crossovers(model, causal):
        if columns[0] < crossing.above < columns[-1]:
            _mark(axes, crossing)
    middles = np.cumsum(stacked, axis=0) - stacked / 2
    for name, band, middle, fill in zip(COMPONENTS, stacked, middles, _FILLS, strict=True):
        edge = len(columns) // 6
        place = min(max(int(np.argmax(band)), edge), len(columns) - 1 - edge)
        if band[place] > _LEAST_LABELLED:
            # The band's own colour behind the words keeps the dotted lines out of them.
            box = {"facecolor": fill, "edgecolor": "none", "pad": 2}
            axes.text(columns[place], middle[place], name, ha="center", va="center", fontweight="bold", bbox=box)


def _mark(axes: "Axes", crossing: Crossover) -> None:
    where = f"{int(crossing.root):,}" if crossing.root.is_Integer else f"{crossing.below:,} to {crossing.above:,}"
    place = float(crossing.root)
    axes.axvline(place, color="black", linestyle=":", linewidth=1)
    label = f"core = {crossing.second}, n = {where}"
    axes.annotate(
        label, (place, 98), xytext=(-2, 0), textcoords="offset points", rotation=90, ha="right", va="top", fontsize=8
    )
