"""The four projections that every attention layer has."""

import torch
from torch import nn

from attometer.errors import AttometerError


class Projections(nn.Module):  # type: ignore[misc]
    """Projections of x [b, n, width] to queries and keys [b, heads, n, d] and values, and back.

    `kv_heads` (default `heads`) is smaller in grouped-query attention; `head_width` is d (default width / heads).
    """

    def __init__(
        self, width: int, heads: int, kv_heads: int | None = None, head_width: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        groups = heads if kv_heads is None else kv_heads
        if heads < 1 or groups < 1 or heads % groups:
            raise AttometerError(f"kv_heads: got {groups}, expected a divisor of heads = {heads}")
        if head_width is None and width % heads:
            raise AttometerError(f"width: got {width}, expected a multiple of heads = {heads}, or give head_width")
        self.heads, self.kv_heads, self.head_width = heads, groups, head_width or width // heads
        self.query = nn.Linear(width, heads * self.head_width, bias)
        self.key = nn.Linear(width, groups * self.head_width, bias)
        self.value = nn.Linear(width, groups * self.head_width, bias)
        self.output = nn.Linear(heads * self.head_width, width, bias)

    def split(self, x: torch.Tensor, context: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """Return queries of x, keys and values of `context` (x itself if None), as [b, heads, length, d]."""
        other = x if context is None else context
        made = ((self.query, x, self.heads), (self.key, other, self.kv_heads), (self.value, other, self.kv_heads))
        return tuple(layer(of).unflatten(-1, (heads, self.head_width)).transpose(1, 2) for layer, of, heads in made)

    def join(self, heads: torch.Tensor) -> torch.Tensor:
        """Return heads [b, h, n, d] projected back to [b, n, width]."""
        joined: torch.Tensor = self.output(heads.transpose(1, 2).flatten(2))
        return joined
