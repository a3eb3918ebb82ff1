"""The tile sizes of one phase of a derived nest that move the fewest words through M words of fast memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attometer.count.traffic.tile_group import distinct
from attometer.count.traffic.walk import Number, Problem
from attometer.count.traffic.words import held, moved
from attometer.schedule.nest import Loop, Schedule, loops

Ints = NDArray[np.int64]
_MASKED_TRIALS = 4


@dataclass(frozen=True)
class PhaseTiles:
    """A phase at given sizes with its free tiles, at most two; every other tile is 1."""

    schedule: Schedule
    phase: Loop
    sizes: Mapping[str, int]
    extents: Mapping[str, int]
    M: int

    def need(self, tiles: Mapping[str, Number]) -> Number:
        """Return the fast-memory words."""
        ones = dict.fromkeys(self.schedule.tile_names, 1)
        return held(self.schedule, (self.phase,), Problem({**self.sizes, **ones, **tiles}))

    def words(self, tiles: Mapping[str, Number], masked: bool = True) -> Number:
        """Return the words moved; without `masked` those of a nest that skips nothing."""
        ones = dict.fromkeys(self.schedule.tile_names, 1)
        where = Problem({**self.sizes, **ones, **tiles}, None, 1, masked)
        return moved(self.schedule, (self.phase,), where).words

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

    def _candidates(self) -> list[dict[str, int]]:
        free = list(self.extents)
        if not free:
            return [{}]
        first = distinct(self.extents[free[0]])
        if len(free) == 1:
            first = first[self._fits({free[0]: first})]
            order = np.argsort(-first, kind="stable")
            return [{free[0]: int(first[k])} for k in order[: self._trials()]]
        second = self._largest(free[1], {free[0]: first}, len(first))
        first, second = first[second > 0], second[second > 0]
        dense = np.broadcast_to(self.words({free[0]: first, free[1]: second}, masked=False), first.shape)
        order = np.argsort(dense, kind="stable")[: self._trials()]
        return [{free[0]: int(first[k]), free[1]: int(second[k])} for k in order]

    def _trials(self) -> int:
        """Without a mask larger tiles are never worse; under one the best few are compared."""
        return _MASKED_TRIALS if self._masked() else 1

    def _masked(self) -> bool:
        return any(loop.where is not None for loop in loops((self.phase,)))

    def _fits(self, tiles: Mapping[str, Ints]) -> NDArray[np.bool_]:
        (some,) = tiles.values()
        return np.broadcast_to(np.asarray(self.need(tiles)) <= self.M, some.shape)

    def _largest(self, name: str, others: Mapping[str, Ints], count: int) -> Ints:
        """The largest tile that fits beside each candidate of the other; 0 where none does."""
        low, high = np.zeros(count, np.int64), np.full(count, self.extents[name], np.int64)
        while (low < high).any():
            middle = (low + high + 1) // 2
            fits = np.asarray(self.need({**others, name: middle})) <= self.M
            low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
        return low
