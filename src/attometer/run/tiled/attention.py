"""Tiled attention as custom operators with autograd: exact for any mask and bias, O(n) memory, forward and backward."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from attometer.emit.operators import sink_grad
from attometer.run.biases import Terms
from attometer.run.mask_text import from_text, to_text
from attometer.run.operands import Operands, Part, accumulation, additive_part, operands, parts
from attometer.run.tiled.backward import backward
from attometer.run.tiled.forward import NESTS
from attometer.run.tiled.plan import TilePlan, tile_plan
from attometer.run.tiled.sizes import problems_at_once, tile_sizes

Optional: TypeAlias = torch.Tensor | None


def plan_for(mask: str, n: int, m: int, r: int) -> TilePlan:
    """Return the tile plan for a mask's text, with r query heads for each key/value head."""
    held = from_text(mask)
    rows, columns = tile_sizes(held, n, m, r)
    return tile_plan(held, n, m, rows, columns)


def _parts(q: torch.Tensor, k: torch.Tensor, mask: str) -> list[Part]:
    b, h, n, _ = q.shape
    g, m = k.shape[1:3]
    if not (n and m):
        return []
    rows, columns = tile_sizes(from_text(mask), n, m, h // g)
    return list(parts(b, g, problems_at_once(rows * (h // g), columns)))


@torch.library.custom_op("attometer::tiled_attention", mutates_args=())  # type: ignore[untyped-decorator]
def tiled_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    additive: Optional,
    sinks: Optional,
    slopes: Sequence[float] | None,
    cap: float | None,
    scale: float,
    mask: str,
    schedule: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output [b, h, n, e] and log-sum-exp [b, h, n] of q [b, h, n, d], k [b, g, m, d], v [b, g, m, e]."""
    output, lse = _empty_results(q, v, _no_keys(sinks))
    bias = Terms(additive, None if slopes is None else tuple(slopes), cap, sinks)
    r = q.shape[1] // k.shape[1]
    for part in _parts(q, k, mask):
        x = operands(q, k, v, bias, scale, part)
        plan = plan_for(mask, q.shape[2], k.shape[2], r)
        # Poisoned with NaN: a row that no tile wrote would show.
        wide = x.q.new_full((*x.q.shape[:3], v.shape[-1]), torch.nan)
        statistics = x.q.new_full(x.q.shape[:3], torch.nan)
        NESTS[schedule](x, plan, wide, statistics)
        heads = slice(part.heads.start * r, part.heads.stop * r)
        output[part.batch, heads] = wide.unflatten(0, (x.batch, -1)).flatten(1, 2).to(q.dtype)
        lse[part.batch, heads] = statistics.unflatten(0, (x.batch, -1)).flatten(1, 2)
    return output, lse


def _empty_results(q: torch.Tensor, v: torch.Tensor, lse: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
    output = q.new_zeros(*q.shape[:3], v.shape[-1])
    return output, q.new_empty(q.shape[:3], dtype=accumulation(q.dtype)).copy_(torch.as_tensor(lse))


def _no_keys(sinks: Optional) -> torch.Tensor | float:
    return -torch.inf if sinks is None else sinks.detach()[None, :, None]


@tiled_attention.register_fake  # type: ignore[untyped-decorator]
def _(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return q.new_empty(*q.shape[:3], v.shape[-1]), q.new_empty(q.shape[:3], dtype=accumulation(q.dtype))


@torch.library.custom_op("attometer::tiled_attention_backward", mutates_args=())  # type: ignore[untyped-decorator]
def tiled_attention_backward(
    grad: torch.Tensor,
    lse_grad: Optional,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    output: torch.Tensor,
    lse: torch.Tensor,
    additive: Optional,
    sinks: Optional,
    slopes: Sequence[float] | None,
    cap: float | None,
    scale: float,
    mask: str,
    wants_additive: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of q, k, v, the additive bias and the sinks; the last two are empty where not wanted."""
    wide = accumulation(q.dtype)
    delta = torch.einsum("bhne,bhne->bhn", grad.to(wide), output.to(wide))
    if lse_grad is not None:
        delta -= lse_grad
    found = [torch.zeros_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)]
    full = torch.zeros_like(additive, dtype=wide) if additive is not None and wants_additive else None
    bias = Terms(additive, None if slopes is None else tuple(slopes), cap, sinks)
    r = q.shape[1] // k.shape[1]
    for part in _parts(q, k, mask):
        x = operands(q, k, v, bias, scale, part, clean=False)
        plan = plan_for(mask, q.shape[2], k.shape[2], r)
        above, known, rest = (part.of(t, r).to(wide) for t in (grad, lse, delta))
        made = backward(x, plan, above, known, rest, wants_additive)
        _put(found, part, made.q * scale, made.k, made.v, r)
        if full is not None and made.additive is not None:
            additive_part(full, r, part).add_(made.additive)
    own = q.new_empty(0) if sinks is None else sink_grad(sinks, lse, delta)
    return found[0], found[1], found[2], _kept(full, additive, q), own


def _put(found: list[torch.Tensor], part: Part, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, r: int) -> None:
    size = part.batch.stop - part.batch.start
    heads = slice(part.heads.start * r, part.heads.stop * r)
    found[0][part.batch, heads] = q.unflatten(0, (size, -1)).flatten(1, 2).to(found[0].dtype)
    for into, part_grad in ((found[1], k), (found[2], v)):
        into[part.batch, part.heads] = part_grad.unflatten(0, (size, -1)).to(into.dtype)


def _kept(full: Optional, additive: Optional, q: torch.Tensor) -> torch.Tensor:
    return q.new_empty(0) if full is None or additive is None else full.to(additive.dtype)


@tiled_attention_backward.register_fake  # type: ignore[untyped-decorator]
def _(*given: Any) -> tuple[torch.Tensor, ...]:
    q, additive, sinks, wants_additive = given[2], given[7], given[8], given[-1]
    own = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in given[2:5])
    bias = additive if additive is not None and wants_additive else q.new_empty(0)
    return (*own, bias.new_empty(bias.shape), q.new_empty(0) if sinks is None else sinks.new_empty(sinks.shape))


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    q, k, v, additive, sinks, ctx.slopes, ctx.cap, ctx.scale, ctx.mask, _ = inputs
    ctx.save_for_backward(q, k, v, *output, additive, sinks)


def _backward(ctx: Any, grad: torch.Tensor, lse_grad: Optional) -> tuple[Any, ...]:
    q, k, v, output, lse, additive, sinks = ctx.saved_tensors
    wants_additive = additive is not None and ctx.needs_input_grad[3]
    found = tiled_attention_backward(
        grad, lse_grad, q, k, v, output, lse, additive, sinks, ctx.slopes, ctx.cap, ctx.scale, ctx.mask, wants_additive
    )
    own = (found[3] if wants_additive else None, None if sinks is None else found[4])
    return (*found[:3], *own, None, None, None, None, None)


tiled_attention.register_autograd(_backward, setup_context=_keep_for_backward)


def run_tiled(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float, schedule: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the operator on checked arguments."""
    slopes = None if bias.slopes is None else list(bias.slopes)
    held: tuple[torch.Tensor, torch.Tensor] = tiled_attention(
        q, k, v, bias.additive, bias.sinks, slopes, bias.cap, scale, mask, schedule
    )
    return held


__all__ = ["Operands", "plan_for", "run_tiled", "tiled_attention", "to_text"]
