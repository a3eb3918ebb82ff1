"""Collectives on rings of messages, each one counted: reduce-scatter, all-gather, and both for an all-reduce."""

import torch

from attometer.run.distributed.exchange import Batch
from attometer.run.distributed.mesh import Ranks


def _chunks(length: int, ranks: int) -> list[int]:
    return [length // ranks + (rank < length % ranks) for rank in range(ranks)]


def reduce_scatter(ranks: Ranks, purpose: str, x: torch.Tensor, axis: int = 0, largest: bool = False) -> torch.Tensor:
    """Return this rank's slice along `axis` of the sum (or maximum) over ranks of x; p - 1 steps on a ring."""
    p, here = ranks.count, ranks.rank
    parts = [part.contiguous() for part in x.split(_chunks(x.shape[axis], p), axis)]
    for step in range(p - 1):
        leaving, coming = (here - step - 1) % p, (here - step - 2) % p
        received = torch.empty_like(parts[coming])
        batch = Batch(ranks, purpose, step)
        batch.send(parts[leaving], here + 1)
        batch.receive(received, here - 1)
        batch.post().wait()
        parts[coming] = torch.maximum(parts[coming], received) if largest else parts[coming] + received
    return parts[here]


def all_gather(ranks: Ranks, purpose: str, x: torch.Tensor, length: int, axis: int = 0) -> torch.Tensor:
    """Return the slices of all ranks joined along `axis`, of `length` in all; p - 1 steps on a ring."""
    p, here = ranks.count, ranks.rank
    shape = list(x.shape)
    parts = []
    for size in _chunks(length, p):
        shape[axis] = size
        parts.append(x.new_empty(shape))
    parts[here] = x.contiguous()
    for step in range(p - 1):
        batch = Batch(ranks, purpose, step)
        batch.send(parts[(here - step) % p], here + 1)
        batch.receive(parts[(here - step - 1) % p], here - 1)
        batch.post().wait()
    return torch.cat(parts, axis)


def all_reduce(ranks: Ranks, purpose: str, x: torch.Tensor, largest: bool = False) -> torch.Tensor:
    """Return the sum (or maximum) over ranks of x on every rank: a reduce-scatter and an all-gather of its entries."""
    flat = x.reshape(-1)
    share = reduce_scatter(ranks, purpose, flat, 0, largest)
    return all_gather(ranks, purpose, share, flat.numel()).reshape(x.shape)
