"""Softmax attention as a layer: any mask and bias, grouped heads, rotary positions, a cache."""

import torch

from attometer.program import Mask
from attometer.run.attention import attention
from attometer.run.biases import Biases
from attometer.run.decoding.cache import ContiguousCache
from attometer.run.decoding.step import decode_attention
from attometer.run.modules.projections import Projections
from attometer.run.positions import rope


class Attention(Projections):
    """Softmax attention with projections: x [b, n, width] to [b, n, width].

    `mask`, `bias` and `impl` are those of `attention`; with `rotary` queries and keys are rotated by position; with a
    cache the x given are the newest tokens. Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.2.

    >>> from attometer.program import causal
    >>> layer = Attention(32, heads=4, kv_heads=2, mask=causal(), rotary=True)
    >>> layer(torch.randn(1, 10, 32)).shape
    torch.Size([1, 10, 32])
    """

    def __init__(
        self,
        width: int,
        heads: int,
        kv_heads: int | None = None,
        head_width: int | None = None,
        *,
        mask: Mask | str | None = None,
        bias: Biases = None,
        rotary: bool = False,
        impl: str = "auto",
        projection_bias: bool = False,
    ) -> None:
        super().__init__(width, heads, kv_heads, head_width, projection_bias)
        self.mask, self.bias, self.rotary, self.impl = mask, bias, rotary, impl

    def forward(
        self, x: torch.Tensor, context: torch.Tensor | None = None, cache: ContiguousCache | None = None
    ) -> torch.Tensor:
        """Return the layer's output; keys and values come from `context`, and from `cache` before x."""
        q, k, v = self.split(x, context)
        if self.rotary:
            first = 0 if cache is None else len(cache)
            q, k = (rope(t, torch.arange(first, first + t.shape[2], device=t.device)) for t in (q, k))
        if cache is None:
            return self.join(attention(q, k, v, mask=self.mask, bias=self.bias, impl=self.impl))
        return self.join(decode_attention(q, cache, k, v, mask=self.mask, bias=self.bias))
