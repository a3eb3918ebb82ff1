"""References per second of the cache simulators, against pycachesim and libcachesim in the same run.

    python benchmarks/cache_simulation.py [--references 3000000] [--runs 5] [--json FILE]

Every row simulates the same trace, word references of FlashAttention-2 or of a tiled matrix product. The peers simulate one
cache size per pass; Attometer's rows answer for every size at once, so that the last column gives the time of a curve of
16 sizes relative to Attometer's LRU. Miss counts are compared before any time is taken: the run fails when one differs.
Times are medians; compilation is left out.
"""

import argparse
import json
import platform
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.simulate import flash_trace, matmul_trace, misses_by_size, misses_by_ways, optimal_misses
from attometer.view.files import write_atomically

CAPACITY = 512
SETS, WAYS = 64, 8
SIZES = 16
Row = tuple[str, Callable[[], int], int, str]


def attometer_rows(trace: NDArray[np.int64]) -> list[Row]:
    return [
        ("attometer LRU, every size", lambda: misses_by_size(trace)(CAPACITY), len(trace), "lru"),
        (
            f"attometer OPT, every size to {CAPACITY}",
            lambda: optimal_misses(trace, CAPACITY)(CAPACITY),
            len(trace),
            "opt",
        ),
        (
            f"attometer {SETS} sets, every ways to {WAYS}",
            lambda: misses_by_ways(trace, SETS, WAYS)(WAYS),
            len(trace),
            "sets",
        ),
    ]


def pycachesim_rows(trace: NDArray[np.int64]) -> list[Row]:
    import cachesim

    part = trace[: len(trace) // 10].tolist()

    def simulate(addresses: list[int], at_once: bool) -> int:
        level = cachesim.Cache("L1", SETS, WAYS, 1, "LRU")
        memory = cachesim.MainMemory()
        memory.load_to(level)
        memory.store_from(level)
        simulator = cachesim.CacheSimulator(level, memory)
        if at_once:
            simulator.load(addresses)
        else:
            for address in addresses:
                simulator.load(address)
        return int(level.MISS_count)

    return [
        (f"pycachesim, {SETS} sets of {WAYS}, a list", lambda: simulate(part, True), len(part), "sets10"),
        (f"pycachesim, {SETS} sets of {WAYS}, a call each", lambda: simulate(part, False), len(part), "sets10"),
    ]


def libcachesim_rows(trace: NDArray[np.int64], folder: Path) -> list[Row]:
    import libcachesim

    requests = [libcachesim.Request(obj_size=1, obj_id=int(word)) for word in trace[: len(trace) // 10]]
    file = write_oracle_trace(trace, folder / "trace.oracleGeneral.bin")

    def one_by_one() -> int:
        cache = libcachesim.LRU(cache_size=CAPACITY, hashpower=16)
        return sum(not cache.get(request) for request in requests)

    def from_file(policy: Any) -> Callable[[], int]:
        def simulate() -> int:
            reader = libcachesim.TraceReader(
                str(file),
                libcachesim.TraceType.ORACLE_GENERAL_TRACE,
                libcachesim.ReaderInitParam(ignore_obj_size=True),
            )
            ratio, _ = policy(cache_size=CAPACITY, hashpower=16).process_trace(reader)
            return round(ratio * len(trace))

        return simulate

    return [
        (f"libcachesim LRU at {CAPACITY}, requests from Python", one_by_one, len(requests), "lru10"),
        (f"libcachesim LRU at {CAPACITY}, file in C", from_file(libcachesim.LRU), len(trace), "lru"),
        (f"libcachesim Belady at {CAPACITY}, file in C", from_file(libcachesim.Belady), len(trace), "opt"),
    ]


def write_oracle_trace(trace: NDArray[np.int64], path: Path) -> Path:
    """Write libcachesim's binary trace: time, object, size, and the time of the next access (-1 when there is none)."""
    record = np.dtype([("time", "<u4"), ("word", "<u8"), ("size", "<u4"), ("next", "<i8")])
    assert record.itemsize == struct.calcsize("<IQIq")
    rows = np.zeros(len(trace), record)
    rows["time"], rows["word"], rows["size"], rows["next"] = 0, trace + 1, 1, -1
    order = np.argsort(trace, kind="stable")
    same = trace[order][:-1] == trace[order][1:]
    rows["next"][order[:-1][same]] = order[1:][same]
    rows.tofile(path)
    return path


def measure(row: Row, runs: int) -> list[float]:
    """Return references per second of each run."""
    rates = []
    for _ in range(runs):
        started = time.perf_counter()
        row[1]()
        rates.append(row[2] / (time.perf_counter() - started))
    return rates


def expected(trace: NDArray[np.int64]) -> dict[str, int]:
    part = trace[: len(trace) // 10]
    return {
        "lru": misses_by_size(trace)(CAPACITY),
        "opt": optimal_misses(trace, CAPACITY)(CAPACITY),
        "sets": misses_by_ways(trace, SETS, WAYS)(WAYS),
        "lru10": misses_by_size(part)(CAPACITY),
        "sets10": misses_by_ways(part, SETS, WAYS)(WAYS),
    }


def rows_of(trace: NDArray[np.int64], folder: Path) -> list[Row]:
    rows = attometer_rows(trace)
    for peer in (pycachesim_rows, lambda words: libcachesim_rows(words, folder)):
        try:
            rows += peer(trace)
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)
    return rows


def run(name: str, trace: NDArray[np.int64], runs: int, folder: Path) -> list[dict[str, Any]]:
    counts, rows, results = expected(trace), rows_of(trace, folder), []
    print(f"\n{name}: {len(trace)} references to {len(np.unique(trace))} words, {runs} runs")
    for row in rows:
        misses = row[1]()
        if misses != counts[row[3]]:
            raise SystemExit(f"{row[0]}: {misses} misses, expected {counts[row[3]]}")
        rates = measure(row, runs)
        passes = 1 if row[0].startswith("attometer") else SIZES
        results.append(
            {
                "trace": name,
                "row": row[0],
                "median": statistics.median(rates),
                "least": min(rates),
                "most": max(rates),
                "curve": passes / statistics.median(rates),
            }
        )
    print(f"  {'':48s}references/s, millions   time relative to the first row: pass, curve of {SIZES} sizes")
    for result in results:
        one, curve = results[0]["median"] / result["median"], result["curve"] / results[0]["curve"]
        span = f"({result['least'] / 1e6:.2f} to {result['most'] / 1e6:.2f})"
        print(f"  {result['row']:48s}{result['median'] / 1e6:7.2f} {span:18s} {one:7.2f} {curve:9.2f}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, one core")
    traces = {
        "tiled matrix product 128^3, tiles of 12": matmul_trace(128, 128, 128, 12),
        "FlashAttention-2, n=256, d=32, B_r=8": flash_trace(256, 32, 8, 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        results = [
            result
            for name, trace in traces.items()
            for result in run(name, trace.array()[: options.references], options.runs, Path(folder))
        ]
    if options.json:
        write_atomically(options.json, json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
