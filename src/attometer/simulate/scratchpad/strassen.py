"""Strassen's recursion executed on real blocks through a fast memory of M words, every word counted."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.schedule.strassen import PRODUCTS, Block, Signed, strassen_plan

Array: TypeAlias = NDArray[np.float64]


@dataclass
class _Counter:
    M: int
    reads: int = 0
    writes: int = 0

    def product(self, a: Array, b: Array) -> Array:
        """Multiply two base blocks inside fast memory."""
        if a.size + b.size + a.shape[0] * b.shape[1] > self.M:
            raise AttometerError(f"a base block of side {a.shape[0]} does not fit three times into M = {self.M} words")
        self.reads += a.size + b.size
        self.writes += a.shape[0] * b.shape[1]
        return a @ b

    def combine(self, parts: list[tuple[int, Array]]) -> Array:
        """Add signed blocks word by word; a single positive block is used where it lies."""
        if len(parts) == 1 and parts[0][0] == 1:
            return parts[0][1]
        self.reads += sum(block.size for _, block in parts)
        self.writes += parts[0][1].size
        return np.asarray(sum(sign * block for sign, block in parts))


def strassen_multiply(a: Array, b: Array, M: int) -> tuple[Array, int]:
    """Return (a b, words moved) for square a and b by Strassen's recursion with a fast memory of M words.

    Raises AttometerError when M is below 3 words.

    >>> product, words = strassen_multiply(np.eye(2), np.ones((2, 2)), 3)
    >>> product.tolist(), words
    ([[1.0, 1.0], [1.0, 1.0]], 83)
    """
    plan = strassen_plan(len(a), M)
    padded = [np.pad(x, (0, plan.side - len(a))) for x in (a, b)]
    counter = _Counter(M)
    result = _multiply(padded[0], padded[1], plan.levels, counter)
    return result[: len(a), : len(a)], counter.reads + counter.writes


def strassen_scores(Q: Array, K: Array, M: int) -> tuple[Array, int]:
    """Return (Q K^T, words moved) by Strassen products of d × d blocks.

    >>> strassen_scores(np.ones((4, 2)), np.ones((4, 2)), 12)[0].tolist()[0]
    [2.0, 2.0, 2.0, 2.0]
    """
    n, d = Q.shape
    blocks = -(-n // d)
    q, k = (np.pad(x, ((0, blocks * d - n), (0, 0))) for x in (Q, K))
    scores, words = np.zeros((blocks * d, blocks * d)), 0
    for i in range(0, blocks * d, d):
        for j in range(0, blocks * d, d):
            scores[i : i + d, j : j + d], moved = strassen_multiply(q[i : i + d], k[j : j + d].T, M)
            words += moved
    return scores[:n, :n], words


def _multiply(a: Array, b: Array, levels: int, counter: _Counter) -> Array:
    if levels == 0:
        return counter.product(a, b)
    result: dict[Block, Array] = {}
    for product in PRODUCTS:
        left, right = counter.combine(_parts(a, product.left)), counter.combine(_parts(b, product.right))
        made = _multiply(left, right, levels - 1, counter)
        for sign, block in product.into:
            counter.reads += made.size + (result[block].size if block in result else 0)
            counter.writes += made.size
            result[block] = result[block] + sign * made if block in result else sign * made
    return np.block([[result[0, 0], result[0, 1]], [result[1, 0], result[1, 1]]])


def _parts(x: Array, signed: Signed) -> list[tuple[int, Array]]:
    half = len(x) // 2
    return [(sign, x[i * half : (i + 1) * half, j * half : (j + 1) * half]) for sign, (i, j) in signed]
