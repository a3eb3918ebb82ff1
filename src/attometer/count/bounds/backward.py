"""Lower bounds on the words that the gradients of attention move: dQ, dK, dV from Q, K, V, dO and row statistics.

The backward pass contains S = QK^T followed by dV = P^T dO, which is attention with queries and keys exchanged, so the
forward bounds hold for it; dP = dO V^T is a second score product with inner dimension e.
"""

from fractions import Fraction
from functools import lru_cache

import numpy as np

from attometer.count.bounds.attention import ATTENTION_BOUNDS, Bound, BoundSizes
from attometer.count.bounds.segments import Floats, certified_maximum, lengths, score_products, segments

_ORDER = "Ω(min((n²d² + nd³)/M, (n²d + nd²)/√M))"
_SOURCE = "segments of T transfers; order in Li et al. 2024, arXiv 2410.09397"


def gradient_updates(M: int, T: int, d: int, e: int) -> float:
    """Return the most updates of dQ (or of dK) in a segment of T reads when each entry has one accumulator.

    (X/3)^(3/2) + d X^2 / (4 (d + e)(2d + e)): an untouched score pair needs whole rows of Q, dO, K and V at hand,
    and the accumulators of dQ share the budget X = M + T.

    >>> round(gradient_updates(4096, 4096, 64, 64) - (8192 / 3) ** 1.5)
    43691
    """
    X = M + T
    return float(((X / 3) ** 1.5 + d * X * X / (4 * (d + e) * (2 * d + e))) * (1 + 1e-9))


@lru_cache(maxsize=64)
def untouched_gradients(share: Fraction) -> float:
    """Return the most untouched updates of dQ, dK and dV together, in units of X^2 / d, for e = share d.

    I' rows have Q and dO at hand, I'' more only Q; J' keys have K and V, J'' more only K. With the words that are left,
    dQ gains J' updates per accumulator, dK gains I', and dV gains the rows at hand, or the harmonic sum with the keys
    where further words of dO are needed as well: a linear program that is solved greedily.

    >>> untouched_gradients(Fraction(1)) < 1.05 / 16
    True
    """
    e = float(share)

    def upper(lo: Floats, hi: Floats) -> Floats:
        left = 1 - lo[:, 0] * (1 + e) - lo[:, 1] - lo[:, 2] * (1 + e) - lo[:, 3]
        rows, keys = hi[:, 0], hi[:, 2]
        seen, met = rows + hi[:, 1] + 1e-12, keys + hi[:, 3] + 1e-12
        both = seen * met / (seen + met)
        rates = np.stack([keys, rows, seen, both])
        caps = np.stack([rows, keys, met * rows * e / seen, (seen - rows) * met * e / both])
        order = np.argsort(-rates, axis=0)
        rates, caps = np.take_along_axis(rates, order, 0), np.take_along_axis(caps, order, 0)
        before = np.cumsum(caps, axis=0) - caps
        used = np.clip(np.maximum(left, 0) - before, 0, caps)
        return np.where(left >= 0, (rates * used).sum(axis=0), 0.0)

    whole = 1 / (1 + e)
    return certified_maximum(upper, [0.0] * 4, [whole, 1.0, whole, 1.0], 4e-2, 60_000)


def all_gradient_updates(M: int, T: int, d: int, e: int) -> float:
    """Return the most updates of dQ, dK and dV together in a segment of T reads, each entry with one accumulator.

    Pairs of which a word of S, P, dP or dS is at hand: (X/3)^(3/2), for the three products share their words. The
    others: `untouched_gradients`.
    """
    X = M + T
    return float(((X / 3) ** 1.5 + untouched_gradients(Fraction(e, d)) * X * X / d) * (1 + 1e-9))


def _compulsory(s: BoundSizes) -> int:
    return s.copies * (s.rows * (2 * s.d + s.e) + s.columns * (2 * s.d + 2 * s.e))


def _score_gradients(s: BoundSizes) -> int:
    total = s.copies * s.pairs * s.e
    return max(segments(total, score_products(s.M, T, s.e), T) for T in lengths(s.M, 25))


def _gradients(s: BoundSizes) -> int:
    total = s.copies * s.pairs * s.d
    return max(segments(total, gradient_updates(s.M, T, s.d, s.e), T) for T in lengths(s.M, 97))


def _all_gradients(s: BoundSizes) -> int:
    total = s.copies * s.pairs * (2 * s.d + s.e)
    return max(segments(total, all_gradient_updates(s.M, T, s.d, s.e), T) for T in lengths(s.M, 97))


_FORWARD = ("tree, scores", "tree, values", "tree, both products", "accumulator, outputs")

BACKWARD_BOUNDS: tuple[Bound[BoundSizes], ...] = (
    Bound("compulsory", "Q, K, V and dO are read once; dQ, dK and dV are written once", "any", True, "published",
          "by definition of the model", "Ω((n + m)(d + e))", _compulsory),
    *(Bound(f"forward, {b.name}", f"S = QKᵀ, dV = PᵀdO: attention with rows and keys exchanged: {b.statement}",
            b.holds_for, True, "derived", b.source, b.order, b.formula) for b in ATTENTION_BOUNDS if b.name in _FORWARD),
    Bound("tree, score gradients", "Q ≥ T (⌈n m e / F₁(T)⌉ - 1) for every T; F₁ bounds the products of dP = dO Vᵀ",
          "tree", True, "derived", _SOURCE, _ORDER, _score_gradients),
    Bound("accumulator, dQ or dK", "Q ≥ T (⌈n m d / ((X/3)^(3/2) + d X²/(4(d + e)(2d + e)))⌉ - 1), X = M + T",
          "accumulator", True, "derived", _SOURCE, "6 n m d²/M for M ≫ d² = e²", _gradients),
    Bound("accumulator, all gradients", "Q ≥ T (⌈n m (2d + e) / ((X/3)^(3/2) + κ X²/d)⌉ - 1), X = M + T; κ = 1/16 for e = d",
          "accumulator", True, "derived", _SOURCE, "12 n m d²/M for M ≫ d² = e²", _all_gradients),
)  # fmt: skip
