"""Performer attention as a layer."""

import torch

from attometer.run.linear.performer import favor_features, performer_attention
from attometer.run.modules.projections import Projections


class PerformerAttention(Projections):
    """FAVOR+ with projections: x [b, n, width] to [b, n, width] (Choromanski et al. 2020, arXiv:2009.14794).

    `features` random directions are a buffer drawn from `seed`; `redraw` draws others.

    >>> PerformerAttention(32, heads=4, features=16, causal=True)(torch.randn(1, 10, 32)).shape
    torch.Size([1, 10, 32])
    """

    directions: torch.Tensor

    def __init__(self, width: int, heads: int, *, features: int = 256, causal: bool = False, seed: int = 0) -> None:
        super().__init__(width, heads)
        self.causal = causal
        self.register_buffer("directions", favor_features(features, self.head_width, seed=seed))

    def redraw(self, seed: int) -> None:
        """Replace the random directions in place."""
        self.directions.copy_(favor_features(*self.directions.shape, seed=seed))

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Return the layer's output; keys and values come from `context`, or from x."""
        q, k, v = self.split(x, context)
        return self.join(performer_attention(q, k, v, features=self.directions, causal=self.causal))
