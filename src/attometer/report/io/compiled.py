"""Compiled nests under a cache simulator: bytes of cache lines beside the words that the same tiles are counted to move."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attometer.count.traffic.words import footprint, traffic
from attometer.emit.cachegrind import WORD, LineTraffic, block, instruction_set, line_traffic
from attometer.emit.source import KERNELS
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.schedule.catalogue import schedule
from attometer.view.printed import Printed


@dataclass(frozen=True)
class CompiledLines(Printed):
    """One compiled schedule: words counted for its tiles, and lines fetched into LRU caches of M and of 2 M words."""

    schedule: str
    instructions: str
    tiles: Mapping[str, int]
    M: int
    counted: int
    lines: tuple[LineTraffic, LineTraffic]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        caches = [
            {"cache_bytes": x.cache.bytes, "ways": x.cache.ways, "read_bytes": x.reads, "write_bytes": x.writes,
             "bytes": x.bytes, "times_counted": x.bytes / (WORD * self.counted)} for x in self.lines
        ]  # fmt: skip
        return {
            "schedule": self.schedule, "instruction_set": self.instructions, "tiles": dict(self.tiles),
            "counted_words": self.counted, "counted_bytes": WORD * self.counted, "caches": caches,
        }  # fmt: skip

    def __str__(self) -> str:
        tiles = " ".join(f"{name}={value}" for name, value in self.tiles.items() if name in ("B_r", "B_c"))
        rows = [
            f"    cachegrind, LRU cache of {'M' if at == 1 else '2M'} = {at * self.M:,} words: "
            f"{x.bytes:,} bytes of lines ({x.bytes / (WORD * self.counted):.2f} × counted)"
            for at, x in zip((1, 2), self.lines, strict=True)
        ]
        head = (
            f"{self.schedule} compiled ({self.instructions}, float32), {tiles}: "
            f"count {self.counted:,} words = {WORD * self.counted:,} bytes"
        )
        return "\n".join([head, *rows])


NOTE = (
    "compiled: tiles are whole register blocks, with the whole of d; a cache cannot be told what to keep, so that LRU is "
    "also given 2M words (Sleator and Tarjan 1985); packing writes keys and values once more than the count"
)


def compiled_lines(name: str, sizes: Mapping[str, int], M: int, mask: Mask | None = None) -> CompiledLines | str | None:
    """Run a schedule's kernel under cachegrind with tiles that fit M words; a sentence where none does, None without one.

    `sizes` are n, m, d, e, `copies` of `stack` query heads that share keys and values.

    Raises AttometerError without valgrind or a compiler.
    """
    if name not in KERNELS:
        return None
    chosen = schedule(name)
    shape = {k: sizes[k] for k in "nmde"}
    stack = sizes["stack"]
    found = _tiles(name, shape, stack, M)
    need = int(footprint(chosen, {**shape, **found}, stack))
    if need > M:
        return f"{name} compiled: its smallest tiles hold {need:,} words, more than M = {M:,}"
    counted = int(traffic(chosen, {**shape, **found}, mask, sizes["copies"], stack).words)
    call = {"b": sizes["copies"], "h": stack, "g": 1, **shape}
    tile = (found["B_r"], found["B_c"])
    lines = tuple(line_traffic(name, call, tile, words, mask) for words in (M, 2 * M))
    return CompiledLines(name, instruction_set(), found, M, counted, (lines[0], lines[1]))


def _tiles(name: str, shape: Mapping[str, int], stack: int, M: int) -> dict[str, int]:
    """Return the smallest tile of the inner loop's axis with the largest of the outer one's that fits M words."""
    chosen, (rows, columns) = schedule(name), block(name)
    keys_outside = KERNELS[name] == "j"
    whole = {"B_d": shape["d"], "B_e": shape["e"], "t": -(-shape["m"] // columns)}
    base = {x: whole[x] for x in chosen.tile_names if x in whole} | {"B_r": rows, "B_c": columns}
    if name == "split_kv":  # all queries at once, since they are few
        return base | {"B_r": shape["n"] * stack}
    outer, step = ("B_c", columns) if keys_outside else ("B_r", rows)
    most = shape["m"] if keys_outside else shape["n"] * stack
    while base[outer] < most:
        wider = base | {outer: base[outer] + step}
        if int(footprint(chosen, {**shape, **wider}, stack)) > M:
            break
        base = wider
    return base


def require_simulator(names: list[str]) -> None:
    """Raise AttometerError where none of the schedules has a compiled nest."""
    if not set(names) & set(KERNELS):
        raise AttometerError(f"--compiled: no compiled nest among {', '.join(names)}; there are {', '.join(KERNELS)}")
