"""Functions that formulas may call, each on exact Python integers, on NumPy arrays and in JavaScript."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, expm1, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Integer

from attometer.sizes import clog2, scan_depth, scan_work

EXACTLY = 256
"""Up to so many tokens distinct experts are taken in fractions; beyond, the power is close to 0 and a float is exact enough."""


@dataclass(frozen=True)
class Function:
    """One function in three languages: `scalar` on ints, `vector` on arrays, `javascript` its source text.

    `most` bounds its value from the largest values of its arguments.
    """

    scalar: Callable[..., Any]
    vector: Callable[..., Any]
    javascript: str
    most: Callable[..., int]


def ceil_log2(k: int) -> int:
    """Return ⌈log2 k⌉, 0 for k below 2.

    >>> [ceil_log2(k) for k in (1, 2, 3, 4, 5)]
    [0, 1, 2, 2, 3]
    """
    return (int(k) - 1).bit_length() if k > 1 else 0


def ceil_log2_of_array(k: Any) -> Any:
    """Return ⌈log2 k⌉ of each entry, exact for integers and for floats that hold one."""
    array = np.asarray(k)
    if array.dtype == object:
        return np.frompyfunc(ceil_log2, 1, 1)(array)
    # frexp's exponent of k - 1 is ⌈log2 k⌉, unless k - 1 has rounded up to a power of two.
    below = np.maximum(array - 1, 0).astype(np.int64)
    exponent = np.frexp(below.astype(np.float64))[1].astype(np.int64)
    return exponent - ((exponent > 0) & ((np.asarray(1) << np.maximum(exponent - 1, 0)) > below))


@lru_cache(maxsize=65536)
def distinct_experts(experts: int, top_k: int, tokens: int) -> float:
    """Return how many experts `tokens` tokens are expected to use when each draws `top_k` at random: E(1 − (1 − k/E)^t).

    >>> distinct_experts(8, 2, 1), round(distinct_experts(8, 2, 8), 2)
    (2.0, 7.2)
    """
    if tokens <= EXACTLY or top_k == experts:
        return float(experts * (1 - (1 - Fraction(top_k, experts)) ** tokens))
    return -experts * expm1(tokens * log1p(-top_k / experts))


@lru_cache(maxsize=256)
def _first_distinct(experts: int, top_k: int) -> NDArray[np.float64]:
    return np.array([distinct_experts(experts, top_k, t) for t in range(EXACTLY + 1)])


def distinct_experts_of_arrays(experts: int, top_k: int, tokens: Any) -> Any:
    """Return `distinct_experts` for an array of tokens."""
    array = np.asarray(tokens, dtype=np.float64)
    if top_k == experts:
        return np.full(array.shape, float(experts))
    many = -experts * np.expm1(array * log1p(-top_k / experts))
    few = array <= EXACTLY
    if np.any(few):
        many = np.where(few, _first_distinct(experts, top_k)[np.where(few, array, 0).astype(np.int64)], many)
    return many


def experts_read(weights: int, experts: int, top_k: int, tokens: int) -> float:
    """Return the weights of the distinct experts that `tokens` tokens use, of `weights` in all.

    >>> experts_read(800, 8, 2, 1)
    200.0
    """
    return weights * distinct_experts(experts, top_k, tokens) / experts


def _whole_experts_read(weights: int, experts: int, top_k: int, tokens: int) -> int:
    return ceil(experts_read(weights, experts, top_k, tokens))


def _experts_read_of_arrays(weights: int, experts: int, top_k: int, tokens: Any) -> Any:
    return np.ceil(weights * distinct_experts_of_arrays(experts, top_k, tokens) / experts)


def _each(function: Callable[[int], Any]) -> Callable[..., Any]:
    return np.vectorize(lambda k: int(function(int(k))), otypes=[np.int64])


_CLOG2_JS = "const clog2 = (k) => { let c = 0; for (let p = 1; p < k; p *= 2) c++; return c; };"
_SCAN_WORK_JS = "const scan_work = (k) => { let w = 0; for (; k >= 1; k = Math.floor(k / 2)) w += k - 1; return w; };"
_SCAN_DEPTH_JS = (
    "const scan_depth = (k) => k < 2 ? 0 : Math.max(1 + scan_depth(Math.floor(k / 2)), "
    "k < 3 ? 0 : 2 + scan_depth(Math.floor((k - 1) / 2)));"
)
_EXPERTS_JS = "const experts_read = (w, e, k, t) => Math.ceil(k === e ? w : -w * Math.expm1(t * Math.log1p(-k / e)) * (1 - 1e-14));"

FUNCTIONS: dict[str, Function] = {
    "clog2": Function(ceil_log2, ceil_log2_of_array, _CLOG2_JS, lambda k: ceil_log2(k)),
    "scan_work": Function(
        lambda k: int(scan_work(Integer(k))), _each(lambda k: scan_work(Integer(k))), _SCAN_WORK_JS, lambda k: 2 * k
    ),
    "scan_depth": Function(
        lambda k: int(scan_depth(Integer(k))),
        _each(lambda k: scan_depth(Integer(k))),
        _SCAN_DEPTH_JS,
        lambda k: 2 * ceil_log2(k) + 1,
    ),
    "experts_read": Function(_whole_experts_read, _experts_read_of_arrays, _EXPERTS_JS, lambda w, e, k, t: w),
}
"""By name; SymPy's counting functions of masks are added where a formula has one."""

SYMPY = {clog2: "clog2", scan_work: "scan_work", scan_depth: "scan_depth"}
"""The name of each SymPy function of `attometer.sizes`."""
