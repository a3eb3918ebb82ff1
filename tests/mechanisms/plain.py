"""Plain NumPy attention, written without Programs: what the catalogue is compared with."""

from typing import Any

import numpy as np

from attometer.mechanisms import Mechanism, mechanism
from attometer.simulate.interpreter import interpret

SMALL = {
    "b": 2, "h": 4, "n": 12, "m": 12, "d": 6, "w": 4, "g": 2, "l": 3, "c": 2, "r": 2, "k": 3,
    "f": 8, "B": 4, "p": 3, "x": 2, "y": 3, "s": 3, "t": 2, "D": 10, "F": 7, "E": 5, "u": 3, "V": 9,
}  # fmt: skip


def drawn(
    name: str, sizes: dict[str, int] | None = None, draw_seed: int = 0, **parameters: Any
) -> tuple[Mechanism, Any, Any]:
    """Return a mechanism, random inputs for it at small sizes, and everything it computes from them."""
    made = mechanism(name, **parameters)
    symbols = {str(s) for s in made.program.symbols}
    chosen = made.sizes(**{k: v for k, v in {**SMALL, **(sizes or {})}.items() if k in symbols})
    arrays = made.draw(chosen, np.random.default_rng(draw_seed))
    return made, arrays, interpret(made.program, arrays, chosen)


def softmax_rows(scores: Any) -> Any:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def head(q: Any, k: Any, v: Any, seen: Any = None, scale: float | None = None) -> Any:
    """Return softmax attention of one head: q [n, d], k [m, d], v [m, e], seen [n, m] boolean."""
    scores = q @ k.T * (scale if scale is not None else q.shape[-1] ** -0.5)
    return softmax_rows(scores if seen is None else np.where(seen, scores, -np.inf)) @ v


def heads(Q: Any, K: Any, V: Any, seen: Any = None) -> Any:
    """Return softmax attention for Q [b, h, n, d], K [b, g, m, d], V [b, g, m, e]; query head x uses head x // (h/g)."""
    share = Q.shape[1] // K.shape[1]
    return np.stack([
        np.stack([head(Q[b, x], K[b, x // share], V[b, x // share], seen) for x in range(Q.shape[1])])
        for b in range(Q.shape[0])
    ])  # fmt: skip


def pattern(n: int, sees: Any) -> Any:
    """Return the boolean matrix of a predicate sees(i, j), position by position."""
    return np.array([[bool(sees(i, j)) for j in range(n)] for i in range(n)])


def worst(one: Any, other: Any) -> float:
    """Return the largest absolute difference; shapes must agree."""
    assert np.shape(one) == np.shape(other)
    return float(np.max(np.abs(np.asarray(one) - np.asarray(other))))


def relative(one: Any, other: Any) -> float:
    """Return the relative error of `one` in the Frobenius norm."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))
