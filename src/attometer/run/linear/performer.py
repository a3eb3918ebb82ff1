"""Performer: the softmax kernel estimated by positive random features (FAVOR+), full or causal in chunks."""

import torch

from attometer.errors import AttometerError, positive_int
from attometer.run.linear.attention import CHUNK, SQUARE, LinearState, _chunked, _full
from attometer.run.operands import accumulation
from attometer.run.validation import RULES, check, check_tensors, plain


def favor_features(
    f: int, d: int, *, seed: int = 0, orthogonal: bool = True, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Return f random directions [f, d]: each standard normal, and orthogonal within blocks of d.

    Source: Choromanski et al. 2020, arXiv:2009.14794, section 2.4.

    >>> w = favor_features(4, 4, dtype=torch.float64)
    >>> bool(((w @ w.T).fill_diagonal_(0).abs() < 1e-12).all())
    True
    """
    for name, value in (("f", f), ("d", d)):
        positive_int(name, value)
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(f, d, generator=rng, dtype=torch.float64)
    if not orthogonal:
        return drawn.to(dtype)
    blocks = [torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64))[0].T for _ in range(-(-f // d))]
    return (torch.cat(blocks)[:f] * torch.linalg.vector_norm(drawn, dim=1, keepdim=True)).to(dtype)


def performer_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    features: torch.Tensor,
    causal: bool = False,
    scale: float | None = None,
    chunk: int = CHUNK,
) -> torch.Tensor:
    """Return attention with exp(q·k·scale) estimated by E[phi(q)·phi(k)], phi(x) = exp(w·x - |x|²/2) / sqrt(f).

    The estimate is unbiased; its variance grows as exp of the squared norms, so that it is good for small entries only.

    Args:
        q: queries [b, h, n, d].
        k: keys [b, g, m, d]; g divides h, and m = n if causal.
        v: values [b, g, m, e].
        features: directions w [f, d], such as `favor_features` draws.
        causal: whether a query sees only the keys up to its own position.
        scale: factor of the scores; None is 1/sqrt(d).
        chunk: tokens of a chunk in the causal sum.

    Returns:
        The output [b, h, n, e] in q's dtype.

    Raises:
        AttometerError: arguments that do not fit.

    Source: Choromanski et al. 2020, arXiv:2009.14794, Lemma 1 and section 2.3.

    >>> x = 0.1 * torch.randn(1, 2, 100, 8)
    >>> performer_attention(x, x, x, features=favor_features(64, 8), causal=True).shape
    torch.Size([1, 2, 100, 8])
    """
    check(plain(q, k, v, scale), SQUARE if causal else RULES)
    check_tensors(features=features)
    if features.dim() != 2 or features.shape[1] != q.shape[3]:
        raise AttometerError(f"features: got shape {list(features.shape)}, expected [f, {q.shape[3]}]")
    if scale is not None and scale < 0:
        raise AttometerError(f"scale: got {scale}, expected at least 0, for the kernel splits it between q and k")
    g, wide = k.shape[1], accumulation(q.dtype)
    factor = (q.shape[3] ** -0.5 if scale is None else scale) ** 0.5
    fq, fk = (_log_features(x.to(wide) * factor, features.to(x.device, wide)) for x in (q, k))
    # A factor common to a query's features, or to all keys', cancels in the quotient: it keeps exp in range.
    fq = torch.exp(fq - fq.detach().amax(-1, keepdim=True)).unflatten(1, (g, -1))
    if k.shape[2]:
        fk = torch.exp(fk - fk.detach().amax((-2, -1), keepdim=True))
    values = v.to(wide)
    if causal:
        sizes = (*v.shape[:2], features.shape[0])
        output, _ = _chunked(fq, fk, values, LinearState(fk.new_zeros(*sizes, v.shape[3]), fk.new_zeros(sizes)), chunk)
    else:
        output = _full(fq, fk, values)
    return output.flatten(1, 2).to(q.dtype)


def _log_features(x: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    return x @ directions.T - x.square().sum(-1, keepdim=True) / 2
