"""Decode: a few new queries over a cache, the query heads of a key/value head packed in one product.

Packing makes the product [r t, d] × [d, m] for each key/value head: each key is read once, not once for each query head.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from attometer.errors import AttometerError
from attometer.program import Mask, causal, parse_mask
from attometer.run import compiled
from attometer.run.biases import Biases, Terms, terms
from attometer.run.decoding.cache import ContiguousCache, PagedCache
from attometer.run.mask_text import to_text
from attometer.run.operands import accumulation
from attometer.run.validation import Call, check

KEYS_AT_ONCE = 2048  # tokens of pages gathered at once


@dataclass(frozen=True, eq=False)
class _Piece:
    """Some keys [b, g, C, d] and values [b, g, C, e], the first of which is token `first` of each sequence."""

    first: int
    keys: torch.Tensor
    values: torch.Tensor


def decode_attention(
    q: torch.Tensor,
    cache: ContiguousCache | PagedCache,
    k: torch.Tensor | None = None,
    v: torch.Tensor | None = None,
    *,
    mask: Mask | str | None = causal(),  # noqa: B008
    bias: Biases = None,
    scale: float | None = None,
    return_lse: bool = False,
) -> Any:
    """Append k and v to the cache if given, then let the newest t queries of each sequence attend to it.

    Not differentiable. A bf16 product stays in bf16 with float32 softmax, as memory bandwidth is what decode is made of.

    Args:
        q: queries [b, h, t, d]; they stand at the last t tokens of their sequence.
        cache: contiguous, or paged with a length for each sequence.
        k: new keys [b, g, t, d], or None when they were appended already; g divides h.
        v: new values [b, g, t, e].
        mask: which of the m cached tokens a query sees; a window reads only its keys.
        bias: as in `attention`; an additive bias is [b or 1, h or 1, t or 1, m or 1], m the longest length.
        scale: factor of the scores; None is 1/sqrt(d).
        return_lse: also return the log-sum-exp [b, h, t].

    Returns:
        The output [b, h, t, e] in q's dtype, or (output, lse).

    Raises:
        AttometerError: arguments that do not fit.

    Source: Shazeer 2019, arXiv:1911.02150 (shared heads); Kwon et al. 2023, arXiv:2309.06180 (pages).

    >>> cache = ContiguousCache()
    >>> step = [torch.randn(1, h, 1, 8) for h in (4, 2, 2)]
    >>> for _ in range(3): output = decode_attention(step[0], cache, *step[1:])
    >>> output.shape, len(cache)
    (torch.Size([1, 4, 1, 8]), 3)
    """
    if (k is None) != (v is None):
        raise AttometerError(
            "v: got " + ("a tensor without k" if k is None else "None with k") + ", expected both or none"
        )
    if k is not None and v is not None:
        cache.append(k, v)
    with torch.no_grad():
        held = parse_mask(mask) if isinstance(mask, str) else mask
        output, lse = _decode(q, cache, held, terms(bias), scale)
    return (output, lse) if return_lse else output


def _decode(
    q: torch.Tensor, cache: ContiguousCache | PagedCache, mask: Mask | None, bias: Terms, scale: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    sample = _sample(cache)
    check(Call(q, sample[0], sample[1], mask, bias, scale))
    b, h, t, d = q.shape
    g, wide = sample[0].shape[1], accumulation(q.dtype)
    if compiled.pays_in_decode(q, sample[0], bias, scale, cache.codes):
        factor = d**-0.5 if scale is None else scale
        if isinstance(cache, PagedCache) or cache.codes is not None:
            return compiled.run_cached(q, cache, mask, factor, bias)
        return compiled.run_compiled(q, cache.keys, cache.values, to_text(mask), bias, factor)
    lengths = cache.lengths if isinstance(cache, PagedCache) else [len(cache)] * b
    queries = (q * (d**-0.5 if scale is None else scale)).reshape(b, g, h // g * t, d)
    maximum = q.new_full((b, g, h // g, t, 1), -torch.inf, dtype=wide)
    total, output = torch.zeros_like(maximum), q.new_zeros(b, g, h // g, t, sample[1].shape[3], dtype=wide)
    if bias.sinks is not None:
        maximum, total = maximum.copy_(bias.sinks.to(wide).view(g, -1, 1, 1)), total.fill_(1.0)
    for piece in _pieces(cache, mask, t, lengths):
        scores = _scores(queries, piece, lengths, t, mask, bias)
        highest = torch.maximum(maximum, scores.amax(-1, keepdim=True))
        shift = highest.masked_fill(highest == -torch.inf, 0.0)
        decay, weights = torch.exp(maximum - shift), scores.sub_(shift).exp_()
        total = total * decay + weights.sum(-1, keepdim=True)
        part = _product(weights.to(q.dtype).flatten(2, 3), piece.values)
        output, maximum = output * decay + part.view(output.shape), highest
    empty = total == 0
    lse = (maximum + total.log()).masked_fill(empty, -torch.inf)
    output = (output / total.masked_fill(empty, 1.0)).to(q.dtype)
    return output.reshape(b, h, t, -1), lse.reshape(b, h, t)


def _sample(cache: ContiguousCache | PagedCache) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tensors of the shape that the cache stands for, to check the arguments against."""
    if not isinstance(cache, ContiguousCache | PagedCache):
        raise AttometerError(f"cache: got {type(cache).__name__}, expected a ContiguousCache or a PagedCache")
    return cache.sample(len(cache) if isinstance(cache, ContiguousCache) else max(cache.lengths))


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    if left.dtype == torch.float16 and left.device.type == "cpu":
        return torch.matmul(left.float(), right.float())  # few CPUs multiply fp16
    return torch.matmul(left, right)


