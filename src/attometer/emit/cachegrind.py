"""Cache lines that a compiled nest moves, counted by valgrind's cachegrind on a cache of given size."""

import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attometer.emit import build
from attometer.emit.source import KERNELS, Unit, micro
from attometer.errors import AttometerError
from attometer.masks import Mask

LINE = 64
WORD = 4
WAYS = (
    128  # up to so many lines to a set: the counted fast memory is one set, and cachegrind's look-up is linear in them
)
BLOCKS = {"avx2": (6, 16), "native": (6, 16), "plain": (6, 8)}
"""Rows and columns of a register block in float32; the backward nest, whose rows are keys, turns them round."""
SLOWEST = 1 << 31  # operations; cachegrind runs some 10^7 to 10^8 of them a second


@dataclass(frozen=True)
class Cache:
    """A simulated cache: its bytes, lines of `LINE` bytes, and ways of a set."""

    bytes: int
    ways: int


def cache_of(words: int) -> Cache:
    """Return the largest cache of at most `words` float32 words whose number of sets is a power of two.

    >>> cache_of(4096), cache_of(98304)
    (Cache(bytes=16384, ways=128), Cache(bytes=393216, ways=96))
    """
    lines = words * WORD // LINE
    if lines < 2:
        raise AttometerError(f"a cache of M = {words} words is less than two lines of {LINE} bytes")
    sets = 1
    while lines // sets > WAYS:
        sets *= 2
    return Cache(lines // sets * sets * LINE, lines // sets)


@dataclass(frozen=True)
class LineTraffic:
    """Lines that a run fetched into the cache, to read them and to write them; `reads` and `writes` are in bytes."""

    cache: Cache
    reads: int
    writes: int
    instructions: int

    @property
    def bytes(self) -> int:
        """Bytes fetched in all."""
        return self.reads + self.writes


def instruction_set() -> str:
    """Return the instruction set whose kernels the simulator runs: it knows none wider than AVX2."""
    held = build.targets()
    return next(name for name in BLOCKS if name in held and (name != "native" or "avx2" not in held))


def block(schedule: str) -> tuple[int, int]:
    """Return queries and keys of the smallest tile of a schedule's kernel."""
    rows, columns = BLOCKS[instruction_set()]
    return (columns, rows) if KERNELS[schedule] == "j" else (rows, columns)


def line_traffic(
    schedule: str, sizes: Mapping[str, int], tiles: tuple[int, int], words: int, mask: Mask | None = None
) -> LineTraffic:
    """Run a schedule's float32 kernel under cachegrind with a cache of `words` words, and return the lines that it moved.

    `sizes` are b, h, g, n, m, d and e; `tiles` queries and keys of a tile. The traffic of all that is not the kernel is
    measured by itself and taken off.

    Raises AttometerError without valgrind or a compiler, and for sizes that would take it minutes.
    """
    products = 2 * sizes["b"] * sizes["h"] * sizes["n"] * sizes["m"] * (sizes["d"] + sizes["e"])
    if products > SLOWEST:
        raise AttometerError(
            f"cachegrind would take minutes for {products:,} operations; at most {SLOWEST:,} (a smaller n, say)"
        )
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise AttometerError("counting cache lines needs valgrind (apt install valgrind, dnf install valgrind)")
    target = instruction_set()
    unit = Unit(schedule, "float32", False)
    build.library(unit, target)
    library = build.library_path(unit, target)
    held = cache_of(words)
    with tempfile.TemporaryDirectory(prefix="attometer-") as folder:
        program, problem = Path(folder) / "driver", Path(folder) / "problem"
        build.program("\n".join(map(micro, ("vectors", "call", "driver"))), program)
        problem.write_bytes(problem_bytes(sizes, tiles, held, mask))
        with_kernel, without = (_counts(valgrind, held, program, library, problem, runs) for runs in (1, 0))
    reads, writes, instructions = (a - b for a, b in zip(with_kernel, without, strict=True))
    return LineTraffic(held, reads * LINE, writes * LINE, instructions)


def problem_bytes(sizes: Mapping[str, int], tiles: tuple[int, int], cache: Cache, mask: Mask | None) -> bytes:
    """Return a call's sizes and intervals as `micro/driver.hpp` reads them."""
    n, m = sizes["n"], sizes["m"]
    start, end = (np.zeros((0, n), np.int32),) * 2
    if mask is not None:
        start, end = (np.ascontiguousarray(x, np.int32) for x in mask.intervals(np.arange(n), n, m))
        if not len(start):
            start, end = (np.zeros((1, n), np.int32),) * 2
    head = (*(sizes[name] for name in "bhgnmde"), *tiles, 1, len(start), cache.bytes)
    return struct.pack(f"={len(head)}q", *head) + start.tobytes() + end.tobytes()


def _counts(
    valgrind: str, cache: Cache, program: Path, library: Path, problem: Path, runs: int
) -> tuple[int, int, int]:
    out = problem.with_name(f"counts{runs}")
    size = f"{cache.bytes},{cache.ways},{LINE}"
    command = [valgrind, "--tool=cachegrind", "--cache-sim=yes", f"--D1={size}", f"--LL={size}"]
    command += [f"--cachegrind-out-file={out}", str(program), str(library), str(problem), str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    if done.returncode or not out.exists():
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise AttometerError(f"valgrind could not run the kernel: {said} (exit {done.returncode})")
    text = out.read_text()
    names, values = (_line(key, text) for key in ("events", "summary"))
    found = dict(zip(names, map(int, values), strict=True))
    return found["D1mr"], found["D1mw"], found["Ir"]


def _line(key: str, text: str) -> list[str]:
    found = re.search(rf"^{key}: (.*)$", text, re.MULTILINE)
    return [] if found is None else found.group(1).split()
