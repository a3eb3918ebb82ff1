"""`draw_all`: every figure, for one model and some hardware, written to a folder."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError, unknown
from attometer.machine import Machine, machine
from attometer.models import Model
from attometer.models import model as read_model
from attometer.report.figures.contour import contour
from attometer.report.figures.crossover import crossover
from attometer.report.figures.flops import flops
from attometer.report.figures.interactions import interactions
from attometer.report.figures.layers import width
from attometer.report.figures.memory import memory
from attometer.report.figures.shares import shares
from attometer.report.figures.time import time
from attometer.report.figures.variants import variants
from attometer.view.printed import Printed
from attometer.view.style import FORMATS, look, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = Callable[[Model, tuple[Machine, ...]], "Figure"]

FIGURES: dict[str, Drawing] = {
    "interactions": lambda model, hardware: interactions(),
    "contour": lambda model, hardware: contour(model),
    "flops": lambda model, hardware: flops(model),
    "memory": memory,
    "crossover": lambda model, hardware: crossover(model),
    "time": time,
    "shares": lambda model, hardware: shares(model),
    "variants": lambda model, hardware: variants(model),
}
"""Every figure by name."""

HARDWARE = ("rtx-3090", "a100-40gb-sxm", "h100-sxm")
_MOST_MACHINES = 6


@dataclass(frozen=True)
class Drawn(Printed):
    """The figures that were written, in order; iterate it for their paths, print it for a list of them."""

    model: str
    hardware: tuple[str, ...]
    paths: tuple[Path, ...]
    numbers: dict[str, list[dict[str, Any]]]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        paths = [str(path) for path in self.paths]
        return {"model": self.model, "hardware": list(self.hardware), "paths": paths, "numbers": self.numbers}

    def __str__(self) -> str:
        return "\n".join(f"wrote {path}" for path in self.paths)


def draw_all(
    out: str | Path,
    model: str | Path | Model = "gpt2",
    on: Sequence[str] = HARDWARE,
    formats: Sequence[str] = ("png", "svg"),
    names: Sequence[str] | None = None,
) -> Drawn:
    """Draw the figures for a model into a folder, which is made when it is missing.

    Args:
        out: the folder.
        model: a shipped name, the path of a `config.json`, or a Model.
        on: one to six machines of the catalogue.
        formats: of `png`, `svg` and `pdf`.
        names: of `FIGURES`; all of them when None.

    Returns:
        A Drawn: the paths written, in order.

    Raises:
        AttometerError: matplotlib is missing, or an unknown model, machine, format or figure.
    """
    chosen = model if isinstance(model, Model) else read_model(model)
    machines = _machines(on)
    wanted = _known("figure", list(FIGURES) if names is None else names, FIGURES)
    kinds = _known("format", formats, FORMATS)
    # Said before anything is written: a model without attention has no figures.
    width(chosen)
    folder = _folder(Path(out))
    paths: list[Path] = []
    numbers = {}
    with look():
        for name in wanted:
            figure = FIGURES[name](chosen, machines)
            numbers[name] = drawn_numbers(figure)
            paths += _save(figure, folder / name, kinds)
    return Drawn(chosen.name, tuple(m.id for m in machines), tuple(paths), numbers)


def drawn_numbers(figure: "Figure") -> list[dict[str, Any]]:
    """Return the numbers of every labelled line, band and cell that a figure draws, panel by panel."""
    return [part for axes in figure.axes for part in (*_lines(axes), *_bands(axes), *_cells(axes))]


def _lines(axes: Any) -> Iterator[dict[str, Any]]:
    for line in axes.get_lines():
        if not str(line.get_label()).startswith("_"):
            yield {"name": str(line.get_label()), "x": _plain(line.get_xdata()), "y": _plain(line.get_ydata())}


def _bands(axes: Any) -> Iterator[dict[str, Any]]:
    for path in (c for c in axes.collections if type(c).__name__ in ("PolyCollection", "FillBetweenPolyCollection")):
        corners = path.get_paths()[0].vertices
        yield {"name": axes.get_title(), "x": _plain(corners[:, 0]), "y": _plain(corners[:, 1])}


def _cells(axes: Any) -> Iterator[dict[str, Any]]:
    for mesh in (c for c in axes.collections if type(c).__name__ == "QuadMesh" and axes.get_title()):
        rows, columns = (
            [t.get_text() for t in axis.get_ticklabels() if t.get_text()] for axis in (axes.yaxis, axes.xaxis)
        )
        yield {"name": axes.get_title(), "rows": rows, "columns": columns, "values": mesh.get_array().tolist()}


def _plain(values: Any) -> list[float]:
    return [float(value) for value in values]


def _machines(on: Sequence[str]) -> tuple[Machine, ...]:
    found = tuple(machine(name) for name in dict.fromkeys(_listed("on", on)))
    if not 1 <= len(found) <= _MOST_MACHINES:
        raise AttometerError(f"on must name 1 to {_MOST_MACHINES} machines, got {len(found)}")
    return found


def _known(kind: str, given: Sequence[str], options: Any) -> list[str]:
    chosen = list(dict.fromkeys(_listed(f"{kind}s", given)))
    for name in chosen:
        if name not in options:
            raise unknown(kind, str(name), options)
    if not chosen:
        raise AttometerError(f"no {kind} was asked for; known: {', '.join(options)}")
    return chosen


def _listed(name: str, given: Sequence[str]) -> Sequence[str]:
    if isinstance(given, str):
        raise AttometerError(f'{name} must be a list of names, got the text "{given}"')
    return given


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AttometerError(f'folder "{path}" cannot be made: {(error.strerror or str(error)).lower()}') from error
    return path


def _save(figure: "Figure", stem: Path, formats: Sequence[str]) -> list[Path]:
    return [save(figure, stem.with_suffix(f".{kind}")) for kind in formats]
