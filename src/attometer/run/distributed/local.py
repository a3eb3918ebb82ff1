"""The attention of one block on one rank, forward with log-sum-exp and backward from it, and the merge of blocks."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from attometer.run.biases import Terms
from attometer.run.distributed.block_plan import Block, block_plan
from attometer.run.operands import accumulation, operands, parts
from attometer.run.tiled.backward import backward
from attometer.run.tiled.forward import NESTS
from attometer.run.tiled.plan import TilePlan, tile_plan
from attometer.run.tiled.sizes import problems_at_once, tile_sizes


@dataclass(frozen=True)
class Scores:
    """How scores come from products: the scale, and a soft cap or None."""

    scale: float
    cap: float | None = None


@dataclass
class Merged:
    """Output [b, h, n, e] and log-sum-exp [b, h, n] over the keys met so far, in the accumulation type."""

    output: torch.Tensor
    lse: torch.Tensor

    def add(self, output: torch.Tensor, lse: torch.Tensor) -> None:
        """Take in the result over other keys: each side is weighed by its share of the exponentials."""
        highest = torch.maximum(self.lse, lse)
        # A row that has seen nothing has log-sum-exp -inf and weight 0.
        shift = highest.masked_fill(highest == -torch.inf, 0.0)
        one, other = torch.exp(self.lse - shift), torch.exp(lse - shift)
        total = one + other
        norm = total.masked_fill(total == 0, 1.0)
        self.output.mul_((one / norm)[..., None]).addcmul_(output, (other / norm)[..., None])
        self.lse = shift + total.log()


def nothing_seen(q: torch.Tensor, e: int) -> Merged:
    """Return the state before any key: output 0 and log-sum-exp -inf."""
    wide = accumulation(q.dtype)
    return Merged(q.new_zeros(*q.shape[:3], e, dtype=wide), q.new_full(q.shape[:3], -torch.inf, dtype=wide))


def block_forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, block: Block, scores: Scores
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output [b, h, n, e] and log-sum-exp [b, h, n] of q [b, h, n, d] over k [b, g, m, d], v [b, g, m, e]."""
    held = nothing_seen(q, v.shape[-1])
    if not held.lse.numel() or not k.shape[2]:
        return held.output, held.lse
    r = q.shape[1] // k.shape[1]
    plan, most = _plan(block, r)
    for part in parts(q.shape[0], k.shape[1], most):
        x = operands(q, k, v, Terms(cap=scores.cap), scores.scale, part)
        output = x.q.new_empty(*x.q.shape[:3], v.shape[-1])
        lse = x.q.new_empty(x.q.shape[:3])
        NESTS["flash2"](x, plan, output, lse)
        heads = slice(part.heads.start * r, part.heads.stop * r)
        held.output[part.batch, heads] = output.view(x.batch, -1, *output.shape[2:])
        held.lse[part.batch, heads] = lse.view(x.batch, -1, lse.shape[-1])
    return held.output, held.lse


@dataclass(frozen=True, eq=False)
class Grads:
    """What the backward pass knows of a rank's queries: dO [b, h, n, e], log-sum-exp, and sum(dO · O) - dLSE [b, h, n]."""

    output: torch.Tensor
    lse: torch.Tensor
    delta: torch.Tensor


def grads_of(output: torch.Tensor, lse: torch.Tensor, grad: torch.Tensor, lse_grad: torch.Tensor | None) -> Grads:
    """Return the output gradients in the accumulation type."""
    wide = lse.dtype
    delta = torch.einsum("bhne,bhne->bhn", grad.to(wide), output.to(wide))
    return Grads(grad.to(wide), lse, delta if lse_grad is None else delta - lse_grad)


def block_backward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    grads: Grads,
    block: Block,
    scores: Scores,
    into: Callable[..., None],
) -> None:
    """Call into(batch, query heads, key heads, dQ, dK, dV) for each part, gradients in the accumulation type."""
    if not grads.lse.numel() or not k.shape[2]:
        return
    r = q.shape[1] // k.shape[1]
    plan, most = _plan(block, r)
    for part in parts(q.shape[0], k.shape[1], most):
        x = operands(q, k, v, Terms(cap=scores.cap), scores.scale, part, clean=False)
        grad, lse, delta = (part.of(t, r) for t in (grads.output, grads.lse, grads.delta))
        made = backward(x, plan, grad, lse, delta, wants_additive=False)
        heads = slice(part.heads.start * r, part.heads.stop * r)
        dq, dk, dv = (t.view(x.batch, -1, *t.shape[-2:]) for t in (made.q.mul_(scores.scale), made.k, made.v))
        into(part.batch, heads, part.heads, dq, dk, dv)


def add_into(dq: torch.Tensor, dk: torch.Tensor, dv: torch.Tensor) -> Callable[..., None]:
    """Return a sink for block_backward that adds each part to whole gradients."""

    def add(batch: slice, heads: slice, groups: slice, *found: torch.Tensor) -> None:
        for whole, at, part in zip((dq, dk, dv), (heads, groups, groups), found, strict=True):
            whole[batch, at] += part

    return add


def _plan(block: Block, r: int) -> tuple[TilePlan, int]:
    rows, columns = tile_sizes(block.mask, block.n, block.m, r)
    # A whole sequence has the plan that gathers scattered pairs; a piece of one is cut into dense tiles.
    plan = tile_plan(block.mask, block.n, block.m, rows, columns) if block.whole else block_plan(block, rows, columns)
    return plan, problems_at_once(rows * r, columns)
