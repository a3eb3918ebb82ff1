"""A plain PyTorch decoder of GPT-2's shape with random weights: what a calibration times as a forward pass and a training step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

Cache = list[tuple[torch.Tensor, torch.Tensor]]


class Shape(NamedTuple):
    """A Decoder and what it is given: `batch` sequences of `length` tokens."""

    layers: int
    width: int
    heads: int
    vocabulary: int
    batch: int
    length: int

    @property
    def positions(self) -> int:
        """Places for which it has embeddings."""
        return max(self.length, 8)

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration as GPT-2 writes its own."""
        return {"model_type": "gpt2", "n_layer": self.layers, "n_embd": self.width, "n_head": self.heads,
                "vocab_size": self.vocabulary, "n_positions": self.positions}  # fmt: skip


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward of four times the width, each after a norm and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, kept: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
        """Map x of shape (batch, tokens, width) to the same; the keys and values of `kept` are all there but the last."""
        b, n, width = x.shape
        q, k, v = self.qkv(self.before(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if kept is not None:
            kept[0][:, :, -n:], kept[1][:, :, -n:] = k, v
            k, v = kept
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=n > 1)
        x = x + self.out(y.transpose(1, 2).reshape(b, n, width))
        added: torch.Tensor = x + self.down(functional.gelu(self.up(self.after(x)), approximate="tanh"))
        return added


class Decoder(nn.Module):  # type: ignore[misc]
    """Embeddings of tokens and positions, blocks, a last norm, and the tokens' embedding again as head."""

    def __init__(self, layers: int, width: int, heads: int, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        for matrix in self.parameters():
            if matrix.dim() > 1:
                # as GPT-2 starts; wider logits would saturate, and products of denormal gradients are slow
                nn.init.normal_(matrix, std=0.02)

    def forward(self, ids: torch.Tensor, cache: Cache | None = None, every: bool = False) -> torch.Tensor:
        """Return the logits of the last token of each sequence, or of every token, from ids of shape (batch, tokens)."""
        first = 0 if cache is None else cache[0][0].shape[2] - ids.shape[1]
        x = self.tokens(ids) + self.positions(torch.arange(first, first + ids.shape[1], device=ids.device))
        for number, block in enumerate(self.blocks):
            x = block(x, None if cache is None else cache[number])
        return functional.linear(self.norm(x if every else x[:, -1:]), self.tokens.weight)


class Adam:
    """AdamW; of parameters in 16 bits it keeps a 32-bit copy, as mixed precision does (Micikevicius et al. 2018)."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        narrow = parameters[0].dtype != torch.float32
        self.masters = [nn.Parameter(p.detach().float()) if narrow else p for p in parameters]
        # at rate 0 the same operations run, and no gradient shrinks until its squares are denormal, which are slow
        self.inner = torch.optim.AdamW(self.masters, lr=0.0)

    def step(self) -> None:
        """Move the parameters by their gradients, and drop these."""
        for master, p in zip(self.masters, self.parameters, strict=True):
            if master is not p:
                assert p.grad is not None
                master.grad = p.grad.float()
        self.inner.step()
        with torch.no_grad():
            for master, p in zip(self.masters, self.parameters, strict=True):
                p.grad = None
                if master is not p:
                    p.copy_(master)


def runner(mode: str, shape: Shape, dtype: torch.dtype, device: str) -> Callable[[], Any]:
    """Return a function that runs one pass of a Decoder: `prefill`, `decode` (over `length` keys) or a `train` step."""
    layers, width, heads, vocabulary, batch, length = shape
    model = Decoder(layers, width, heads, vocabulary, shape.positions).to(device, dtype)
    ids = torch.randint(vocabulary, (batch, length if mode != "decode" else 1), device=device)
    if mode == "train":
        labels, adam = torch.randint(vocabulary, (batch * length,), device=device), Adam(list(model.parameters()))

        def step() -> None:
            functional.cross_entropy(model(ids, every=True).view(-1, vocabulary).float(), labels).backward()
            adam.step()

        return step
    kept = [torch.randn(batch, heads, length, width // heads, device=device).to(dtype) for _ in range(2 * layers)]
    cache = list(zip(kept[::2], kept[1::2], strict=True)) if mode == "decode" else None
    model.requires_grad_(False)
    return lambda: model(ids, cache)
