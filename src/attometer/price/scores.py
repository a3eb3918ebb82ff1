"""Errors on time, one vote per group of rows that belong together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attometer.price.kernels import Array


@dataclass(frozen=True)
class Score:
    """Absolute errors in per cent of measured time, one vote per split group: how many, median, mean, p90, bias."""

    rows: int
    groups: int
    median: float
    mean: float
    p90: float
    bias: float

    def __str__(self) -> str:
        return f"{self.median:.1f} / {self.mean:.1f}" if self.groups else "-"


def score(predicted: Array, measured: Array, group: NDArray[np.str_]) -> Score:
    """Return the score of predicted against measured times, shape (rows,), one vote per group.

    >>> import numpy as np
    >>> score(np.array([1.1, 1.3, 2.0]), np.array([1.0, 1.0, 2.0]), np.array(["a", "a", "b"])).rows
    3
    """
    if not len(measured):
        return Score(0, 0, *[float("nan")] * 4)
    error = predicted / measured - 1
    names, inverse, count = np.unique(group, return_inverse=True, return_counts=True)
    each = 100 * np.bincount(inverse, np.abs(error)) / count
    bias = 100 * float(np.median(error))
    ninth = float(np.quantile(each, 0.9))
    return Score(len(error), len(names), float(np.median(each)), float(each.mean()), ninth, bias)
