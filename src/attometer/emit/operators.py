"""Compiled attention as torch operators: forward, backward and decoding, with fake kernels and autograd."""

import ctypes
import math
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch

from attometer.emit.build import has_bf16, library
from attometer.emit.call import STATUS, Call, operand
from attometer.emit.source import TYPES, Unit
from attometer.emit.tiles import FEW_ROWS, Tiles, tiles_of
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.program import parse_mask

Optional: TypeAlias = torch.Tensor | None


def unit_of(schedule: str, dtype: torch.dtype) -> Unit:
    """Return what is compiled for tensors of a type: products in bf16 where the processor forms them."""
    name = str(dtype).removeprefix("torch.")
    return Unit(schedule, name, name == "bfloat16" and has_bf16())


@lru_cache(maxsize=64)
def intervals_of(mask: str, n: int, m: int) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the sorted intervals of keys of each query, int32 [intervals, n]; None without a mask."""
    if not mask:
        return None
    held: Mask = parse_mask(mask)
    start, end = held.intervals(np.arange(n), n, m)
    # Empty intervals may stand anywhere; the kernel reads them as nothing.
    first, last = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.int32)) for x in (start, end))
    return first, last


def _call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, tiles: Tiles) -> Call:
    b, h, n, d = q.shape
    call = Call(q=operand(q), k=operand(k), v=operand(v), b=b, h=h, g=k.shape[1], n=n, m=k.shape[2], d=d, e=v.shape[3])
    call.threads, call.splits, call.scale = torch.get_num_threads(), 1, scale
    call.tile_rows, call.tile_columns, call.budget = tiles.rows, tiles.columns, tiles.budget
    return call


def _masked(call: Call, found: tuple[torch.Tensor, torch.Tensor] | None) -> None:
    if found is None:
        return
    start, end = found
    if start.shape[-2] == 0:  # nothing is seen: one interval that is empty
        start = end = start.new_zeros(*start.shape[:-2], 1, start.shape[-1])
        call.keep = start
    call.starts, call.ends, call.intervals = start.data_ptr(), end.data_ptr(), start.shape[-2]
    call.interval_batch = start.stride(0) if start.dim() == 3 else 0


def run(unit: Unit, call: Call) -> None:
    """Run a unit's kernel; raise AttometerError for what it refuses."""
    code = library(unit).attometer_run(ctypes.byref(call), ctypes.sizeof(call))
    if code:
        raise AttometerError(f"compiled {unit.schedule} refused the call: {STATUS.get(code, f'status {code}')}")


@torch.library.custom_op("attometer::compiled_attention", mutates_args=())  # type: ignore[untyped-decorator]
def compiled_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, mask: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output [b, h, n, e] and log-sum-exp [b, h, n] of q [b, h, n, d], k [b, g, m, d], v [b, g, m, e]."""
    output, lse = q.new_empty(*q.shape[:3], v.shape[3]), q.new_empty(q.shape[:3], dtype=torch.float32)
    b, h, n, _ = q.shape
    g, m = k.shape[1:3]
    rows = h // g * n
    few = rows <= FEW_ROWS
    tiles = tiles_of("split_kv" if few else "flash2", q.dtype, rows, m, q.shape[3], v.shape[3])
    call = _call(q, k, v, scale, tiles)
    call.o, call.lse = operand(output), operand(lse)
    held = intervals_of(mask, n, m)
    _masked(call, held)
    if few:
        call.splits = parts(b * g, m, tiles.columns, call.threads)
    run(unit_of("split_kv" if few else "flash2", q.dtype), call)
    return output, lse


def parts(heads: int, m: int, columns: int, threads: int) -> int:
    """Return in how many parts of whole tiles the keys are split, so that all threads have work."""
    return max(1, min(math.ceil(2 * threads / heads), m // columns)) if threads > 1 else 1


@compiled_attention.register_fake  # type: ignore[untyped-decorator]
def _(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, mask: str) -> tuple[torch.Tensor, torch.Tensor]:
    return q.new_empty(*q.shape[:3], v.shape[3]), q.new_empty(q.shape[:3], dtype=torch.float32)


@torch.library.custom_op("attometer::compiled_attention_backward", mutates_args=())  # type: ignore[untyped-decorator]
def compiled_attention_backward(
    slope: torch.Tensor,
    lse_slope: Optional,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    output: torch.Tensor,
    lse: torch.Tensor,
    scale: float,
    mask: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of q, k and v, summed in float32."""
    found = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)]
    rows, m = q.shape[1] // k.shape[1] * q.shape[2], k.shape[2]
    tiles = tiles_of("flash_backward_fused", q.dtype, rows, m, q.shape[3], v.shape[3])
    call = _call(q, k, v, scale, tiles)
    call.o, call.lse, call.slope = operand(output), operand(lse), operand(slope)
    call.dq, call.dk, call.dv = map(operand, found)
    if lse_slope is not None:
        call.lse_slope = operand(lse_slope)
    held = intervals_of(mask, q.shape[2], m)
    _masked(call, held)
    call.splits = parts(k.shape[0] * k.shape[1], m, tiles.columns, call.threads)
    run(unit_of("flash_backward_fused", q.dtype), call)
    return found[0], found[1], found[2]


