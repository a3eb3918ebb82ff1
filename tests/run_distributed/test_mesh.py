"""Joining the ranks, and the example that a user starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from distributed_launch import torchrun

from attometer.errors import AttometerError
from attometer.run.distributed import sequence_mesh
from attometer.run.distributed.exchange import count_sent, record
from attometer.run.distributed.mesh import ranks_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "long_context.py"


def test_a_process_that_torchrun_did_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    with pytest.raises(AttometerError) as error:
        sequence_mesh()
    assert str(error.value) == (
        "environment: RANK, WORLD_SIZE not set, expected from torchrun; start it with "
        "`torchrun --nproc-per-node 2 SCRIPT`"
    )


def test_something_that_is_no_mesh() -> None:
    with pytest.raises(AttometerError, match="mesh: got int, expected a torch DeviceMesh; make one with sequence_mesh"):
        ranks_of(2)  # type: ignore[arg-type]


def test_counters_nest() -> None:
    x = torch.zeros(3, dtype=torch.bfloat16)
    with count_sent() as outer:
        with count_sent() as inner:
            record("outputs", 3, x)
        record("outputs", 1, x)
        record("agreement", 8, x)
    record("outputs", 9, x)
    assert (inner.total, outer.total, outer.messages) == (6, 8, 3)
    assert dict(outer.bytes) == {"outputs": 8, "agreement": 16}


@pytest.mark.slow
def test_the_example_measures_what_is_predicted() -> None:
    said = torchrun(2, EXAMPLE, "--length", "203", "--width", "8")
    assert said.count("imbalance, slowest over mean") == 3
    assert said.strip().endswith("bytes sent and kept: every measured number equals its prediction")


@pytest.mark.slow
def test_a_rank_that_never_comes() -> None:
    """The other ranks wait no longer than the timeout, and the first says so."""
    script = "from attometer.run.distributed import sequence_mesh; sequence_mesh(timeout=2)"
    environment = {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "LostRank: start: not every rank came within 2 s (" in done.stderr
