"""Starts worker scripts as a user would, with torchrun, or one process for each rank when one of them is to die."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def torchrun(ranks: int, script: Path, *arguments: str, seconds: float = 240) -> str:
    """Run a script on `ranks` processes and return what they printed; a failure fails the test with their words."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
        str(script),
    ]
    done = subprocess.run(
        [*command, *arguments], env=ONE_THREAD, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    return done.stdout


def each_rank(ranks: int, script: Path, *arguments: str, port: int, seconds: float = 120) -> list[tuple[int, str]]:
    """Run a script on `ranks` processes that nobody supervises; return each one's exit status and output."""
    environment = {**ONE_THREAD, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    started = [
        subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        outputs = [process.communicate(timeout=seconds)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [(process.returncode, output) for process, output in zip(started, outputs, strict=True)]
