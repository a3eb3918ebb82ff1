"""Random inputs: how each kind of input tensor is drawn, so that any mechanism runs out of the box."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = tuple[int, ...]
Draw: TypeAlias = Callable[[Shape, Mapping[str, int], np.random.Generator], NDArray[Any]]


def gaussian(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return standard normal numbers."""
    return rng.standard_normal(shape)


def weight(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return normal numbers of variance 1/(first extent): catalogue weights have their input width first."""
    return np.asarray(rng.standard_normal(shape) / np.sqrt(shape[0] if len(shape) > 1 else 1))


def orthogonal_gaussian(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return rows that are each standard normal and orthogonal within blocks of as many rows as columns.

    Source: Choromanski et al. 2020, arXiv:2009.14794, section 2.4 and Theorem 2 (regular orthogonal features).
    """
    rows, width = shape
    blocks = [np.linalg.qr(rng.standard_normal((width, width)))[0].T for _ in range(-(-rows // width))]
    directions = np.concatenate(blocks)[:rows]
    return np.asarray(directions * np.linalg.norm(rng.standard_normal(shape), axis=1)[:, None])


def johnson_lindenstrauss(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return a projection to `shape[0]` rows that keeps lengths on average: normal, variance 1/rows."""
    return np.asarray(rng.standard_normal(shape) / np.sqrt(shape[0]))


def positions(size: str) -> Draw:
    """Return a draw of integers, uniform with replacement, below the size called `size`."""

    def draw(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
        return rng.integers(0, sizes[size], shape)

    return draw


def unit_interval(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return numbers uniform in (0, 1): gates and decays."""
    return rng.uniform(0.0, 1.0, shape)


def unit_vectors(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return directions uniform on the sphere along the last axis."""
    drawn = rng.standard_normal(shape)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True))


def minus_unit_interval(shape: Shape, sizes: Mapping[str, int], rng: np.random.Generator) -> NDArray[Any]:
    """Return numbers uniform in (-1, 0): rates of decay."""
    return -rng.uniform(0.0, 1.0, shape)
