"""An independent oracle for tests: dense attention in plain torch, in whatever type it is given, with autograd."""

import math

import numpy as np
import torch

from attometer.program import Mask
from attometer.run.biases import Terms

# The sizes are small: a second thread only waits, the more so where cores are shared.
torch.set_num_threads(1)


def dense(q, k, v, mask: Mask | None = None, bias: Terms = Terms(), scale: float | None = None):  # noqa: B008
    """Return (output, lse) of dense attention; rows that see nothing give 0 and -inf."""
    h, n, m = q.shape[1], q.shape[2], k.shape[2]
    k, v = (x.repeat_interleave(h // k.shape[1], 1) for x in (k, v))
    s = q @ k.mT * (q.shape[3] ** -0.5 if scale is None else scale)
    if bias.cap is not None:
        s = bias.cap * torch.tanh(s / bias.cap)
    if bias.slopes is not None:
        distance = (torch.arange(n)[:, None] + m - n - torch.arange(m)).abs().to(s)
        s = s - torch.tensor(bias.slopes).to(s)[:, None, None] * distance
    if bias.additive is not None:
        s = s + bias.additive.to(s)
    if mask is not None:
        s = s.masked_fill(~torch.from_numpy(mask.matrix(n, m)), -math.inf)
    if bias.sinks is not None:
        s = torch.cat([s, bias.sinks.to(s)[None, :, None, None].expand(*s.shape[:3], 1)], -1)
    lse = s.logsumexp(-1)
    weights = torch.exp(s - lse.masked_fill(lse == -math.inf, math.inf)[..., None])[..., :m]
    return weights @ v, lse


def draw(seed, b, h, g, n, m, d, e, dtype=torch.float64, grad=True):
    """Return q, k, v with normal entries."""
    rng = np.random.default_rng(seed)
    shapes = ((b, h, n, d), (b, g, m, d), (b, g, m, e))
    made = [torch.from_numpy(rng.standard_normal(shape)).to(dtype) for shape in shapes]
    return [x.requires_grad_(grad) for x in made]


def gradients(output, lse, leaves, seed=1):
    """Return gradients of a random functional of output and finite lse."""
    rng = torch.Generator().manual_seed(seed)
    loss = (output.double() * torch.randn(output.shape, generator=rng, dtype=torch.float64)).sum()
    if lse is not None:
        weight = torch.randn(lse.shape, generator=rng, dtype=torch.float64)
        loss = loss + torch.where(torch.isfinite(lse), lse, 0).double().mul(weight).sum()
    return torch.autograd.grad(loss, leaves)


def worst(found, wanted):
    """Return the largest difference, infinities of the same sign agreeing."""
    both = [(a.detach().double().nan_to_num(posinf=1e300, neginf=-1e300), b.detach().double().nan_to_num(posinf=1e300, neginf=-1e300))
            for a, b in zip(found, wanted, strict=True)]  # fmt: skip
    return max((float((a - b).abs().max()) if a.numel() else 0.0) for a, b in both)
