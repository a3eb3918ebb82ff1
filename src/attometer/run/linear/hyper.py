"""HyperAttention: exact attention within blocks of sorted hashes, sampled keys for the rest, merged by log-sum-exp."""

import math
from dataclasses import dataclass

import torch

from attometer.errors import AttometerError, positive_int
from attometer.program import causal as causal_mask
from attometer.run.attention import attention
from attometer.run.linear.attention import SQUARE
from attometer.run.operands import accumulation
from attometer.run.tables import seeded_integers, seeded_normal
from attometer.run.validation import check, check_tensors, plain

CAUSAL = causal_mask()


@dataclass(frozen=True)
class HashSizes:
    """Block length, sampled keys and hash planes; the paper's experiments use 256, 256 and 7."""

    block: int = 256
    samples: int = 256
    planes: int = 7

    def __post_init__(self) -> None:
        for name in ("block", "samples", "planes"):
            positive_int(name, getattr(self, name))


def hyper_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    sizes: HashSizes = HashSizes(),
    causal: bool = False,
    scale: float | None = None,
    seed: int = 0,
    planes: torch.Tensor | None = None,
    samples: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return attention whose heavy entries are found by sorting hashes and whose rest is estimated from sampled keys.

    Causal attention is split in halves (the paper's Algorithm 4): both diagonal halves recurse, the lower-left square is
    estimated, and squares of at most a block are exact. The gather order carries no gradient; q, k and v do.

    Args:
        q: queries [b, h, n, d]; n a multiple of the block (any n if causal).
        k: keys [b, h, n, d].
        v: values [b, h, n, e].
        sizes: block length, sampled keys and hash planes.
        causal: whether a query sees only the keys up to its own position.
        scale: factor of the scores; None is 1/sqrt(d).
        seed: of the planes and samples that are not given.
        planes: hash planes [planes, d].
        samples: places in the sorted order [b, h, samples] that are sampled (full attention only).

    Returns:
        The output [b, h, n, e] in q's dtype.

    Raises:
        AttometerError: arguments that do not fit.

    Source: Han et al. 2023, HyperAttention, arXiv:2310.05869, Algorithms 1 to 4.

    >>> x = torch.randn(1, 2, 64, 8)
    >>> hyper_attention(x, x, x, sizes=HashSizes(16, 16, 4), causal=True).shape
    torch.Size([1, 2, 64, 8])
    """
    check(plain(q, k, v, scale), SQUARE)
    check_tensors(**{name: x for name, x in (("planes", planes), ("samples", samples)) if x is not None})
    if k.shape[1] != q.shape[1]:
        raise AttometerError(f"k: got {k.shape[1]} heads, expected q's {q.shape[1]}")
    if not causal and q.shape[2] % sizes.block:
        raise AttometerError(f"q: got length {q.shape[2]}, expected a multiple of the block {sizes.block}")
    wide = accumulation(q.dtype)
    if planes is None:
        planes = seeded_normal(q.detach(), seed, sizes.planes, q.shape[3])
    queries = q.to(wide) * (q.shape[3] ** -0.5 if scale is None else scale)
    keys, values = k.to(wide), v.to(wide)
    planes = planes.to(q.device, wide)
    if causal:
        return _causal(queries, keys, values, sizes, planes, seed)[0].to(q.dtype)
    return _full(queries, keys, values, sizes, planes, seed, samples)[0].to(q.dtype)


Result = tuple[torch.Tensor, torch.Tensor]


def _causal(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sizes: HashSizes, planes: torch.Tensor, seed: int
) -> Result:
    n = q.shape[2]
    half = n // 2 // sizes.block * sizes.block
    if half == 0:
        return attention(q, k, v, mask=CAUSAL, scale=1.0, impl="tiled", return_lse=True)
    # Every square of the recursion draws with a seed of its own.
    above = _causal(q[:, :, :half], k[:, :, :half], v[:, :, :half], sizes, planes, 2 * seed + 1)
    below = _causal(q[:, :, half:], k[:, :, half:], v[:, :, half:], sizes, planes, 2 * seed + 2)
    # As many queries as keys are estimated at a time; what is left over is exact.
    square = _full(q[:, :, half : 2 * half], k[:, :, :half], v[:, :, :half], sizes, planes, seed, None)
    if n > 2 * half:
        rest = attention(q[:, :, 2 * half :], k[:, :, :half], v[:, :, :half], scale=1.0, impl="tiled", return_lse=True)
        square = tuple(torch.cat(pair, 2) for pair in zip(square, rest, strict=True))
    merged = merge(below, square)
    return torch.cat([above[0], merged[0]], 2), torch.cat([above[1], merged[1]], 2)


def merge(one: Result, other: Result) -> Result:
    """Return attention over the union of two disjoint sets of keys from (output, log-sum-exp) of each."""
    lse = torch.logaddexp(one[1], other[1])
    finite = lse.masked_fill(lse == -torch.inf, torch.inf)
    parts = (o * torch.exp(part - finite)[..., None] for o, part in (one, other))
    return sum(parts, torch.zeros_like(one[0])), lse


def _full(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    sizes: HashSizes,
    planes: torch.Tensor,
    seed: int,
    samples: torch.Tensor | None,
) -> Result:
    b, h, n, _ = q.shape
    if n == 0:
        return v.new_zeros(b, h, n, v.shape[3]), q.new_full((b, h, n), -torch.inf)
    order_q, order_k = (torch.argsort(_hash(x.detach(), planes), dim=-1, stable=True) for x in (q, k))
    qs, ks, vs = _taken(q, order_q), _taken(k, order_k), _taken(v, order_k)
    if samples is None:
        samples = seeded_integers(q.detach(), seed, n, sizes.samples)
    blocks = [x.unflatten(2, (-1, sizes.block)) for x in (qs, ks, vs)]
    near = blocks[0] @ blocks[1].mT
    far = blocks[0] @ _taken(ks, samples)[:, :, None].mT + math.log(n / samples.shape[2])
    block = torch.arange(n // sizes.block, device=q.device)
    same = (samples // sizes.block)[:, :, None, :] == block[:, None]
    far = far.masked_fill(same[:, :, :, None], -torch.inf)  # the block itself counts them exactly
    scores = torch.cat([near, far], -1)
    lse = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - lse[..., None])
    sampled = weights[..., sizes.block :] @ _taken(vs, samples)[:, :, None]
    output = (weights[..., : sizes.block] @ blocks[2] + sampled).flatten(2, 3)
    back = torch.argsort(order_q, dim=-1)
    return _taken(output, back), lse.flatten(2, 3).gather(2, back)


def _taken(x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return x.gather(2, order[..., None].expand(-1, -1, -1, x.shape[3]))


def _hash(x: torch.Tensor, planes: torch.Tensor) -> torch.Tensor:
    """Return bucket numbers in [0, 1) so that neighbours differ in one sign (Gray code)."""
    odd = torch.cumsum((x @ planes.T > 0).to(torch.int64), -1) % 2
    return (odd.to(x.dtype) * 0.5 ** torch.arange(planes.shape[0], device=x.device, dtype=x.dtype)).sum(-1)
