"""Intervals by split conformal calibration: one quantile of the scaled residual per situation.

Source: Lei et al., Distribution-free predictive inference for regression (JASA 2018): locally weighted residuals.
"""

import numpy as np

from attometer.price.kernels import Array

NOMINAL = 0.90


def width(residual: Array, size: Array, nominal: float = NOMINAL) -> float:
    """Return the conformal quantile of |residual| / size for residuals (of log time) that were not fitted on.

    >>> width(np.linspace(-1, 1, 201), np.ones(201))
    0.91
    """
    scores = np.sort(np.abs(residual) / size)
    rank = int(np.ceil((len(scores) + 1) * nominal)) - 1
    return round(float(scores[min(rank, len(scores) - 1)]), 4)


def coverage(residual: Array, size: Array, quantile: float) -> float:
    """Return the share of residuals inside the band of a quantile."""
    return float(np.mean(np.abs(residual) <= quantile * size)) if len(residual) else float("nan")
