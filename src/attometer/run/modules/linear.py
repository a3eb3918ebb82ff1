"""Linear attention as a layer."""

import torch

from attometer.run.linear.attention import LinearState, linear_attention
from attometer.run.modules.projections import Projections


class LinearAttention(Projections):
    """Linear attention with projections: x [b, n, width] to [b, n, width] (Katharopoulos et al. 2020, arXiv:2006.16236).

    >>> LinearAttention(32, heads=4, causal=True)(torch.randn(1, 10, 32)).shape
    torch.Size([1, 10, 32])
    """

    def __init__(self, width: int, heads: int, kv_heads: int | None = None, *, causal: bool = False) -> None:
        super().__init__(width, heads, kv_heads)
        self.causal = causal

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """Return the layer's output; keys and values come from `context`, or from x."""
        return self.join(linear_attention(*self.split(x, context), causal=self.causal))

    def step(self, x: torch.Tensor, state: LinearState | None = None) -> tuple[torch.Tensor, LinearState]:
        """Return the output for the next tokens x, and the state to pass with those after."""
        output, state = linear_attention(*self.split(x), causal=True, state=state, return_state=True)
        return self.join(output), state
