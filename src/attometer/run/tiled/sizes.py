"""Tile sizes for this machine's caches, and how many heads to run at once."""

from functools import lru_cache
from pathlib import Path

from attometer.program import Mask

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL_CACHE = 8 << 20  # bytes, where the system does not tell
ROWS, COLUMNS = 256, 512  # from here on torch's batched product gains nothing
FEWEST_ROWS = 32  # below this the cost of a call outweighs the scores that are saved


@lru_cache(maxsize=1)
def cache_bytes() -> int:
    """Return the bytes of the largest cache that a core of this machine sees."""
    found = [_bytes(path) for path in CACHES.glob("index*/size")] if CACHES.exists() else []
    return max(found, default=USUAL_CACHE)


def _bytes(path: Path) -> int:
    text = path.read_text().strip()
    return int(text[:-1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[text[-1]]


@lru_cache(maxsize=256)
def tile_sizes(mask: Mask | None, n: int, m: int, r: int) -> tuple[int, int]:
    """Return rows and columns of a tile for n queries, m keys and r query heads for each key head.

    A short row wants few rows to a tile: a tile of R rows over a window of w keys holds R + w columns.

    >>> from attometer.program import window
    >>> tile_sizes(None, 4096, 4096, 1), tile_sizes(window(128), 4096, 4096, 1)
    ((256, 512), (64, 512))
    """
    average = m if mask is None or n <= FEWEST_ROWS else int(mask.pairs(n, m)) // n
    rows = ROWS
    while rows > FEWEST_ROWS and rows > average:
        rows //= 2
    return max(16, rows // max(1, r)), COLUMNS


def problems_at_once(rows: int, columns: int) -> int:
    """Return how many heads' score tiles fit in a quarter of the cache."""
    return max(1, cache_bytes() // 4 // (4 * rows * columns))
