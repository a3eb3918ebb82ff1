"""The figure of depth against words moved for split-KV attention."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from attometer.count.split_tradeoff import TradeOff
from attometer.errors import AttometerError
from attometer.files import write_atomically


def draw_split_tradeoff(front: Sequence[TradeOff], path: str | Path, title: str = "") -> Path:
    """Draw the choices of which no other is both shallower and cheaper, each with its number of splits.

    Returns the path written. Raises AttometerError for an empty front or a suffix other than .png, .svg or .pdf.
    """
    target = Path(path)
    if target.suffix not in (".png", ".svg", ".pdf"):
        raise AttometerError(f'figure "{target}" must end in .png, .svg or .pdf')
    if not front:
        raise AttometerError("there is no choice to draw")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    words, depths = [p.words for p in front], [p.depth for p in front]
    axes.plot(words, depths, color="#0072B2", lw=1.4, drawstyle="steps-post")
    axes.scatter(words, depths, color="#D55E00", s=22, zorder=3)
    labelled: set[int] = set()
    for point in front:
        if point.splits not in labelled:
            label = f"S = {point.splits}" if point.splits > 1 else "not split"
            axes.annotate(label, (point.words, point.depth), textcoords="offset points", xytext=(5, 5), fontsize=8)
            labelled.add(point.splits)
    axes.set_xscale("log")
    axes.set_yscale("log", base=2)
    axes.set_xlabel("words moved")
    axes.set_ylabel("depth (longest chain of operations)")
    axes.set_title(title or "split-KV attention: depth against words moved", loc="left", fontsize=11)
    axes.grid(True, which="major", lw=0.3)
    stored = BytesIO()
    figure.savefig(stored, format=target.suffix[1:], dpi=150)
    return write_atomically(target, stored.getvalue())
