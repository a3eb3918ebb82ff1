"""From a whole sequence to the shard of a rank, and back."""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from attometer.run.distributed.exchange import record
from attometer.run.distributed.layout import Layout, layout_of
from attometer.run.distributed.mesh import ranks_of


def shard_sequence(x: torch.Tensor, *, mesh: DeviceMesh, layout: str | Layout = "zigzag", dim: int = 2) -> torch.Tensor:
    """Return this rank's positions of a whole tensor that every rank has; differentiable.

    Args:
        x: any tensor with the sequence along `dim`, for example [b, h, n, d].
        mesh: the ranks.
        layout: "zigzag", "contiguous" or a Layout.
        dim: the dimension of the sequence.

    Returns:
        The shard, a copy of the positions in ascending order.

    Raises:
        AttometerError: unknown layout, or one of another length.
    """
    ranks = ranks_of(mesh)
    return layout_of(layout, x.shape[dim], ranks.count).shard(x, ranks.rank, dim)


def gather_sequence(
    x: torch.Tensor, length: int, *, mesh: DeviceMesh, layout: str | Layout = "zigzag", dim: int = 2
) -> torch.Tensor:
    """Return the whole tensor of `length` positions from the shards of all ranks, on every rank; not differentiable.

    Args:
        x: this rank's shard.
        length: the length of the whole sequence.
        mesh: the ranks.
        layout: as in shard_sequence.
        dim: the dimension of the sequence.

    Raises:
        AttometerError: unknown layout, or one of another length.
        LostRank: a rank did not answer in time.
    """
    ranks = ranks_of(mesh)
    held = layout_of(layout, length, ranks.count)
    # Collectives want equal sizes: shorter shards are padded on the way.
    longest = max(held.lengths)
    padded = x.new_zeros(*x.shape[:dim], longest, *x.shape[dim + 1 :])
    padded.narrow(dim, 0, x.shape[dim]).copy_(x.detach())
    found = [torch.empty_like(padded) for _ in range(ranks.count)]
    with ranks.guarded("gather"):
        dist.all_gather(found, padded, group=ranks.group)
    record("gather", padded.numel() * (ranks.count - 1), padded, messages=ranks.count - 1)
    return held.join([one.narrow(dim, 0, size) for one, size in zip(found, held.lengths, strict=True)], dim)
