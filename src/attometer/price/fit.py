"""One fitter for every class: robust least squares on log time, Gaussian priors, all cells at once.

A cell is a set of rows that share coefficients: a kernel family (pooled), a machine, or a family on one machine. The rows of every
cell are evaluated in one call, so a hundred cells cost what one costs: the Jacobian is taken by differences with the
coefficient of each row's cell moved, and the normal equations are summed per cell (Levenberg-Marquardt; soft-L1 weights).
"""

import numpy as np
from numpy.typing import NDArray

from attometer.price.kernels import Array, Coefficient, Counts, Model

SCALE = 0.1  # residuals of log time beyond this count linearly
_STEP = 1e-3


def fit(
    model: Model,
    coefficients: tuple[Coefficient, ...],
    x: Counts,
    seconds: Array,
    cell: NDArray[np.int64],
    base: Array | None = None,
    spread: float | Array = 1.0,
    rounds: int = 40,
    weight: Array | None = None,
) -> Array:
    """Return how far each cell's coefficients lie from `base`, in logarithms, shape (cells, coefficients).

    `x` are counts of shape (rows,), `seconds` the measured times, `cell` the cell of each row. `base`, of shape (rows or 1,
    coefficients), is the prior's centre, the coefficients' own if not given; `spread` scales the prior's width. `weight`
    is a row's vote (1 if not given).

    >>> from attometer.price.kernels import Coefficient
    >>> import numpy as np
    >>> line = lambda x, c: {"total": c["floor"] + x["bytes"] * c["each"]}
    >>> names = (Coefficient("floor", "s", 1.0, 3.0), Coefficient("each", "s", 1.0, 3.0))
    >>> x = {"bytes": np.arange(1.0, 50.0)}
    >>> found = fit(line, names, x, 3.0 + 0.5 * x["bytes"], np.zeros(49, dtype=np.int64))
    >>> np.exp(found).round(2).tolist()
    [[3.0, 0.5]]
    """
    cells, size = int(cell.max()) + 1, len(coefficients)
    centre = prior(coefficients)[None] if base is None else base
    width = np.array([each.spread for each in coefficients]) * spread
    votes = np.ones(len(seconds)) if weight is None else weight
    target, theta, damping = np.log(seconds), np.zeros((cells, size)), np.full(cells, 1e-2)

    def predicted(moved: Array) -> Array:
        total: Array = np.log(np.maximum(model(x, by_name(coefficients, centre + moved[cell]))["total"], 1e-12))
        return total

    error = target - predicted(theta)
    cost = _cost(error, votes, cell, theta, width)
    for _ in range(rounds):
        slopes = [(predicted(theta + _STEP * one) - target + error) / _STEP for one in np.eye(size)]
        move = _step(np.stack(slopes, 1), error, votes, cell, theta, width, damping)
        trial = np.clip(theta + move, -4 * width, 4 * width)
        trial_error = target - predicted(trial)
        trial_cost = _cost(trial_error, votes, cell, trial, width)
        better = trial_cost < cost
        gain = float(np.sum(np.where(better, cost - trial_cost, 0.0)))
        theta, cost = np.where(better[:, None], trial, theta), np.where(better, trial_cost, cost)
        error = np.where(better[cell], trial_error, error)
        damping = np.clip(np.where(better, damping / 4, damping * 6), 1e-6, 1e6)
        if gain < 1e-5 * float(cost.sum()) and better.any():
            break
    return theta


def prior(coefficients: tuple[Coefficient, ...]) -> Array:
    """Return the logarithms of the coefficients' priors, shape (coefficients,)."""
    logs: Array = np.log(np.array([each.prior for each in coefficients]))
    return logs


def by_name(coefficients: tuple[Coefficient, ...], logs: Array) -> Counts:
    """Return the coefficients as arrays by name from logarithms of shape (rows, coefficients)."""
    values = np.exp(logs)
    return {each.name: values[:, index] for index, each in enumerate(coefficients)}


def _cost(error: Array, votes: Array, cell: NDArray[np.int64], theta: Array, width: Array) -> Array:
    rough = 2 * (np.sqrt(1 + (error / SCALE) ** 2) - 1) * votes
    cost: Array = np.bincount(cell, rough, len(theta)) + np.sum((theta / width) ** 2, axis=1)
    return cost


def _step(
    jacobian: Array,
    error: Array,
    votes: Array,
    cell: NDArray[np.int64],
    theta: Array,
    width: Array,
    damping: Array,
) -> Array:
    cells, size = theta.shape
    weight = votes / np.sqrt(1 + (error / SCALE) ** 2) / SCALE**2
    normal = np.empty((cells, size, size))
    for i in range(size):
        for j in range(i, size):
            normal[:, i, j] = normal[:, j, i] = np.bincount(cell, weight * jacobian[:, i] * jacobian[:, j], cells)
    pulls = [np.bincount(cell, weight * jacobian[:, i] * error, cells) for i in range(size)]
    right: Array = np.stack(pulls, axis=1).astype(np.float64)
    normal += np.diagflat(1 / width**2)
    right = np.add(right, -theta / width**2)
    diagonal = np.einsum("cii->ci", normal)
    normal = normal + damping[:, None, None] * np.eye(size) * diagonal[:, :, None]
    move: Array = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
    return move
