"""Compiled attention as torch operators: forward, backward and decoding, with fake kernels and autograd."""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from attometer.emit.build import has_bf16, library
from attometer.emit.call import STATUS, Call, operand
from attometer.emit.formula import Biases, formula
from attometer.emit.intervals import intervals_of, seen_intervals
from attometer.emit.source import TYPES, Unit
from attometer.emit.tiles import FEW_ROWS, Tiles, tiles_of
from attometer.emit.transforms import each_alone, transformable
from attometer.errors import AttometerError
from attometer.program import parse_mask

Optional: TypeAlias = torch.Tensor | None


def unit_of(schedule: str, dtype: torch.dtype, stored: torch.dtype | None = None) -> Unit:
    """Return what is compiled for tensors of a type: products in bf16 where the processor forms them; `stored` are codes."""
    name = str(dtype).removeprefix("torch.")
    codes = "" if stored in (None, dtype) else str(stored).removeprefix("torch.")
    return Unit(schedule, name, name == "bfloat16" and has_bf16(), stored=codes)


def _call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float, tiles: Tiles) -> Call:
    b, h, n, d = q.shape
    call = Call(q=operand(q), k=operand(k), v=operand(v), b=b, h=h, g=k.shape[1], n=n, m=k.shape[2], d=d, e=v.shape[3])
    call.threads, call.splits, call.scale = torch.get_num_threads(), 1, scale
    call.tile_rows, call.tile_columns, call.budget = tiles.rows, tiles.columns, tiles.budget
    return call


def _masked(call: Call, found: tuple[torch.Tensor, torch.Tensor] | None) -> None:
    """Hand over intervals [intervals, n], [b, intervals, n] or [b or 1, h or 1, intervals, n]."""
    if found is None:
        return
    start, end = found
    if start.shape[-2] == 0:  # nothing is seen: one interval that is empty
        start = end = start.new_zeros(*start.shape[:-2], 1, start.shape[-1])
    call.keep = start, end
    call.starts, call.ends, call.intervals = start.data_ptr(), end.data_ptr(), start.shape[-2]
    if start.dim() > 2 and start.shape[0] > 1:
        call.interval_batch = start.stride(0)
    if start.dim() == 4 and start.shape[1] > 1:
        call.interval_head = start.stride(1)


def _bent(call: Call, q: torch.Tensor, bias: Biases) -> None:
    """Hand over what is done to scores and weights."""
    b, h, n = q.shape[:3]
    kept: list[torch.Tensor] = []
    sums = _sums(q)
    if bias.additive is not None:
        wide = bias.additive.detach().to(sums).expand(b, h, n, call.m)
        kept.append(wide)
        call.bias = operand(wide)
    for name, values in (("slopes", bias.slopes), ("sinks", bias.sinks)):
        if values is not None:
            kept.append(torch.as_tensor(values, dtype=sums).detach().contiguous())
            setattr(call, name, kept[-1].data_ptr())
    call.bent = kept
    call.cap, call.dropout, call.seed = bias.cap or 0.0, bias.dropout, bias.seed % 2**64


def run(unit: Unit, call: Call) -> None:
    """Run a unit's kernel; raise AttometerError for what it refuses."""
    code = library(unit).attometer_run(ctypes.byref(call), ctypes.sizeof(call))
    if code:
        raise AttometerError(f"compiled {unit.schedule} refused the call: {STATUS.get(code, f'status {code}')}")


@torch.library.custom_op("attometer::compiled_attention", mutates_args=())  # type: ignore[untyped-decorator]
def compiled_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    additive: Optional,
    sinks: Optional,
    seen: Optional,
    slopes: Sequence[float] | None,
    cap: float | None,
    dropout: float,
    seed: int,
    scale: float,
    mask: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return output [b, h, n, e] and log-sum-exp [b, h, n] of q [b, h, n, d], k [b, g, m, d], v [b, g, m, e], and a rest.

    The rest is what rounding to a short type took from the output, shaped as it is; else it is empty.
    `additive` [b or 1, h or 1, n or 1, m or 1] is added to the scores; where the booleans `seen`, shaped alike, are false, a
    key is hidden. Weights are dropped with probability `dropout`, the same for the same seed.
    """
    made = _results(q, v)
    forward(q, k, v, Biases(additive, sinks, slopes, cap, dropout, seed), seen, scale, mask, made)
    return made


def forward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: Biases,
    seen: Optional,
    scale: float,
    mask: str,
    to: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the operator's kernel itself, for plain tensors that no gradient is asked for: torch's dispatcher takes time."""
    output, lse, rest = to or (*_outputs(q, v), None)
    h, n = q.shape[1:3]
    g, m = k.shape[1:3]
    rows = h // g * n
    few = rows <= FEW_ROWS
    tiles = tiles_of("split_kv" if few else "flash2", q.dtype, rows, m, q.shape[3], v.shape[3])
    call = _call(q, k, v, scale, tiles)
    call.o, call.lse = operand(output), operand(lse)
    if rest is not None and rest.numel():
        call.rest = operand(rest)
    _masked(call, seen_intervals(mask, n, m, seen))
    _bent(call, q, bias)
    if few:
        _split(call)
    run(unit_of("split_kv" if few else "flash2", q.dtype), call)
    return output, lse


