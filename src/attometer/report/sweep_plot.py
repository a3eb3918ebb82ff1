"""The heat map of a sweep: how much of the memory each point needs, what does not fit, and what binds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attometer.plan.sweep import Sweep
from attometer.view.style import GREY, figure_path, look, save, sheet, source

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LABELS = 12


def plot_sweep(sweep: Sweep, path: str | Path) -> Path:
    """Draw a sweep into a .png, .svg or .pdf: one panel per machine, contexts across, batches up.

    Colour is the share of the memory needed, C or M what binds, grey with a cross what does not fit. Returns the path.
    Raises AttometerError as `figure_path` does, and where matplotlib is missing.
    """
    figure_path(path)
    with look():
        return save(_figure(sweep), path)


def _figure(sweep: Sweep) -> "Figure":
    count = len(sweep.grids)
    columns = min(count, 3)
    rows = -(-count // columns)
    wide = max(4.0, 0.5 * len(sweep.grids[0].contexts) + 1.5)
    first = sweep.planners[0]
    figure = sheet(
        f"{sweep.model.name}, {first.options.mode}: share of the memory needed", wide * columns + 1, 3.6 * rows + 0.8
    )
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    images = []
    for axes, asked, grid in zip(panels, sweep.planners, sweep.grids, strict=False):
        images.append(_panel(axes, grid))
        axes.set_title(asked.machine.name)
    for axes in panels[count:]:
        axes.set_visible(False)
    figure.colorbar(images[0], ax=list(panels), label="share of the memory needed (%)", shrink=0.8)
    return source(
        figure,
        f"C compute binds, M memory binds, × does not fit; datasheet roofline; weights {first.formats.name}, cache {first.options.kv}",
    )


def _panel(axes: Any, grid: Any) -> Any:
    share = np.ma.masked_where(~grid.fits.T, 100 * grid.bytes.T / grid.room)
    axes.set_facecolor("#DDDDDD")
    image = axes.imshow(share, origin="lower", aspect="auto", cmap="cividis_r", vmin=0, vmax=100)
    if share.size <= 400:
        _marks(axes, grid, share)
    for set_ticks, values, name in (
        (axes.set_xticks, grid.contexts, "context (tokens)"),
        (axes.set_yticks, grid.batches, "batch (sequences)"),
    ):
        step = -(-len(values) // _MOST_LABELS)
        set_ticks(range(0, len(values), step), [_short(int(v)) for v in values[::step]])
        (axes.set_xlabel if "context" in name else axes.set_ylabel)(name)
    return image


def _marks(axes: Any, grid: Any, share: Any) -> None:
    computing = grid.compute_seconds.T >= grid.memory_seconds.T
    for (j, i), needed in np.ndenumerate(share.filled(np.nan)):
        letter = "×" if np.isnan(needed) else "C" if computing[j, i] else "M"
        colour = GREY if letter == "×" else "white" if needed > 55 else "black"
        axes.text(i, j, letter, ha="center", va="center", fontsize=8, color=colour)


def _short(value: int) -> str:
    for size, suffix in ((2**20, "M"), (2**10, "k")):
        if value >= size and value % size == 0:
            return f"{value // size}{suffix}"
    return f"{value:,}"
