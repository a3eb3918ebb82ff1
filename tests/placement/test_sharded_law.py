"""The law on real processes: cut programs give the whole ones' results, and send the bytes that were counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def _run(ranks: int, script: Path, *arguments: str) -> str:
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
        str(script),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *arguments], env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def _checked(ranks: int, seed: int, rounds: int) -> int:
    return int(_run(ranks, HERE / "law_worker.py", str(seed), str(rounds)).split("checked ")[1])


def test_on_two_processes() -> None:
    assert _checked(2, seed=1, rounds=1) > 200


@pytest.mark.slow
@pytest.mark.parametrize(("ranks", "seed", "rounds"), [(2, 11, 10), (4, 23, 5)])
def test_on_more_processes_and_models(ranks: int, seed: int, rounds: int) -> None:
    assert _checked(ranks, seed, rounds) > 200 * rounds


@pytest.mark.slow
def test_the_example() -> None:
    said = _run(2, HERE.parents[1] / "examples" / "sharded_layer.py")
    assert "results equal, and every byte sent was counted, on every rank" in said
