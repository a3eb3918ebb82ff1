"""Polynomial attention: for bounded entries exp is a low-degree polynomial, and its matrix has low rank."""

import math

import torch

from attometer.errors import AttometerError
from attometer.run.linear.attention import CHUNK, linear_attention
from attometer.run.tables import monomial_weights, monomials
from attometer.run.validation import check, plain

MOST_FEATURES = 20_000


def degree_for(bound: float, epsilon: float) -> int:
    """Return the least even degree whose Taylor polynomial of exp errs by at most epsilon, relatively, on [-bound, bound].

    Even, because then the polynomial is positive and no normaliser vanishes.

    >>> degree_for(1.0, 0.1), degree_for(2.0, 1e-3)
    (4, 12)
    """
    degree = 2
    # Lagrange's remainder over exp(-bound), the least value.
    while math.exp(2 * bound) * bound ** (degree + 1) / math.factorial(degree + 1) > epsilon:
        degree += 2
    return degree


def polynomial_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    *,
    degree: int | None = None,
    epsilon: float = 1e-2,
    causal: bool = False,
    scale: float | None = None,
    chunk: int = CHUNK,
) -> torch.Tensor:
    """Return attention with exp replaced by its Taylor polynomial, as linear attention over C(d + degree, degree) monomials.

    Near-linear for bounded entries and small d (Alman and Song): the degree grows with the largest score.

    Args:
        q: queries [b, h, n, d].
        k: keys [b, g, m, d]; g divides h, and m = n if causal.
        v: values [b, g, m, e].
        degree: even; None takes the least that `epsilon` and the largest |q| |k| scale of this call need.
        epsilon: relative error of each weight when the degree is chosen.
        causal: whether a query sees only the keys up to its own position.
        scale: factor of the scores; None is 1/sqrt(d).
        chunk: tokens of a chunk in the causal sum.

    Returns:
        The output [b, h, n, e] in q's dtype.

    Raises:
        AttometerError: arguments that do not fit, or entries so large that the polynomial needs too many monomials.

    Source: Alman and Song 2023, Fast Attention Requires Bounded Entries, arXiv:2302.13214, section 3.

    >>> x = 0.3 * torch.randn(1, 2, 100, 4)
    >>> polynomial_attention(x, x, x, causal=True).shape
    torch.Size([1, 2, 100, 4])
    """
    check(plain(q, k, v, scale))
    factor = q.shape[3] ** -0.5 if scale is None else scale
    chosen = _degree(q, k, factor, epsilon) if degree is None else degree
    if chosen < 2 or chosen % 2:
        raise AttometerError(f"degree: got {chosen}, expected an even number of at least 2")
    count = math.comb(q.shape[3] + chosen, chosen)
    if count > MOST_FEATURES:
        raise AttometerError(
            f"q: got entries that need degree {chosen}, which is {count} monomials of width {q.shape[3]}, "
            f"expected at most {MOST_FEATURES}; bound the entries, or use attention"
        )
    return torch.as_tensor(
        linear_attention(q, k, v, causal=causal, feature_map=_Monomials(chosen, factor), chunk=chunk)
    )


def _degree(q: torch.Tensor, k: torch.Tensor, factor: float, epsilon: float) -> int:
    if not (q.numel() and k.numel()):
        return 2
    if not epsilon > 0:
        raise AttometerError(f"epsilon: got {epsilon}, expected more than 0")
    norms = (float(x.detach().double().norm(dim=-1).max()) for x in (q, k))
    bound = abs(factor) * math.prod(norms)
    if not bound < 50:
        raise AttometerError(
            f"q: got scores of up to {bound:.3g}, expected less than 50; bound the entries, or use attention"
        )
    return degree_for(bound, epsilon)


class _Monomials:
    """Features whose inner product is the polynomial: sum over k of (x·y·factor)^k / k!, by the multinomial theorem."""

    def __init__(self, degree: int, factor: float) -> None:
        if factor < 0:
            raise AttometerError(f"scale: got {factor}, expected at least 0")
        self.degree, self.factor = degree, factor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        parts, fixed = [torch.ones_like(x[..., :1])], x.detach()
        for k in range(1, self.degree + 1):
            chosen = x[..., monomials(fixed, x.shape[-1], k)].prod(-1)
            parts.append(chosen * monomial_weights(fixed, x.shape[-1], k, self.factor))
        return torch.cat(parts, -1)
