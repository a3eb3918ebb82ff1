"""One rank of a pair: the second dies before its backward pass, or never comes to the forward pass."""

import os
import signal
import sys
import time

import torch

from attometer.program import causal
from attometer.run.distributed import LostRank, check_ranks, ring_attention, sequence_mesh, ulysses_attention

TIMEOUT = 4.0
METHODS = {"ring": ring_attention, "ulysses": ulysses_attention}


def died(method: str) -> None:
    mesh = sequence_mesh(timeout=60)
    x = torch.randn(1, 2, 8, 4, requires_grad=True)
    found = METHODS[method](x, x, x, mesh=mesh, mask=causal())
    if mesh.get_local_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    found.sum().backward()


def hung(method: str) -> None:
    mesh = sequence_mesh(timeout=TIMEOUT)
    if mesh.get_local_rank() == 1:
        time.sleep(3 * TIMEOUT)
        os._exit(0)
    x = torch.randn(1, 2, 8, 4)
    try:
        METHODS[method](x, x, x, mesh=mesh)
    except LostRank as error:
        print(error)
    check_ranks(mesh, 1.0)


if __name__ == "__main__":
    try:
        {"died": died, "hung": hung}[sys.argv[1]](sys.argv[2])
    except LostRank as error:
        print("LostRank:", error, flush=True)
        sys.exit(3)
