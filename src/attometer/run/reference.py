"""The reference: attention and its gradients as Programs, interpreted in float64. Slow, n × m memory, and the oracle."""

from typing import Any

import numpy as np
import torch

from attometer.program import Program, parse
from attometer.run.biases import Terms
from attometer.run.mask_text import from_text
from attometer.simulate import interpret

Arrays = dict[str, Any]


def _forward_text(mask: str, bias: Terms) -> str:
    score = "Q[b,g,r,i,d] * K[b,g,j,d]"
    capped = "cap[g,r] * tanh(R[b,g,r,i,j] / cap[g,r])" if bias.cap is not None else "R[b,g,r,i,j]"
    added = "" if bias.additive is None else " + B[b,g,r,i,j]"
    alibi = "" if bias.slopes is None else " - slope[g,r] * distance[i,j]"
    sink = "" if bias.sinks is None else " + exp(sink[g,r] - M[b,g,r,i])"
    # A row of -inf has no largest score; a finite floor keeps -inf - -inf out.
    highest = f"maximum(max[j](A), {'sink[g,r]' if bias.sinks is not None else '-1 * pow(10, 300)'})"
    return f"""
        axis i: n, j: m
        R[b,g,r,i,j] = {score}
        A[b,g,r,i,j] = {capped}{added}{alibi} {_where(mask)}
        M[b,g,r,i] = {highest}
        E[b,g,r,i,j] = exp(A[b,g,r,i,j] - M[b,g,r,i]) {_where(mask)}
        N[b,g,r,i] = sum[j](E)
        Z[b,g,r,i] = N[b,g,r,i]{sink}
        Y[b,g,r,i,e] = E[b,g,r,i,j] * V[b,g,j,e]
    """


def _backward_text(mask: str, bias: Terms) -> str:
    where = _where(mask)
    bend = " * (1 - square(tanh(R[b,g,r,i,j] / cap[g,r])))" if bias.cap is not None else ""
    return f"""
        axis i: n, j: m
        W[b,g,r,i,j] = E[b,g,r,i,j] / Z[b,g,r,i] {where}
        X[b,g,r,i,j] = G[b,g,r,i,e] * V[b,g,j,e]
        H[b,g,r,i,j] = W[b,g,r,i,j] * (X[b,g,r,i,j] - D[b,g,r,i])
        S[b,g,r,i,j] = H[b,g,r,i,j]{bend}
        dQ[b,g,r,i,d] = S[b,g,r,i,j] * K[b,g,j,d]
        dK[b,g,j,d] = S[b,g,r,i,j] * Q[b,g,r,i,d]
        dV[b,g,j,e] = W[b,g,r,i,j] * G[b,g,r,i,e]
    """


def _where(mask: str) -> str:
    held = from_text(mask)
    return "" if held is None else f"where {held.text(('i', 'j'))}"


def _run(text: str, arrays: Arrays) -> Arrays:
    program: Program = parse(text)
    held = {t.name: arrays[t.name] for t in program.inputs}
    return interpret(program, held)


def _double(x: torch.Tensor) -> Any:
    return x.detach().to(torch.float64).cpu().numpy()


