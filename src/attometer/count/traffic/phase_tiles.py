"""The tile sizes of one phase of a derived nest that move the fewest words through M words of fast memory.

A phase has at most two free tiles, x and y. What it holds at any moment is a + b x + c y + d x y words, and without a
mask what it moves is a + b X + c Y + d X Y with X and Y the numbers of tiles: one walk over the nest finds the
coefficients, and every choice of tiles is an evaluation. Under a mask the best few are counted exactly.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.count.traffic.tile_group import distinct
from attometer.count.traffic.walk import Number, Problem, peaks, walk
from attometer.count.traffic.words import moved
from attometer.schedule.nest import Load, Loop, Schedule, Store, Tile, loops, monomials

Ints = NDArray[np.int64]
Form = tuple[int, int, int, int]
"""Coefficients of 1, x, y and x y."""
_MASKED_TRIALS = 4


class _Inside(dict[str, sympy.Expr]):
    """The lengths of the innermost loops, by axis."""

    def inside(self, loop: Loop) -> "_Inside":
        return _Inside({**self, loop.axis: loop.length})


@dataclass(frozen=True)
class PhaseTiles:
    """The nests of a phase at given sizes with their free tiles, at most two; every other tile is a number, or 1."""

    schedule: Schedule
    nests: tuple[Loop, ...]
    sizes: Mapping[str, int]
    extents: Mapping[str, int]
    M: int

    @cached_property
    def axes(self) -> dict[str, int]:
        """The size of each axis."""
        return {axis: int(extent) for axis, extent in self.schedule.axes}

    @cached_property
    def peaks(self) -> list[Form]:
        """What the phase holds wherever something is about to be dropped; the most is among them."""
        forms = dict.fromkeys(peaks(self.nests, _Inside(), self._tile, _sum))
        return [f for f in forms if not any(g != f and all(p <= q for p, q in zip(f, g, strict=True)) for g in forms)]

    @cached_property
    def dense(self) -> Form:
        """What the phase moves where no mask skips anything, in numbers of tiles."""
        return _sum(self._moves())

    def need(self, tiles: Mapping[str, Number]) -> Number:
        """Return the fast-memory words."""
        values = [_value(form, *self._free(tiles)) for form in self.peaks]
        return np.maximum.reduce(np.broadcast_arrays(*values)) if len(values) > 1 else values[0]

    def words(self, tiles: Mapping[str, Number], masked: bool = True) -> Number:
        """Return the words moved; without `masked` those of a nest that skips nothing."""
        if not masked or not self._masked():
            counts = [
                -(-self.extents[name] // tile) for name, tile in zip(self.extents, self._free(tiles), strict=False)
            ]
            return _value(self.dense, *counts, *[1] * (2 - len(counts)))
        ones = dict.fromkeys(self.schedule.tile_names, 1)
        where = Problem({**self.sizes, **ones, **tiles}, None, 1)
        return moved(self.schedule, self.nests, where).words

    def best(self, limit: int | None = None) -> tuple[int, dict[str, int]] | None:
        """Return the fewest words found and the tiles that move them.

        None when even tiles of 1 do not fit, or when tiles as large as their axes move more than `limit` words.
        """
        if int(self.need({})) > self.M:
            return None
        if limit is not None and not self._masked() and int(self.words(self.extents)) > limit:
            return None
        candidates = list(self._candidates())
        found = [(int(self.words(tiles)), k) for k, tiles in enumerate(candidates)]
        words, at = min(found)
        return words, candidates[at]

    # --- coefficients ------------------------------------------------------------------------------------------------

    def _free(self, tiles: Mapping[str, Number]) -> tuple[Number, Number]:
        found = [tiles.get(name, 1) for name in self.extents]
        return (*found, *[1] * (2 - len(found)))

    def _flag(self, length: sympy.Expr) -> int:
        """Return 1 or 2 for the length of a free tile, 0 for a tile of 1."""
        names = list(self.extents)
        return names.index(length.name) + 1 if length.is_Symbol and length.name in names else 0

    def _tile(self, tile: Tile, inside: Mapping[str, sympy.Expr]) -> Form:
        """The words of a tile where the innermost loops of its axes have the given lengths."""
        forms = []
        for times, axes in monomials(tile.axes, self.schedule.images):
            words, flags = times, 0
            for axis in axes:
                flags |= self._flag(inside[axis]) if axis in inside else 0
                words *= _own(inside[axis]) if axis in inside else self.axes[axis]
            forms.append(_form(words, flags))
        return _sum(forms)

    def _moves(self) -> Iterator[Form]:
        for node, inside in walk(self.nests, _Inside()):
            if isinstance(node, Load | Store):
                for times, axes in monomials(node.tile.axes, self.schedule.images):
                    words, flags = times, 0
                    for axis, extent in self.axes.items():
                        if axis in axes:
                            words *= extent
                        elif axis in inside:
                            flag = self._flag(inside[axis])
                            flags |= flag
                            words *= 1 if flag else -(-extent // _own(inside[axis]))
                    yield _form(words, flags)

    # --- candidates --------------------------------------------------------------------------------------------------

    def _candidates(self) -> list[dict[str, int]]:
        free = list(self.extents)
        if not free:
            return [{}]
        first = distinct(self.extents[free[0]])
        if len(free) == 1:
            first = first[np.broadcast_to(self.need({free[0]: first}) <= self.M, first.shape)]
            order = np.argsort(-first, kind="stable")
            return [{free[0]: int(first[k])} for k in order[: self._trials()]]
        second = self._largest(first, self.extents[free[1]])
        first, second = first[second > 0], second[second > 0]
        dense = np.broadcast_to(self.words({free[0]: first, free[1]: second}, masked=False), first.shape)
        order = np.argsort(dense, kind="stable")[: self._trials()]
        return [{free[0]: int(first[k]), free[1]: int(second[k])} for k in order]

    def _trials(self) -> int:
        """Without a mask larger tiles are never worse; under one the best few are compared."""
        return _MASKED_TRIALS if self._masked() else 1

    def _masked(self) -> bool:
        return self._skips

    @cached_property
    def _skips(self) -> bool:
        return any(loop.where is not None for loop in loops(self.nests))

    def _largest(self, first: Ints, extent: int) -> Ints:
        """The largest second tile that fits beside each first one; 0 where none does."""
        largest = np.full(len(first), extent, np.int64)
        for a, b, c, d in self.peaks:
            rest, each = self.M - a - b * first, c + d * first
            fits = np.where(each > 0, rest // np.maximum(each, 1), np.where(rest >= 0, extent, 0))
            largest = np.minimum(largest, fits)
        return np.maximum(largest, 0)


def _own(length: sympy.Expr) -> int:
    """Return the length of a tile that is a number, 1 for one that is free."""
    return int(length) if length.is_Integer else 1


def _form(words: int, flags: int) -> Form:
    return (*[words if k == flags else 0 for k in range(4)],)  # type: ignore[return-value]


def _sum(forms: Iterable[Form]) -> Form:
    a = b = c = d = 0
    for one, x, y, xy in forms:
        a, b, c, d = a + one, b + x, c + y, d + xy
    return a, b, c, d


def _value(form: Form, x: Number, y: Number) -> Number:
    a, b, c, d = form
    return a + b * x + c * y + d * x * y
