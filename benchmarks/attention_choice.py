"""Is `auto` worse than what it can choose? Median CPU milliseconds of each implementation, and of plain torch, in one run.

`python benchmarks/attention_choice.py`: decoding with shared heads, windows, and a causal square, on one thread. The
keys of torch's own line are neither packed nor cut: it is what a caller without attometer would write.
"""

import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from attometer.errors import AttometerError
from attometer.masks import Mask, causal, window
from attometer.run import attention, explain_choice

REPEATS = 7
CASES: tuple[tuple[str, tuple[int, int, int, int, int], Mask], ...] = (
    ("decode, 32/8 heads", (32, 8, 1, 8192, 128), causal()),
    ("decode, 8/8 heads", (8, 8, 1, 8192, 128), causal()),
    ("decode, window 256", (32, 8, 1, 8192, 128), window(256)),
    ("window 256", (8, 8, 8192, 8192, 64), window(256)),
    ("window 64", (8, 8, 2048, 2048, 64), window(64)),
    ("causal", (8, 8, 2048, 2048, 64), causal()),
)


def median(call: Callable[[], Any]) -> float:
    """Return the median CPU milliseconds of a call, after one that warms up."""
    call()
    samples = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        samples.append(time.process_time() - start)
    return 1e3 * statistics.median(samples)


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Mask) -> torch.Tensor:
    """Return torch's function on a dense mask, or on its own causal flag."""
    n, m = q.shape[2], k.shape[2]
    native = mask == causal()
    seen = None if native else torch.tensor(mask.matrix(n, m))
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=seen, is_causal=native and n > 1, enable_gqa=q.shape[1] != k.shape[1]
    )


def main() -> None:
    """Print one line for each case and type."""
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, 1 thread, CPU ms, median of {REPEATS}"
    )
    for dtype in (torch.float32, torch.bfloat16):
        for title, (h, g, n, m, d), mask in CASES:
            q, k, v = (torch.randn(1, heads, rows, d, dtype=dtype) for heads, rows in ((h, n), (g, m), (g, m)))
            times = {"torch": median(lambda: plain(q, k, v, mask))}  # noqa: B023 - called at once
            for impl in ("auto", "sdpa", "sdpa_chunked", "tiled"):
                try:
                    times[impl] = median(lambda: attention(q, k, v, mask=mask, impl=impl))  # noqa: B023
                except AttometerError:
                    continue
            shown = "  ".join(f"{name} {value:.2f}" for name, value in times.items())
            taken = explain_choice(q, k, v, mask=mask).impl
            print(f"{str(dtype).removeprefix('torch.'):8}  {title:20}  {shown}  (auto takes {taken})")


if __name__ == "__main__":
    main()