def _outputs(q: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return q.new_empty(*q.shape[:3], v.shape[3]), q.new_empty(q.shape[:3], dtype=_sums(q))


def _results(q: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    output, lse = _outputs(q, v)
    return output, lse, torch.empty_like(output) if _sums(q) != q.dtype else q.new_empty(0)


def _gradients(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dq, dk, dv = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))
    return dq, dk, dv


def _sums(q: torch.Tensor) -> torch.dtype:
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def parts(heads: int, m: int, columns: int, threads: int) -> int:
    """Return in how many parts of whole tiles the keys are split, so that all threads have work."""
    return max(1, min(math.ceil(2 * threads / heads), m // columns)) if threads > 1 else 1


def _split(call: Call) -> None:
    """Split a call's keys, in tiles that are shorter where there would be too few for all threads."""
    heads = call.b * call.g
    call.tile_columns = max(256, min(call.tile_columns, call.m // max(1, math.ceil(2 * call.threads / heads))))
    call.splits = parts(heads, call.m, call.tile_columns, call.threads)


@compiled_attention.register_fake  # type: ignore[untyped-decorator]
def _(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _results(q, v)


@torch.library.custom_op("attometer::compiled_attention_backward", mutates_args=())  # type: ignore[untyped-decorator]
def compiled_attention_backward(
    grad: torch.Tensor,
    lse_grad: Optional,
    output: torch.Tensor,
    lse: torch.Tensor,
    rest: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    additive: Optional,
    sinks: Optional,
    seen: Optional,
    slopes: Sequence[float] | None,
    cap: float | None,
    dropout: float,
    seed: int,
    scale: float,
    mask: str,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of q, k and v, summed in float32 (float64 for float64)."""
    found = _gradients(q, k, v)
    rows, m = q.shape[1] // k.shape[1] * q.shape[2], k.shape[2]
    tiles = tiles_of("flash_backward_fused", q.dtype, rows, m, q.shape[3], v.shape[3])
    call = _call(q, k, v, scale, tiles)
    call.o, call.lse, call.grad = operand(output), operand(lse), operand(grad)
    call.dq, call.dk, call.dv = map(operand, found)
    if rest.numel():
        call.rest = operand(rest)
    if lse_grad is not None:
        call.lse_grad = operand(lse_grad)
    _masked(call, seen_intervals(mask, q.shape[2], m, seen))
    _bent(call, q, Biases(additive, sinks, slopes, cap, dropout, seed))
    call.splits = parts(k.shape[0] * k.shape[1], m, tiles.columns, call.threads)
    run(unit_of("flash_backward_fused", q.dtype), call)
    return found


@compiled_attention_backward.register_fake  # type: ignore[untyped-decorator]
def _(*given: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return _gradients(*given[5:8])


def _keep_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    q, k, v, additive, sinks, seen, *ctx.given = inputs
    ctx.save_for_backward(q, k, v, additive, sinks, seen, *output)
    ctx.mark_non_differentiable(output[2])


def _backward(ctx: Any, grad: torch.Tensor, lse_grad: Optional, _: Optional) -> tuple[Any, ...]:
    q, k, v, additive, sinks, seen, output, lse, rest = ctx.saved_tensors
    found = attend_backward(grad, lse_grad, output, lse, rest, q, k, v, additive, sinks, seen, *ctx.given)
    own = None
    if sinks is not None:
        whole = output.to(lse.dtype) + rest if rest.numel() else output.to(lse.dtype)
        delta = (grad.to(lse.dtype) * whole).sum(-1)
        own = sink_grad(sinks, lse, delta if lse_grad is None else delta - lse_grad)
    return (*found, None, own, *[None] * 7)


def sink_grad(sinks: torch.Tensor, lse: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the sinks [h]: their weights times what the others lose to them, `delta` [b, h, n]."""
    weight = torch.exp(sinks.to(lse.dtype)[None, :, None] - lse)
    return -(weight * delta).sum((0, 2)).to(sinks.dtype)


compiled_attention.register_autograd(_backward, setup_context=_keep_for_backward)


def _keep_for_second(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    grad, lse_grad, _, _, _, q, k, v, additive, sinks, seen, *ctx.given = inputs
    ctx.save_for_backward(grad, lse_grad, q, k, v, additive, sinks, seen)


def _second(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
    """Differentiate the gradients again through the formula: right for everything, n × m memory."""
    grad, lse_grad, q, k, v, additive, sinks, seen = ctx.saved_tensors
    alibi, cap, dropout, seed, scale, mask = ctx.given
    if mask:
        matrix = torch.from_numpy(parse_mask(mask).matrix(q.shape[2], k.shape[2]))
        seen = matrix if seen is None else matrix & seen
    given = {"grad": grad, "lse_grad": lse_grad, "q": q, "k": k, "v": v, "sinks": sinks}

    def first(held: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        bias = Biases(additive, held.get("sinks"), alibi, cap, dropout, seed)
        qkv = [held[name] for name in "qkv"]
        (_, lse), pull = torch.func.vjp(lambda q, k, v: formula(q, k, v, bias, seen, scale), *qkv)
        return pull((held["grad"], held.get("lse_grad", torch.zeros_like(lse))))  # type: ignore[no-any-return]

    _, pull = torch.func.vjp(first, {name: x for name, x in given.items() if x is not None})
    (found,) = pull(grads)
    own = [found.get(name) for name in ("grad", "lse_grad", "", "", "", "q", "k", "v", "", "sinks")]
    return (*own, *[None] * 7)


compiled_attention_backward.register_autograd(_second, setup_context=_keep_for_second)


for _operator in (compiled_attention, compiled_attention_backward):
    torch.library.register_vmap(_operator, each_alone(_operator))

attend = transformable(compiled_attention, _keep_for_backward, _backward)
attend_backward = transformable(compiled_attention_backward, _keep_for_second, _second)


def lacks(dtype: torch.dtype) -> str | None:
    """Return why tensors of a type have no machine code, or None."""
    name = str(dtype).removeprefix("torch.")
    return None if name in TYPES else name


@dataclass(frozen=True, eq=False)
class Held:
    """A cache as decoding reads it: keys and values [b, g, m, width], or pools of pages [pages, g, page, width].

    Codes have a `scales` for each of both, float32 and shaped as they are but for a width of 1. `pages` are int64 [b, pages of
    the longest] and `lengths` int64 [b], where there are pages.
    """

    keys: torch.Tensor
    values: torch.Tensor
    scales: tuple[torch.Tensor, ...] = ()
    pages: torch.Tensor | None = None
    lengths: torch.Tensor | None = None


def cached_attention(
    q: torch.Tensor, held: Held, scale: float, mask: str, bias: Biases = Biases()  # noqa: B008
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Return output [b, h, t, e] and log-sum-exp of q [b, h, t, d], the newest t tokens of each sequence; no gradients."""
    b, h, t, d = q.shape
    _, g, m, e = held.values.shape
    output, lse = q.new_empty(b, h, t, e), q.new_empty(b, h, t, dtype=_sums(q))
    page, m = (0, m) if held.lengths is None else (m, int(held.lengths.max()))
    tiles = tiles_of("split_kv", q.dtype, h // g * t, m, d, e)
    call = Call(q=operand(q), o=operand(output), lse=operand(lse), b=b, h=h, g=g, n=t, m=m, d=d, e=e, page=page)
    call.k, call.v = operand(held.keys), operand(held.values)
    if held.scales:
        call.k_scale, call.v_scale = map(operand, held.scales)
    if held.pages is not None and held.lengths is not None:
        call.pages, call.page_batch, call.lengths = (
            held.pages.data_ptr(), held.pages.stride(0), held.lengths.data_ptr(),
        )  # fmt: skip
    call.threads, call.scale = torch.get_num_threads(), scale
    call.tile_rows, call.tile_columns, call.budget = tiles.rows, tiles.columns, tiles.budget
    _split(call)
    _masked(call, seen_intervals(mask, t, m, None) if held.lengths is None else _each(mask, t, held.lengths.tolist()))
    _bent(call, q, bias)
    run(unit_of("split_kv", q.dtype, held.keys.dtype), call)
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
