"""torch's FlexAttention, compiled: the mask as a predicate over block lists, biases as a score function."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from attometer.errors import AttometerError
from attometer.run.biases import Terms
from attometer.run.mask_text import from_text

BLOCK = 128


def unsupported(q: torch.Tensor, needs_gradient: bool, bias: Terms, return_lse: bool) -> str | None:
    """Return the property of the call that this implementation lacks, or None."""
    if q.device.type == "cpu":
        if needs_gradient:
            return "gradients on CPU"
        if return_lse or bias.sinks is not None:
            return "return_lse on CPU" if return_lse else "sinks on CPU"
    return "float64" if q.dtype == torch.float64 else None


@lru_cache(maxsize=16)
def _block_mask(mask: str, n: int, m: int, device: torch.device) -> Any:
    """Build block lists from the exact tile classes, so that full blocks skip the predicate and empty ones are skipped."""
    from torch.nn.attention.flex_attention import BlockMask

    held = from_text(mask)
    if held is None:
        return None
    seen = held.predicate(n, m, lambda table: torch.tensor(table, device=device))
    classes = torch.from_numpy(held.tiles(n, m, BLOCK, BLOCK).astype(np.int64)).to(device)
    mixed, full = (_lists(classes == kind) for kind in (1, 2))
    return BlockMask.from_kv_blocks(
        *mixed, *full, BLOCK_SIZE=BLOCK, mask_mod=lambda b, h, i, j: seen(i, j), seq_lengths=(n, m)
    )


def _lists(held: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.argsort(held.to(torch.int32), dim=1, descending=True, stable=True).to(torch.int32)
    return held.sum(1, dtype=torch.int32)[None, None], order[None, None].contiguous()


@lru_cache(maxsize=1)
def _compiled() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)


def _score_function(bias: Terms, shift: int, q: torch.Tensor) -> Any:
    slopes = None if bias.slopes is None else torch.tensor(bias.slopes, device=q.device, dtype=torch.float32)
    values, cap = bias.additive, bias.cap
    if slopes is None and values is None and cap is None:
        return None
    sizes = None if values is None else [int(s > 1) for s in values.shape]

    def score(s: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        if cap is not None:
            s = cap * torch.tanh(s / cap)
        if values is not None and sizes is not None:
            s = s + values[b * sizes[0], h * sizes[1], i * sizes[2], j * sizes[3]]
        if slopes is not None:
            s = s - slopes[h] * (i + shift - j).abs()
        return s

    return score


def run_flex(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float, compiled: bool = True
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return output and log-sum-exp (None from the CPU compiler) on checked arguments; a new shape compiles for long."""
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    n, m = q.shape[2], k.shape[2]
    try:
        # torch's CPU compiler refuses to return the log-sum-exp.
        wanted = None if compiled and q.device.type == "cpu" else AuxRequest(lse=True)
        held = (_compiled() if compiled else flex_attention)(
            q, k, v,
            score_mod=_score_function(bias, m - n, q),
            block_mask=_block_mask(mask, n, m, q.device),
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
            return_aux=wanted,
        )  # fmt: skip
    except Exception as problem:
        raise AttometerError(f'impl "flex" failed in torch: {type(problem).__name__}: {problem}') from problem
    if wanted is None:
        return held, None
    output, lse = held[0], held[1].lse
    if bias.sinks is not None:
        total = torch.logaddexp(lse, bias.sinks.to(lse.dtype)[None, :, None])
        output, lse = output * torch.exp(lse - total)[..., None].to(output.dtype), total
    return output, lse
