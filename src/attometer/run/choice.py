"""Which implementation `auto` takes, and why: the scores that each computes, at its measured rate."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from attometer.emit.tiles import FEW_ROWS
from attometer.program import Mask
from attometer.run import chunked, compiled, flex, kernels, sdpa, speed, transforms
from attometer.run.biases import Terms
from attometer.run.mask_text import from_text
from attometer.run.operands import all_finite
from attometer.run.tiled.attention import plan_for
from attometer.run.tiled.forward import NESTS
from attometer.view.printed import Printed

# Seconds of CPU time for one score of width 64 (256 FLOPs forward): one core of an AMD EPYC (Zen 4), torch 2.13.0, float32,
# b=1, h=8, n=2048, median of 3, 2026-11-22. Only their ratios matter to the choice.
SECONDS_PER_SCORE = {
    "sdpa": 2.9e-9,
    "sdpa with a dense mask": 3.1e-9,
    "sdpa without its fused kernel": 9.2e-9,
    "tiled": 4.0e-9,
}
SECONDS_PER_STEP = 80e-6  # of the torch calls of one tile, whatever its size
SECONDS_PER_WORD = 0.2e-9  # of all keys and values, which the tiles first copy in their own type
IMPLEMENTATIONS = (
    "reference",
    "sdpa",
    "sdpa_chunked",
    "flex",
    "kernels",
    "compiled",
    "triton",
    "dense",
    "tiled",
    *NESTS,
)
"""The implementations by name; `auto` takes one of sdpa, sdpa_chunked, flex, tiled, kernels, compiled, and dense where nothing else runs.

`triton` runs derived nests as Triton kernels on CUDA tensors; no GPU has timed it, so that it is taken by name alone.

`flash1`, `flash2`, `two_pass_recompute` and `split_kv` execute the loop nest that `attometer.schedule` counts under that
name; `tiled` is the nest `flash2`.
"""


@dataclass(frozen=True)
class Candidate:
    """An implementation, its predicted seconds on one core, or what it lacks."""

    impl: str
    seconds: float | None
    lacks: str | None
    why: str


@dataclass(frozen=True)
class Choice(Printed):
    """The implementation that `auto` takes, and every candidate; printing it says why."""

    impl: str
    candidates: tuple[Candidate, ...]

    def __str__(self) -> str:
        lines = [f"auto takes {self.impl}"]
        for c in self.candidates:
            said = f"does not support {c.lacks}" if c.lacks else f"{c.seconds:.3g} s predicted on one core: {c.why}"
            lines.append(f"  {c.impl}: {said}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Shape:
    """What the comparison depends on."""

    b: int
    h: int
    g: int
    n: int
    m: int
    d: int
    e: int
    mask: str
    biased: bool


def shape_of(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms) -> Shape:
    """Return the sizes of a call."""
    b, h, n, d = q.shape
    return Shape(
        b, h, k.shape[1], n, k.shape[2], d, v.shape[3], mask, bias.additive is not None or bias.seen is not None
    )


def choose(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> Choice:
    """Return the cheapest implementation that supports the call."""
    shape, own = shape_of(q, k, v, mask, bias), bias
    bias = bias.outline()
    needs_gradient = _needs_gradient(q, k, v)
    on_gpu = q.device.type not in ("cpu", "meta")
    candidates = [
        _tiled(shape, transforms.unsupported("tiled")),
        _sdpa(shape, _lacks_sdpa(q, bias, return_lse)),
        _sdpa_chunked(shape, needs_gradient, chunked.unsupported(q, k, mask, bias, return_lse)),
    ]
    kind = _kind(shape, needs_gradient)
    rates = speed.measured(q.dtype, kind)
    # The others' rates are of long calls in float32; here only their ratios to torch's function are taken.
    pace = (rates or speed.usual(q.dtype, kind)).torch / SECONDS_PER_SCORE["sdpa"]
    candidates = [c if c.seconds is None else replace(c, seconds=c.seconds * pace) for c in candidates]
    candidates.append(_compiled(q, shape, own, needs_gradient, rates, min(map(_seconds, candidates))))
    if on_gpu:
        candidates.append(_flex(shape, flex.unsupported(q, needs_gradient, bias, return_lse)))
    kernel = kernels.registered()
    if kernel is not None:
        lacks = kernels.unsupported(q, k, v, mask, bias)
        scores = _pairs(shape) * shape.b * shape.h
        candidates.append(
            Candidate("kernels", None if lacks else scores / kernel.scores_per_second, lacks, kernel.name)
        )
    if bias.dropout:
        candidates = [replace(c, lacks="dropout") if c.impl != "compiled" else c for c in candidates]
    if min(map(_seconds, candidates)) == float("inf"):
        candidates.append(_dense(shape))
    best = min(candidates, key=_seconds)
    # Looking at the values costs a pass over them: only where torch's function would be taken and could leak.
    if best.impl in _LEAKING and _hides(shape, best.impl) and _not_finite(k, v):
        candidates = [replace(c, lacks=_LEAK) if c.impl in _LEAKING and c.lacks is None else c for c in candidates]
        best = min(candidates, key=_seconds)
    return Choice(best.impl, tuple(candidates))


_LEAKING = ("sdpa", "sdpa_chunked")
_LEAK = "hidden keys or values that are not finite: a NaN leaks"


def _hides(shape: Shape, impl: str) -> bool:
    """Return whether torch's function is handed keys that it must hide."""
    if impl == "sdpa_chunked":
        return chunked.masks(shape.mask, shape.n, shape.m)
    every_key, in_kernel = sdpa.native_mask(from_text(shape.mask), shape.n, shape.m)
    return in_kernel or not every_key or shape.biased


