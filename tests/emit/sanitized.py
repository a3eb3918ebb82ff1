"""Runs the nests of a type over shapes and masks in a process of its own, under a sanitizer; see `test_sanitizers.py`."""

import sys

import numpy as np
import torch

from attometer.emit import build, operators
from attometer.emit.tiles import Tiles

CASES = (
    (1, 1, 1, 1, 1, 1, 1, ""),
    (2, 4, 2, 77, 130, 40, 24, "causal"),
    (1, 6, 2, 33, 90, 17, 65, "band(3,5)|global(2)"),
    (1, 4, 2, 1, 300, 64, 64, "causal"),
    (1, 2, 1, 130, 70, 7, 9, "causal & (window(40)|strided(8))"),
    (1, 1, 1, 200, 200, 72, 8, "~causal"),
)


def main(dtype: str, flags: tuple[str, ...]) -> None:
    plain = build.library
    operators.library = lambda unit: plain(unit, None, flags)
    operators.tiles_of = lambda *_: Tiles(48, 64, 1 << 16)  # many tiles, many groups of heads
    torch.set_num_threads(2)
    for b, h, g, n, m, d, e, mask in CASES:
        rng = np.random.default_rng(0)
        shapes = ((b, h, n, d), (b, g, m, d), (b, g, m, e))
        q, k, v = (torch.from_numpy(rng.standard_normal(s)).to(getattr(torch, dtype)) for s in shapes)
        v[..., -1, 0] = torch.nan
        leaves = [x.requires_grad_() for x in (q, k, v)]
        seen = torch.from_numpy(rng.random((b, h, n, m)) < 0.9)
        added = torch.from_numpy(rng.standard_normal((1, h, 1, m))).float()
        bent = (added, torch.zeros(h), seen, [0.5] * h, 2.0, 0.1, 1)
        for more in ((None,) * 5 + (0.0, 0), bent, (None, None, seen[:1, :, :1], None, None, 0.3, 2)):
            output, lse, _ = operators.compiled_attention(*leaves, *more, 0.3, mask)
            torch.autograd.grad(output.float().sum() + lse.masked_fill(lse.isinf(), 0).sum(), leaves)
    print("clean")


if __name__ == "__main__":
    main(sys.argv[1], tuple(sys.argv[2:]))
