"""How every figure looks: readable sizes, colours that a colour-blind reader can tell apart, a source line."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError, extras
from attometer.view.files import in_folder, write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008, Color Universal Design; yellow is left out, it does not show on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# A second way to tell lines apart, for print without colour.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)))
GREY = "#555555"

_LOOK = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "lines.linewidth": 2,
    # Text stays text in SVG, so that it can be searched, read aloud and tested.
    "svg.fonttype": "none",
    "svg.hashsalt": "attometer",
}


@contextmanager
def look() -> Iterator[None]:
    """Apply the style while a figure is built and saved.

    Raises AttometerError when matplotlib is not installed.
    """
    with extras("figures need"):
        import matplotlib
    with matplotlib.rc_context(_LOOK):
        yield


def sheet(title: str, width: float = 8, height: float = 5, **pads: Any) -> "Figure":
    """Return an empty figure with a title, sized in inches; `pads` widen the space between panels; nothing global is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(**pads))
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13, fontweight="bold")
    return figure


FORMATS = ("png", "svg", "pdf")
"""What a figure can be saved as."""


def figure_path(path: str | Path) -> Path:
    """Return the path of a figure that can be written.

    Raises AttometerError for an ending other than .png, .svg or .pdf and for a folder that does not exist: asked before
    an hour of work, not after.

    >>> figure_path("a.svg").name
    'a.svg'
    """
    target = Path(path)
    if target.suffix.removeprefix(".").lower() not in FORMATS:
        raise AttometerError(f'figure "{target}" must end in .png, .svg or .pdf')
    return in_folder(target, "figure")


def save(figure: "Figure", path: str | Path) -> Path:
    """Write a figure, whole or not at all, in the format that its ending names; the same counts give the same file.

    Returns the path written. Raises AttometerError as `figure_path` does.
    """
    target = figure_path(path)
    kind, buffer = target.suffix.removeprefix(".").lower(), BytesIO()
    # No date in the file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return write_atomically(target, buffer.getvalue())


def source(figure: "Figure", text: str) -> "Figure":
    """Write what was counted, and how, under a figure."""
    figure.supxlabel(f"counted by attometer: {text}", fontsize=8, color=GREY)
    return figure


def lengths_axis(axes: "Axes", lengths: Iterable[int], label: str = "sequence length n (tokens)") -> None:
    """Make the horizontal axis logarithmic in tokens, labelled at every fourfold."""
    ticks = [n for k, n in enumerate(lengths) if k % 2 == 0]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel(label)


def powers(axis: Any, unit: str) -> None:
    """Label a logarithmic axis with SI prefixes, as in `10 GFLOP`."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: prefixed(value, unit)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_tick_params(which="minor", length=0)


def prefixed(value: float, unit: str) -> str:
    """Return a value with an SI prefix and no needless digits.

    >>> prefixed(1e10, "FLOP"), prefixed(0.001, "s"), prefixed(1.0, "s")
    ('10 GFLOP', '1 ms', '1 s')
    """
    steps = (
        (1e18, "E"),
        (1e15, "P"),
        (1e12, "T"),
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
    )
    # Ticks come from floating-point powers of ten, which fall a hair short.
    size, prefix = next(((s, p) for s, p in steps if value >= s * (1 - 1e-9)), (1e-9, "n"))
    return f"{value / size:.3g} {prefix}{unit}"
