"""The kernels on a processor that is not this one: cross-compiled for 64-bit ARM (NEON) and run by qemu."""

import shutil
import subprocess

import numpy as np
import pytest

from attometer.emit.cachegrind import cache_of, problem_bytes
from attometer.emit.source import Unit, micro, source
from attometer.program import parse_mask

COMPILER, MACHINE = "aarch64-linux-gnu-g++", "qemu-aarch64"
MISSING = [name for name in (COMPILER, MACHINE) if shutil.which(name) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"not on the path: {', '.join(MISSING)}")]
SIZES = {"b": 2, "h": 4, "g": 2, "n": 37, "m": 53, "d": 20, "e": 28}
TILES = (24, 32)


def drawn(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return what the driver draws: the top bits of a linear congruence, less a half."""
    made, state = np.empty(np.prod(shape)), seed
    for k in range(made.size):
        state = (state * 1664525 + 1013904223) % 2**32
        made[k] = (state >> 8) / 2**24 - 0.5
    return made.reshape(shape)


def run(schedule: str, mask, folder) -> list[np.ndarray]:
    text, program = folder / "kernel.cpp", folder / "kernel"
    unit = source(Unit(schedule, "float32", False))
    text.write_text("\n".join(["#define ATTOMETER_LINKED", unit, micro("driver")]))
    flags = ["-O2", "-std=c++17", "-static", "-pthread", "-Wno-psabi"]
    subprocess.run([COMPILER, *flags, str(text), "-o", str(program)], check=True, capture_output=True)
    problem, out = folder / "problem", folder / "out"
    problem.write_bytes(problem_bytes(SIZES, TILES, cache_of(4096), mask))
    subprocess.run([MACHINE, str(program), "-", str(problem), "1", str(out)], check=True, capture_output=True)
    b, h, g, n, m, d, e = SIZES.values()
    shapes = [(b, h, n, e), (b, h, n), (b, h, n, d), (b, g, m, d), (b, g, m, e)]
    parts = np.split(np.fromfile(out, np.float32), np.cumsum([np.prod(s) for s in shapes])[:-1])
    return [x.reshape(s).astype(float) for x, s in zip(parts, shapes, strict=True)]


def truth(mask) -> dict[str, np.ndarray]:
    b, h, g, n, m, d, e = SIZES.values()
    q, k, v, o = (drawn(s, 1 + x) for x, s in enumerate([(b, h, n, d), (b, g, m, d), (b, g, m, e), (b, h, n, e)]))
    keys, values = (x.repeat(h // g, 1) for x in (k, v))
    scores = q @ keys.swapaxes(2, 3) / np.sqrt(d)
    if mask is not None:
        scores = np.where(mask.matrix(n, m), scores, -np.inf)
    weights = np.exp(scores)
    total = weights.sum(-1)
    # The driver's backward call takes output and gradient as drawn, and a log-sum-exp of 8.
    p = np.exp(scores - 8)
    ds = p * (o @ values.swapaxes(2, 3) - (o * o).sum(-1)[..., None]) / np.sqrt(d)

    def shared(x):
        return x.reshape(b, g, h // g, *x.shape[2:]).sum(2)

    return {
        "o": weights @ values / total[..., None], "lse": np.log(total), "dq": ds @ keys,
        "dk": shared(ds.swapaxes(2, 3) @ q), "dv": shared(p.swapaxes(2, 3) @ o),
    }  # fmt: skip


@pytest.mark.parametrize("mask", [None, "causal", "causal & window(9)"])
@pytest.mark.parametrize("schedule", ["flash2", "split_kv", "flash_backward_fused"])
def test_neon(schedule, mask, tmp_path) -> None:
    held = parse_mask(mask) if mask else None
    found = dict(zip(("o", "lse", "dq", "dk", "dv"), run(schedule, held, tmp_path), strict=True))
    wanted = truth(held)
    for name in ("dq", "dk", "dv") if schedule == "flash_backward_fused" else ("o", "lse"):
        error = np.linalg.norm(found[name] - wanted[name]) / np.linalg.norm(wanted[name])
        assert error < 3e-6, name
