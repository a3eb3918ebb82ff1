"""HyperAttention as a layer."""

import torch

from attometer.run.linear.hyper import HashSizes, hyper_attention
from attometer.run.modules.projections import Projections


class HyperAttention(Projections):
    """HyperAttention with projections: x [b, n, width] to [b, n, width] (Han et al. 2023, arXiv:2310.05869).

    >>> HyperAttention(32, heads=4, sizes=HashSizes(16, 8, 4), causal=True)(torch.randn(1, 40, 32)).shape
    torch.Size([1, 40, 32])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        sizes: HashSizes = HashSizes(),  # noqa: B008
        causal: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(width, heads)
        self.sizes, self.causal, self.seed = sizes, causal, seed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        return self.join(hyper_attention(*self.split(x), sizes=self.sizes, causal=self.causal, seed=self.seed))
