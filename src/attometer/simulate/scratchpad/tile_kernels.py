"""The compute steps of schedules on real float64 tiles; each returns the scalar operations it did and their depth."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Cost: TypeAlias = tuple[int, int]
"""(scalar operations, longest chain of them)."""


@dataclass(frozen=True)
class Step:
    """What a kernel sees besides its tiles: their axes, which (i, j) pairs of the tile are allowed, and 1/√d."""

    out: tuple[Array, ...]
    reads: tuple[Array, ...]
    out_axes: tuple[tuple[str, ...], ...]
    read_axes: tuple[tuple[str, ...], ...]
    allowed: Callable[[], NDArray[np.bool_]]
    scale: float


def _tree(k: int) -> int:
    """Levels of a balanced tree over k leaves."""
    levels = 0
    while 1 << levels < k:
        levels += 1
    return levels


def _contract(s: Step) -> Cost:
    (out,), (a, b) = s.out, s.reads
    text = f"{''.join(s.read_axes[0])},{''.join(s.read_axes[1])}->{''.join(s.out_axes[0])}"
    out += np.einsum(text, a, b)
    extent = dict(zip(s.read_axes[0], a.shape, strict=True)) | dict(zip(s.read_axes[1], b.shape, strict=True))
    terms = int(np.prod([*extent.values()]))
    summed = [extent[axis] for axis in extent if axis not in s.out_axes[0]]
    multiplications, additions = terms, terms
    return multiplications + additions, 1 + sum(map(_tree, summed)) + 1


def _score(s: Step) -> Cost:
    (S,) = s.out
    S *= s.scale
    S[~s.allowed()] = -np.inf
    return S.size, 1


def _level(mx: Array, S: Array) -> tuple[Array, Array]:
    """New row maximum, and the same with 0 where a row has seen nothing yet, so that -inf - -inf never arises."""
    new = np.maximum(mx, S.max(axis=1))
    return new, np.where(np.isfinite(new), new, 0.0)


def _online(s: Step) -> Cost:
    P, mx, total, out = s.out
    new, level = _level(mx, P)
    factor = np.exp(mx - level)
    P[:] = np.exp(P - level[:, None])
    total[:] = total * factor + P.sum(axis=1)
    out *= factor[:, None]
    mx[:] = new
    return _softmax_cost(P, mx) + out.size, _softmax_depth(P)


def _softmax_cost(P: Array, mx: Array) -> int:
    comparisons, exponentials, sums = P.size, 2 * P.size, P.size
    return comparisons + exponentials + sums + 2 * mx.size + mx.size


def _softmax_depth(P: Array) -> int:
    return _tree(P.shape[1]) + 1 + 2 + _tree(P.shape[1]) + 1


def _online_normalised(s: Step) -> Cost:
    P, mx, total, out = s.out
    new, level = _level(mx, P)
    kept = total * np.exp(mx - level)
    P[:] = np.exp(P - level[:, None])
    total[:] = kept + P.sum(axis=1)
    out *= kept[:, None]
    mx[:] = new
    return _softmax_cost(P, mx) + out.size, _softmax_depth(P)


def _statistics(s: Step) -> Cost:
    (mx, total), (S,) = s.out, s.reads
    new, level = _level(mx, S)
    total[:] = total * np.exp(mx - level) + np.exp(S - level[:, None]).sum(axis=1)
    mx[:] = new
    return _softmax_cost(S, mx), _softmax_depth(S)


def _exponential(s: Step) -> Cost:
    (P,) = s.out
    np.exp(P, out=P)
    return P.size, 1


def _row_sum(s: Step) -> Cost:
    (total,), (P,) = s.out, s.reads
    summed = tuple(at for at, axis in enumerate(s.read_axes[0]) if axis not in s.out_axes[0])
    total += P.sum(axis=summed)
    return P.size, sum(_tree(P.shape[at]) for at in summed) + 1


def _shifted(s: Step) -> Cost:
    (S,), (level,) = s.out, s.reads
    S[:] = np.exp(S - np.where(np.isfinite(level), level, 0.0)[:, None])
    return 2 * S.size, 2


def _normalise(s: Step) -> Cost:
    (S,), (mx, total) = s.out, s.reads
    S[:] = np.exp(S - np.where(np.isfinite(mx), mx, 0.0)[:, None]) / np.where(total > 0, total, 1.0)[:, None]
    return 3 * S.size, 3


def _divide(s: Step) -> Cost:
    (out,), (total,) = s.out, s.reads
    out /= np.where(total > 0, total, 1.0)[:, None]
    return out.size, 1


def _log_sum_exp(s: Step) -> Cost:
    (mx,), (total,) = s.out, s.reads
    seen = total > 0
    mx[seen] += np.log(total[seen])
    return 2 * mx.size, 2


def _merge(s: Step) -> Cost:
    (mx, total, out), (mx2, total2, out2) = s.out, s.reads
    new = np.maximum(mx, mx2)
    level = np.where(np.isfinite(new), new, 0.0)
    one, two = np.exp(mx - level), np.exp(mx2 - level)
    total[:] = total * one + total2 * two
    out[:] = out * one[:, None] + out2 * two[:, None]
    mx[:] = new
    return (1 + 4 + 3) * mx.size + 3 * out.size, 1 + 2 + 1 + 1


def _score_gradient(s: Step) -> Cost:
    (dS,), (P, D) = s.out, s.reads
    dS[:] = P * (dS - D[:, None]) * s.scale
    return 3 * dS.size, 3


def _elu_feature(s: Step) -> Cost:
    (X,) = s.out
    X[:] = np.exp(np.minimum(X, 0)) + np.maximum(X, 0)
    return 4 * X.size, 3


def _exponential_feature(s: Step) -> Cost:
    (G,), (norm,) = s.out, s.reads
    G[:] = np.exp(G * np.sqrt(s.scale) - (norm * (s.scale / 2))[:, None])
    return 3 * G.size + norm.size, 3


KERNELS: dict[str, Callable[[Step], Cost]] = {
    "contract": _contract,
    "score": _score,
    "online": _online,
    "online_normalised": _online_normalised,
    "statistics": _statistics,
    "exponential": _exponential,
    "row_sum": _row_sum,
    "shifted": _shifted,
    "normalise": _normalise,
    "divide": _divide,
    "log_sum_exp": _log_sum_exp,
    "merge": _merge,
    "score_gradient": _score_gradient,
    "elu_feature": _elu_feature,
    "exponential_feature": _exponential_feature,
}
"""The kernels by the name that a schedule's compute step gives."""
