"""Polynomial attention as a layer."""

import torch

from attometer.run.linear.polynomial import polynomial_attention
from attometer.run.modules.projections import Projections


class PolynomialAttention(Projections):
    """Polynomial attention with projections: x [b, n, width] to [b, n, width] (Alman and Song 2023, arXiv:2302.13214).

    Queries and keys are scaled to length `bound` at most, which keeps the entries bounded as the method requires.

    >>> PolynomialAttention(32, heads=4, degree=2)(torch.randn(1, 10, 32)).shape
    torch.Size([1, 10, 32])
    """

    def __init__(self, width: int, heads: int, *, degree: int = 2, bound: float = 1.0, causal: bool = False) -> None:
        super().__init__(width, heads)
        self.degree, self.bound, self.causal = degree, bound, causal

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Return the layer's output; keys and values come from `context`, or from x."""
        q, k, v = self.split(x, context)
        q, k = (t * (self.bound / t.norm(dim=-1, keepdim=True).clamp(min=self.bound)) for t in (q, k))
        return self.join(polynomial_attention(q, k, v, degree=self.degree, causal=self.causal, scale=1.0))
