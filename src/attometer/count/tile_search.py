"""The tile sizes that move the fewest words through a fast memory of M words: exact integer optima.

Without a mask, traffic depends on a tile only through the number of tiles, so it never grows when a tile grows, while the
footprint never shrinks. Tiles that do not appear in the traffic are 1. Of two tiles that do, the first need only take the
smallest size for each number of tiles, and the second the largest size that fits; that is an exhaustive search. Under a
mask a larger tile can cost more, so that candidates are tried in the order of a floor of their traffic until the floor
reaches the best found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from attometer.count.bounds import BoundSizes, attention_sizes
from attometer.count.traffic import footprint, held, moved, traffic
from attometer.count.visits import PairFloor
from attometer.count.walk import Problem, problem
from attometer.errors import AttometerError
from attometer.program.masks import Mask
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.schedule.nest import Loop, Node, Schedule

Ints = NDArray[np.int64]
_PAIRS_AT_MOST = 2_000_000
_TRIALS_AT_MOST = 300


@dataclass(frozen=True)
class BestTiles:
    """The best tiles of a schedule at M words: `words` moved in all, `footprint` words held.

    `exact` says that no other tiles move fewer words; `notes` say what else a reader should know.
    """

    schedule: str
    tiles: Mapping[str, int]
    words: int
    footprint: int
    M: int
    exact: bool
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} = {value}" for name, value in self.tiles.items())
        proof = "optimal" if self.exact else "best found"
        head = (
            f"{self.schedule}: {sizes} ({proof}) moves {self.words:,} words, holds {self.footprint:,} of M = {self.M:,}"
        )
        return "\n".join([head, *self.notes])


def best_tiles(
    family: str | Schedule,
    *,
    n: int,
    d: int,
    M: int,
    m: int | None = None,
    e: int | None = None,
    mask: Mask | None = None,
    heads: int = 1,
    kv_heads: int | None = None,
    batch: int = 1,
    splits: int = 8,
    **others: int,
) -> BestTiles:
    """Return the tiles with which a schedule moves the fewest words through a fast memory of M words.

    `n` queries, `m` keys (default n), head dimensions `d` and `e` (default d); query heads that share a key/value head are
    stacked as rows. `splits` is the number of chunks of `split_kv`; `others` are sizes that only this schedule has,
    such as `k` of `linformer`.

    Raises AttometerError when the schedule cannot run in M words, naming the words it needs.

    >>> print(best_tiles("flash2", n=65536, d=64, M=98304))
    flash2: B_r = 750, B_c = 1, B_d = 1, B_e = 1 (optimal) moves 746,651,648 words, holds 98,251 of M = 98,304
    """
    chosen = schedule(family) if isinstance(family, str) else family
    s = attention_sizes(n, d, M, m, e, mask, heads, kv_heads, batch)
    stack = s.n // n
    sizes = {"n": n, "m": s.m, "d": d, "e": s.e, **others}
    fixed = {"t": -(-s.m // min(splits, s.m))} if "t" in chosen.tile_names else {}
    tiles: dict[str, int] = {}
    exact = True
    for phases, names in _groups(chosen):
        search = _Search(chosen, phases, names, sizes, stack, s, mask, fixed)
        found, proven = search.best()
        tiles, exact = tiles | found, exact and proven
    ordered = {name: tiles[name] for name in chosen.tile_names}
    words = int(traffic(chosen, {**sizes, **ordered}, mask, s.copies, stack).words)
    need = int(footprint(chosen, {**sizes, **ordered}, stack))
    return BestTiles(chosen.name, ordered, words, need, M, exact, _notes(chosen, s, sizes, stack))


def paper_blocks(M: int, d: int) -> dict[str, int]:
    """Return the block sizes that FlashAttention 1 prescribes: B_c = ⌈M / 4d⌉ and B_r = min(B_c, d).

    >>> paper_blocks(98304, 128)
    {'B_r': 128, 'B_c': 192}
    """
    columns = -(-M // (4 * d))
    return {"B_r": min(columns, d), "B_c": columns}


def check_tiles(chosen: Schedule, tiles: Mapping[str, int], sizes: Mapping[str, int], M: int, stack: int = 1) -> int:
    """Return the footprint of given tiles in words.

    Raises AttometerError for missing tiles, tiles larger than the problem, or tiles that overflow M words.

    >>> check_tiles(schedule("flash1"), {"B_r": 4, "B_c": 8}, {"n": 64, "m": 64, "d": 4, "e": 4}, 256)
    136
    """
    if set(tiles) != set(chosen.tile_names):
        raise AttometerError(
            f'schedule "{chosen.name}" has tiles {", ".join(chosen.tile_names)}; got {", ".join(tiles) or "none"}'
        )
    where = problem(chosen, {**sizes, **tiles}, stack=stack)
    for symbol, axis in chosen.tiles:
        extent = int(where.axis(chosen, axis))
        if not 1 <= tiles[symbol.name] <= extent and not (chosen.clipped and tiles[symbol.name] >= 1):
            raise AttometerError(
                f"tile {symbol.name} = {tiles[symbol.name]} is not between 1 and {extent}, its axis {axis}"
            )
    need = int(held(chosen, chosen.phases, where))
    if need > M:
        given = ", ".join(f"{k} = {v}" for k, v in tiles.items())
        raise AttometerError(f'tiles {given} of "{chosen.name}" need {need} words and M = {M}; hint: use best_tiles')
    return need


def smallest_memory(name: str, n: int, m: int, d: int, e: int) -> int:
    """Return the fewest words of fast memory in which a schedule runs: every tile 1.

    >>> smallest_memory("flash2", 64, 64, 8, 8)
    20
    """
    chosen = schedule(name)
    return int(footprint(chosen, {"n": n, "m": m, "d": d, "e": e, **dict.fromkeys(chosen.tile_names, 1)}))


def _notes(chosen: Schedule, s: BoundSizes, sizes: Mapping[str, int], stack: int) -> tuple[str, ...]:
    if chosen.name != "flash1":
        return ()
    blocks = paper_blocks(s.M, s.d)
    clipped = {"B_r": min(blocks["B_r"], s.n), "B_c": min(blocks["B_c"], s.m)}
    need = int(footprint(chosen, {**sizes, **clipped}, stack))
    if need <= s.M:
        return ()
    return (
        f"the paper's own blocks B_c = ⌈M/4d⌉ = {clipped['B_c']}, B_r = min(B_c, d) = {clipped['B_r']} "
        f"need {need:,} words: {need / s.M:.2f} M",
    )


@lru_cache(maxsize=64)
def _groups(chosen: Schedule) -> tuple[tuple[tuple[Loop, ...], tuple[str, ...]], ...]:
    """Phases that share tile sizes, with those sizes; each group is optimised on its own."""
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


class _Search:
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
        costly = _costly(chosen, phases)
        # A fixed number of chunks fixes the tile that they are made of.
        self.free = [t for t in names if t in costly and not (self.fixed and t in ("t", "B_c"))]
        where = Problem({**sizes}, None, stack)
        extents = {axis: int(where.axis(chosen, axis)) for axis, _ in chosen.axes if axis != "z"}
        axis_of = {symbol.name: axis for symbol, axis in chosen.tiles}
        self.extent = {t: max(extents.values()) if chosen.clipped else extents[axis_of[t]] for t in names}

    def tiles(self, free: Mapping[str, int | Ints]) -> dict[str, int | Ints]:
        return {name: free.get(name, self.fixed.get(name, 1)) for name in self.names}

    def need(self, free: Mapping[str, int | Ints]) -> Ints:
        where = Problem({**self.sizes, **self.tiles(free)}, None, self.stack)
        return np.asarray(held(self.chosen, self.phases, where))

    def words(self, free: Mapping[str, int | Ints], mask: Mask | PairFloor | None) -> Ints:
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

    def _dense(self) -> dict[str, int]:
        if not self.free:
            return {}
        if len(self.free) == 1:
            return {self.free[0]: int(self._largest(self.free[0], {}, 1)[0])}
        one, two = self.free
        first = _distinct(self.extent[one])
        second = self._largest(two, {one: first}, len(first))
        first, second = first[second > 0], second[second > 0]
        at = int(np.argmin(self.words({one: first, two: second}, None)))
        return {one: int(first[at]), two: int(second[at])}

    def _candidates(self) -> tuple[dict[str, Ints], bool]:
        """Every feasible choice of the free tiles, or the largest ones when there are too many to list."""
        if len(self.free) == 1:
            return {self.free[0]: np.arange(1, int(self._largest(self.free[0], {}, 1)[0]) + 1)}, True
        one, two = self.free
        first = np.arange(1, self.extent[one] + 1)
        second = self._largest(two, {one: first}, len(first))
        first, second = first[second > 0], second[second > 0]
        if second.sum() > _PAIRS_AT_MOST:
            return {one: first, two: second}, False
        starts = np.repeat(np.cumsum(second) - second, second)
        return {one: np.repeat(first, second), two: np.arange(second.sum()) - starts + 1}, True

    def _masked(self, mask: Mask) -> tuple[dict[str, int], bool]:
        candidates, complete = self._candidates()
        floor = np.broadcast_to(self.words(candidates, PairFloor(self.s.pairs)), len(candidates[self.free[0]]))
        # Larger tiles first among equal floors: they are evaluated faster and usually better.
        order = np.lexsort((-candidates[self.free[0]], floor))
        best, chosen = None, {}
        for trial, at in enumerate(order):
            if best is not None and (floor[at] >= best or trial >= _TRIALS_AT_MOST):
                return chosen, complete and bool(floor[at] >= best)
            tiles = {name: int(values[at]) for name, values in candidates.items()}
            words = int(self.words(tiles, mask))
            if best is None or words < best:
                best, chosen = words, tiles
        return chosen, complete


def _distinct(extent: int) -> Ints:
    """The smallest tile for each number of tiles: ⌈extent / k⌉ for k = 1 … extent, without repeats."""
    root = int(np.sqrt(extent)) + 1
    counts = np.arange(1, min(root, extent) + 1)
    sizes = np.concatenate([-(-extent // counts), np.arange(1, min(root, extent) + 1)])
    return np.unique(-(-extent // -(-extent // sizes)))
