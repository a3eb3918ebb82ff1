"""How many points of an index space few words allow: Hölder-Brascamp-Lieb inequalities for projections onto axes.

A finite set V of index points with projections φ_k(V) has |V| ≤ Π |φ_k(V)|^s_k for every s ≥ 0 whose sum over the
projections that keep an axis is at least 1, for each axis (Loomis & Whitney 1949, Finner 1992). An axis is no longer than
its extent, which is a projection of known size. Every choice of s that covers the axes gives a valid inequality, so that
what a search for good ones returns is right whether or not it is the best.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = (0.0, 0.5, 1.0)
_ROUND_UP = 1.0 + 1e-9  # far above the error of a dozen correctly rounded float64 operations


@dataclass(frozen=True)
class Projection:
    """The points seen along `axes`: at most `variable` words, each fibre of `each` words counting as one point."""

    variable: str
    axes: frozenset[str]
    each: int = 1


@dataclass(frozen=True)
class Cover:
    """Points of an index space that are limited by projections, one for each kind of word at hand."""

    lengths: tuple[tuple[str, int], ...]
    projections: tuple[Projection, ...]

    @property
    def shape(self) -> object:
        """What the best exponents depend on: extents, which axes each projection keeps, and which ones are of one kind."""
        places = {axis: k for k, (axis, _) in enumerate(self.lengths)}
        kinds = [p.variable for p in self.projections]
        kept = tuple((frozenset(places[a] for a in p.axes if a in places), p.each) for p in self.projections)
        return tuple(extent for _, extent in self.lengths), kept, tuple(map(kinds.index, kinds))

    def constant(self, s: Sequence[float]) -> float:
        """Return the logarithm of what does not depend on words: extents of axes left uncovered, fibres' lengths."""
        value = -sum(e * math.log(p.each) for e, p in zip(s, self.projections, strict=True))
        for axis, extent in self.lengths:
            covered = sum(e for e, p in zip(s, self.projections, strict=True) if axis in p.axes)
            value += max(0.0, 1.0 - covered) * math.log(extent)
        return value

    def exponents(self, s: Sequence[float]) -> dict[str, float]:
        """Return the exponent of each variable."""
        found: dict[str, float] = {}
        for e, p in zip(s, self.projections, strict=True):
            found[p.variable] = found.get(p.variable, 0.0) + e
        return found

    def most(self, s: Sequence[float], X: float) -> float:
        """Return the logarithm of the most points when all variables share X words, with exponents s (Lagrange)."""
        powers = [e for e in self.exponents(s).values() if e > 0]
        whole = sum(powers)
        return self.constant(s) + sum(e * math.log(e * X / whole) for e in powers)

    @lru_cache(maxsize=4096)  # noqa: B019 - frozen, and few
    def best(self, X: float) -> tuple[float, ...]:
        """Return good exponents for X words: the most points is a convex function of them, searched by steps."""
        start = min(product(_STEPS, repeat=len(self.projections)), key=lambda s: self.most(s, X))
        step = 0.25
        while step > 1e-3:
            moved = min(self._near(start, step), key=lambda s: self.most(s, X))
            if self.most(moved, X) < self.most(start, X) - 1e-12:
                start = moved
            else:
                step /= 2
        return start

    def _near(self, s: tuple[float, ...], step: float) -> Iterator[tuple[float, ...]]:
        for signs in product((-1, 0, 1), repeat=len(s)):
            yield tuple(min(1.0, max(0.0, e + sign * step)) for e, sign in zip(s, signs, strict=True))

    def points(self, X: float, s: tuple[float, ...] | None = None) -> float:
        """Return a number of points that X words never allow more than, with exponents s or the best found.

        >>> lw = [Projection(v, frozenset(a)) for v, a in (("A", "ik"), ("B", "kj"), ("C", "ij"))]
        >>> round(Cover(tuple((a, 10**6) for a in "ijk"), tuple(lw)).points(3e4))  # (X/3)^(3/2)
        1000000
        """
        return math.exp(min(700.0, self.most(s or self.best(X), X))) * _ROUND_UP

    def even(self, twins: Sequence[tuple[str, str]], X: float) -> list[tuple[float, ...]]:
        """Return exponents that are equal for twins, good ones for X words among them; an inequality holds for each."""
        found = [*self.vertices, self.best(X)]
        return list(dict.fromkeys(self._evened(s, twins) for s in found))

    def _evened(self, s: tuple[float, ...], twins: Sequence[tuple[str, str]]) -> tuple[float, ...]:
        exponents = list(s)
        for one, other in twins:
            places = [k for k, p in enumerate(self.projections) if p.variable in (one, other)]
            if len(places) > 1:
                mean = sum(s[k] for k in places) / len(places)
                for k in places:
                    exponents[k] = mean
        return tuple(exponents)

    @cached_property
    def vertices(self) -> tuple[tuple[float, ...], ...]:
        """Exponents with halves whose inequalities none of the others implies: less of each exponent, no more constant."""
        listed = [(s, self.constant(s)) for s in product(_STEPS, repeat=len(self.projections))]
        return tuple(s for s, c in listed if not any(t != s and k <= c and _below(t, s) for t, k in listed))

    def at(self, words: Mapping[str, Floats], choices: Sequence[tuple[float, ...]]) -> Floats:
        """Return the most points for given words of each kind (arrays): the least of the inequalities for `choices`."""
        found = [self._monomial(s, words) for s in choices]
        return np.asarray(np.minimum.reduce(found) * _ROUND_UP)

    def _monomial(self, s: Sequence[float], words: Mapping[str, Floats]) -> Floats:
        value = np.asarray(math.exp(min(700.0, self.constant(s))))
        for variable, e in self.exponents(s).items():
            if e:
                value = value * np.maximum(words[variable], 0.0) ** e
        return np.broadcast_to(value, next(iter(words.values())).shape)


def _below(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))
