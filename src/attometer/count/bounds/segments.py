"""How many products one segment of T transfers can compute, as certified maxima; the step behind every segment bound.

Cut any calculation into segments of T transfers (r loads and w stores, r + w = T). The vertices first computed in a
segment are dominated by at most M + r words and leave at most M + w minimum vertices (Hong & Kung 1981, with loads and
stores counted apart). The functions here bound from above how many products that allows, never from below: a maximum
over reals is taken over boxes, each judged at its most generous corner.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_ROUND_UP = 1.0 + 1e-9  # far above the error of a dozen correctly rounded float64 operations


def certified_maximum(
    upper: Callable[[Floats, Floats], Floats],
    low: Sequence[float],
    high: Sequence[float],
    tolerance: float = 4e-3,
    boxes: int = 20_000,
    enough: float = math.inf,
) -> float:
    """Return a number that is at least the maximum over a box, and at most `tolerance` above it where that is cheap.

    Once the maximum is known to be at least `enough`, some number between `enough` and the maximum is returned instead.

    `upper(lo, hi)` bounds the function on boxes with corners `lo` and `hi` (arrays [box, dimension]) and is exact when
    the corners meet. Boxes that cannot matter are dropped, the rest are halved; when more than `boxes` are left the
    answer is looser but still a bound.

    >>> round(certified_maximum(lambda lo, hi: hi[:, 0] * (3 - lo[:, 0]), [0.0], [3.0]), 1)
    2.3
    """
    lo, hi = np.array([low], dtype=float), np.array([high], dtype=float)
    best = 0.0
    for _ in range(40):
        bound = upper(lo, hi)
        middle = (lo + hi) / 2
        best = max(best, float(upper(middle, middle).max()))
        if best >= enough:
            return best
        keep = bound > best * (1 + tolerance)
        if not keep.any():
            return best * (1 + tolerance) * _ROUND_UP
        lo, hi = lo[keep], hi[keep]
        if len(lo) > boxes:
            return float(bound.max()) * _ROUND_UP
        lo, hi = _halve(lo, hi)
    return float(upper(lo, hi).max()) * _ROUND_UP


def _halve(lo: Floats, hi: Floats) -> tuple[Floats, Floats]:
    for axis in range(lo.shape[1]):
        middle = (lo[:, axis] + hi[:, axis]) / 2
        left, right = hi.copy(), lo.copy()
        left[:, axis], right[:, axis] = middle, middle
        lo, hi = np.concatenate([lo, right]), np.concatenate([left, hi])
    return lo, hi


def least_products(total: int, length: int, transfers: int) -> int:
    """Return the fewest products of one segment of `length` transfers with which `segments` is at most `transfers`.

    >>> least = least_products(100, 7, 63)
    >>> segments(100, least, 7) <= 63 < segments(100, least - 1, 7)
    True
    """
    return -(-total // (transfers // length + 1))


def segments(total: int, most: float, length: int) -> int:
    """Return the transfers forced when `total` products need ceil(total / most) segments of `length` transfers.

    >>> segments(100, 10.9, 7)
    63
    """
    return length * (-(-total // max(1, math.floor(most))) - 1)


@lru_cache(maxsize=4096)
def score_products(M: int, T: int, d: int, enough: float = math.inf) -> float:
    """Return the most products q_il k_jl first computed in a segment of T transfers; any tree, recomputation allowed.

    With a words of Q and K in the dominator and z other words: z + (a/2) sqrt(z + M + w) + a^2 / 4d and
    a + z <= M + T - w, whose second term depends on a alone because z + M + w <= 2M + T - a.

    >>> score_products(1024, 1024, 64) >= 1024**1.5 + 1024**2 / 64
    True
    """

    def upper(lo: Floats, hi: Floats) -> Floats:
        a0, a1 = lo[:, 0], hi[:, 0]
        return (M + T - a0) + a1 / 2 * np.sqrt(2 * M + T - a0) + a1 * a1 / (4 * d)

    return certified_maximum(upper, [0.0], [float(M + T)], 1e-3, enough=enough)


def _untouched(a: Floats, u: Floats, Y: Floats, d: int, e: int) -> Floats:
    """The most products of untouched score trees: max over x + y = a of min(x u, y Y, x y e / d) / d.

    A maximum of a minimum of three concave functions of one variable is settled by two of them, so the least of the
    three pairwise maxima is exact.
    """
    both = a * u * Y / np.maximum(u + Y, 1e-300)
    return np.minimum(both, np.minimum(_pair(a, u, d, e), _pair(a, Y, d, e))) / d


def _pair(a: Floats, t: Floats, d: int, e: int) -> Floats:
    return np.where(t * 2 * d <= a * e, t * (a - t * d / e), a * a * e / (4 * d))


@lru_cache(maxsize=4096)
def value_products(M: int, T: int, d: int, e: int, enough: float = math.inf) -> float:
    """Return the most products a_ij v_jl first computed in a segment of T transfers; any tree, recomputation allowed.

    z + sqrt(z u Y) + min(I u, J Y, I J e), where u words of V, I rows of Q, J rows of K and z other words are in the
    dominator and Y = M + w trees of outputs are touched.

    >>> value_products(4096, 8192, 8, 8) >= 4096**2 / 8
    True
    """
    budget = 2 * M + T

    def upper(lo: Floats, hi: Floats) -> Floats:
        z, u, Y = hi[:, 0], hi[:, 1], hi[:, 2]
        a = np.maximum(budget - lo[:, 0] - lo[:, 1] - lo[:, 2], 0.0)
        feasible = lo.sum(axis=1) <= budget
        return np.where(feasible, z + np.sqrt(z * u * Y) + _untouched(a, u, Y, d, e), 0.0)

    return certified_maximum(upper, [0.0, 0.0, float(M)], [float(M + T)] * 3, 1e-2, enough=enough)


@lru_cache(maxsize=4096)
def all_products(M: int, T: int, d: int, e: int, enough: float = math.inf) -> float:
    """Return the most products of both kinds first computed in a segment of T transfers; any summation tree.

    (M + T) + ((2M + T) / 3)^(3/2) + [I J d + min(I u, J Y, I J e)]: the Loomis-Whitney terms of the two products share
    one budget, sqrt(s) (2M + T - s) / 2.

    >>> all_products(4096, 4096, 8, 8) > value_products(4096, 4096, 8, 8)
    True
    """
    budget = 2 * M + T

    def upper(lo: Floats, hi: Floats) -> Floats:
        u, Y = hi[:, 0], hi[:, 1]
        a = np.maximum(budget - lo[:, 0] - lo[:, 1], 0.0)
        return np.where(lo.sum(axis=1) <= budget, a * a / (4 * d) + _untouched(a, u, Y, d, e), 0.0)

    fixed = float((M + T + (budget / 3) ** 1.5) * _ROUND_UP)
    return fixed + certified_maximum(upper, [0.0, float(M)], [float(M + T)] * 2, enough=enough - fixed)


def accumulator_products(M: int, T: int, d: int, e: int) -> float:
    """Return the most updates of S and O in a segment of T reads when each entry has one accumulator.

    (X/3)^(3/2) + G(X) with X = M + T words at hand; G(X) = e X^2 / (4 (d + e)^2) when e <= d and X^2 / 16d otherwise.

    >>> round(accumulator_products(4096, 4096, 64, 64) - (8192 / 3) ** 1.5)
    65536
    """
    X = M + T
    fused = e * X * X / (4 * (d + e) ** 2) if e <= d else X * X / (16 * d)
    return float(((X / 3) ** 1.5 + fused) * _ROUND_UP)


def entry_products(M: int, T: int, d: int) -> float:
    """Return the most explicit entries of QK^T that M + T words describe: 2 X + X^2 / d^2, from B <= 2 m + m^2 / d^2.

    >>> entry_products(64, 64, 8)
    512.00...
    """
    X = M + T
    return (2 * X + X * X / d**2) * _ROUND_UP


def matmul_products(M: int, T: int) -> float:
    """Return the most products a_il b_lj first computed in a segment of T transfers; any summation tree.

    max over w of (M + T - w) / 2 * sqrt(M + w); the maximum is at M + w = (2M + T) / 3 when that is at least M.

    >>> round(matmul_products(512, 4 * 512) / (2 * 512) ** 1.5, 6)
    1.0
    """
    s = max(float(M), (2 * M + T) / 3)
    return max((2 * M + T - s) / 2 * math.sqrt(s), float(M + T)) * _ROUND_UP


def lengths(M: int, count: int, least: float = 1 / 8, most: float = 8.0) -> list[int]:
    """Return segment lengths T to try, geometric in M; every one gives a valid bound.

    >>> lengths(64, 3)
    [8, 64, 512]
    """
    ratio = (most / least) ** (1 / max(1, count - 1))
    return sorted({max(1, round(M * least * ratio**k)) for k in range(count)})
