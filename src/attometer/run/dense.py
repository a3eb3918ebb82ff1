"""Attention in plain torch operations as an implementation: n × m memory, every derivative and transform, dropout."""

import torch

from attometer.emit.formula import Biases, formula
from attometer.run.biases import Terms
from attometer.run.tables import mask_matrix


def run_dense(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run on checked arguments. A key or value that is hidden must be finite: 0 times NaN is NaN."""
    seen = bias.seen
    if mask:
        matrix = mask_matrix(torch.empty(0, device=q.device), mask, q.shape[2], k.shape[2])
        seen = matrix if seen is None else matrix & seen
    held = Biases(bias.additive, bias.sinks, bias.slopes, bias.cap, bias.dropout, bias.seed)
    return formula(q, k, v, held, seen, scale)
