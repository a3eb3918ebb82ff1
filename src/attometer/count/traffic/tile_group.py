"""Searches the tile sizes of one group of phases: exhaustively, pruned by what is monotone."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from attometer.count.bounds.attention import BoundSizes
from attometer.count.traffic.visits import PairFloor, intervals
from attometer.count.traffic.walk import Problem, problem
from attometer.count.traffic.words import held, moved
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.schedule.catalogue import SCHEDULES
from attometer.schedule.nest import Loop, Node, Schedule

Ints = NDArray[np.int64]
_PAIRS_AT_MOST = 2_000_000
_TRIALS_AT_MOST = 300
_INTERVALS_AT_MOST = 20_000_000


@lru_cache(maxsize=64)
def groups(chosen: Schedule) -> tuple[tuple[tuple[Loop, ...], tuple[str, ...]], ...]:
    """Return phases that share tile sizes, with those sizes; each group is optimised on its own."""
    groups: list[tuple[tuple[Loop, ...], set[str]]] = []
    for phase in chosen.phases:
        names = set(_tile_names((phase,)))
        joined: tuple[Loop, ...] = (phase,)
        rest = []
        for phases, used in groups:
            if used & names:
                joined, names = (*phases, *joined), names | used
            else:
                rest.append((phases, used))
        groups = [*rest, (joined, names)]
    return tuple((phases, tuple(t for t in chosen.tile_names if t in names)) for phases, names in groups)


def _tile_names(body: Iterable[Node]) -> Iterable[str]:
    for node in body:
        if isinstance(node, Loop):
            yield from (s.name for s in node.length.free_symbols)
            yield from _tile_names(node.body)


def _skips(node: Node) -> bool:
    """Whether a mask shortens a loop."""
    return isinstance(node, Loop) and (node.partner is not None or any(map(_skips, node.body)))


@lru_cache(maxsize=256)
def _costly(chosen: Schedule, phases: tuple[Loop, ...]) -> frozenset[str]:
    """Names of the tiles that the traffic depends on."""
    words = moved(chosen, phases, problem(chosen)).words
    return frozenset(symbol.name for symbol in words.free_symbols)


def free_tiles(chosen: Schedule, phases: tuple[Loop, ...], names: tuple[str, ...]) -> list[str]:
    """Return the tiles of a group that are searched: the traffic depends on them, and the number of chunks does not fix them."""
    costly = _costly(chosen, phases)
    # A fixed number of chunks fixes the tile that they are made of.
    fixed = ("t", "B_c") if "t" in names else ()
    return [t for t in names if t in costly and t not in fixed]


class TileGroup:
    """One group of phases with its tile sizes."""

    def __init__(
        self,
        chosen: Schedule,
        phases: tuple[Loop, ...],
        names: tuple[str, ...],
        sizes: Mapping[str, int],
        stack: int,
        s: BoundSizes,
        mask: Mask | None,
        fixed: Mapping[str, int],
    ) -> None:
        self.chosen, self.phases, self.names, self.sizes, self.stack, self.s = chosen, phases, names, sizes, stack, s
        self.mask = mask
        self.fixed = {name: fixed[name] for name in names if name in fixed}
        self.free = free_tiles(chosen, phases, names)
        where = Problem({**sizes}, None, stack)
        extents = {axis: int(where.axis(chosen, axis)) for axis, _ in chosen.axes if axis != "z"}
        axis_of = {symbol.name: axis for symbol, axis in chosen.tiles}
        self.extent = {t: max(extents.values()) if chosen.clipped else extents[axis_of[t]] for t in names}

    def tiles(self, free: Mapping[str, int | Ints]) -> dict[str, int | Ints]:
        """Return every tile of the group: the free ones given, the others fixed or 1."""
        return {name: free.get(name, self.fixed.get(name, 1)) for name in self.names}

    def need(self, free: Mapping[str, int | Ints]) -> Ints:
        """Return the fast-memory words of the group."""
        where = Problem({**self.sizes, **self.tiles(free)}, None, self.stack)
        return np.asarray(held(self.chosen, self.phases, where))

    def words(self, free: Mapping[str, int | Ints], mask: Mask | PairFloor | None) -> Ints:
        """Return the words that the group moves, once (not per copy)."""
        tiles = self.tiles(free)
        if self.s.n * self.s.m * (self.s.d + self.s.e) >= 1 << 58:
            # Python integers where a sum could pass 2^63.
            tiles = {k: v.astype(object) if isinstance(v, np.ndarray) else v for k, v in tiles.items()}
        where = Problem({**self.sizes, **tiles, "z": 1}, mask, self.stack)
        return np.asarray(moved(self.chosen, self.phases, where).words)

    def best(self) -> tuple[dict[str, int], bool]:
        """Return the best tiles of the group and whether they are proven best."""
        least = int(self.need({}))
        if least > self.s.M:
            # The smallest forward schedule is the naive one: an accumulator and two operands.
            hint = (
                "; hint: naive runs in 3 words"
                if self.chosen.name in SCHEDULES and not self.chosen.backward and self.s.M >= 3
                else ""
            )
            raise AttometerError(
                f'schedule "{self.chosen.name}" needs at least {least} words of fast memory at d = {self.s.d}, '
                f"e = {self.s.e}; M = {self.s.M}{hint}"
            )
        masked = self.mask is not None and any(map(_skips, self.phases))
        free, exact = self._masked(self.mask) if masked and self.mask and self.free else (self._dense(), True)
        return {name: int(value) for name, value in self.tiles(free).items()}, exact

    def _largest(self, name: str, others: Mapping[str, Ints], count: int) -> Ints:
        """The largest size of tile `name` that fits, for each candidate of the others; 0 where none does."""
        low, high = np.zeros(count, np.int64), np.full(count, self.extent[name], np.int64)
        while (low < high).any():
            middle = (low + high + 1) // 2
            fits = self.need({**others, name: middle}) <= self.s.M
            low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
        return low

    def _largest_alone(self, name: str) -> int:
        """The largest size of the only free tile that fits; whole numbers are several times faster than arrays of one."""
        low, high = 0, self.extent[name]
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if int(self.need({name: middle})) <= self.s.M else (low, middle - 1)
        return low

    def _dense(self) -> dict[str, int]:
        if not self.free:
            return {}
        if len(self.free) == 1:
            return {self.free[0]: self._largest_alone(self.free[0])}
        one, two = self.free
        first = distinct(self.extent[one])
        second = self._largest(two, {one: first}, len(first))
        first, second = first[second > 0], second[second > 0]
        at = int(np.argmin(self.words({one: first, two: second}, None)))
        return {one: int(first[at]), two: int(second[at])}

    def _candidates(self, most: int) -> tuple[dict[str, Ints], bool]:
        """Every feasible choice of the free tiles whose floor is below `most`, unless there are too many to list."""
        if len(self.free) == 1:
            return {self.free[0]: np.arange(1, self._largest_alone(self.free[0]) + 1)}, True
        one, two = self.free
        first = np.arange(1, self.extent[one] + 1)
        second = self._largest(two, {one: first}, len(first))
        first, second = first[second > 0], second[second > 0]
        least = self._smallest(two, {one: first}, second, most)
        count = np.maximum(second - least + 1, 0)
        if count.sum() > _PAIRS_AT_MOST:
            return {one: first, two: second}, False
        starts = np.repeat(np.cumsum(count) - count, count)
        return {one: np.repeat(first, count), two: np.arange(count.sum()) - starts + np.repeat(least, count)}, True

    def _smallest(self, name: str, others: Mapping[str, Ints], largest: Ints, most: int) -> Ints:
        """The smallest size of tile `name` whose floor is below `most`; above `largest` where there is none."""
        low, high = np.ones(len(largest), np.int64), largest + 1
        while (low < high).any():
            middle = (low + high) // 2
            below = self.words({**others, name: middle}, PairFloor(self.s.pairs)) < most
            low, high = np.where(below, low, middle + 1), np.where(below, middle, high)
        return low

    def _masked(self, mask: Mask) -> tuple[dict[str, int], bool]:
        chosen = self._dense()
        best = int(self.words(chosen, mask))
        trials = min(_TRIALS_AT_MOST, max(4, _INTERVALS_AT_MOST // max(1, intervals(mask, self.sizes["n"], self.s.m))))
        # Tiles that divide evenly are usually best; then every other one that could still be better.
        chosen, best, _ = self._tried(mask, self._even(), chosen, best, trials)
        candidates, complete = self._candidates(best)
        chosen, best, exhausted = self._tried(mask, candidates, chosen, best, trials)
        return chosen, complete and exhausted

    def _even(self) -> dict[str, Ints]:
        """The smallest tile for each number of tiles, with the largest other one beside it, or a square."""
        one, *others = self.free
        first = distinct(self.extent[one])
        if not others:
            return {one: first[first <= self._largest_alone(one)]}
        second = self._largest(others[0], {one: first}, len(first))
        first, second = first[second > 0], second[second > 0]
        extent = self.extent[others[0]]
        even = -(-extent // -(-extent // second))
        # Square tiles follow a diagonal band best, even where a longer one would fit.
        return {one: np.append(first, first), others[0]: np.append(even, np.minimum(even, first))}

    def _tried(
        self, mask: Mask, candidates: Mapping[str, Ints], chosen: dict[str, int], best: int, trials: int
    ) -> tuple[dict[str, int], int, bool]:
        """Evaluate candidates in the order of their floors until none can be better; whether that point was reached."""
        floor = np.broadcast_to(self.words(candidates, PairFloor(self.s.pairs)), len(candidates[self.free[0]]))
        # Larger tiles first among equal floors: they are evaluated faster and usually better.
        order = np.lexsort((-candidates[self.free[0]], floor))
        for trial, at in enumerate(order):
            if floor[at] >= best:
                return chosen, best, True
            if trial >= trials:
                return chosen, best, False
            tiles = {name: int(values[at]) for name, values in candidates.items()}
            words = int(self.words(tiles, mask))
            if words < best:
                best, chosen = words, tiles
        return chosen, best, True


def distinct(extent: int) -> Ints:
    """The smallest tile for each number of tiles: ⌈extent / k⌉ for k = 1 … extent, without repeats."""
    root = int(np.sqrt(extent)) + 1
    counts = np.arange(1, min(root, extent) + 1)
    sizes = np.concatenate([-(-extent // counts), np.arange(1, min(root, extent) + 1)])
    return np.unique(-(-extent // -(-extent // sizes)))
