"""The schedules' machine code as an implementation: what it lacks, and its call."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from attometer.emit import build
from attometer.program import Mask
from attometer.run import speed, transforms
from attometer.run.biases import Terms
from attometer.run.decoding.cache import ContiguousCache, PagedCache
from attometer.run.mask_text import from_text, to_text

WORTH_COMPILING = 5e-3  # a call that the best of the others takes so long for is taken to come again
MANY_KEYS = 1024  # of all sequences together, from which a step of decoding, which comes again, is worth it
BLOCK = (6, 64)  # rows and keys of the smallest block that is skipped
SINGLE, WORTH = 4, 4  # scores of a block for one pair, and the share that pairs have to save, as in `emit/micro`


def unsupported(q: torch.Tensor, bias: Terms) -> str | None:
    """Return the property of the call or of the machine that compiled kernels lack, or None."""
    if q.device.type not in ("cpu", "meta"):
        return f"tensors on {q.device.type}"
    if bias.additive is not None and bias.additive.requires_grad and torch.is_grad_enabled():
        return "gradients of an additive bias"
    lacks: str | None = _of_machine()
    return lacks


def setting() -> tuple[object, ...]:
    """Return what may change within a process: the compiler, and where machine code is kept."""
    return build.compiler(), build.cache_folder()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _of_machine() -> str | None:
    return build.unsupported()


def run_compiled(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the compiled nests on checked arguments; the first call of a kind compiles (seconds, kept for later)."""
    from attometer.emit.formula import Biases
    from attometer.emit.operators import attend, forward

    # The kernel looks for the largest product, which is the largest score where the scale is above 0.
    factor, positive = (1.0, scale) if scale > 0 else (0.0, 1.0) if scale == 0 else (-1.0, -scale)
    queries = q if factor == 1.0 else q * factor
    if _plain(q, k, v, bias.sinks):
        held = Biases(bias.additive, bias.sinks, bias.slopes, bias.cap, bias.dropout, bias.seed)
        return forward(queries, k, v, held, bias.seen, positive, mask)
    output, lse, _ = attend(
        queries, k, v, bias.additive, bias.sinks, bias.seen, _listed(bias.slopes), bias.cap, bias.dropout, bias.seed,
        positive, mask,
    )  # fmt: skip
    return output, lse


def _plain(*given: torch.Tensor | None) -> bool:
    """Return whether nobody watches the call: no gradient, graph, transform or mode, and no tensors of a kind of their own."""
    held = [x for x in given if x is not None]
    if torch.compiler.is_compiling() or transforms.active() or torch._C._len_torch_dispatch_stack():
        return False
    if torch.is_grad_enabled() and any(x.requires_grad for x in held):
        return False
    return all(type(x) in (torch.Tensor, torch.nn.Parameter) and x.device.type == "cpu" for x in held)


def _listed(slopes: tuple[float, ...] | None) -> list[float] | None:
    return None if slopes is None else list(slopes)


_BUILT: set[tuple[str, torch.dtype, str]] = set()


def is_built(dtype: torch.dtype, kind: str) -> bool:
    """Return whether the machine code that a kind of calls needs is kept already."""
    key = (str(build.cache_folder()), dtype, kind)
    if key not in _BUILT and all(build.built(unit) for unit in speed.units(dtype, kind)):
        _BUILT.add(key)
    return key in _BUILT


def pays_to_build(dtype: torch.dtype, kind: str, keys: int, seconds: float = 0.0) -> bool:
    """Return whether what a call needs is built, or worth it for so many keys or seconds of the best of the others."""
    return seconds >= WORTH_COMPILING or (kind == "decode" and keys >= MANY_KEYS) or is_built(dtype, kind)


