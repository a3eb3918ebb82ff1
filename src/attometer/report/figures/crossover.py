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
    from matplotlib.figure import Figure


def crossover(model: Model) -> "Figure":
    """Draw FLOPs of attention and of a recurrent network as wide, and the length at which they are equal."""
    heads = width(model)
    wide = heads.h * heads.d
    bound = {size("h"): sympy.Integer(heads.h), size("d"): sympy.Integer(heads.d)}
    attention = one_sequence(count(mechanism("softmax")).flops("flop")).xreplace(bound)
    recurrent = one_sequence(count(mechanism("rnn")).flops("flop")).xreplace({size("d"): sympy.Integer(wide)})
    (found,) = crossovers(("softmax attention", attention), ("recurrent network", recurrent), {})
    columns = lengths(max(2, wide // 32), wide * 32)
    figure = sheet(f"Attention is cheaper than a recurrent network up to n = {int(found.root):,} tokens", 8.5, 5.2)
    axes = figure.subplots()
    for (name, spent), colour, dash in zip(
        ((f"softmax attention, {heads.h} heads of {heads.d}", attention), (f"recurrent network, width {wide:,}", recurrent)),
        COLOURS, DASHES, strict=False,
    ):  # fmt: skip
        axes.plot(columns, [at(spent, n) for n in columns], color=colour, linestyle=dash, label=name)
    crossing = int(found.root)
    axes.plot([crossing], [at(attention, crossing)], "o", color="black", zorder=3)
    axes.axvline(crossing, color=GREY, linestyle=":", linewidth=1)
    axes.annotate(
        f"equal at n = h d = {crossing:,}",
        (crossing, at(attention, crossing)),
        xytext=(10, -14),
        textcoords="offset points",
    )
    lengths_axis(axes, columns)
    axes.set_yscale("log")
    powers(axes.yaxis, "FLOP")
    axes.set_ylabel("FLOP of one layer")
    axes.grid(axis="y")
    axes.legend(loc="upper left")
    return source(
        figure, "matrix products only, no mask, 2 FLOP per multiply-accumulate; the crossing is solved exactly"
    )
