"""Words moved as a function of the fast memory M: every schedule at its best tiles, and every lower bound."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.count.bounds.attention import ATTENTION_BOUNDS, CLASSES, attention_sizes, best_bound
from attometer.count.bounds.backward import BACKWARD_BOUNDS
from attometer.count.traffic.tile_search import best_tiles
from attometer.count.traffic.words import traffic
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.schedule.catalogue import SCHEDULES, schedule

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class IoCurve:
    """Arrays over `M`, words: `words` and `reads` per schedule (NaN where it cannot run), `bounds` by name.

    `classes` holds, for each class of algorithms, the strongest bound that covers it.
    """

    n: int
    m: int
    d: int
    e: int
    mask: str | None
    M: NDArray[np.int64]
    words: Mapping[str, Floats]
    reads: Mapping[str, Floats]
    bounds: Mapping[str, Floats]
    classes: Mapping[str, Floats]

    @property
    def best(self) -> Floats:
        """The fewest words of any schedule at each M."""
        return np.asarray(np.nanmin(np.stack(list(self.words.values())), axis=0))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; None where a schedule cannot run."""

        def plain(table: Mapping[str, Floats]) -> dict[str, list[int | None]]:
            return {name: [None if np.isnan(x) else int(x) for x in row] for name, row in table.items()}

        sizes = {"n": self.n, "m": self.m, "d": self.d, "e": self.e}
        tables = {"words": self.words, "reads": self.reads, "bounds": self.bounds, "classes": self.classes}
        return {"sizes": sizes, "mask": self.mask, "M": self.M.tolist(), **{k: plain(v) for k, v in tables.items()}}


def memory_grid(n: int, d: int, e: int, count: int = 40) -> NDArray[np.int64]:
    """Return memory sizes from 8 words to twice the inputs and outputs, geometric, with d² and n d among them.

    >>> memory_grid(64, 4, 4, 5).tolist()
    [8, 16, 27, 91, 256, 304, 1024]
    """
    top = 2 * n * (d + e)
    points = np.geomspace(8, max(top, 16), count).round().astype(np.int64)
    return np.unique(np.append(points, [max(8, d * d), max(8, n * d)]))


def io_curve(
    *,
    n: int,
    d: int,
    m: int | None = None,
    e: int | None = None,
    mask: Mask | None = None,
    heads: int = 1,
    kv_heads: int | None = None,
    batch: int = 1,
    M: Sequence[int] | None = None,
    schedules: Iterable[str] | None = None,
    backward: bool = False,
) -> IoCurve:
    """Return the words that every schedule moves and every bound demands, over a grid of fast memories.

    Raises AttometerError for bad sizes or an unknown schedule.

    >>> curve = io_curve(n=64, d=4, M=[16, 64, 256])
    >>> curve.words["flash2"].tolist(), bool((curve.best >= curve.classes["tree"]).all())
    ([33344.0, 7232.0, 2112.0], True)
    """
    values = d if e is None else e
    grid = memory_grid(n, d, values) if M is None else np.asarray(M, dtype=np.int64)
    names = [k for k in SCHEDULES if schedule(k).backward == backward] if schedules is None else list(schedules)
    rules = BACKWARD_BOUNDS if backward else ATTENTION_BOUNDS
    shape: dict[str, Any] = {"n": n, "d": d, "m": m, "e": e, "mask": mask, "heads": heads, "kv_heads": kv_heads}
    shape["batch"] = batch
    sizes = [attention_sizes(M=int(words), **shape) for words in grid]
    moved = {name: [_moved(name, shape, int(words)) for words in grid] for name in names}
    return IoCurve(
        n,
        sizes[0].m,
        d,
        values,
        None if mask is None else str(mask),
        grid,
        {name: np.array([pair[0] for pair in pairs]) for name, pairs in moved.items()},
        {name: np.array([pair[1] for pair in pairs]) for name, pairs in moved.items()},
        {bound.name: np.array([float(bound.value(s)) for s in sizes]) for bound in rules},
        {c: np.array([float(best_bound(s, c, rules)[1]) for s in sizes]) for c in CLASSES},
    )


def _moved(name: str, shape: Mapping[str, Any], M: int) -> tuple[float, float]:
    """Words and reads at the best tiles, NaN where the schedule cannot run."""
    schedule(name)
    try:
        best = best_tiles(name, M=M, **shape)
    except AttometerError as error:
        if "needs at least" in str(error):
            return float("nan"), float("nan")
        raise
    s = attention_sizes(M=M, **shape)
    sizes = {"n": shape["n"], "m": s.m, "d": s.d, "e": s.e, **best.tiles}
    return float(best.words), float(traffic(schedule(name), sizes, shape["mask"], s.copies, s.n // shape["n"]).read)