@compiled_attention_backward.register_fake  # type: ignore[untyped-decorator]
def _(
    slope: torch.Tensor,
    lse_slope: Optional,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    output: torch.Tensor,
    lse: torch.Tensor,
    scale: float,
    mask: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    found = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)]
    return found[0], found[1], found[2]


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    q, k, v, ctx.scale, ctx.mask = inputs
    ctx.save_for_backward(q, k, v, *output)


def _backward(ctx: Any, slope: torch.Tensor, lse_slope: Optional) -> tuple[Any, ...]:
    q, k, v, output, lse = ctx.saved_tensors
    return (*compiled_attention_backward(slope, lse_slope, q, k, v, output, lse, ctx.scale, ctx.mask), None, None)


compiled_attention.register_autograd(_backward, setup_context=_keep_for_backward)


def lacks(dtype: torch.dtype) -> str | None:
    """Return why tensors of a type have no machine code, or None."""
    name = str(dtype).removeprefix("torch.")
    return None if name in TYPES else name


def paged_attention(
    q: torch.Tensor,
    pools: tuple[torch.Tensor, torch.Tensor],
    pages: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
    mask: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return output [b, h, t, e] and log-sum-exp of q [b, h, t, d], the newest t tokens of each sequence; no gradients.

    `pools` are keys and values [g, pages, page, width], `pages` int64 [b, pages of the longest], `lengths` int64 [b].
    """
    v = pools[1]
    b, h, t, d = q.shape
    g, _, page, e = v.shape
    output, lse = q.new_empty(b, h, t, e), q.new_empty(b, h, t, dtype=torch.float32)
    m = int(lengths.max())
    tiles = tiles_of("split_kv", q.dtype, h // g * t, m, d, e)
    call = Call(q=operand(q), o=operand(output), lse=operand(lse), b=b, h=h, g=g, n=t, m=m, d=d, e=e, page=page)
    call.k, call.v = (operand(x.transpose(0, 1)) for x in pools)
    call.pages, call.page_batch, call.lengths = pages.data_ptr(), pages.stride(0), lengths.data_ptr()
    call.threads, call.scale = torch.get_num_threads(), scale
    call.tile_rows, call.tile_columns, call.budget = tiles.rows, tiles.columns, tiles.budget
    call.splits = parts(b * g, m, tiles.columns, call.threads)
    held = _each(mask, t, lengths.tolist())
    _masked(call, held)
    run(unit_of("split_kv", q.dtype), call)
    return output, lse


def _each(mask: str, t: int, lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the intervals of every sequence, int32 [b, intervals, t]: masks are aligned to each one's own end."""
    found = [intervals_of(mask, t, m) if m else None for m in lengths]
    most = max((x[0].shape[0] for x in found if x is not None), default=0)
    if not mask or not most:
        return None if not mask else (torch.zeros(len(lengths), 1, t, dtype=torch.int32),) * 2
    start, end = (torch.zeros(len(lengths), most, t, dtype=torch.int32) for _ in range(2))
    for at, held in enumerate(found):
        if held is not None:
            start[at, : held[0].shape[0]], end[at, : held[1].shape[0]] = held
    return start, end
