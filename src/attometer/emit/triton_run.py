"""A Program's Triton kernels: made from their text, launched on CUDA tensors, or on the CPU by Triton's own interpreter."""

import linecache
import os
import sys
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from math import prod
from typing import Any

import numpy as np
import torch

from attometer.emit.compiled import Sized, Target, strided
from attometer.emit.program import Emitted
from attometer.emit.triton_source import Kernel, triton_of
from attometer.errors import AttometerError
from attometer.program import parse
from attometer.program.expression import Where

BLOCK, SCAN = 64, 256
"""Places of rows and of streamed axes in a block; of a scan's axis. Powers of two that no GPU has compared yet."""
LEAST = 16
"""The fewest places of a side of `tl.dot`."""


def interpreted() -> bool:
    """Return whether Triton runs kernels on the CPU, in its interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def unsupported(device: str) -> str | None:
    """Return what a call on tensors of a device lacks to run as Triton kernels, or None.

    >>> unsupported("mps")
    'tensors on mps'
    """
    if device != "cuda" and not (device in ("cpu", "meta") and interpreted()):
        more = "; on the CPU only Triton's interpreter runs it, under TRITON_INTERPRET=1"
        return f"tensors on {device}{more if device == 'cpu' else ''}"
    if find_spec("triton") is None:
        return "a machine without Triton: pip install triton"
    standard = sys.modules.get("triton.language.standard")
    if device != "cuda" and type(getattr(standard, "cdiv", None)).__name__ == "JITFunction":
        return "a Triton that was imported before TRITON_INTERPRET=1 was set"
    return None


@lru_cache(maxsize=128)
def functions(text: str, on_cpu: bool) -> dict[str, Any]:
    """Return what the text of a module defines, for the interpreter or for a GPU; Triton reads its source again."""
    name = f"<attometer triton {sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    made: dict[str, Any] = {"__name__": "attometer.emit.kernels"}
    exec(compile(text, name, "exec"), made)
    return made


class TritonTarget(Target):
    """A program as Triton kernels."""

    def source(self) -> Emitted:
        """Return the program's Triton source."""
        made = triton_of(parse(self.text), self.type_name, self.full)
        self.kernels = made.kernels
        return made.emitted

    @lru_cache(maxsize=64)  # noqa: B019 - targets live as long as the process
    def given(
        self, shapes: tuple[tuple[int, ...], ...], device: torch.device
    ) -> list[tuple[int, list[Any], list[int]]]:
        """Return for each kernel its grid, what it is handed beside arrays, and the places of its blocks."""
        sized = self.sized(shapes)
        found = []
        for kernel in self.kernels:
            widths = _widths(kernel, sized)
            rows = -(-sized.extents[kernel.row] // widths[kernel.row]) if kernel.row else 1
            grid = prod(sized.extents[a] for a in kernel.batch) * rows
            given: list[Any] = []
            for where, skip in kernel.masks.items():
                start, end = (torch.from_numpy(x).to(device) for x in sized.intervals[where])
                seen = visits(where, kernel, sized, widths) if skip else np.zeros((1, 1), np.int8)
                given += [start, end, start.shape[0], torch.from_numpy(seen).to(device), seen.shape[1]]
            given += [*(sized.extents[a] for a in kernel.extents), *(sized.sizes[s] for s in kernel.sizes)]
            found.append((grid, given, [widths[a] for a in kernel.widths]))
        return found

    def launch(self, at: dict[str, torch.Tensor], shapes: tuple[tuple[int, ...], ...]) -> None:
        """Run the program's kernels one after another."""
        device = next(iter(at.values())).device
        lacks = unsupported(device.type)
        if lacks is not None:
            raise AttometerError(f"Triton kernels do not support {lacks}")
        made = functions(self.emitted.text, interpreted())
        sized = self.sized(shapes)
        arrays = dict(zip((name for name, _, _ in self.emitted.arrays), strided(sized, at), strict=True))
        guard: Any = torch.cuda.device(device) if device.type == "cuda" else np.errstate(all="ignore")
        with guard:  # places beyond the end of an axis may divide by 0
            for kernel, (grid, given, widths) in zip(self.kernels, self.given(shapes, device), strict=True):
                own = [x for name in kernel.arrays for x in (at[arrays[name][0]].detach(), *arrays[name][1])]
                made[kernel.name][(grid,)](*own, *given, *widths)


def _widths(kernel: Kernel, sized: Sized) -> dict[str, int]:
    """Return how many places of each axis a block has: all of an axis that is not split, enough for products."""
    scan = kernel.row is None and set(kernel.widths) == kernel.streams
    found = {}
    for axis in kernel.widths:
        whole = 1 << max(0, sized.extents[axis] - 1).bit_length()
        split = axis == kernel.row or axis in kernel.streams
        found[axis] = min(whole, SCAN if scan else BLOCK) if split else whole
    for axes in kernel.products:
        while axes and prod(found[a] for a in axes) < LEAST:
            found[axes[-1]] *= 2
    return found


def visits(where: Where, kernel: Kernel, sized: Sized, widths: dict[str, int]) -> np.ndarray:
    """Return for each tile of queries and of keys whether its mask leaves it empty (0), in part (1) or whole (2)."""
    start, end = (x.astype(np.int64) for x in sized.intervals[where])
    n, m = sized.extents[where.query], sized.extents[where.key]
    rows, keys = widths.get(where.query, 1), widths.get(where.key, 1)
    edges = np.arange(0, m, keys)
    counts = np.zeros((-(-n // rows), len(edges)), np.int64)
    for first, last in zip(start, end, strict=True):
        low = np.clip(first[:, None], edges, edges + keys)
        high = np.clip(last[:, None], edges, edges + keys)
        np.add.at(counts, np.arange(n) // rows, np.maximum(0, high - low))
    whole = np.minimum(rows, n - np.arange(0, n, rows))[:, None] * np.minimum(keys, m - edges)
    return np.where(counts == 0, 0, np.where(counts == whole, 2, 1)).astype(np.int8)
