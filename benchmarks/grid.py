"""Time of one million points of the attention cost on one core, after the first call: `python benchmarks/grid.py`."""

import platform
import statistics
import time

import numpy as np

from attometer.count import count
from attometer.mechanisms import mechanism

POINTS = 1_000_000
REPEATS = 9


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"{POINTS:,} points, median of {REPEATS} calls after the first; {platform.processor() or platform.machine()}")
    for name in ("softmax", "attention_layer", "sliding_window", "longformer"):
        cost = count(mechanism(name))
        # Even sizes, since Longformer's window has as many keys on either side.
        sizes = {str(s): 2 * rng.integers(1, 256, size=POINTS) for s in sorted(cost.symbols, key=str)}
        for quantity in ("work", "depth", "flop", "peak"):
            taken = []
            for _ in range(REPEATS + 1):
                start = time.perf_counter()
                getattr(cost.at(**sizes), quantity)
                taken.append(time.perf_counter() - start)
            print(
                f"{name:16} {quantity:6} {statistics.median(taken[1:]) * 1e3:7.1f} ms (first {taken[0] * 1e3:.0f} ms)"
            )


if __name__ == "__main__":
    main()
