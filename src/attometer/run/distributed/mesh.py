"""The ranks that share a sequence: a one-dimensional DeviceMesh, and the error when one of them is lost."""

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from attometer.errors import AttometerError

TIMEOUT = 300.0  # seconds; the backends' own defaults are 10 to 30 minutes


class LostRank(RuntimeError):
    """A rank died, hung or left: the others stop with this error once the process group's timeout has passed."""


@dataclass(frozen=True)
class Ranks:
    """The ranks of a mesh, and this process's place among them."""

    mesh: DeviceMesh
    rank: int
    count: int

    @property
    def group(self) -> Any:
        """Return the process group; not kept, so that a graph of autograd does not keep its threads alive."""
        return self.mesh.get_group()

    def name(self, rank: int) -> int:
        """Return the global rank of a rank of this group."""
        return int(dist.get_global_rank(self.group, rank % self.count))

    @contextmanager
    def guarded(self, doing: str) -> Iterator[None]:
        """Turn a backend's failure inside the block into LostRank, which says what was under way."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, LostRank):
                raise
            reason = str(error).split("\n")[0][:200]
            raise LostRank(
                f"{doing}: rank {dist.get_rank()} of {self.count} lost a rank ({reason}); look for the first error among "
                "the other ranks, and start all of them again"
            ) from error


def sequence_mesh(device: str = "cpu", timeout: float = TIMEOUT) -> DeviceMesh:
    """Join the processes that torchrun started and return a mesh of all of them, one dimension called "sequence".

    Args:
        device: "cpu" communicates with gloo, "cuda" with nccl.
        timeout: seconds after which a communication that a rank does not answer is an error.

    Returns:
        The mesh, for `attention(..., mesh=...)`.

    Raises:
        AttometerError: the process was not started by torchrun.
        LostRank: not every rank came within the timeout.
    """
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing and not dist.is_initialized():
        raise AttometerError(
            f"environment: {', '.join(missing)} not set, expected from torchrun; start it with "
            "`torchrun --nproc-per-node 2 SCRIPT`"
        )
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if not dist.is_initialized():
        _join("nccl" if device == "cuda" else "gloo", timeout)
    mesh = init_device_mesh(device, (dist.get_world_size(),), mesh_dim_names=("sequence",))
    check_ranks(mesh, timeout)
    atexit.register(leave, mesh)
    return mesh


def leave(mesh: DeviceMesh) -> None:
    """Leave the process group; `sequence_mesh` has it done at exit. The mesh cannot be used afterwards."""
    if dist.is_initialized():
        dist.destroy_process_group()
    # While anything refers to the group its threads live on, and a thread of gloo that drops a tensor while the
    # interpreter ends aborts the process.
    getattr(mesh, "_pg_registry", {}).clear()
    gc.collect()


def _join(backend: str, timeout: float) -> None:
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    except RuntimeError as error:
        reason = str(error).split("\n")[0][:200]
        raise LostRank(f"start: not every rank came within {timeout:g} s ({reason})") from error


def check_ranks(mesh: DeviceMesh, timeout: float = TIMEOUT) -> None:
    """Wait until every rank of the mesh is here.

    Raises LostRank, which on the first rank names who is missing, after `timeout` seconds.
    """
    ranks = ranks_of(mesh)
    with ranks.guarded("barrier"):
        if dist.get_backend(ranks.group) == "gloo":
            dist.monitored_barrier(ranks.group, timeout=timedelta(seconds=timeout), wait_all_ranks=True)
        else:
            dist.barrier(ranks.group)


def ranks_of(mesh: DeviceMesh) -> Ranks:
    """Return the ranks of a one-dimensional mesh.

    Raises AttometerError for anything else.
    """
    if not isinstance(mesh, DeviceMesh):
        raise AttometerError(
            f"mesh: got {type(mesh).__name__}, expected a torch DeviceMesh; make one with sequence_mesh()"
        )
    if mesh.ndim != 1:
        names = mesh.mesh_dim_names or ()
        hint = f'; pass mesh["{names[-1]}"]' if names else ""
        raise AttometerError(f"mesh: got {mesh.ndim} dimensions {names}, expected 1{hint}")
    if mesh.get_coordinate() is None:
        raise AttometerError(f"mesh: rank {dist.get_rank()} is not in the mesh, expected every caller to be")
    return Ranks(mesh, mesh.get_local_rank(), mesh.size())