class _Reference(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, q: Any, k: Any, v: Any, additive: Any, sinks: Any, bias: Terms, scale: float, mask: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        b, h, n, d = q.shape
        g, m = k.shape[1:3]
        arrays = {"Q": _double(q).reshape(b, g, h // g, n, d) * scale, "K": _double(k), "V": _double(v)}
        _add_biases(arrays, bias, (b, g, h // g, n, m))
        # A hidden value is not there, but 0 times NaN is NaN: what is not finite is set apart, and put back where seen.
        values = None if np.isfinite(arrays["V"]).all() else arrays["V"]
        arrays["V"] = np.nan_to_num(arrays["V"], nan=0.0, posinf=0.0, neginf=0.0)
        arrays |= _run(_forward_text(mask, bias), arrays)
        empty = arrays["Z"] == 0
        arrays["Z"] = np.where(empty, 1.0, arrays["Z"])
        arrays["O"] = arrays["Y"] / arrays["Z"][..., None]
        arrays["L"] = np.where(empty, -np.inf, arrays["M"] + np.log(arrays["Z"]))
        ctx.arrays, ctx.bias, ctx.scale, ctx.mask, ctx.like = arrays, bias, scale, mask, (q, k, v, additive, sinks)
        shown = arrays["O"] if values is None else arrays["O"] + _poisoned(values, arrays, mask)
        output = torch.from_numpy(shown.reshape(b, h, n, -1)).to(q)
        lse = torch.from_numpy(arrays["L"].reshape(b, h, n))
        return output, lse.to(q.device, torch.float64 if q.dtype == torch.float64 else torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        q, k, _, additive, sinks = ctx.like
        arrays = ctx.arrays
        shape = arrays["O"].shape
        arrays["G"] = _double(grads[0]).reshape(shape)
        arrays["D"] = (arrays["G"] * arrays["O"]).sum(-1) - _double(grads[1]).reshape(shape[:-1])
        found = _run(_backward_text(ctx.mask, ctx.bias), arrays)
        dq = torch.from_numpy(found["dQ"].reshape(q.shape) * ctx.scale).to(q)
        dk, dv = (torch.from_numpy(found[name]).to(k) for name in ("dK", "dV"))
        dbias = None if additive is None else _summed(found["H"], additive)
        dsinks = None
        if sinks is not None:
            weight = np.exp(arrays["sink"][None, :, :, None] - arrays["L"])
            dsinks = torch.from_numpy(-(weight * arrays["D"]).sum((0, 3)).reshape(-1)).to(sinks)
        return dq, dk, dv, dbias, dsinks, None, None, None


def _add_biases(arrays: Arrays, bias: Terms, shape: tuple[int, ...]) -> None:
    b, g, r, n, m = shape
    if bias.additive is not None:
        arrays["B"] = np.broadcast_to(_double(bias.additive), (b, g * r, n, m)).reshape(shape)
    if bias.slopes is not None:
        arrays["slope"] = np.asarray(bias.slopes).reshape(g, r)
        arrays["distance"] = np.abs(np.arange(n)[:, None] + m - n - np.arange(m)).astype(float)
    if bias.sinks is not None:
        arrays["sink"] = _double(bias.sinks).reshape(g, r)
    if bias.cap is not None:
        arrays["cap"] = np.full((g, r), bias.cap)


def _poisoned(values: Any, arrays: Arrays, mask: str) -> Any:
    """Return NaN and inf where a query sees a value that is one, else 0."""
    b, g, r, n, _ = arrays["Q"].shape
    held = from_text(mask)
    seen = np.ones((n, values.shape[2]), bool) if held is None else held.matrix(n, values.shape[2])
    seen = np.broadcast_to(seen & (arrays["A"] > -np.inf), (b, g, r, *seen.shape)).astype(float)
    marks = (np.isnan(values), np.isposinf(values), np.isneginf(values))
    nan, above, below = (np.einsum("bgrij,bgje->bgrie", seen, mark.astype(float)) > 0 for mark in marks)
    bad = nan | (above & below)
    return np.where(bad, np.nan, np.where(above, np.inf, 0.0) - np.where(below, np.inf, 0.0))


def _summed(grad: Any, additive: torch.Tensor) -> torch.Tensor:
    b, g, r, n, m = grad.shape
    return torch.from_numpy(grad.reshape(b, g * r, n, m)).sum_to_size(additive.shape).to(additive)


def run_reference(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output and log-sum-exp, rounded once to q's type; differentiable."""
    held: tuple[torch.Tensor, torch.Tensor] = _Reference.apply(q, k, v, bias.additive, bias.sinks, bias, scale, mask)
    return held
