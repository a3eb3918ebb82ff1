"""How many times as fast as torch's function compiled kernels are on this machine: measured once, and kept beside them."""

import json
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from attometer.emit import build
from attometer.emit.source import Unit
from attometer.run.biases import Terms
from attometer.run.sdpa import run_sdpa
from attometer.view.files import write_atomically

UNITS = {"forward": ("flash2",), "training": ("flash2", "flash_backward_fused"), "decode": ("split_kv",)}
"""The kinds of calls, each with the nests that it runs."""
SIZES = {"forward": (4, 4, 1024, 1024), "training": (4, 4, 1024, 1024), "decode": (8, 2, 1, 8192)}
"""Query heads, key heads, queries and keys of what is measured."""
WIDTH, ROUNDS = 64, 7
COLD = 2**26
"""Bytes of keys and values that decoding is timed on in turn: no cache holds them, as a model's own layers find none."""


def units(dtype: torch.dtype, kind: str) -> tuple[Unit, ...]:
    """Return what is compiled for a kind of calls of a type."""
    name = str(dtype).removeprefix("torch.")
    return tuple(Unit(x, name, name == "bfloat16" and build.has_bf16()) for x in UNITS[kind])


def kind_of(few_rows: bool, gradients: bool) -> str:
    """Return the kind of a call."""
    return "training" if gradients else "decode" if few_rows else "forward"


@lru_cache(maxsize=64)
def _path(folder: str, dtype: torch.dtype, kind: str) -> Path:
    # Beside the last nest's machine code, whose name tells source, compiler and processor.
    held = build.library_path(units(dtype, kind)[-1], build.best_target(units(dtype, kind)[-1]))
    return held.with_name(f"{held.stem}-{kind}-seconds-torch-{torch.__version__}.json")


@dataclass(frozen=True)
class Rates:
    """Seconds for one score of width 64, by machine code and by torch's function, and what a call of the former takes more."""

    compiled: float
    torch: float
    call: float = 3e-5

    @property
    def ratio(self) -> float:
        """How many times as fast as torch's function the machine code is."""
        return self.torch / self.compiled


# One core of an AMD EPYC (Zen 5, AVX-512 with BF16), torch 2.13.0, sizes as below, 2026-11-26.
_TORCH = 2.9e-9
_RATIOS = {torch.float32: 1.16, torch.bfloat16: 2.15, torch.float16: 1.16, torch.float64: 0.48}
_DECODE = {torch.float32: Rates(8e-9, 2.2e-8), torch.bfloat16: Rates(5e-9, 1.3e-8)}


def usual(dtype: torch.dtype, kind: str) -> Rates:
    """Return what is taken where nothing was measured yet."""
    if kind == "decode" and dtype in _DECODE:
        return _DECODE[dtype]
    return Rates(_TORCH / _RATIOS[dtype], _TORCH)


@lru_cache(maxsize=64)  # what was not read raises, and is asked for again
def _read(path: Path) -> Rates:
    found = Rates(*map(float, json.loads(path.read_text())))
    if not (0 < found.compiled < 1 and 0 < found.torch < 1 and 0 <= found.call < 1):
        raise ValueError(path)
    return found


def measured(dtype: torch.dtype, kind: str) -> Rates | None:
    """Return the rates that were measured here; None where nobody did."""
    try:
        return _read(_path(str(build.cache_folder()), dtype, kind))
    except (OSError, ValueError, TypeError):
        return None


def measure(dtype: torch.dtype, kind: str) -> Rates:
    """Time a kind of calls beside torch's function, keep the result (a second at most, and what has to be compiled)."""
    from attometer.run.compiled import run_compiled

    trains = kind == "training"
    drawn = torch.Generator().manual_seed(0)

    def operands(h: int, g: int, n: int, m: int) -> list[torch.Tensor]:
        sizes = (h, n), (g, m), (g, m), (h, n)
        return [torch.randn(1, heads, length, WIDTH, generator=drawn).to(dtype) for heads, length in sizes]

    def once(run: Callable[..., Any], q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grad: torch.Tensor) -> float:
        leaves = [x.requires_grad_(trains) for x in (q, k, v)]
        start = time.perf_counter()
        with torch.set_grad_enabled(trains):
            made = run(q, k, v, "", Terms(), WIDTH**-0.5)
            if trains:
                torch.autograd.grad(made[0] if isinstance(made, tuple) else made, leaves, grad)
        return time.perf_counter() - start

    def least(sets: list[list[torch.Tensor]], rounds: int) -> tuple[float, float]:
        """The least seconds of a call by machine code and by torch's function, in turn, the first round aside."""
        taken = [[once(run, *sets[r % len(sets)]) for run in (run_compiled, run_sdpa)] for r in range(rounds + 1)]
        return min(x[0] for x in taken[1:]), min(x[1] for x in taken[1:])

    h, g, n, m = SIZES[kind]
    first = operands(h, g, n, m)
    copies = -(-COLD // (2 * first[1].nbytes)) if kind == "decode" else 1
    short = least([operands(1, 1, 1, 1)], 4 * ROUNDS)
    long = least([first, *([x.clone() for x in first] for _ in range(copies - 1))], max(ROUNDS, copies))
    scores = h * n * m
    ours, theirs = (max(whole - call, whole / 2) / scores for whole, call in zip(long, short, strict=True))
    found = Rates(ours, theirs, max(0.0, short[0] - short[1]))
    keep(dtype, kind, found)
    return found


def keep(dtype: torch.dtype, kind: str, found: Rates) -> None:
    """Keep rates for this machine's later processes."""
    write_atomically(_path(str(build.cache_folder()), dtype, kind), json.dumps(astuple(found)))
    _read.cache_clear()
