"""Attention in plain torch operations, n × m memory: every derivative and transform; the kernels' second derivatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

Optional: TypeAlias = torch.Tensor | None
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Biases:
    """What is done to scores and weights, in this order: cap, additive and ALiBi, sinks, dropout (`micro/bias.hpp`)."""

    additive: Optional = None
    sinks: Optional = None
    slopes: Sequence[float] | None = None
    cap: float | None = None
    dropout: float = 0.0
    seed: int = 0


def _mixed(x: torch.Tensor) -> torch.Tensor:
    x = ((x ^ x >> 16) * 0x7FEB352D) & _WORD
    x = ((x ^ x >> 15) * 0x846CA68B) & _WORD
    return x ^ x >> 16


def kept_weights(shape: Sequence[int], dropout: float, seed: int) -> torch.Tensor:
    """Return which weights [b, h, n, m] dropout keeps: by seed, batch entry, head, query and key alone, as in kernels.

    >>> kept = kept_weights((2, 3, 100, 100), 0.25, 7)
    >>> bool(0.74 < kept.double().mean() < 0.76), torch.equal(kept, kept_weights((2, 3, 100, 100), 0.25, 7))
    (True, True)
    """
    b, h, n, m = shape
    row = torch.arange(b * h * n)
    start = [torch.tensor(x) for x in (seed & _WORD, seed >> 32 & _WORD)]
    key = _mixed((row & _WORD) ^ _mixed((row >> 32) ^ _mixed(start[0] ^ _mixed(start[1]))))
    drawn = _mixed(key[:, None] ^ (torch.arange(m) * 0x9E3779B1 & _WORD))
    return (drawn >= int(dropout * 4294967296.0)).reshape(b, h, n, m)


def scores(q: torch.Tensor, k: torch.Tensor, bias: Biases, seen: Optional, scale: float) -> torch.Tensor:
    """Return the scores [b, h, n, m] after cap and biases, -inf where `seen` is false."""
    n, m = q.shape[2], k.shape[2]
    s = q @ k.mT * scale
    if bias.cap:
        s = bias.cap * torch.tanh(s / bias.cap)
    if bias.slopes is not None:
        distance = (torch.arange(n, device=q.device)[:, None] + m - n - torch.arange(m, device=q.device)).abs().to(s)
        s = s - torch.tensor(bias.slopes, device=q.device, dtype=s.dtype)[:, None, None] * distance
    if bias.additive is not None:
        s = s + bias.additive.to(s)
    return s if seen is None else s.masked_fill(~seen, -torch.inf)


def formula(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Biases, seen: Optional, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output [b, h, n, e] in q's type and log-sum-exp [b, h, n]; a query that sees nothing gives 0 and -inf."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    shared = q.shape[1] // k.shape[1]
    keys, values = (x.to(wide).repeat_interleave(shared, 1) for x in (k, v))
    s = scores(q.to(wide), keys, bias, seen, scale)
    most = s.detach().amax(-1) if s.shape[-1] else s.new_full(s.shape[:-1], -torch.inf)
    sinks = None if bias.sinks is None else bias.sinks.to(wide)[None, :, None]
    if sinks is not None:
        most = torch.maximum(most, sinks.detach())
    level = torch.where(most == -torch.inf, 0.0, most)
    weights = torch.exp(s - level[..., None])
    total = weights.sum(-1)
    if sinks is not None:
        total = total + torch.exp(sinks - level)
    nothing = total == 0
    total = torch.where(nothing, 1.0, total)
    if bias.dropout:
        weights = weights * kept_weights(s.shape, bias.dropout, bias.seed).to(s) / (1 - bias.dropout)
    lse = torch.where(nothing, -torch.inf, level + torch.log(total))
    return (weights @ values / total[..., None]).to(q.dtype), lse
