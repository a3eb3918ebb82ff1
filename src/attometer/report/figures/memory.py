"""Memory against length for several models: the scores of every layer, and the key/value cache."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attometer.count import count
from attometer.count.model_cost import cache
from attometer.machine import Machine
from attometer.models import Model, model
from attometer.report.figures.layers import at, attention, lengths, one_sequence
from attometer.view.style import COLOURS, DASHES, sheet, source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Small to large, each another way to keep keys and values: plain heads, shared heads, windows, latents.
BESIDE = (
    "gpt2",
    "gpt2-medium",
    "gpt2-large",
    "mistral-7b",
    "llama-2-13b",
    "gemma-2-27b",
    "llama-3.1-70b",
    "deepseek-v3",
)
_WORD = 2


def materialised(chosen: Model, n: int) -> int:
    """Return the bytes of Q, K, V, scores and outputs of every layer at once, dense, in 16-bit words.

    >>> materialised(model("gpt2"), 2048) / 2**30
    1.265625
    """
    total = 0
    for layers, part in attention(chosen):
        held = count(part.program, storage="dense").memory
        assert held is not None
        total += layers * at(one_sequence(held.inputs + held.cache + held.outputs + held.matrices), n)
    return _WORD * total


def cached(chosen: Model, n: int) -> int:
    """Return the bytes that are kept per sequence of n tokens between decode steps, in 16-bit words.

    >>> cached(model("llama-3.1-8b"), 131072)
    17179869184
    """
    return _WORD * cache(chosen).at(n)


def memory(chosen: Model, hardware: tuple[Machine, ...]) -> "Figure":
    """Draw both memories for the chosen model and others, with what fits on each machine."""
    models = [chosen, *(model(name) for name in BESIDE if name != chosen.name)]
    columns = lengths(512, 131072)
    figure = sheet("Memory of attention for one sequence, in GB (10⁹ bytes)", 11.5, 9)
    upper, lower = figure.subplots(2, 1)
    panels = (
        (upper, materialised, "scores of every layer kept (naive, all at once): what is left of a line fits"),
        (lower, cached, "key/value cache: what is left of a line fits"),
    )
    for axes, rule, title in panels:
        held = np.array([[rule(m, n) for n in columns] for m in models], dtype=float)
        _heat(axes, held, title)
        axes.set_xticks(np.arange(len(columns)) + 0.5, [f"{n:,}" for n in columns])
        axes.set_yticks(np.arange(len(models)) + 0.5, [m.name for m in models])
        axes.set_xlabel("sequence length n (tokens)")
        for k, (machine, colour) in enumerate(zip(hardware, _EDGES, strict=False)):
            shift = 0.05 * (k - (len(hardware) - 1) / 2)
            _staircase(axes, held <= machine.memory_bytes, colour, DASHES[k], shift)
    upper.legend(handles=_handles(hardware), loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3)
    return source(figure, "16-bit words, one sequence; weights are not included; capacity as the vendor counts it (GB)")


_EDGES = (COLOURS[1], "#000000", COLOURS[5], COLOURS[3], COLOURS[4], COLOURS[2], COLOURS[0])


def _heat(axes: "Axes", held: NDArray[Any], title: str) -> None:
    from matplotlib.colors import LogNorm

    shades = axes.pcolormesh(held, cmap="viridis_r", norm=LogNorm(1e7, 1e15), edgecolors="white", linewidth=0.5)
    axes.invert_yaxis()
    axes.set_title(title)
    for (row, column), value in np.ndenumerate(held):
        red, green, blue, _ = shades.cmap(shades.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(
            column + 0.5,
            row + 0.5,
            _gb(value),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )


def _gb(value: float) -> str:
    gigabytes = value / 1e9
    return f"{gigabytes:,.0f}" if gigabytes >= 100 else f"{gigabytes:#.3g}"


def _staircase(axes: "Axes", fits: NDArray[Any], colour: str, dash: Any, shift: float) -> None:
    """Draw the edge between what fits and what does not; memory grows with length, so each row has one edge.

    `shift` keeps the edges of two machines apart where they coincide.
    """
    edges, last = fits.sum(axis=1), fits.shape[1]
    look = {"color": colour, "linestyle": dash, "linewidth": 2.5}
    for row, edge in enumerate(edges):
        if edge < last:
            axes.plot([edge + shift] * 2, [row + shift, row + 1 + shift], **look)
        if row and edges[row - 1] != edge:
            axes.plot([edges[row - 1] + shift, edge + shift], [row + shift] * 2, **look)
    axes.set_xlim(0, last)
    axes.set_ylim(len(edges), 0)


def _handles(hardware: tuple[Machine, ...]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colour, linestyle=dash, linewidth=2.5, label=_capacity(machine))
        for machine, colour, dash in zip(hardware, _EDGES, DASHES, strict=False)
    ]


def _capacity(machine: Machine) -> str:
    held = machine.memory_bytes
    return f"fits {machine.id}: {held / 1e9:,.0f} GB = {held / 2**30:,.1f} GiB"
