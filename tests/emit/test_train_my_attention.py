"""The example that trains a model on attention of its own notation: what is compiled learns as the plain formula does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attometer.emit import build

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_my_attention.py"
SMALL = [
    "--steps",
    "80",
    "--n",
    "48",
    "--width",
    "32",
    "--heads",
    "2",
    "--layers",
    "1",
    "--tokens",
    "4",
    "--threads",
    "1",
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
@pytest.mark.skipif(build.unsupported() is not None, reason=f"needs {build.unsupported()}")
def test_the_loss_falls_as_that_of_the_plain_formula() -> None:
    done = run(*SMALL, "--show")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "for j in tiles of B_j of n where (i,j) is not masked out:" in done.stdout
    rows = {line.split()[0]: [float(x) for x in line.split()[1:3]] for line in done.stdout.splitlines()[-2:]}
    (first, last), (plain_first, plain_last) = rows["attometer"], rows["eager"]
    assert last < 0.8 * first
    assert abs(first - plain_first) <= 0.002
    assert abs(last - plain_last) <= 0.02