def _pieces(cache: ContiguousCache | PagedCache, mask: Mask | None, t: int, lengths: list[int]) -> Iterator[_Piece]:
    low, high = _reach(mask, t, lengths)
    if low >= high:
        return
    if isinstance(cache, ContiguousCache):
        yield _piece(cache, low, cache.between(low, high))
        return
    each = max(1, KEYS_AT_ONCE // cache.page)
    for first in range(low // cache.page, -(-high // cache.page), each):
        yield _piece(cache, first * cache.page, cache.gathered(first, min(first + each, -(-high // cache.page))))


def _piece(cache: ContiguousCache | PagedCache, first: int, parts: list[torch.Tensor]) -> _Piece:
    return _Piece(first, cache.plain(parts, 0), cache.plain(parts, 1))


def _reach(mask: Mask | None, t: int, lengths: list[int]) -> tuple[int, int]:
    """Return the range of tokens that some query of some sequence sees."""
    found = []
    for m in {x for x in lengths if x}:
        if mask is None:
            found.append((0, m))
            continue
        start, end = mask.intervals(np.arange(t), t, m)
        held = end > start
        if held.any():
            found.append((int(start[held].min()), int(end[held].max())))
    return (min(a for a, _ in found), max(z for _, z in found)) if found else (0, 0)


def _scores(
    queries: torch.Tensor, piece: _Piece, lengths: list[int], t: int, mask: Mask | None, bias: Terms
) -> torch.Tensor:
    b, g, rows, _ = queries.shape
    width = piece.keys.shape[2]
    scores = _product(queries, piece.keys.mT).to(accumulation(queries.dtype)).view(b, g, rows // t, t, width)
    if bias.cap is not None:
        scores = bias.cap * torch.tanh(scores / bias.cap)
    key = torch.arange(piece.first, piece.first + width, device=queries.device)
    if bias.slopes is not None:
        place = torch.tensor(lengths, device=queries.device)[:, None] - t + torch.arange(t, device=queries.device)
        distance = (place[:, None, None, :, None] - key).abs().to(scores.dtype)
        scores = scores - scores.new_tensor(bias.slopes).view(g, -1, 1, 1) * distance
    if bias.additive is not None:
        scores = scores + _additive(bias.additive, g, key)
    hidden = _hidden(mask, t, lengths, piece.first, width)
    return scores if hidden is None else scores.masked_fill(torch.from_numpy(hidden).to(scores.device), -torch.inf)


def _additive(additive: torch.Tensor, g: int, key: torch.Tensor) -> torch.Tensor:
    grouped = additive.unflatten(1, (g, -1)) if additive.shape[1] > 1 else additive.unsqueeze(1)
    return grouped if grouped.shape[-1] == 1 else grouped[..., key.clamp(max=grouped.shape[-1] - 1)]


def _hidden(mask: Mask | None, t: int, lengths: list[int], first: int, width: int) -> Any:
    """Return where a query sees nothing, bool [b, 1, 1, t, C], or None if all is seen."""
    key = np.arange(first, first + width)
    rows = []
    for m in lengths:
        outside = np.broadcast_to(key >= m, (t, width))
        free = mask is None or (t == 1 and mask == causal()) or m == 0
        rows.append(
            outside
            if free or mask is None
            else outside | ~mask.allows(np.arange(t)[:, None], np.minimum(key, m - 1)[None], t, m)
        )
    hidden = np.stack(rows)[:, None, None]
    return hidden if hidden.any() else None
