"""A real program's data references, simulated here and by Valgrind's cachegrind."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from attometer.simulate import misses_by_ways

PROGRAM = """
static volatile double A[24*24], B[24*24], C[24*24];
int main(void) {
    for (int i = 0; i < 24; i++)
        for (int j = 0; j < 24; j++) {
            double s = 0;
            for (int k = 0; k < 24; k++) s += A[i*24+k] * B[k*24+j];
            C[i*24+j] = s;
        }
    return 0;
}
"""
TOOLS = ("valgrind", "gcc")


def run(*command: str) -> str:
    # An empty environment gives both runs the same stack.
    return subprocess.run(command, env={}, capture_output=True, text=True, check=True).stderr


def cachegrind_misses(program: Path, size: int, ways: int, line: int) -> int:
    cache = f"{size},{ways},{line}"
    options = (f"--D1={cache}", f"--I1={cache}", f"--LL=65536,16,{line}", "--cachegrind-out-file=/dev/null")
    valgrind = str(shutil.which("valgrind"))
    report = run(valgrind, "--tool=cachegrind", "--cache-sim=yes", *options, str(program))
    found = re.search(r"D1\s+misses:\s+([\d,]+)", report)
    assert found
    return int(found[1].replace(",", ""))


def references(program: Path, log: Path) -> NDArray[np.int64]:
    """Return the first and last byte of each data reference."""
    run(str(shutil.which("valgrind")), "--tool=lackey", "--trace-mem=yes", f"--log-file={log}", str(program))
    rows = [line[3:].split(",") for line in log.read_text().splitlines() if line[:3] in (" L ", " S ", " M ")]
    starts = np.array([int(address, 16) for address, _ in rows])
    return np.stack([starts, starts + np.array([int(size) for _, size in rows]) - 1], axis=1)


def renumbered(lines: NDArray[np.int64], sets: int) -> NDArray[np.int64]:
    """Return small line numbers that fall into the same sets."""
    known, place = np.unique(lines, return_inverse=True)
    small = np.empty_like(known)
    for one in range(sets):
        inside = known % sets == one
        small[inside] = np.arange(np.count_nonzero(inside)) * sets + one
    return small[place]


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="valgrind or gcc is not installed")
def test_line_level_lru_counts_what_cachegrind_counts(tmp_path: Path) -> None:
    program = tmp_path / "product"
    (tmp_path / "product.c").write_text(PROGRAM)
    run(str(shutil.which("gcc")), "-O1", "-static", "-B/usr/bin", "-o", str(program), str(tmp_path / "product.c"))
    touched = references(program, tmp_path / "trace")
    for size, ways, line in ((4096, 8, 64), (4096, 64, 64), (2048, 1, 64), (1024, 32, 32)):
        lines, sets = touched // line, size // ways // line
        straddling = lines[:, 0] != lines[:, 1]
        each = lines.ravel()[np.stack([np.ones_like(straddling), straddling], axis=1).ravel()]
        misses = misses_by_ways(renumbered(each, sets), sets, ways)(ways)
        # cachegrind counts a reference that misses in both of its lines once.
        assert 0 <= misses - cachegrind_misses(program, size, ways, line) <= np.count_nonzero(straddling)
        # Where the stack lies decides whether any reference straddles two lines; without one the counts are equal.
        if not straddling.any():
            assert misses == cachegrind_misses(program, size, ways, line)
