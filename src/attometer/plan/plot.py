"""A plan as a figure: what memory holds, and what the pass takes, by the datasheet and as predicted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attometer.view.style import COLOURS, GREY, figure_path, look, save, sheet, source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from attometer.plan.result import Plan


def plot_plan(plan: "Plan", path: str | Path) -> Path:
    """Draw a plan into a .png, .svg or .pdf: bars of the memory by kind against what is usable, bars of the time by term.

    Returns the path. Raises AttometerError as `figure_path` does, and where matplotlib is missing.
    """
    figure_path(path)
    with look():
        return save(_figure(plan), path)


def _figure(plan: "Plan") -> "Figure":
    figure = sheet(f"{plan.model.name} on {plan.devices}, {plan.options.mode}", 8, 4.5)
    memory, time = figure.subplots(2, 1)
    # The engine's own terms say more than counted kinds do, and so do the recipe's.
    held = dict(vars(plan.memory))
    if plan.served is not None:
        held = dict(plan.served.pool.terms) | {"cache asked for": plan.served.cache}
    elif plan.trained is not None:
        held = dict(plan.trained.terms)
    _stacked(memory, [("", {name: size / 1e9 for name, size in held.items() if size > 0})])
    memory.axvline(plan.planner.room / 1e9, color=GREY, ls="--")
    memory.set_xlabel("GB (10^9) on the fullest device; dashed: usable")
    ends_of = ("embedding", "head")
    once = {x.kind if x.kind in ends_of else f"{x.kind} layers": x.time.seconds for x in plan.layers}
    # The bound shares the pass evenly by all devices.
    shared = sum(once.values()) / plan.seconds
    bars = [("datasheet bound", {name: taken / shared for name, taken in once.items()})]
    found = plan.predicted
    if found is not None:
        # Terms of whole models overlap: they are drawn as shares of the time that is predicted.
        whole = sum(found.terms.values())
        bars.append(("predicted", {name: found.seconds * taken / whole for name, taken in found.terms.items()}))
    _stacked(time, bars)
    if found is not None:
        ends = [[found.seconds - found.low], [found.high - found.seconds]]
        time.errorbar(found.seconds, 1, xerr=ends, color="black", capsize=4)
    time.set_xlabel("seconds a pass; the line is the 90 % interval" if found is not None else "seconds a pass")
    engine = "" if found is None else f"; predicted for {found.engine} ({found.situation})"
    return source(figure, f"context {plan.options.context:,}, batch {plan.options.batch:,}{engine}")


def _stacked(axes: Any, bars: list[tuple[str, dict[str, float]]]) -> None:
    """Draw one bar of pieces for each name, and say what the pieces are that can be seen."""
    most = max(sum(pieces.values()) for _, pieces in bars)
    large = [name for _, pieces in bars for name, size in pieces.items() if size > 0.01 * most]
    names = list(dict.fromkeys(large))
    told = set[str]()
    for row, (_, pieces) in enumerate(bars):
        left = 0.0
        for name, size in pieces.items():
            place = names.index(name) if name in names else None
            colour = GREY if place is None else COLOURS[place % len(COLOURS)]
            hatch = "//" if place is not None and place >= len(COLOURS) else None
            label = name if place is not None and name not in told else None
            told.add(name)
            axes.barh(row, size, 0.6, left, label=label, color=colour, hatch=hatch, edgecolor="white")
            left += size
    axes.set_yticks(range(len(bars)), [name for name, _ in bars])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
