"""The element-wise functions of the notation, in NumPy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1.0 + _erf(x / np.sqrt(2.0))),
    "relu": lambda x: np.maximum(x, 0.0),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "cos": np.cos,
    "sin": np.sin,
    "sign": np.sign,
    "abs": np.abs,
    "square": np.square,
    "erf": _erf,
    "floor": np.floor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "pow": np.power,
    "less": lambda x, y: np.less(x, y).astype(np.float64),
    "equal": lambda x, y: np.equal(x, y).astype(np.float64),
}
"""Each name of `attometer.program.expression.FUNCTIONS`, on float64 arrays."""