@lru_cache(maxsize=256)
def scores(mask: str, n: int, m: int, block: tuple[int, int] = BLOCK) -> int:
    """Return how many scores one head computes, from a sample of the rows: whole blocks of which some pair is seen.

    Where many blocks hold few pairs (random keys, strides) these are computed pair by pair, one as long as `SINGLE` of a block.

    >>> scores("", 128, 128), scores("causal", 4096, 4096) / (4096 * 4097 / 2) < 1.05
    (16384, True)
    """
    held = from_text(mask)
    if held is None or not (n and m):
        return n * m
    pairs = _pairs_of_blocks(held, n, m, block)
    rows, keys = block
    whole = np.where(pairs > 0, rows * keys, 0)
    least = np.minimum(whole, pairs * SINGLE)
    area, saved = int(whole.sum()), int((whole - least).sum())
    return min(n * m, (area - saved if saved * WORTH > area else area) * n // (len(pairs) * rows))


def _pairs_of_blocks(mask: Mask, n: int, m: int, block: tuple[int, int]) -> NDArray[np.int64]:
    """Return how many pairs are seen of each block in at most 512 rows of blocks, [rows of blocks, blocks]."""
    rows, keys = block
    blocks = np.unique(np.linspace(0, -(-n // rows) - 1, min(-(-n // rows), 512)).astype(np.int64))
    queries = (blocks[:, None] * rows + np.arange(rows)).ravel()
    start, end = mask.intervals(np.minimum(queries, n - 1), n, m)
    seen = (end > start) & (queries < n)
    at = np.broadcast_to(np.repeat(np.arange(len(blocks)), rows), start.shape)[seen]
    first, last = start[seen], end[seen]
    # The keys below an end, less those below a start: whole blocks from where they begin, and a part of one.
    found, change = (np.zeros((len(blocks), -(-m // keys) + 1), np.int64) for _ in range(2))
    for sign, place in ((-1, first), (1, last)):
        np.add.at(found, (at, place // keys), sign * (place % keys))
        np.add.at(change, (at, place // keys), -sign * keys)
    return (found + np.cumsum(change, axis=1))[:, :-1]


def _reads(dtype: torch.dtype, codes: torch.dtype) -> bool:
    from attometer.emit.operators import unit_of

    return build.built(unit_of("split_kv", dtype, codes))


def pays_in_decode(
    q: torch.Tensor, k: torch.Tensor, bias: Terms, scale: float | None, codes: torch.dtype | None = None
) -> bool:
    """Return whether a step of decoding runs as machine code: it can, and it is built or many keys are read.

    `codes` is the type of a cache's codes, which are taken to pay where keys of q's type do: others decode them first.
    """
    rows = q.shape[1] // k.shape[1] * q.shape[2]
    if min(q.shape[0], rows, k.shape[2]) == 0 or (scale is not None and scale <= 0):
        return False
    if unsupported(q, bias) is not None or q.is_meta or transforms.active():
        return False
    keys = k.shape[0] * k.shape[2]
    if not pays_to_build(q.dtype, "decode", keys) or (codes and keys < MANY_KEYS and not _reads(q.dtype, codes)):
        return False
    found = speed.measured(q.dtype, "decode")
    return (speed.measure(q.dtype, "decode") if found is None else found).ratio > 1


def run_cached(
    q: torch.Tensor, cache: ContiguousCache | PagedCache, mask: Mask | None, scale: float, bias: Terms = Terms()  # noqa: B008
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Run one step of decoding over a cache, which is read where it lies: in pages, and as codes if it holds them."""
    from attometer.emit.formula import Biases
    from attometer.emit.operators import Held, cached_attention

    if isinstance(cache, ContiguousCache):
        keys, values, *scales = cache.parts
        held = Held(keys, values, tuple(scales))
    else:
        keys, values, *scales = (pool.transpose(0, 1) for pool in cache.pools)
        table = cache.table(0, max(map(len, cache.tables)))
        held = Held(keys, values, tuple(scales), table, torch.tensor(cache.lengths))
    return cached_attention(q, held, scale, to_text(mask), Biases(bias.additive, bias.sinks, bias.slopes, bias.cap))
