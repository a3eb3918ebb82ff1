"""The backward pass over the same tiles, weights recomputed from the log-sum-exp (arXiv:2307.08691, Algorithm 2).

Every gradient is accumulated in the wide type, so that bf16 gradients do not lose accuracy with the number of tiles.
"""

from dataclasses import dataclass

import torch

from attometer.run.operands import Operands
from attometer.run.tiled.forward import queries_of
from attometer.run.tiled.plan import RowTile, Step, TilePlan
from attometer.run.tiled.scores import Scratch, Tile, _positions, score_tile, values_of, weigh


@dataclass
class Gradients:
    """Gradients of one part: q [Z, r, n, d] (of the scaled queries), k [Z, m, d], v [Z, m, e], and the additive bias."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    additive: torch.Tensor | None


@dataclass(frozen=True, eq=False)
class Rows:
    """What a row tile brings: queries, the output's gradient, log-sum-exp (+inf if empty), and sum(dO · O) - dLSE."""

    queries: torch.Tensor
    grad: torch.Tensor
    lse: torch.Tensor
    delta: torch.Tensor

    def pick(self, rows: torch.Tensor | None) -> "Rows":
        """Return some of the rows."""
        if rows is None:
            return self
        return Rows(*(x.index_select(2, rows) for x in (self.queries, self.grad, self.lse, self.delta)))


def backward(
    x: Operands, plan: TilePlan, grad: torch.Tensor, lse: torch.Tensor, delta: torch.Tensor, wants_additive: bool
) -> Gradients:
    """Return the gradients for the output's gradient `grad` [Z, r, n, e], with lse and delta [Z, r, n]."""
    additive = torch.zeros_like(x.additive) if wants_additive and x.additive is not None else None
    found = Gradients(torch.zeros_like(x.q), torch.zeros_like(x.k), torch.zeros_like(x.v), additive)
    # exp(score - inf) = 0: a row that saw nothing has no weights.
    normaliser = lse.masked_fill(lse == -torch.inf, torch.inf)[..., None]
    scratch = Scratch()
    for tile in plan.tiles:
        at = slice(tile.start, tile.stop)
        rows = Rows(queries_of(x, tile), grad[:, :, at].contiguous(), normaliser[:, :, at], delta[:, :, at, None])
        for step in tile.steps:
            _step(x, tile, step, rows, found, scratch)
    return found


def _step(x: Operands, tile: RowTile, step: Step, rows: Rows, found: Gradients, scratch: Scratch) -> None:
    made = score_tile(x, rows.queries, tile, step, scratch)
    at = rows.pick(made.rows)
    weights = made.scores.sub_(at.lse).exp_()
    _add_to_keys(found.v, made, weights, at.grad)
    grad = _product_with(at.grad, values_of(x.v, made), scratch)
    grad.sub_(at.delta).mul_(weights)
    if found.additive is not None:
        _add_to_bias(found.additive, x, tile, made, grad)
    if made.bent is not None and x.cap is not None:
        grad.mul_(1.0 - made.bent.square())
    part = weigh(grad, made.keys)
    if made.rows is None:
        found.q[:, :, tile.start : tile.stop] += part
    else:
        found.q.index_add_(2, made.rows + tile.start, part)
    _add_to_keys(found.k, made, grad, at.queries)


def _product_with(grad: torch.Tensor, values: torch.Tensor, scratch: Scratch) -> torch.Tensor:
    """Return grad [Z, r, T, e] times the transposed values, [Z, r, T, C]."""
    z, r, rows, e = grad.shape
    if values.dim() == 3:
        held = scratch.take("grad", (z, r * rows, values.shape[1]), grad)
        return torch.bmm(grad.reshape(z, r * rows, e), values.mT, out=held).view(z, r, rows, -1)
    return torch.matmul(grad.transpose(1, 2), values.mT).transpose(1, 2)


def _add_to_keys(into: torch.Tensor, made: Tile, weights: torch.Tensor, rows: torch.Tensor) -> None:
    """Add weights^T rows to the keys of the step: weights [Z, r, T, C], rows [Z, r, T, d], into [Z, m, d]."""
    z, r, height, width = weights.shape
    if made.rows is not None and made.columns is not None:
        part = torch.matmul(weights.permute(0, 2, 3, 1), rows.transpose(1, 2))
        into.index_add_(1, made.columns.flatten(), part.flatten(1, 2))
        return
    left, right = weights.reshape(z, r * height, width).mT, rows.flatten(1, 2)
    if made.columns is None:
        into[:, made.span].baddbmm_(left, right)
    else:
        into.index_add_(1, made.columns, torch.bmm(left, right))


def _add_to_bias(into: torch.Tensor, x: Operands, tile: RowTile, made: Tile, grad: torch.Tensor) -> None:
    """Add the scores' gradient to the additive bias, summed over the axes where the bias has size 1."""
    rows, columns = _positions(x, tile, made)
    grouped = grad.unflatten(0, (x.batch, -1))
    over = [axis for axis in range(3) if into.shape[axis] == 1 and grouped.shape[axis] > 1]
    grouped = grouped.sum(over, keepdim=True) if over else grouped
    row = rows if into.shape[-2] > 1 else torch.zeros_like(rows)
    column = columns if into.shape[-1] > 1 else torch.zeros_like(columns)
    row, column = torch.broadcast_tensors(row, column)
    flat = into.flatten(-2)
    flat.index_add_(-1, (row * into.shape[-1] + column).flatten(), grouped.flatten(-2))
