"""Attention and a recurrent network of the same width: where their FLOPs cross."""

from typing import TYPE_CHECKING

import sympy

from attometer.count import count
from attometer.mechanisms import mechanism
from attometer.models import Model
from attometer.program import size
from attometer.report.crossover import crossovers
from attometer.report.figures.layers import at, lengths, one_sequence, width
from attometer.view.style import COLOURS, DASHES, GREY, lengths_axis, powers, sheet, source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARTICLE = 512
"""The width of the article's comparison, with one head."""


def crossover(model: Model) -> "Figure":
    """Draw FLOPs of attention and of a recurrent network as wide, and the length at which they are equal: for the model's
    width and for the article's 512."""
    heads = width(model)
    figure = sheet("Attention is cheaper than a recurrent network up to n = h d tokens", 13, 5.4, wspace=0.05)
    left, right = figure.subplots(1, 2)
    _panel(left, heads.h, heads.d, f"{model.name}: {heads.h} heads of {heads.d}")
    _panel(right, 1, ARTICLE, f"one head of {ARTICLE}")
    return source(
        figure, "matrix products only, no mask, 2 FLOP per multiply-accumulate; the crossing is solved exactly"
    )


def _panel(axes: "Axes", h: int, d: int, title: str) -> None:
    wide = h * d
    bound = {size("h"): sympy.Integer(h), size("d"): sympy.Integer(d)}
    attention = one_sequence(count(mechanism("softmax")).flops("flop")).xreplace(bound)
    recurrent = one_sequence(count(mechanism("rnn")).flops("flop")).xreplace({size("d"): sympy.Integer(wide)})
    (found,) = crossovers(("softmax attention", attention), ("recurrent network", recurrent), {})
    columns = lengths(max(2, wide // 32), wide * 32)
    names = ("softmax attention", f"recurrent network, width {wide:,}")
    for name, spent, colour, dash in zip(names, (attention, recurrent), COLOURS, DASHES, strict=False):
        axes.plot(columns, [at(spent, n) for n in columns], color=colour, linestyle=dash, label=name)
    crossing = int(found.root)
    axes.plot([crossing], [at(attention, crossing)], "o", color="black", zorder=3)
    axes.axvline(crossing, color=GREY, linestyle=":", linewidth=1)
    place = (crossing, at(attention, crossing))
    axes.annotate(f"equal at n = h d = {crossing:,}", place, xytext=(10, -14), textcoords="offset points")
    axes.set_title(title)
    lengths_axis(axes, columns)
    axes.set_yscale("log")
    powers(axes.yaxis, "FLOP")
    axes.set_ylabel("FLOP of one layer")
    axes.grid(axis="y")
    axes.legend(loc="upper left")
