"""The traffic of an attention part under a schedule of the catalogue, with tiles for a fast memory of so many words."""

from dataclasses import dataclass
from functools import lru_cache

import sympy
from sympy import Add

from attometer.count.traffic.attention_shape import AttentionShape, attention_shape, program_traffic
from attometer.count.traffic.band_visits import aligned
from attometer.count.traffic.tile_search import best_tiles
from attometer.errors import AttometerError
from attometer.program import Program
from attometer.schedule.catalogue import schedule
from attometer.schedule.nest import Schedule
from attometer.sizes import size

LONG = 2**17
"""Tiles are those that are best at so many tokens: they depend on the machine and the widths, not on the length."""
CACHED = ("K", "V")


@dataclass(frozen=True)
class FastMemory:
    """Words of fast memory, and the queries that tiles are made for: `LONG` of them, or one when decoding."""

    words: int
    queries: int = LONG


@dataclass(frozen=True, eq=False)
class PartTraffic:
    """Words moved by one copy of a part: `cached` of keys and values, `moved` the rest; `scratch` kept in slow memory."""

    tiles: dict[str, int]
    cached: sympy.Expr
    moved: sympy.Expr
    scratch: sympy.Expr


@lru_cache(maxsize=1024)
def part_traffic(program: Program, name: str, fast: FastMemory) -> PartTraffic | None:
    """Return the counted words of the schedule `name`; None where it does not run this program (which is then one kernel).

    Masks other than causal ones and windows have no closed form, and are left to one kernel too. Raises AttometerError
    when the schedule cannot run in so few words.

    >>> from attometer.models import model
    >>> from attometer.count.model_cost import model_cost
    >>> attention = next(p for _, p in model_cost(model("llama-3.1-8b")).parts() if p.kind == "attention")
    >>> found = part_traffic(attention.program, "flash2", FastMemory(116_736))
    >>> found.tiles["B_r"], found.moved
    (448, 8224*b*n)
    """
    how = schedule(name)
    try:
        shape = attention_shape(program)
    except AttometerError:
        return None
    if not all(value.is_Integer for value in (shape.d, shape.e, shape.stack)):
        return None
    tiles = _tiles(how, shape, fast)
    moves = program_traffic(program, how)
    bound = {size(tile): sympy.Integer(length) for tile, length in tiles.items()}
    reads, writes = (
        {k: sympy.sympify(v).xreplace(bound) for k, v in side.items()} for side in (moves.reads, moves.writes)
    )
    if any(not _closed(words, shape) for words in (*reads.values(), *writes.values())):
        return None
    scratch = [words for tensor, words in writes.items() if dict(how.tensors)[tensor].role == "scratch"]
    others = [words for tensor, words in reads.items() if tensor not in CACHED]
    return PartTraffic(tiles, Add(*(reads[k] for k in CACHED)), Add(*others, *writes.values()), Add(*scratch))


def _tiles(how: Schedule, shape: AttentionShape, fast: FastMemory) -> dict[str, int]:
    """Return the best tiles, rounded down to whole queries and to multiples of one another: then their words have closed forms."""
    d, e, stack = int(shape.d), int(shape.e), int(shape.stack)
    best = best_tiles(how, n=fast.queries, m=LONG, d=d, e=e, M=fast.words, heads=stack, kv_heads=1).tiles
    axes = {symbol.name: axis for symbol, axis in how.tiles}
    rows = {tile: _whole_queries(length, stack) for tile, length in best.items() if axes[tile] == "i"}
    # Key tiles meet the smaller tiles of rows under the mask.
    queries = min((max(1, length // stack) for length in rows.values()), default=1)
    keys = {tile: _multiple(length, queries) for tile, length in best.items() if axes[tile] == "j"}
    return {tile: rows.get(tile, keys.get(tile, length)) for tile, length in best.items()}


def _whole_queries(length: int, stack: int) -> int:
    if length >= stack:
        return length // stack * stack
    return max(h for h in range(1, length + 1) if stack % h == 0)


def _multiple(length: int, of: int) -> int:
    """Return the largest multiple of `of` up to `length`, or the largest divisor of it where there is none."""
    if length >= of:
        return length // of * of
    return max(w for w in range(1, length + 1) if of % w == 0)


def _closed(words: sympy.Expr, shape: AttentionShape) -> bool:
    counted = [f for f in words.atoms(sympy.Function) if hasattr(f.func, "lowered")]
    return all(shape.mask is not None and aligned(shape.mask, *map(int, f.args[2:])) for f in counted)
