"""The operands of one attention call, grouped by key/value head and cut into parts whose tiles fit in cache.

Shapes: B batch entries, G key/value heads, r query heads for each of them, Z = B G, n queries, m keys, d and e widths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from attometer.run.biases import Terms


@dataclass(frozen=True, eq=False)
class Operands:
    """One part of the heads, in the accumulation type: q [Z, r, n, d] times the scale, k [Z, m, d], v [Z, m, e]."""

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    batch: int
    additive: torch.Tensor | None  # [B or 1, G or 1, r or 1, n or 1, m or 1]
    slopes: torch.Tensor | None  # [Z, r, 1, 1]
    sinks: torch.Tensor | None  # [Z, r, 1, 1]
    cap: float | None
    hides: bool  # a key with -inf in the additive bias may hold NaN, so it must be hidden and not only added
    poison: torch.Tensor | None  # [Z, m, 3e]: where v is NaN, inf, -inf; v is 0 there

    @property
    def offset(self) -> int:
        """Return the position of the first query: queries stand at the last n of m positions."""
        return int(self.k.shape[1] - self.q.shape[2])


@dataclass(frozen=True)
class Part:
    """A range of batch entries and of key/value heads."""

    batch: slice
    heads: slice

    def of(self, x: torch.Tensor, width: int) -> torch.Tensor:
        """Return this part of x [b, width · G, ...] as [B · G, width, ...]."""
        part = x[self.batch, self.heads.start * width : self.heads.stop * width]
        return part.reshape(part.shape[0] * (part.shape[1] // width), width, *x.shape[2:])


def parts(b: int, g: int, most: int) -> Iterator[Part]:
    """Yield parts of at most `most` problems that cover b batch entries of g key/value heads."""
    heads = min(g, most)
    batch = max(1, most // g)
    for start in range(0, b, batch):
        for head in range(0, g, heads):
            yield Part(slice(start, min(b, start + batch)), slice(head, min(g, head + heads)))


def accumulation(dtype: torch.dtype) -> torch.dtype:
    """Return the type that tiles are computed in: float64 for float64, float32 for the rest."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def operands(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Terms, scale: float, part: Part, clean: bool = True
) -> Operands:
    """Cut `part` out of q [b, h, n, d], k [b, g, m, d], v [b, g, m, e]; `clean` moves NaN and inf out of v."""
    r, wide = q.shape[1] // k.shape[1], accumulation(q.dtype)
    queries = part.of(q, r).to(wide) * scale
    keys, values = part.of(k, 1)[:, 0].to(wide), part.of(v, 1)[:, 0].to(wide)
    size = part.batch.stop - part.batch.start
    poison = _poison(values) if clean and not all_finite(values) else None
    if poison is not None:
        values = torch.nan_to_num(values, 0.0, 0.0, 0.0)
    finite = bias.additive is None or (all_finite(queries) and all_finite(keys))
    return Operands(
        queries,
        keys.contiguous(),
        values.contiguous(),
        size,
        None if bias.additive is None else additive_part(bias.additive, r, part).to(wide),
        None if bias.slopes is None else _per_head(queries.new_tensor(bias.slopes), r, part, size),
        None if bias.sinks is None else _per_head(bias.sinks.to(wide), r, part, size),
        bias.cap,
        not finite,
        poison,
    )


def all_finite(x: torch.Tensor) -> bool:
    """Return whether no entry is NaN or infinite: its ends say so, and finding them writes nothing.

    >>> all_finite(torch.ones(2)), all_finite(torch.tensor([0.0, torch.nan])), all_finite(torch.empty(0))
    (True, False, True)
    """
    return x.numel() == 0 or all(bool(torch.isfinite(end)) for end in (x.amax(), x.amin()))


def additive_part(additive: torch.Tensor, r: int, part: Part) -> torch.Tensor:
    """Return the part's view of an additive bias, heads split in two axes."""
    b, h = additive.shape[:2]
    grouped = additive.unflatten(1, (h // r, r)) if h > 1 else additive.unsqueeze(1)
    return grouped[part.batch if b > 1 else slice(None), part.heads if grouped.shape[1] > 1 else slice(None)]


def _per_head(values: torch.Tensor, r: int, part: Part, size: int) -> torch.Tensor:
    return values.unflatten(0, (-1, r))[part.heads].repeat(size, 1)[:, :, None, None]


def _poison(values: torch.Tensor) -> torch.Tensor:
    marks = (torch.isnan(values), torch.isposinf(values), torch.isneginf(values))
    return torch.cat([mark.to(values.dtype) for mark in marks], dim=-1)
