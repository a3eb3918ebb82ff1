"""torch's scaled_dot_product_attention on chunks of queries, each against only the keys that some row of it sees.

A window of w keys in chunks of c queries so computes c (w + c) scores and not c m; the mask of a chunk is the only one
that is ever dense. Gradients are right, but each chunk's gradient of the keys is as long as all keys.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F

from attometer.run.biases import Terms
from attometer.run.mask_text import from_text
from attometer.run.sdpa import packed_sdpa
from attometer.run.sdpa import unsupported as unsupported_in_sdpa
from attometer.run.tiled.plan import Dense, RowTile, TilePlan, tile_plan

CHUNKS = (64, 128, 256, 512)  # queries
SECONDS_PER_CHUNK = 100e-6  # of the calls of one chunk, whatever its size


def unsupported(q: torch.Tensor, k: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> str | None:
    """Return the property of the call that this implementation lacks, or None."""
    lacks = unsupported_in_sdpa(q, bias, return_lse)
    if lacks is not None:
        return lacks
    if bias.additive is not None or bias.slopes is not None:
        return "an additive bias or ALiBi"
    if not mask:
        return "a call without a mask"
    return None if chunk_rows(mask, q.shape[2], k.shape[2]) else "a mask whose rows share few keys"


def chunk_plan(mask: str, n: int, m: int, rows: int) -> TilePlan:
    """Return the chunks of `rows` queries, each with at most one run of keys, or with gathered keys."""
    return tile_plan(from_text(mask), n, m, rows, m)


@lru_cache(maxsize=256)
def chunk_rows(mask: str, n: int, m: int) -> int:
    """Return the rows to a chunk that take least time, 0 where no number leaves each chunk one block of keys.

    >>> from attometer.program import window
    >>> from attometer.run.mask_text import to_text
    >>> chunk_rows(to_text(window(256)), 8192, 8192)
    64
    """
    plans = {rows: chunk_plan(mask, n, m, rows) for rows in CHUNKS if rows < 2 * n or rows == CHUNKS[0]}
    seconds = {
        rows: plan.scores() * SECONDS_PER_SCORE + plan.steps() * SECONDS_PER_CHUNK
        for rows, plan in plans.items()
        if all(_whole(tile) for tile in plan.tiles)
    }
    return min(seconds, key=lambda rows: seconds[rows], default=0)


def masks(mask: str, n: int, m: int) -> bool:
    """Return whether some chunk is handed keys that a row of it does not see."""
    steps = [step for tile in chunk_plan(mask, n, m, chunk_rows(mask, n, m)).tiles for step in tile.steps]
    return any(isinstance(step, Dense) and step.seen is not None for step in steps)


SECONDS_PER_SCORE = 8 * 3.1e-9  # of 8 heads of width 64, with a dense mask


def _whole(tile: RowTile) -> bool:
    return len(tile.steps) == 0 or (len(tile.steps) == 1 and isinstance(tile.steps[0], Dense))


@torch.compiler.disable  # type: ignore[untyped-decorator]
def run_chunked(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float
) -> torch.Tensor:
    """Run on checked arguments; rows that see nothing give 0."""
    n, m = q.shape[2], k.shape[2]
    plan = chunk_plan(mask, n, m, chunk_rows(mask, n, m))
    return torch.cat([_chunk(q, k, v, tile, scale) for tile in plan.tiles], dim=2)


def _chunk(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, tile: RowTile, scale: float) -> torch.Tensor:
    queries = q[:, :, tile.start : tile.stop]
    if not tile.steps:
        return queries.new_zeros(*queries.shape[:3], v.shape[3])
    step = tile.steps[0]
    assert isinstance(step, Dense)
    columns = None if step.columns is None else torch.from_numpy(step.columns).to(k.device)
    keys, values = (x[:, :, step.start : step.stop] if columns is None else x.index_select(2, columns) for x in (k, v))
    hidden = step.hidden()
    seen = None if hidden is None else torch.from_numpy(~hidden).to(q.device)
    if q.shape[1] != k.shape[1]:
        return packed_sdpa(queries, keys, values, seen, scale)
    output: torch.Tensor = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen, scale=scale)
    return output
