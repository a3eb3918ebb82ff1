"""One tile of scores: the product, soft cap, additive bias, ALiBi and the mask, for dense and ragged steps."""

from dataclasses import dataclass, field

import numpy as np
import torch

from attometer.run.operands import Operands
from attometer.run.tiled.plan import Dense, Ragged, RowTile, Step


class Scratch:
    """Buffers that tiles reuse: a fresh megabyte for each tile would be paged in again each time."""

    def __init__(self) -> None:
        self._held: dict[str, torch.Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """Return an uninitialised tensor of `shape`; its contents last until the name is taken again."""
        size = int(np.prod(shape))
        held = self._held.get(name)
        if held is None or held.numel() < size:
            held = self._held[name] = like.new_empty(size)
        return held[:size].view(shape)


@dataclass
class Tile:
    """The scores [Z, r, T, C] of T rows and C keys of a step, with what the products with it need."""

    scores: torch.Tensor
    keys: torch.Tensor  # dense [Z, C, d]; ragged [Z, T, C, d]
    bent: torch.Tensor | None = None  # tanh(score / cap), for the soft cap's derivative
    rows: torch.Tensor | None = None  # ragged: rows within the row tile
    columns: torch.Tensor | None = None  # gathered keys: dense [C], ragged [T, C]
    span: slice = field(default_factory=lambda: slice(0, 0))  # keys of a slice


def score_tile(x: Operands, queries: torch.Tensor, tile: RowTile, step: Step, scratch: Scratch) -> Tile:
    """Return the scores of a step, for `queries` [Z, r, R, d] of the row tile."""
    made = _dense(x, queries, step, scratch) if isinstance(step, Dense) else _ragged(x, queries, tile, step)
    if x.cap is not None:
        made.scores.div_(x.cap).tanh_()
        made.bent = scratch.take("bent", tuple(made.scores.shape), made.scores).copy_(made.scores)
        made.scores.mul_(x.cap)
    _add_biases(x, tile, made)
    hidden = step.hidden() if isinstance(step, Dense) else ~step.valid
    if hidden is not None:
        made.scores.masked_fill_(torch.from_numpy(hidden).to(made.scores.device), -torch.inf)
    return made


def _dense(x: Operands, queries: torch.Tensor, step: Dense, scratch: Scratch) -> Tile:
    z, r, rows, d = queries.shape
    columns = None if step.columns is None else torch.from_numpy(step.columns).to(x.k.device)
    span = slice(step.start, step.stop)
    keys = x.k[:, span] if columns is None else x.k.index_select(1, columns)
    scores = scratch.take("scores", (z, r * rows, step.width), queries)
    torch.bmm(queries.view(z, r * rows, d), keys.mT, out=scores)
    return Tile(scores.view(z, r, rows, step.width), keys, columns=columns, span=span)


def _ragged(x: Operands, queries: torch.Tensor, tile: RowTile, step: Ragged) -> Tile:
    rows = torch.from_numpy(step.rows - tile.start).to(x.k.device)
    columns = torch.from_numpy(step.keys).to(x.k.device)
    keys = gather(x.k, columns)
    scores = torch.matmul(queries.index_select(2, rows).transpose(1, 2), keys.mT)
    return Tile(scores.transpose(1, 2), keys, rows=rows, columns=columns)


def gather(x: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return x [Z, m, d] at columns [T, C] as [Z, T, C, d]."""
    return x.index_select(1, columns.flatten()).unflatten(1, tuple(columns.shape))


def _positions(x: Operands, tile: RowTile, made: Tile) -> tuple[torch.Tensor, torch.Tensor]:
    """Return row and key numbers that broadcast to [T, C]."""
    rows = torch.arange(tile.start, tile.stop, device=x.k.device)
    rows = rows if made.rows is None else rows[made.rows]
    columns = torch.arange(made.span.start, made.span.stop, device=x.k.device) if made.columns is None else made.columns
    return rows[:, None], columns


def _add_biases(x: Operands, tile: RowTile, made: Tile) -> None:
    if x.additive is None and x.slopes is None:
        return
    rows, columns = _positions(x, tile, made)
    if x.slopes is not None:
        distance = (rows + x.offset - columns).abs().to(made.scores.dtype)
        made.scores.addcmul_(x.slopes, distance, value=-1.0)
    if x.additive is not None:
        bias = additive_tile(x.additive, rows, columns)
        grouped = made.scores.unflatten(0, (x.batch, -1))
        grouped.add_(bias)
        if x.hides:
            grouped.masked_fill_(torch.isneginf(bias), -torch.inf)


def additive_tile(additive: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return an additive bias [B, G, r, n or 1, m or 1] at rows [T, 1] and columns [C] or [T, C]; axes of 1 stay."""
    n, m = additive.shape[-2:]
    row = rows if n > 1 else rows.new_zeros(1, 1)
    if m == 1:
        return additive[..., row, rows.new_zeros(1)]
    return additive[..., row, columns]


def weigh(weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return weights [Z, r, T, C] times values, dense [Z, C, e] or ragged [Z, T, C, e], as [Z, r, T, e]."""
    if values.dim() == 3:
        z, r, rows, width = weights.shape
        return torch.bmm(weights.reshape(z, r * rows, width), values).unflatten(1, (r, rows))
    return torch.matmul(weights.transpose(1, 2), values).transpose(1, 2)


def values_of(x: torch.Tensor, made: Tile) -> torch.Tensor:
    """Return the rows of x [Z, m, e] that the step's keys name."""
    if made.columns is None:
        return x[:, made.span]
    return x.index_select(1, made.columns) if made.columns.dim() == 1 else gather(x, made.columns)
