"""The judge's own attention: dense and plain, so that it can be read; float64 is the truth, lower types the yardstick."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from attometer.program import Mask
from attometer.run.biases import Terms


@dataclass(frozen=True, eq=False)
class Case:
    """One call: the operands, what it asks for, and a name."""

    name: str
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    mask: Mask | None = None
    bias: Terms = Terms()  # noqa: RUF009 - frozen
    scale: float | None = None
    lse: bool = False
    gradients: bool = False

    def to(self, dtype: torch.dtype) -> "Case":
        """Return the case with fresh leaves in another type."""
        q, k, v = (x.detach().to(dtype).requires_grad_(self.gradients) for x in (self.q, self.k, self.v))
        additive, sinks = (x if x is None else x.detach().to(dtype) for x in (self.bias.additive, self.bias.sinks))
        return replace(self, q=q, k=k, v=v, bias=Terms(additive, self.bias.slopes, self.bias.cap, sinks))


def dense(case: Case, order: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output and log-sum-exp of a case in its own type; `order` permutes the keys, which changes only rounding."""
    return _attend(case, order)[:2]


def _attend(case: Case, order: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    q, k, v = case.q, case.k, case.v
    h, n, m = q.shape[1], q.shape[2], k.shape[2]
    k, v = (x.repeat_interleave(h // x.shape[1], 1) for x in (k, v))
    scores = q @ k.mT * (q.shape[3] ** -0.5 if case.scale is None else case.scale)
    scores = _biased(scores, case, n, m)
    seen = torch.ones(n, m, dtype=torch.bool)
    if case.mask is not None:
        seen = torch.tensor(np.array(case.mask.matrix(n, m)))
    scores = scores.masked_fill(~seen.to(scores.device), -torch.inf)
    # A hidden value is not there: 0 times NaN would be NaN.
    hidden = torch.isneginf(scores)
    if order is not None:
        scores, v, hidden = scores[..., order], v[:, :, order], hidden[..., order]
    if case.bias.sinks is not None:
        sink = case.bias.sinks[None, :, None, None].expand(*scores.shape[:3], 1)
        lse = torch.cat([scores, sink], -1).logsumexp(-1)
    else:
        lse = scores.logsumexp(-1) if m else scores.new_full(scores.shape[:3], -torch.inf)
    weights = torch.exp(scores - lse.masked_fill(lse == -torch.inf, torch.inf)[..., None])
    if bool(torch.isfinite(v).all()):
        return weights @ v, lse, weights
    terms = (weights[..., None] * v[:, :, None]).masked_fill(hidden[..., None], 0.0)
    return terms.sum(-2), lse, weights


def _biased(scores: torch.Tensor, case: Case, n: int, m: int) -> torch.Tensor:
    bias = case.bias
    if bias.cap is not None:
        scores = bias.cap * torch.tanh(scores / bias.cap)
    if bias.slopes is not None:
        distance = (torch.arange(n)[:, None] + m - n - torch.arange(m)).abs().to(scores)
        scores = scores - torch.tensor(bias.slopes).to(scores)[:, None, None] * distance
    return scores if bias.additive is None else scores + bias.additive


@dataclass(frozen=True, eq=False)
class Answers:
    """What a case must give, by name (output, lse, dq, dk, dv), and how far a plain implementation in its type strays."""

    truth: dict[str, torch.Tensor]
    allowed: dict[str, float]


FACTOR = 1.5  # what may exceed the plain implementation's error: another order of summation is not a fault
ORDERS = 3  # orders of summation whose worst error is the yardstick


def answers(case: Case) -> Answers:
    """Return the truth of a case in float64 and the error allowed to an implementation in the case's type."""
    exact = case.to(torch.float64)
    truth = named(exact, *dense(exact))
    worst = dict.fromkeys(truth, 0.0)
    for seed in range(ORDERS):
        rng = torch.Generator().manual_seed(seed)
        plain = case.to(case.q.dtype)
        found = named(plain, *dense(plain, torch.randperm(case.k.shape[2], generator=rng)))
        for name, value in found.items():
            worst[name] = max(worst[name], distance(value, truth[name]))
    # Sums are kept in float32 at least; a gradient of 0 is a difference of terms, each of which may be rounded once.
    unit = torch.finfo(torch.promote_types(case.q.dtype, torch.float32)).eps
    size = {name: _norm(value) for name, value in truth.items()} | _cancelling(exact)
    return Answers(truth, {k: FACTOR * worst[k] + unit * size[k] for k in truth})


def _cancelling(case: Case) -> dict[str, float]:
    """Return the norms of the terms whose differences are dq and dk: weights times |dO Vᵀ|, against |K| and |Q|."""
    if not case.gradients or not case.k.shape[2]:
        return {}
    with torch.no_grad():
        output, _, weights = _attend(case)
        r = case.q.shape[1] // case.k.shape[1]
        k, v = (x.repeat_interleave(r, 1) for x in (case.k, case.v))
        factor = case.q.shape[3] ** -0.5 if case.scale is None else abs(case.scale)
        terms = weights * (_weight(output) @ v.mT).abs() * factor
        return {"dq": _norm(terms @ k.abs()), "dk": _norm(terms.mT @ case.q.abs())}


def _weight(output: torch.Tensor) -> torch.Tensor:
    rng = torch.Generator().manual_seed(7)
    return torch.randn(output.shape, generator=rng, dtype=torch.float64).to(output.dtype)


def named(case: Case, output: torch.Tensor, lse: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Return output, lse and the gradients of a fixed random functional of the output, by name."""
    found = {"output": output}
    if case.lse and lse is not None:
        found["lse"] = lse
    if case.gradients:
        slopes = torch.autograd.grad((output * _weight(output)).sum(), [case.q, case.k, case.v])
        found |= dict(zip(("dq", "dk", "dv"), slopes, strict=True))
    return found


def _norm(x: torch.Tensor) -> float:
    finite = x.detach().double()
    return float(torch.linalg.vector_norm(finite[torch.isfinite(finite)]))


def distance(found: torch.Tensor, truth: torch.Tensor) -> float:
    """Return the norm of the difference; infinite where one is finite and the other is not, or infinities differ."""
    a, b = found.detach().double(), truth.detach().double()
    if a.shape != b.shape:
        return float("inf")
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, 0.0, a - b)
    return float(torch.linalg.vector_norm(gap)) if bool(gap.isfinite().all()) else float("inf")
