"""What physics leaves: boosted trees on the logarithm of measured over predicted time, held as plain arrays.

The trees are oblivious (every level asks one question), so a tree of depth six is six comparisons and one look-up,
which NumPy evaluates without any library of trees. They are trained by `calibrate` with CatBoost (Prokhorenkova et al.,
NeurIPS 2018), where the error on rows left out falls, and shrink to zero weight where it does not.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.price.kernels import Array, Counts, Terms

_CHUNK = 16384
_FEW = 256  # rows for which all questions are asked at once: a loop over trees costs more than it saves


@dataclass(frozen=True)
class Trees:
    """Oblivious trees: features asked (trees, depth), borders (trees, depth), leaves (trees, 2^depth).

    `names` are the features by column.
    """

    names: tuple[str, ...]
    feature: NDArray[np.int16]
    border: NDArray[np.float32]
    leaf: NDArray[np.float32]

    def packed(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays to store, each leaf as a byte of its tree's largest."""
        scale = np.maximum(np.abs(self.leaf).max(axis=1), 1e-9).astype(np.float32)
        leaf = np.round(self.leaf / scale[:, None] * 127).astype(np.int8)
        names = np.array(self.names)
        return {"names": names, "feature": self.feature, "border": self.border, "leaf": leaf, "scale": scale}

    @staticmethod
    def unpacked(arrays: dict[str, NDArray[Any]], name: str) -> "Trees | None":
        """Return the trees that `packed` stored under a name's prefix, or None when there are none."""
        if f"{name}_leaf" not in arrays:
            return None
        names, feature, border, leaf, scale = (
            arrays[f"{name}_{key}"] for key in ("names", "feature", "border", "leaf", "scale")
        )
        return Trees(tuple(map(str, names)), feature, border, (leaf * (scale[:, None] / 127)).astype(np.float32))

    def __call__(self, columns: NDArray[np.float32]) -> Array:
        """Return the correction of log time for columns of shape (rows, features).

        >>> step = Trees(("a",), np.array([[0]], np.int16), np.array([[1.5]], np.float32), np.array([[0.0, 0.3]], np.float32))
        >>> step(np.array([[1.0], [2.0]], np.float32)).round(3).tolist()
        [0.0, 0.3]
        """
        if len(columns) <= _FEW:
            return self._at_once(columns)
        parts = [self._chunk(columns[first : first + _CHUNK]) for first in range(0, len(columns), _CHUNK)]
        return np.concatenate(parts)

    def _at_once(self, columns: NDArray[np.float32]) -> Array:
        passed = columns.T[self.feature] > self.border[..., None]
        asked = 1 << np.arange(self.feature.shape[1])
        leaves = np.take_along_axis(self.leaf, (passed * asked[:, None]).sum(axis=1), axis=1)
        total: Array = leaves.sum(axis=0, dtype=np.float64)
        return total

    @cached_property
    def _ranks(self) -> tuple[list[NDArray[np.float32]], NDArray[np.uint8]]:
        """Every feature's borders in order, and of each question the place of its border among them."""
        borders = [
            np.unique(self.border[(self.feature == f) & np.isfinite(self.border)]) for f in range(len(self.names))
        ]
        place = np.full(self.feature.shape, 255, np.uint8)  # an infinite border is never passed
        for f, each in enumerate(borders):
            asked = (self.feature == f) & np.isfinite(self.border)
            place[asked] = np.searchsorted(each, self.border[asked])
        return borders, place

    def _chunk(self, columns: NDArray[np.float32]) -> Array:
        borders, place = self._ranks
        # a value passes a border when more borders lie below it than the border's place: bytes compare fast
        passed = [np.searchsorted(each, columns[:, f], side="left").astype(np.uint8) for f, each in enumerate(borders)]
        rows, total = len(columns), np.zeros(len(columns))
        index, bit = np.empty(rows, np.uint8), np.empty(rows, np.bool_)
        for features, places, leaves in zip(self.feature.tolist(), place, self.leaf, strict=True):
            index[:] = 0
            for level in range(len(features) - 1, -1, -1):
                np.greater(passed[features[level]], places[level], out=bit)
                np.add(index, index, out=index)
                np.add(index, bit.view(np.uint8), out=index)
            total += leaves.take(index)
        return total


def numbers(x: Counts, terms: Terms, c: Counts) -> dict[str, Array]:
    """Return columns by name: logarithms of counts and coefficients, shares of the terms, fractions of a wave."""
    total = np.maximum(terms["total"], 1e-12)
    found: dict[str, Array] = {"log total": np.log(total)}
    for name, value in x.items():
        if name in ("launched", "wires", "draw", "exponentials", "adds", "narrow"):  # the machine's name tells as much
            continue
        found[f"log {name}"] = np.log(np.maximum(value, 1e-9))
    for name, value in c.items():
        found[f"coefficient {name}"] = np.log(value)
    for name, value in terms.items():
        if name == "waves":
            found["waves"] = np.log(np.maximum(value, 1e-6))
            found["last wave"] = np.ceil(value) / np.maximum(value, 1e-6)
        elif name != "total":
            found[f"share {name}"] = np.log(np.clip(value / total, 1e-5, 1e5))
    return found


def tokens(family: str, machine: str) -> set[str]:
    """Return the words of a family and machine that trees may ask for.

    >>> sorted(tokens("vllm 0.24 fa3|bf16", "h100-sxm"))
    ['0.24', 'bf16', 'fa3', 'on h100-sxm', 'vllm']
    """
    return {word for word in re.split(r"[| ]+", family) if word} | {f"on {machine}"}


Pairs = list[tuple[str, str]]


def pairs_of(families: NDArray[np.str_], machines: NDArray[np.str_]) -> tuple[Pairs, NDArray[np.int64]]:
    """Return the distinct (family, machine) pairs of rows, and each row's place among them."""
    pairs, index = np.unique(np.char.add(np.char.add(families, "\n"), machines), return_inverse=True)
    return [(str(pair).split("\n")[0], str(pair).split("\n")[1]) for pair in pairs], index


def columns(
    names: tuple[str, ...], found: dict[str, Array], pairs: Pairs, index: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the columns of the names, shape (rows, names): a number of `numbers`, or 1 where a row has the word."""
    each = [tokens(*pair) for pair in pairs]
    table = np.empty((len(names), len(index)), dtype=np.float32)
    for place, name in enumerate(names):
        table[place] = found[name] if name in found else np.array([name in have for have in each], np.float32)[index]
    return table.T
