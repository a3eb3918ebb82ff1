"""Which implementation `auto` takes, and why: the scores that each computes, at its measured rate."""

from dataclasses import dataclass
from functools import lru_cache

import torch

from attometer.program import Mask
from attometer.run import flex, kernels, sdpa
from attometer.run.biases import Terms
from attometer.run.mask_text import from_text
from attometer.run.tiled.attention import plan_for

# Seconds of CPU time for one score of width 64 (256 FLOPs forward): one core of an AMD EPYC (Zen 4), torch 2.13.0, float32,
# b=1, h=8, n=2048, median of 3, 2026-11-22. Only their ratios matter to the choice.
SECONDS_PER_SCORE = {
    "sdpa": 2.9e-9,
    "sdpa with a dense mask": 3.1e-9,
    "sdpa without its fused kernel": 9.2e-9,
    "tiled": 4.0e-9,
}
SECONDS_PER_STEP = 80e-6  # of the torch calls of one tile, whatever its size
IMPLEMENTATIONS = (
    "reference", "sdpa", "flex", "tiled", "tiled_flash1", "tiled_two_pass", "tiled_split_kv", "kernels",
)  # fmt: skip
"""The implementations by name; `auto` takes one of sdpa, flex, tiled, kernels."""


@dataclass(frozen=True)
class Candidate:
    """An implementation, its predicted seconds on one core, or what it lacks."""

    impl: str
    seconds: float | None
    lacks: str | None
    why: str


@dataclass(frozen=True)
class Choice:
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
    return Shape(b, h, k.shape[1], n, k.shape[2], d, v.shape[3], mask, bias.additive is not None)


def choose(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> Choice:
    """Return the cheapest implementation that supports the call."""
    shape = shape_of(q, k, v, mask, bias)
    lacks_sdpa = _lacks_sdpa(q, bias, return_lse) or _leaks_in_sdpa(k, v, mask, bias)
    needs_gradient = any(x.requires_grad for x in (q, k, v)) and torch.is_grad_enabled()
    on_gpu = q.device.type != "cpu"
    found = [_tiled(shape), _sdpa(shape, lacks_sdpa)]
    if on_gpu:
        found.append(_flex(shape, flex.unsupported(q, needs_gradient, bias, return_lse)))
    kernel = kernels.registered()
    if kernel is not None:
        lacks = kernels.unsupported(q, k, v, mask, bias)
        scores = _pairs(shape) * shape.b * shape.h
        found.append(Candidate("kernels", None if lacks else scores / kernel.scores_per_second, lacks, kernel.name))
    return Choice(min(found, key=_seconds).impl, tuple(found))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _cheapest(sizes: list[int], mask: str, biased: bool, lacks_sdpa: str | None) -> str:
    b, h, g, n, m, d, e = sizes
    shape = Shape(b, h, g, n, m, d, e, mask, biased)
    return min((_tiled(shape), _sdpa(shape, lacks_sdpa)), key=_seconds).impl


def chosen_in_graph(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, return_lse: bool) -> str:
    """Return the choice between sdpa and tiled in a form that torch.compile can trace."""
    b, h, n, d = q.shape
    sizes = [int(x) for x in (b, h, k.shape[1], n, k.shape[2], d, v.shape[3])]
    return str(_cheapest(sizes, mask, bias.additive is not None, _lacks_sdpa(q, bias, return_lse)))


def _seconds(candidate: Candidate) -> float:
    return float("inf") if candidate.seconds is None else candidate.seconds


def _lacks_sdpa(q: torch.Tensor, bias: Terms, return_lse: bool) -> str | None:
    return sdpa.unsupported(q, bias, return_lse) or _inexact_in_sdpa(q, bias)


def _leaks_in_sdpa(k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms) -> str | None:
    hides = bool(mask) or bias.additive is not None
    if k.device.type != "cpu" or not hides or bool(torch.isfinite(k).all() and torch.isfinite(v).all()):
        return None  # on an accelerator the question would stall the queue
    return "hidden keys or values that are not finite: a NaN leaks"


def _inexact_in_sdpa(q: torch.Tensor, bias: Terms) -> str | None:
    if bias.slopes is not None and q.dtype in (torch.bfloat16, torch.float16):
        return (
            f"ALiBi to full accuracy in {str(q.dtype).removeprefix('torch.')}: its mask is rounded to the scores' type"
        )
    return None


@lru_cache(maxsize=256)
def _tiled(shape: Shape) -> Candidate:
    if not (shape.n and shape.m):
        return Candidate("tiled", 0.0, None, "nothing to attend to")
    plan = plan_for(shape.mask, shape.n, shape.m, shape.h // shape.g)
    scores = plan.scores() * shape.b * shape.h
    seconds = scores * SECONDS_PER_SCORE["tiled"] * _width(shape) + plan.steps() * SECONDS_PER_STEP
    why = f"{scores:,} scores for {_pairs(shape) * shape.b * shape.h:,} pairs, in {plan.steps():,} steps"
    return Candidate("tiled", seconds, None, why)


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


def _flex(shape: Shape, lacks: str | None) -> Candidate:
    if lacks:
        return Candidate("flex", None, lacks, "")
    scores = _pairs(shape) * shape.b * shape.h
    seconds = scores * SECONDS_PER_SCORE["sdpa"] * _width(shape) * 1.3
    return Candidate("flex", seconds, None, f"{scores:,} scores in compiled blocks")