def _not_finite(k: torch.Tensor, v: torch.Tensor) -> bool:
    # On an accelerator the question would stall the queue; under torch.func's transforms it cannot be asked.
    return k.device.type == "cpu" and not transforms.active() and not (all_finite(k) and all_finite(v))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _cheapest(sizes: list[int], mask: str, biased: bool, lacks_sdpa: str | None) -> str:
    b, h, g, n, m, d, e = sizes
    shape = Shape(b, h, g, n, m, d, e, mask, biased)
    return min((_tiled(shape), _sdpa(shape, lacks_sdpa)), key=_seconds).impl


def chosen(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> str:
    """Return the choice of a call that is to run: machine code is timed here before it is first taken for its kind."""
    impl = choose(q, k, v, mask, bias, return_lse).impl
    kind = _kind(shape_of(q, k, v, mask, bias), _needs_gradient(q, k, v))
    if impl != "compiled" or speed.measured(q.dtype, kind) is not None:
        return impl
    speed.measure(q.dtype, kind)
    return choose(q, k, v, mask, bias, return_lse).impl


def settled(impl: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str) -> bool:
    """Return whether every later call without biases, of these shapes, takes `impl` as this one did."""
    shape = shape_of(q, k, v, mask, Terms())
    kind = _kind(shape, _needs_gradient(q, k, v))
    if compiled.unsupported(q, Terms()) is None and not (
        speed.measured(q.dtype, kind) and compiled.is_built(q.dtype, kind)
    ):
        return False  # machine code may win once it is there
    # Torch's function, or tiles instead of it, may be chosen for the values' sake where keys are hidden.
    return impl == "compiled" or not _hides(shape, "sdpa")


def _needs_gradient(*operands: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in operands)


def chosen_in_graph(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> str:
    """Return the choice between sdpa and tiled in a form that torch.compile can trace."""
    if bias.dropout:
        return "dense" if compiled.unsupported(q, bias) else "compiled"
    b, h, n, d = q.shape
    sizes = [int(x) for x in (b, h, k.shape[1], n, k.shape[2], d, v.shape[3])]
    return str(
        _cheapest(sizes, mask, bias.additive is not None or bias.seen is not None, _lacks_sdpa(q, bias, return_lse))
    )


def _seconds(candidate: Candidate) -> float:
    return float("inf") if candidate.seconds is None or candidate.lacks else candidate.seconds


def _lacks_sdpa(q: torch.Tensor, bias: Terms, return_lse: bool) -> str | None:
    return sdpa.unsupported(q, bias, return_lse) or _inexact_in_sdpa(q, bias)


def _inexact_in_sdpa(q: torch.Tensor, bias: Terms) -> str | None:
    if bias.slopes is not None and q.dtype in (torch.bfloat16, torch.float16):
        return (
            f"ALiBi to full accuracy in {str(q.dtype).removeprefix('torch.')}: its mask is rounded to the scores' type"
        )
    return None


@lru_cache(maxsize=256)
def _tiled(shape: Shape, lacks: str | None = None) -> Candidate:
    if lacks:
        return Candidate("tiled", None, lacks, "")
    if not (shape.n and shape.m):
        return Candidate("tiled", 0.0, None, "nothing to attend to")
    plan = plan_for(shape.mask, shape.n, shape.m, shape.h // shape.g)
    scores = plan.scores() * shape.b * shape.h
    seconds = scores * SECONDS_PER_SCORE["tiled"] * _width(shape) + plan.steps() * SECONDS_PER_STEP
    seconds += shape.b * shape.g * shape.m * (shape.d + shape.e) * SECONDS_PER_WORD
    return Candidate("tiled", seconds, None, f"{scores:,} scores in {plan.steps():,} steps")


def _pairs(shape: Shape) -> int:
    held: Mask | None = from_text(shape.mask)
    return shape.n * shape.m if held is None else int(held.pairs(shape.n, shape.m))


def _width(shape: Shape) -> float:
    return (shape.d + shape.e) / 128


@lru_cache(maxsize=256)
def _sdpa(shape: Shape, lacks: str | None) -> Candidate:
    if lacks:
        return Candidate("sdpa", None, lacks, "")
    free, native = sdpa.native_mask(from_text(shape.mask), shape.n, shape.m)
    kind = "sdpa" if free and not shape.biased else "sdpa with a dense mask"
    kind = kind if shape.d == shape.e else "sdpa without its fused kernel"
    scores = shape.b * shape.h * (shape.n * (shape.n + 1) // 2 if native and shape.d == shape.e else shape.n * shape.m)
    why = f"{scores:,} scores" + ("" if kind == "sdpa" else f" ({kind.removeprefix('sdpa ')})")
    return Candidate("sdpa", scores * SECONDS_PER_SCORE[kind] * _width(shape), None, why)


def _sdpa_chunked(shape: Shape, needs_gradient: bool, lacks: str | None) -> Candidate:
    if lacks:
        return Candidate("sdpa_chunked", None, lacks, "")
    plan = chunked.chunk_plan(shape.mask, shape.n, shape.m, chunked.chunk_rows(shape.mask, shape.n, shape.m))
    if needs_gradient and plan.steps() > 1:
        return Candidate("sdpa_chunked", None, "gradients of many chunks without as many gradients of all keys", "")
    scores = plan.scores() * shape.b * shape.h
    kind = "sdpa with a dense mask" if shape.d == shape.e else "sdpa without its fused kernel"
    seconds = scores * SECONDS_PER_SCORE[kind] * _width(shape) + plan.steps() * chunked.SECONDS_PER_CHUNK
    return Candidate("sdpa_chunked", seconds, None, f"{scores:,} scores in {plan.steps():,} chunks")


def _kind(shape: Shape, gradients: bool) -> str:
    return speed.kind_of(shape.h // shape.g * shape.n <= FEW_ROWS, gradients)


def _compiled(
    q: torch.Tensor, shape: Shape, bias: Terms, gradients: bool, rates: speed.Rates | None, others: float
) -> Candidate:
    lacks = transforms.unsupported("compiled") or compiled.unsupported(q, bias)
    if lacks is None and q.is_meta:
        lacks = "meta tensors, for which nothing is compiled"
    kind = _kind(shape, gradients)
    if lacks is None and not compiled.pays_to_build(q.dtype, kind, shape.b * shape.m, others):
        lacks = f"calls below {compiled.WORTH_COMPILING * 1e3:g} ms until they are compiled for others"
    if lacks:
        return Candidate("compiled", None, lacks, "")
    scores = shape.b * shape.h * compiled.scores(shape.mask, shape.n, shape.m)
    held = rates or speed.usual(q.dtype, kind)
    seconds = scores * held.compiled * _width(shape) + held.call
    said = f"{scores:,} scores by machine code, {held.ratio:.2f} times as fast as torch's"
    return Candidate("compiled", seconds, None, f"{said} ({'measured here' if rates else 'until it is measured here'})")


def _dense(shape: Shape) -> Candidate:
    scores = shape.b * shape.h * shape.n * shape.m
    seconds = scores * SECONDS_PER_SCORE["sdpa without its fused kernel"] * _width(shape)
    return Candidate("dense", seconds, None, f"{scores:,} scores by plain operations, all held at once")


def _flex(shape: Shape, lacks: str | None) -> Candidate:
    if lacks:
        return Candidate("flex", None, lacks, "")
    scores = _pairs(shape) * shape.b * shape.h
    seconds = scores * SECONDS_PER_SCORE["sdpa"] * _width(shape) * 1.3
    return Candidate("flex", seconds, None, f"{scores:,} scores in compiled blocks")
