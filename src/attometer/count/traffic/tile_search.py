"""The tile sizes that move the fewest words through a fast memory of M words: exact integer optima.

Without a mask, traffic depends on a tile only through the number of tiles, so it never grows when a tile grows, while the
footprint never shrinks. Tiles that do not appear in the traffic are 1. Of two tiles that do, the first need only take the
smallest size for each number of tiles, and the second the largest size that fits; that is an exhaustive search. Under a
mask a larger tile can cost more, so that candidates are tried in the order of a floor of their traffic until the floor
reaches the best found.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attometer.count.bounds.attention import BoundSizes, attention_sizes
from attometer.count.traffic.tile_group import TileGroup, groups
from attometer.count.traffic.walk import problem
from attometer.count.traffic.words import footprint, held, traffic
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.schedule.catalogue import schedule
from attometer.schedule.nest import Schedule
from attometer.view.printed import Printed


@dataclass(frozen=True)
class BestTiles(Printed):
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "tiles": dict(self.tiles), "notes": list(self.notes)}

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
    if not isinstance(chosen, Schedule):
        raise AttometerError(f"best_tiles takes a schedule or its name, got {type(family).__name__}")
    s = attention_sizes(n, d, M, m, e, mask, heads, kv_heads, batch)
    stack = s.n // n
    sizes = {"n": n, "m": s.m, "d": d, "e": s.e, **others}
    fixed = {"t": -(-s.m // min(splits, s.m))} if "t" in chosen.tile_names else {}
    tiles: dict[str, int] = {}
    exact = True
    for phases, names in groups(chosen):
        search = TileGroup(chosen, phases, names, sizes, stack, s, mask, fixed)
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
