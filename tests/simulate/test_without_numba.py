"""Without Numba the same source runs as plain Python and gives the same numbers."""

import subprocess
import sys

SCRIPT = """
import sys
sys.modules["numba"] = None
from attometer.simulate import attention_dag, matmul_dag, matmul_trace, misses_by_size, misses_by_ways, optimal_misses, solve
from attometer.simulate.compiled import COMPILED
assert not COMPILED
trace = matmul_trace(5, 5, 5)
print([misses_by_size(trace)(C) for C in (1, 7, 30, 75)], [optimal_misses(trace, 75)(C) for C in (1, 7, 30, 75)])
print([misses_by_ways(trace, 4, 8, 2)(ways) for ways in (1, 2, 8)])
print([misses_by_size([i % 5000 for i in range(12000)])(C) for C in (4999, 5000)])
print([solve(matmul_dag(2, 2, 2), M).cost for M in (4, 5, 6)], solve(attention_dag(1, 2, 1, 1), 4, "slide", False).cost)
"""


def test_the_fallback_gives_the_same_numbers() -> None:
    from attometer.simulate import attention_dag, matmul_trace, misses_by_size, misses_by_ways, optimal_misses, solve

    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trace = matmul_trace(5, 5, 5)
    lru, best = misses_by_size(trace), optimal_misses(trace, 75)
    assert done.stdout.splitlines() == [
        f"{[lru(C) for C in (1, 7, 30, 75)]} {[best(C) for C in (1, 7, 30, 75)]}",
        str([misses_by_ways(trace, 4, 8, 2)(ways) for ways in (1, 2, 8)]),
        "[12000, 5000]",
        f"[17, 14, 13] {solve(attention_dag(1, 2, 1, 1), 4, 'slide', False).cost}",
    ]
