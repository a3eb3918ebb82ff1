"""Which pairs of positions interact: full attention at three lengths, and what masks leave of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from attometer.masks import Mask
from attometer.mechanisms import mechanism
from attometer.view.style import COLOURS, sheet, source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Small parameters, so that each pattern shows at 32 tokens.
PANELS: tuple[tuple[str, int, str, dict[str, Any]], ...] = (
    ("full", 8, "softmax", {}),
    ("full", 16, "softmax", {}),
    ("full", 32, "softmax", {}),
    ("causal", 32, "softmax", {"causal": True}),
    ("sliding window, w = 8", 32, "sliding_window", {"w": 8}),
    ("Longformer, w = 8, 2 global", 32, "longformer", {"w": 8, "t": 2}),
    ("BigBird, w = 4, 2 global, 2 random", 32, "bigbird", {"w": 4, "t": 2, "r": 2}),
    ("Sparse Transformer, stride 8", 32, "sparse_transformer_strided", {"l": 8}),
)


def interactions() -> "Figure":
    """Draw the interaction grids: one square per pair of query and key."""
    figure = sheet("Every query meets every key, unless a mask says otherwise", 12, 7.2, hspace=0.09, h_pad=0.1)
    grid = figure.subplots(2, 4)
    for axes, panel in zip(grid.flat, PANELS, strict=True):
        _panel(axes, *panel)
    return source(figure, "coloured squares are the pairs that the mask allows; a row is a query, a column a key")


def _panel(axes: "Axes", title: str, n: int, name: str, parameters: dict[str, Any]) -> None:
    mask = mask_of(name, parameters)
    allowed = np.ones((n, n), dtype=bool) if mask is None else mask.matrix(n)
    pairs = n * n if mask is None else int(mask.pairs(n))
    from matplotlib.colors import ListedColormap

    shades = ListedColormap(["#F2F2F2", COLOURS[0]])
    axes.imshow(allowed, cmap=shades, vmin=0, vmax=1, extent=(0, n, n, 0), interpolation="none")
    for line in range(1, n):
        axes.axhline(line, color="white", linewidth=0.4)
        axes.axvline(line, color="white", linewidth=0.4)
    ticks = np.array([0, n // 2, n])
    axes.set_xticks(ticks)
    axes.set_yticks(ticks)
    axes.set_title(f"{title}\nn = {n}: {pairs:,} interactions", fontsize=10)
    axes.set_xlabel("key position j")
    axes.set_ylabel("query position i")


def mask_of(name: str, parameters: dict[str, Any]) -> Mask | None:
    """Return the mask of a catalogue mechanism, None when it has none.

    >>> print(mask_of("sliding_window", {"w": 4}), mask_of("softmax", {}))
    window(4) None
    """
    statements = mechanism(name, **parameters).program.statements
    return next((s.where.mask for s in statements if s.where is not None), None)
