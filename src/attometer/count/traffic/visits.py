"""Which tiles of the score matrix a schedule visits under a mask, and how many rows, columns and scores they hold."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.count.formulas.graph import Graph, Node
from attometer.count.traffic.band_visits import aligned, band_visits
from attometer.masks import Mask
from attometer.masks.counts import chunks_of_rows

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Visits:
    """Sums over the non-empty tiles: their number, rows, columns and scores (rows × columns); ragged edges exact."""

    tiles: int
    rows: int
    columns: int
    scores: int

    def of(self, rows: bool, columns: bool) -> int:
        """Return the sum that counts extents along rows, along columns, both or neither."""
        return (self.scores if columns else self.rows) if rows else (self.columns if columns else self.tiles)


@lru_cache(maxsize=4096)
def visits(mask: Mask, n: int, m: int, height: int, width: int, stack: int = 1) -> Visits:
    """Count the non-empty tiles of `height` stacked rows × `width` keys; query i is `stack` consecutive rows.

    >>> from attometer.masks import causal
    >>> visits(causal(), 4, 4, 2, 2)
    Visits(tiles=3, rows=6, columns=6, scores=12)
    """
    first, last = _queries(n * stack, height, stack)
    heights = np.diff(np.append(np.arange(0, n * stack, height), n * stack))
    if mask.reach is not None:
        counts, columns = _band(mask, first, last, n, m, width)
    else:
        counts, columns = _any(mask, n, m, height, width, stack)
    return Visits(int(counts.sum()), int((heights * counts).sum()), int(columns.sum()), int((heights * columns).sum()))


def _queries(rows: int, height: int, stack: int) -> tuple[Ints, Ints]:
    start = np.arange(0, rows, height)
    return start // stack, (np.minimum(start + height, rows) - 1) // stack


def _band(mask: Mask, first: Ints, last: Ints, n: int, m: int, width: int) -> tuple[Ints, Ints]:
    # Both ends of a band move with the query, so a run of queries sees one interval of keys.
    low, _ = mask.intervals(first, n, m)
    _, high = mask.intervals(last, n, m)
    shift = np.maximum(high[0] - low[0], 0) > 0
    start, end = low[0] // width, -(-high[0] // width)
    return np.where(shift, end - start, 0), np.where(shift, np.minimum(end * width, m) - start * width, 0)


def _any(mask: Mask, n: int, m: int, height: int, width: int, stack: int) -> tuple[Ints, Ints]:
    """Unite the intervals of all rows of each tile on one line, on which every tile of rows has its own stretch."""
    query, start, end = _intervals(mask, n, m)
    first, last = query * stack // height, (query * stack + stack - 1) // height
    tiles, stretch = -(-n * stack // height), -(-m // width) + 1
    # A query's stacked rows may fall into several tiles; each of them sees its keys.
    for extra in range(1, int((last - first).max(initial=0)) + 1):
        more = first[: len(query)] + extra <= last[: len(query)]
        first = np.append(first, (first[: len(query)] + extra)[more])
        start, end = np.append(start, start[: len(query)][more]), np.append(end, end[: len(query)][more])
    low, high = first * stretch + start // width, first * stretch - (-end // width)
    order = np.argsort(low, kind="stable")
    low, high, tile = low[order], high[order], first[order]
    if len(low):
        low = np.maximum(low, np.maximum.accumulate(np.append(0, high[:-1])))
    keep = high > low
    low, high, tile = low[keep], high[keep], tile[keep]
    words = np.minimum((high - tile * stretch) * width, m) - (low - tile * stretch) * width
    counts = np.bincount(tile, weights=high - low, minlength=tiles)
    return counts.astype(np.int64), np.bincount(tile, weights=words, minlength=tiles).astype(np.int64)


@lru_cache(maxsize=8)
def _intervals(mask: Mask, n: int, m: int) -> tuple[Ints, Ints, Ints]:
    """Every non-empty interval of keys: its query, start and end."""
    parts = []
    done = 0
    for start, end in chunks_of_rows(mask, n, m):
        rows = np.arange(done, done + start.shape[1])
        done += start.shape[1]
        held = end > start
        parts.append((np.broadcast_to(rows, start.shape)[held], start[held], end[held]))
    query, start, end = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return query, start, end


def intervals(mask: Mask, n: int, m: int) -> int:
    """Return how many intervals of keys the rows of a mask have: the effort of counting tiles once.

    >>> from attometer.masks import strided
    >>> intervals(strided(2), 4, 4)
    8
    """
    return 2 * n if mask.reach is not None else len(_intervals(mask, n, m)[0])


@dataclass(frozen=True)
class PairFloor:
    """Stands in for a mask with `pairs` allowed pairs: every sum over tiles becomes a floor of it, for pruning a search."""

    pairs: int

    def of(self, height: Any, width: Any, rows: bool, columns: bool) -> Any:
        """Return what any mask with this many pairs visits at least; `height` and `width` may be arrays."""
        area = (1 if rows else height) * (1 if columns else width)
        return -(-self.pairs // area)


@lru_cache(maxsize=256)
def _function(mask: Mask, rows: bool, columns: bool) -> Any:
    what = {
        (False, False): "tiles",
        (True, False): "tile_rows",
        (False, True): "tile_columns",
        (True, True): "tile_scores",
    }
    name = what[rows, columns]

    def evaluate(cls: Any, *arguments: Any) -> Any:
        if not all(a.is_Integer for a in arguments):
            return None
        n, m, height, width, stack = map(int, arguments)
        return sympy.Integer(visits(mask, n, m, height, width, stack).of(rows, columns))

    def text(self: Any, printer: Any) -> str:
        return f"{name}[{mask}]({', '.join(printer._print(a) for a in self.args[:4])})"

    def lowered(graph: Graph, arguments: tuple[Node, ...]) -> Node | None:
        """Return the closed form, right for n ≤ m; None where there is none."""
        n, m, *rest = arguments
        sizes = [value for node in rest if (value := graph.value(node)) is not None]
        if len(sizes) < 3 or not aligned(mask, *sizes):
            return None
        return band_visits(graph, mask, n, m, *sizes).of(rows, columns)

    return type(
        name,
        (sympy.Function,),
        {
            "eval": classmethod(evaluate),
            "_sympystr": text,
            "lowered": staticmethod(lowered),
            "is_integer": True,
            "is_nonnegative": True,
        },
    )


def visited(
    mask: Mask | PairFloor, n: Any, m: Any, height: Any, width: Any, stack: Any, rows: bool, columns: bool
) -> Any:
    """Return a sum over the non-empty tiles, as an int for integers and as an exact counting function otherwise.

    >>> from attometer.masks import causal
    >>> from attometer.sizes import size
    >>> visited(causal(), size("n"), size("n"), size("B_r"), size("B_c"), 1, False, True)
    tile_columns[causal](n, n, B_r, B_c)
    """
    if isinstance(mask, PairFloor):
        return mask.of(height, width, rows, columns)
    arguments = (n, m, height, width, stack)
    if all(isinstance(a, int | np.integer) for a in arguments):
        return visits(mask, *map(int, arguments)).of(rows, columns)
    return _function(mask, rows, columns)(*map(sympy.sympify, arguments))
