"""Tile sizes of compiled nests, from the caches of this machine."""

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import torch

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL = {1: 32 << 10, 2: 1 << 20, 3: 8 << 20}  # bytes of the levels, where the system does not tell
WIDE_L1 = 48 << 10

FEW_ROWS = 64
"""Up to so many queries for each key head the keys are read once anyway: they are split, and packed as they are read."""


@dataclass(frozen=True)
class Tiles:
    """Rows of queries and columns of keys of a tile, and bytes of packed operands held at once."""

    rows: int
    columns: int
    budget: int


@cache
def cache_bytes(level: int) -> int:
    """Return the bytes of this machine's cache of a level."""
    for folder in CACHES.glob("index*") if CACHES.exists() else ():
        if (folder / "level").read_text().strip() == str(level):
            text = (folder / "size").read_text().strip()
            return int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text[-1]]
    return USUAL[level]


@lru_cache(maxsize=256)
def tiles_of(schedule: str, dtype: torch.dtype, rows: int, m: int, d: int, e: int) -> Tiles:
    """Return the tiles of a nest for so many rows of queries and m keys.

    What a step of the nest touches (scores, weights, the packed tile of keys and values) fills half of the L2 cache; where the
    L1 cache is `WIDE_L1` it holds the scores (Sapphire Rapids, float32: 1.05 times as fast full, 1.09 causal).
    """
    words = cache_bytes(2) // 8
    budget = cache_bytes(3) // 4
    if schedule == "flash_backward_fused":
        return Tiles(128, 288, budget)
    if schedule == "split_kv":  # long tiles: what is asked for ahead of its use ends with each
        touched = (d + e) * min(4, dtype.itemsize) + max(6, rows) * 4
        return Tiles(max(6, rows), min(2048, max(256, cache_bytes(2) // 2 // touched // 256 * 256)), budget)
    if cache_bytes(1) >= WIDE_L1 and dtype != torch.bfloat16:
        return Tiles(96, 128, budget)
    columns = 512 if words >= 512 * 128 else 256
    return Tiles(min(192, max(48, (words - columns * (d + e)) // (columns + d + e) // 48 * 48)), columns, budget)
