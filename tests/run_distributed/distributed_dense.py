"""Single-process attention with whole score matrices: slow, plain, and nothing of the code under test."""

import math
from typing import Any

import torch


def dense(q: Any, k: Any, v: Any, mask: Any, scale: float | None, cap: float | None) -> tuple[Any, Any]:
    """Return output and log-sum-exp; a query that sees nothing gives 0 and -inf."""
    r = q.shape[1] // k.shape[1]
    keys, values = k.repeat_interleave(r, 1), v.repeat_interleave(r, 1)
    scores = q @ keys.mT * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    if mask is not None:
        scores = scores.masked_fill(~torch.from_numpy(mask.matrix(q.shape[2], k.shape[2])), -torch.inf)
    lse = torch.logsumexp(scores, -1)
    weights = torch.exp(scores - lse.masked_fill(lse == -torch.inf, torch.inf)[..., None])
    return weights.to(v.dtype) @ values, lse


def run(attend: Any, inputs: tuple[Any, ...], grads: tuple[Any, ...], with_lse: bool) -> dict[str, Any]:
    """Return output, log-sum-exp and gradients of `attend(q, k, v)` for a loss that weighs both results."""
    q, k, v = (x.detach().clone().requires_grad_() for x in inputs)
    output, lse = attend(q, k, v)
    loss = (output.to(torch.float64) * grads[0].to(torch.float64)).sum()
    if with_lse:
        seen = lse != -torch.inf
        loss = loss + (lse.to(torch.float64)[seen] * grads[1].to(torch.float64)[seen]).sum()
    loss.backward()
    return {"output": output.detach(), "lse": lse.detach(), "dq": q.grad, "dk": k.grad, "dv": v.grad}
