"""Attention on CUDA tensors: its text's derived nests, forward and backward, as Triton kernels."""

import math
from functools import lru_cache

import torch

from attometer.emit import triton_run
from attometer.emit.intervals import intervals_of
from attometer.program import parse
from attometer.run.biases import Terms
from attometer.run.compiled_function import Compiled
from attometer.run.mask_text import from_text

FLOOR = -1e30
"""A score that hides a key without being infinite, so that no difference of two is NaN."""
ROWS, PART, MOST = 16, 512, 64
"""Up to so many queries, keys are split into parts of at least so many, at most so many parts; no GPU has compared them."""
Pair = tuple[torch.Tensor, torch.Tensor]


def unsupported(q: torch.Tensor) -> str | None:
    """Return the property of the call or of the machine that Triton kernels lack, or None."""
    return triton_run.unsupported(q.device.type)


@lru_cache(maxsize=128)
def _function(mask: str, scale: float, cap: float | None, alibi: bool, added: bool, split: bool) -> Compiled:
    """Return attention as a compiled text: its output O and log-sum-exp L, of each part s of the keys where they are split."""
    s = "s," if split else ""
    score = f"Q[b,h,i,d] * K[b,h // (h/g),{s}j,d] * {_number(scale)}"
    if cap is not None:
        score = f"{_number(cap)} * tanh({score} / {_number(cap)})"
    inputs = [f"Q[b,h,i,d], K[b,g,{s}j,d], V[b,g,{s}j,e]"]
    if alibi:
        inputs.append("c[h]")
        score += " - c[h] * abs(pos(i) + m - n - pos(j))"
    if added:
        inputs.append("B[b,h,i,j]")
        score += " + B[b,h,i,j]"
    held = from_text(mask)
    where = "" if held is None else f"   where {held.text(('i', 'j'))}"
    text = f"""axis i: n, j: m
input {", ".join(inputs)}
S[b,h,{s}i,j] = {score}{where}
P[b,h,{s}i,j] = softmax[j](S)
O[b,h,{s}i,e] = P[b,h,{s}i,j] * V[b,h // (h/g),{s}j,e]
L[b,h,{s}i] = logsumexp[j](S)
"""
    return Compiled(parse(text), "triton", full=("L",))


def _number(value: float) -> str:
    """Return a number in the notation, which writes no exponents: as a multiple of a power of 2 where it is small."""
    return f"({value:.20f})" if abs(value) > 1e-3 else f"({value * 2.0**60:.6f} / {2.0**60:.1f})"


def run_triton(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float) -> Pair:
    """Run the kernels on checked arguments; the first call of a kind derives its nests and compiles them."""
    b, h, n, _ = q.shape
    m = k.shape[2]
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    parts = min(m // PART, MOST)
    if n <= ROWS and parts > 1 and bias.slopes is None and bias.additive is None and _sees_all(mask, n, m):
        output, lse = _split(q, k, v, parts, scale, bias.cap)
    else:
        more = []
        if bias.slopes is not None:
            more.append(torch.tensor(bias.slopes, dtype=wide, device=q.device))
        if bias.additive is not None:
            more.append(bias.additive.to(wide).clamp(min=FLOOR).expand(b, h, n, m))
        called = _function(mask, scale, bias.cap, bias.slopes is not None, bias.additive is not None, False)
        output, lse = called(q, k, v, *more)
    if bias.additive is not None:  # rows of which it hides every key
        hidden = lse < FLOOR / 2
        output = output.masked_fill(hidden[..., None], 0)
        lse = lse.masked_fill(hidden, -math.inf)
    if bias.sinks is not None:
        # A sink takes its share of each row's sum, and carries no value.
        whole = torch.logaddexp(lse, bias.sinks.to(wide)[None, :, None].expand_as(lse))
        output, lse = output * torch.exp(lse - whole)[..., None].to(output.dtype), whole
    return output, lse


def _sees_all(mask: str, n: int, m: int) -> bool:
    found = intervals_of(mask, n, m)
    return found is None or bool((found[0].shape[0] == 1) and (found[0] <= 0).all() and (found[1] >= m).all())


def _split(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, parts: int, scale: float, cap: float | None) -> Pair:
    """Few queries: parts of the keys run at once, and are joined by their log-sum-exps (flash-decoding)."""
    each = k.shape[2] // parts
    held = [x[:, :, : parts * each].unflatten(2, (parts, each)) for x in (k, v)]
    output, lse = _function("", scale, cap, False, False, True)(q, *held)
    if parts * each < k.shape[2]:
        rest = _function("", scale, cap, False, False, False)(q, k[:, :, parts * each :], v[:, :, parts * each :])
        output, lse = (torch.cat([x, y[:, :, None]], 2) for x, y in zip((output, lse), rest, strict=True))
    whole = torch.logsumexp(lse, 2)
    weights = torch.exp(lse - whole[:, :, None])
    return (output.to(lse.dtype) * weights[..., None]).sum(2).to(q.dtype), whole
