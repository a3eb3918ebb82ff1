"""The figure of a measurement: median time against length, with the range of the samples and the fitted exponent."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attometer.view.style import COLOURS, DASHES, GREY, figure_path, look, powers, save, sheet

if TYPE_CHECKING:
    from attometer.report.measure.report import MeasureReport


def plot(report: "MeasureReport", path: str | Path) -> Path:
    """Draw median times on logarithmic axes, bars from the least to the most sample, and the line of each fit.

    Args:
        report: what `measure` returned.
        path: .png, .svg or .pdf, written whole or not at all.

    Returns:
        The path written.

    Raises:
        AttometerError: another suffix, or a folder that does not exist.
    """
    target, o = figure_path(path), report.options
    with look():
        what = "forward and backward" if o.backward else "forward"
        figure = sheet(f"Time of attention on this machine, {what}, {o.dtype}, {o.heads} heads of {o.d}", 8.5, 5.4)
        axes = figure.subplots()
        for number, name in enumerate(report.names):
            _line(axes, report, name, number)
        _frame(axes, report)
        figure.supxlabel(
            f"measured on {report.where['machine']}, {report.where['device']}, threads: {report.where['threads']}, "
            f"torch {report.where['torch']}; medians of {o.repeats}, bars from least to most",
            fontsize=8,
            color=GREY,
        )
        return save(figure, target)


def _line(axes: Any, report: "MeasureReport", name: str, number: int) -> None:
    found = report.times(name)
    lengths, medians = list(found), [t.median for t in found.values()]
    spread = [[t.median - t.least for t in found.values()], [t.most - t.median for t in found.values()]]
    fit = report.growths.get(name)
    label = name if fit is None else f"{name}, n^{fit.exponent:.2f}"
    colour = COLOURS[number % len(COLOURS)]
    axes.errorbar(lengths, medians, yerr=spread, fmt="o", markersize=4, capsize=3, lw=1, color=colour, label=label)
    if fit is not None:
        line = [fit.scale * n**fit.exponent for n in lengths]
        axes.plot(lengths, line, color=colour, linestyle=DASHES[(number + number // len(DASHES)) % len(DASHES)], lw=1.5)


def _frame(axes: Any, report: "MeasureReport") -> None:
    lengths = report.options.lengths
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [f"{n:,}" for n in lengths])
    axes.minorticks_off()
    axes.set_yscale("log")
    powers(axes.yaxis, "s")
    axes.set_xlabel("sequence length n (tokens)")
    axes.set_ylabel("wall-clock time of one layer's attention")
    axes.grid(axis="y")
    axes.legend(loc="upper left")
