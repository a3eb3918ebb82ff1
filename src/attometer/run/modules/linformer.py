"""Linformer attention as a layer."""

import torch
from torch import nn

from attometer.run.linear.linformer import linformer_attention
from attometer.run.modules.projections import Projections


class LinformerAttention(Projections):
    """Linformer with projections: x [b, length, width] to [b, length, width] (Wang et al. 2020, arXiv:2006.04768).

    The mixtures are learned for one `length`; `rank` is the number of mixtures.

    >>> LinformerAttention(32, heads=4, length=10, rank=4)(torch.randn(1, 10, 32)).shape
    torch.Size([1, 10, 32])
    """

    def __init__(self, width: int, heads: int, *, length: int, rank: int = 256) -> None:
        super().__init__(width, heads)
        self.key_mix = nn.Parameter(torch.randn(rank, length) * rank**-0.5)
        self.value_mix = nn.Parameter(torch.randn(rank, length) * rank**-0.5)

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Return the layer's output; keys and values come from `context`, or from x."""
        return self.join(linformer_attention(*self.split(x, context), key_mix=self.key_mix, value_mix=self.value_mix))
