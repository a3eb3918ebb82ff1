"""Linear attention: kernel features instead of the softmax; full, causal in chunks, or one step from a state."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from attometer.errors import AttometerError, positive_int
from attometer.run.operands import accumulation
from attometer.run.validation import RULES, Rule, check, check_name, plain

Features: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
CHUNK = 64
IMPLS = ("chunked", "recurrent")
SQUARE = (
    *RULES,
    Rule(
        "k",
        lambda c: f"q's {c.q.shape[2]}, for a causal sum runs over both",
        lambda c: f"length {c.k.shape[2]}",
        lambda c: c.k.shape[2] == c.q.shape[2],
    ),
)


@dataclass(frozen=True, eq=False)
class LinearState:
    """What a causal pass leaves: sum of features times values [b, g, f, e], and sum of features [b, g, f]."""

    products: torch.Tensor
    features: torch.Tensor


def elu_plus_one(x: torch.Tensor) -> torch.Tensor:
    """Return elu(x) + 1, positive (Katharopoulos et al. 2020, arXiv:2006.16236, equation 7).

    >>> elu_plus_one(torch.tensor([0.0, 2.0]))
    tensor([1., 3.])
    """
    return torch.exp(x.clamp(max=0)) + torch.relu(x)


def linear_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    causal: bool = False,
    feature_map: Features = elu_plus_one,
    state: LinearState | None = None,
    return_state: bool = False,
    impl: str = "chunked",
    chunk: int = CHUNK,
) -> Any:
    """Return phi(q) (sum phi(k)^T v) / phi(q) (sum phi(k)), over all keys, or causally over those up to the query.

    Work is linear in the length. A query whose normaliser is 0 gives 0. Sums are kept in float32 (float64 for float64).

    Args:
        q: queries [b, h, n, d].
        k: keys [b, g, m, d]; g divides h, and m = n if causal.
        v: values [b, g, m, e].
        causal: whether a query sees only the keys up to its own position.
        feature_map: phi, from [..., d] to [..., f], positive.
        state: what an earlier causal pass returned; with n = 1 this is a decode step.
        return_state: also return the `LinearState` after the last token (causal only).
        impl: "chunked" (products within chunks, a prefix sum between them) or "recurrent" (token by token).
        chunk: tokens of a chunk.

    Returns:
        The output [b, h, n, e] in q's dtype, or (output, state).

    Raises:
        AttometerError: arguments that do not fit.

    Source: Katharopoulos et al. 2020, arXiv:2006.16236; chunks: Hua et al. 2022, arXiv:2202.10447, section 3.2.

    >>> x = torch.randn(1, 2, 10, 4)
    >>> linear_attention(x, x, x, causal=True).shape
    torch.Size([1, 2, 10, 4])
    """
    check(plain(q, k, v), SQUARE if causal else RULES)
    check_name("impl", impl, IMPLS)
    if (state is not None or return_state) and not causal:
        raise AttometerError("state: got one without causal=True, expected none: a full sum has no order")
    if impl == "recurrent" and not causal:
        raise AttometerError('impl: got "recurrent" without causal=True, expected "chunked": a full sum has no order')
    positive_int("chunk", chunk)
    g, wide = k.shape[1], accumulation(q.dtype)
    fq, fk = feature_map(q.to(wide)).unflatten(1, (g, -1)), feature_map(k.to(wide))
    if not causal:
        return _full(fq, fk, v.to(wide)).flatten(1, 2).to(q.dtype)
    begun = state or LinearState(
        fk.new_zeros(*v.shape[:2], fk.shape[3], v.shape[3]), fk.new_zeros(*v.shape[:2], fk.shape[3])
    )
    run = _chunked if impl == "chunked" else _recurrent
    output, ended = run(fq, fk, v.to(wide), begun, chunk)
    output = output.flatten(1, 2).to(q.dtype)
    return (output, ended) if return_state else output


def _divide(over: torch.Tensor, under: torch.Tensor) -> torch.Tensor:
    return over / under.masked_fill(under == 0, math.inf)[..., None]


def _full(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return the sum over all keys: q [b, g, r, n, f], k [b, g, m, f], v [b, g, m, e]."""
    products, features = k.mT @ v, k.sum(2)
    return _divide(q @ products[:, :, None], torch.einsum("bgrnf,bgf->bgrn", q, features))


def _chunked(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, state: LinearState, chunk: int
) -> tuple[torch.Tensor, LinearState]:
    n = q.shape[3]
    if n == 0:
        return q.new_zeros(*q.shape[:4], v.shape[-1]), state
    pad = -n % chunk
    if pad:  # no pad would be a copy all the same
        q, k, v = (torch.nn.functional.pad(x, (0, 0, 0, pad)) for x in (q, k, v))
    q, k, v = (x.unflatten(-2, (-1, chunk)) for x in (q, k, v))
    products, features = k.mT @ v, k.sum(3)
    before, known = _sums_before(products, state.products), _sums_before(features, state.features)
    ended = LinearState(before[:, :, -1] + products[:, :, -1], known[:, :, -1] + features[:, :, -1])
    within = torch.tril(q @ k[:, :, None].mT)
    over = within @ v[:, :, None] + q @ before[:, :, None]
    under = within.sum(-1) + torch.einsum("bgrctf,bgcf->bgrct", q, known)
    return _divide(over, under).flatten(3, 4)[:, :, :, :n], ended


def _sums_before(terms: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Return what precedes each chunk: terms [b, g, chunks, ...], state [b, g, ...]."""
    return torch.cat([state[:, :, None], terms[:, :, :-1]], dim=2).cumsum(2)


def _recurrent(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, state: LinearState, chunk: int
) -> tuple[torch.Tensor, LinearState]:
    products, features, rows = state.products, state.features, []
    for t in range(q.shape[3]):
        products = products + k[:, :, t, :, None] * v[:, :, t, None, :]
        features = features + k[:, :, t]
        over = torch.einsum("bgrf,bgfe->bgre", q[:, :, :, t], products)
        rows.append(_divide(over, torch.einsum("bgrf,bgf->bgr", q[:, :, :, t], features)))
    output = torch.stack(rows, 3) if rows else q.new_zeros(*q.shape[:4], v.shape[-1])
    return output, LinearState(products, features)
