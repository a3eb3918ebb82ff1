"""Where the FLOPs of a model's layers go: the attention core, its projections, the feed-forward layers, by length."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.models import Model
from attometer.models import model as read_model
from attometer.report.crossover import Crossover
from attometer.report.figures.layers import COMPONENTS, at, components
from attometer.report.figures.shares import component_crossovers
from attometer.report.figures.shares import shares as draw
from attometer.view.numbers import Cell, flop
from attometer.view.report import Block, Report
from attometer.view.style import figure_path, look, save
from attometer.view.table import Table


@dataclass(frozen=True)
class Shares(Report):
    """FLOPs by component at each length, and the lengths at which the attention core takes over."""

    model: Model
    causal: str
    flops: dict[int, dict[str, int]]
    crossings: tuple[Crossover, ...]

    def page(self) -> Iterable[Block]:
        """Return the table of shares and the crossings."""
        rows = tuple((n, *(_share(part, sum(parts.values())) for part in parts.values()), _flop(parts))
                     for n, parts in self.flops.items())  # fmt: skip
        pairs = "masked pairs counted as if computed" if self.causal == "full" else "only the pairs that masks allow"
        notes = [f"matrix products of the layers, {pairs}; embedding and head left out"]
        notes += [f"the attention core equals {c.second} at n = {_place(c)}" for c in self.crossings]
        title = f"{self.model.name}: shares of the FLOPs of its layers"
        yield Table(title, ("tokens", *COMPONENTS, "together"), rows, tuple(notes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: FLOPs by component, exact, and the crossings."""
        counted = [{"n": n, **parts} for n, parts in self.flops.items()]
        return {"model": self.model.name, "causal": self.causal, "flops": counted,
                "crossings": [c.to_dict() for c in self.crossings]}  # fmt: skip

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw the shares against length into a .png, .svg or .pdf, and return its path."""
        target = figure_path(path)
        with look():
            return save(draw(self.model), target)


def shares(
    model: str | Path | Model, /, context: Sequence[int] = (512, 2048, 8192, 32768, 131072), causal: str = "full"
) -> Shares:
    """Return how the FLOPs of a model's layers divide between attention core, projections and feed-forward layers.

    Args:
        model: a shipped name, a configuration file, or a Model.
        context: numbers of tokens, each at least 1.
        causal: `full` counts masked pairs as if computed, as most counters do; `exact` only the pairs that masks allow.

    Returns:
        FLOPs by component at each length, and the exact lengths at which the core equals the others.

    Raises:
        AttometerError: an unknown model, a length below 1, or another way to count.

    >>> print(shares("gpt2", [1024]).flops)
    {1024: {'attention core': 38654705664, 'projections': 57982058496, 'feed-forward': 115964116992}}
    """
    if causal not in ("full", "exact"):
        raise AttometerError(f'causal: got "{causal}", expected full or exact')
    if not context or min(context) < 1:
        raise AttometerError("context must name at least one number of tokens, each at least 1")
    chosen = model if isinstance(model, Model) else read_model(model)
    spent = components(chosen, causal)
    counted = {n: {name: at(spent[name], n) for name in COMPONENTS} for n in context}
    return Shares(chosen, causal, counted, component_crossovers(chosen, causal))


def _share(part: int, whole: int) -> Cell:
    return Cell(part / whole, f"{100 * part / whole:.1f} %")


def _flop(parts: dict[str, int]) -> Cell:
    whole = sum(parts.values())
    return Cell(whole, flop(whole))


def _place(crossing: Crossover) -> str:
    exact = crossing.root.is_Integer
    return f"{int(crossing.root):,}" if exact else f"{crossing.below:,} to {crossing.above:,}"
