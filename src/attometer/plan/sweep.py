"""`sweep`: one model on several machines over contexts and batches."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.machine import Machine
from attometer.models import Model, model
from attometer.plan.options import MOST_TOKENS
from attometer.plan.planner import Grid, Integers, Planner, planner
from attometer.view.files import write_atomically
from attometer.view.numbers import Cell, seconds, size_in_bytes
from attometer.view.report import Block, Report
from attometer.view.table import Table

FIELDS = (
    "machine", "context", "batch", "fits", "bytes", "memory_bytes", "seconds", "compute_seconds", "memory_seconds",
    "binds", "tokens_per_second",
)  # fmt: skip
"""Columns of the CSV file and keys of a point."""


@dataclass(frozen=True, eq=False)
class Sweep(Report):
    """Plans of one model over a grid on several machines; printing it prints what fits, and how fast, by machine.

    Attributes:
        planners: one for each machine.
        grids: what each says, contexts × batches.
        prompts: in serving, what each says of one prompt alone, by context; the grids are then of decoding steps.
    """

    planners: tuple[Planner, ...]
    grids: tuple[Grid, ...]
    prompts: tuple[Grid, ...] = ()

    @property
    def model(self) -> Model:
        """The model."""
        return self.planners[0].model

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield every point as a dictionary of `FIELDS`; in serving with `first_seconds`, of a prompt alone."""
        for asked, grid, prompt in self._each():
            for i, context in enumerate(grid.contexts.tolist()):
                for j, batch in enumerate(grid.batches.tolist()):
                    point = dict(zip(FIELDS, _point(asked, grid, i, j, context, batch), strict=True))
                    yield point if prompt is None else point | {"first_seconds": float(prompt.seconds[i, 0])}

    def _each(self) -> Iterator[tuple[Planner, Grid, Grid | None]]:
        return zip(self.planners, self.grids, self.prompts or (None,) * len(self.grids), strict=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the points, and the largest context of each machine by batch (None for any)."""
        most = {
            asked.machine.id: {
                str(b): None if n >= MOST_TOKENS else n
                for b, n in zip(grid.batches.tolist(), grid.largest_context.tolist(), strict=True)
            }
            for asked, grid in zip(self.planners, self.grids, strict=True)
        }
        options = {k: v for k, v in vars(self.planners[0].options).items() if k not in ("context", "batch")}
        points = list(self.points())
        return {"model": self.model.name, "options": options, "largest_context": most, "points": points}

    def to_csv(self, path: str | Path) -> Path:
        """Write the points as CSV, whole or not at all, and return the path."""
        points = list(self.points())
        rows = [",".join(points[0]), *(",".join(map(_csv, point.values())) for point in points)]
        return write_atomically(path, "\n".join(rows) + "\n")

    def page(self) -> Iterable[Block]:
        """Return one table for each machine: a row per context, a column per batch."""
        for each in self._each():
            yield _table(*each)


def sweep(
    subject: str | Path | Model,
    on: str | Machine | Iterable[str | Machine] = "h100-sxm",
    *,
    context: Integers,
    batch: Integers = 1,
    **options: Any,
) -> Sweep:
    """Plan one model on each machine at every pair of a context and a batch.

    Args:
        subject: a shipped model's name, a `config.json`, its folder, or a Model.
        on: one machine, or several.
        context: tokens per sequence, one or many.
        batch: sequences at once, one or many.
        options: those of `planner`: mode, data types, schedule, checkpoint, chunk; the mode may be `serve`: a prompt alone
            beside a decoding step of all sequences.

    Returns the Sweep: a table, `.points()`, `.to_csv(path)`, `.to_dict()`. Raises AttometerError as `planner` does.

    >>> s = sweep("llama-3.1-8b", ["h100-sxm", "a10"], context=[8192, 131072], batch=[1, 8], mode="decode")
    >>> [grid.fits.tolist() for grid in s.grids]
    [[[True, True], [True, False]], [[True, False], [False, False]]]
    """
    listed = [on] if isinstance(on, str | Machine) else list(on)
    if not listed:
        raise AttometerError("sweep needs at least one machine")
    read = subject if isinstance(subject, Model) else model(subject)
    if options.get("mode") != "serve":
        planners = tuple(planner(read, each, **options) for each in listed)
        return Sweep(planners, tuple(asked.grid(context, batch) for asked in planners))
    steps, first = (
        tuple(planner(read, each, **options | {"mode": mode}) for each in listed) for mode in ("decode", "prefill")
    )
    grids = tuple(asked.grid(context, batch) for asked in steps)
    return Sweep(steps, grids, tuple(p.grid(grid.contexts, 1) for p, grid in zip(first, grids, strict=True)))


def _point(asked: Planner, grid: Grid, i: int, j: int, context: int, batch: int) -> tuple[Any, ...]:
    taken = float(grid.seconds[i, j])
    compute, moving = float(grid.compute_seconds[i, j]), float(grid.memory_seconds[i, j])
    new = 1 if asked.options.mode == "decode" else context
    need, binds = int(grid.bytes[i, j]), "compute" if compute >= moving else "memory"
    fits = need <= grid.room
    return asked.machine.id, context, batch, fits, need, grid.room, taken, compute, moving, binds, batch * new / taken


def _csv(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(asked: Planner, grid: Grid, prompt: Grid | None) -> Table:
    o = asked.options
    what = (
        f"{o.mode}: time of one pass" if prompt is None else "serving: first token of a prompt alone, then each token"
    )
    title = f"{asked.model.name} on {asked.machine.name} ({size_in_bytes(grid.room)}), {what}"
    first = () if prompt is None else ("TTFT",)
    columns = ("context", *first, *(f"{'TPOT ' * len(first)}batch {b:,}" for b in grid.batches.tolist()))
    told = [] if prompt is None else [Cell(float(t), seconds(float(t))) for t in prompt.seconds[:, 0]]
    body = [
        (c, *told[i : i + 1], *(_cell(asked, grid, i, j) for j in range(len(grid.batches))))
        for i, c in enumerate(grid.contexts.tolist())
    ]
    most = [Cell(n, "any" if n >= MOST_TOKENS else f"{n:,}") for n in grid.largest_context.tolist()]
    notes = (
        "C: compute takes longer in all, M: memory; - does not fit (the last row says what does)",
        f"weights {asked.formats.name}, cache {o.kv}, activations {o.activations}, attention {o.schedule}; datasheet roofline, "
        "a lower bound",
        *asked.model.check.said,
    )
    return Table(title, columns, (*body, ("largest", *(None for _ in first), *most)), notes)


def _cell(asked: Planner, grid: Grid, i: int, j: int) -> Cell:
    if not grid.fits[i, j]:
        return Cell(None, "-")
    taken = float(grid.seconds[i, j])
    return Cell(taken, f"{seconds(taken)} {'C' if grid.compute_seconds[i, j] >= grid.memory_seconds[i, j] else 'M'}")
