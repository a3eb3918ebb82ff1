"""Depth against words moved: splitting the keys shortens the longest chain of operations and moves partial results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attometer.count.traffic.words import footprint, traffic
from attometer.count.work.schedule_work import depth
from attometer.errors import AttometerError
from attometer.schedule.catalogue import schedule


@dataclass(frozen=True)
class TradeOff:
    """One choice of `splits` and tiles, with its depth (operations) and words moved."""

    splits: int
    tiles: Mapping[str, int]
    words: int
    depth: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "tiles": dict(self.tiles)}


def split_tradeoff(*, n: int, d: int, M: int, m: int | None = None, e: int | None = None) -> tuple[TradeOff, ...]:
    """Return the choices of split-KV attention of which no other is both shallower and cheaper, cheapest first.

    Splits and tile widths run over powers of two, rows fill the fast memory of M words.

    Raises AttometerError when nothing fits into M words.

    >>> front = split_tradeoff(n=64, d=8, M=2048)
    >>> [(p.splits, p.words, p.depth) for p in front[:2]]
    [(1, 3328, 174), (1, 4352, 60)]
    """
    keys, values = n if m is None else m, d if e is None else e
    sizes = {"n": n, "m": keys, "d": d, "e": values}
    points = sorted(_points(sizes, M), key=lambda p: (p.words, p.depth))
    if not points:
        raise AttometerError(f'schedule "split_kv" does not fit into M = {M} words at d = {d}, e = {values}')
    front: list[TradeOff] = []
    for point in points:
        if not front or point.depth < front[-1].depth:
            front.append(point)
    return tuple(front)


def _points(sizes: Mapping[str, int], M: int) -> Iterator[TradeOff]:
    chosen = schedule("split_kv")
    for width in _powers(sizes["m"]):
        tiles_of_keys = -(-sizes["m"] // width)
        for splits in _powers(tiles_of_keys):
            tiles = {"B_c": width, "t": -(-tiles_of_keys // splits), "B_d": sizes["d"], "B_e": sizes["e"]}
            rows = _rows(sizes, tiles, M)
            if rows:
                both = {**sizes, **tiles, "B_r": rows}
                words = int(traffic(chosen, both).words)
                named = {name: both[name] for name in chosen.tile_names}
                yield TradeOff(-(-tiles_of_keys // tiles["t"]), named, words, int(depth(chosen, both)))


def _powers(limit: int) -> Iterator[int]:
    power = 1
    while power <= limit:
        yield power
        power *= 2


def _rows(sizes: Mapping[str, int], tiles: Mapping[str, int], M: int) -> int:
    """The most rows that fit, 0 when not even one does."""
    low, high = 0, sizes["n"]
    while low < high:
        middle = (low + high + 1) // 2
        fits = int(footprint(schedule("split_kv"), {**sizes, **tiles, "B_r": middle})) <= M
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
