"""Attention variants against length: which of them escape the square."""

from typing import TYPE_CHECKING

from attometer.models import Model
from attometer.report.compare import Compared, compare
from attometer.report.figures.layers import at, lengths, width
from attometer.view.style import COLOURS, DASHES, lengths_axis, powers, sheet, source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Some variants cost the same at their usual parameters: open markers show one line through another.
_MARKERS = ("", "", "s", "o", "x", "", "")
NAMES = ("softmax", "sparse_transformer_strided", "longformer", "performer", "linformer", "sliding_window", "linear")


def variants(model: Model) -> "Figure":
    """Draw FLOPs of one attention layer for each variant, at the model's heads."""
    heads = width(model)
    columns = lengths(128, 131072)
    compared = compare(*NAMES, n=columns[-1], h=heads.h, d=heads.d, crossings=False).compared
    figure = sheet(f"Attention variants with {heads.h} heads of {heads.d}, as in {model.name}", 9.5, 5.6)
    axes = figure.subplots()
    for one, colour, dash, marker in zip(compared, COLOURS, DASHES, _MARKERS, strict=True):
        counts = _counts(one, columns)
        axes.plot(columns, counts, color=colour, linestyle=dash, label=_label(one), marker=marker, fillstyle="none")
    lengths_axis(axes, columns)
    axes.set_yscale("log")
    powers(axes.yaxis, "FLOP")
    axes.set_ylabel("FLOP of one attention layer")
    axes.grid(axis="y")
    axes.legend(loc="upper left")
    return source(
        figure, "matrix products only, 2 FLOP per multiply-accumulate, exact pairs of each mask, no projections"
    )


def _counts(one: Compared, columns: list[int]) -> list[int]:
    bound = {s: v for s, v in one.bound.items() if str(s) != "n"}
    spent = one.cost.flops("flop").xreplace(bound)
    return [at(spent, n) for n in columns]


def _label(one: Compared) -> str:
    name = one.name.replace("_", " ")
    detail = [one.own] if one.own else []
    return f"{name} ({', '.join([*detail, one.result])})"
