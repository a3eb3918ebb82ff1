"""Ring attention: keys and values go round, queries stay; exact, with a backward pass of its own.

Liu et al. 2023, arXiv:2310.01889. In the backward pass the gradients of a block travel with it and are sent home from
the last rank that sees it. A block stops as soon as the mask leaves no later rank that sees it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from attometer.run.distributed.block_plan import Split, needs
from attometer.run.distributed.exchange import Batch
from attometer.run.distributed.local import (
    Grads,
    Merged,
    Scores,
    add_into,
    block_backward,
    block_forward,
    grads_of,
    nothing_seen,
)
from attometer.run.distributed.mesh import Ranks
from attometer.run.operands import accumulation


@dataclass(frozen=True)
class Route:
    """How far a block travels from its owner: the first and the last distance at which a rank sees it, 0 if none does."""

    first: int
    last: int


@lru_cache(maxsize=64)
def routes(split: Split) -> tuple[Route, ...]:
    """Return the route of each owner's block.

    >>> from attometer.program import window
    >>> from attometer.run.distributed.layout import contiguous
    >>> routes(Split(window(2), contiguous(8, 4), contiguous(8, 4)))[2:]
    (Route(first=1, last=1), Route(first=0, last=0))
    """
    seen, count = needs(split), split.keys.ranks
    far = [[t for t in range(1, count) if seen[(owner + t) % count][owner]] for owner in range(count)]
    return tuple(Route(min(reached, default=0), max(reached, default=0)) for reached in far)


@dataclass(frozen=True, eq=False)
class Ring:
    """One call of ring attention as seen from one rank."""

    ranks: Ranks
    split: Split
    scores: Scores

    def owner(self, step: int, behind: int = 0) -> int:
        """Return whose block a rank, or the rank `behind` it, holds at a step."""
        return (self.ranks.rank - behind - step) % self.ranks.count

    @property
    def steps(self) -> int:
        """Return the number of steps until every block has stopped."""
        return 1 + max(route.last for route in routes(self.split))

    def computes(self, step: int) -> bool:
        """Return whether this rank's queries see the block of the step."""
        return needs(self.split)[self.ranks.rank][self.owner(step)]


class Travelling:
    """A pair of tensors that goes round as one message: [b, g, length of the owner, d] and [..., e]."""

    def __init__(self, one: torch.Tensor, other: torch.Tensor, ring: Ring) -> None:
        self.b, self.g, _, self.d = one.shape
        self.e, self.ring = other.shape[-1], ring
        self.flat = torch.cat([one.reshape(-1), other.reshape(-1)])

    def empty(self, owner: int, dtype: torch.dtype) -> torch.Tensor:
        """Return an uninitialised message for the block of `owner`."""
        length = self.ring.split.keys.lengths[owner]
        return self.flat.new_empty(self.b * self.g * length * (self.d + self.e), dtype=dtype)

    def views(self, flat: torch.Tensor, owner: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the two tensors inside a message."""
        length = self.ring.split.keys.lengths[owner]
        one, other = flat.split([self.b * self.g * length * width for width in (self.d, self.e)])
        return one.view(self.b, self.g, length, self.d), other.view(self.b, self.g, length, self.e)


def pass_blocks(
    ring: Ring, step: int, held: torch.Tensor | None, like: Travelling
) -> tuple[Batch, torch.Tensor | None]:
    """Start sending the held block on and receiving the next; None stands for a block that has stopped."""
    route, ranks = routes(ring.split), ring.ranks
    batch, coming = Batch(ranks, "keys and values", step), None
    if held is not None and step < route[ring.owner(step)].last:
        batch.send(held, ranks.rank + 1)
    if step < route[ring.owner(step, behind=1)].last:
        coming = like.empty(ring.owner(step, behind=1), like.flat.dtype)
        batch.receive(coming, ranks.rank - 1)
    return batch.post(), coming


def ring_forward(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, ring: Ring) -> Merged:
    """Return output and log-sum-exp of this rank's queries over the keys of all ranks."""
    like = Travelling(k, v, ring)
    merged = nothing_seen(q, v.shape[-1])
    held: torch.Tensor | None = like.flat
    for step in range(ring.steps):
        batch, coming = pass_blocks(ring, step, held, like)
        if ring.computes(step) and held is not None:
            owner = ring.owner(step)
            block = ring.split.block(ring.ranks.rank, owner)
            merged.add(*block_forward(q, *like.views(held, owner), block, ring.scores))
        batch.wait()
        held = coming
    return merged


def ring_backward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grads: Grads, ring: Ring
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return dQ, dK, dV of this rank's shards in the accumulation type."""
    like = Travelling(k, v, ring)
    wide = accumulation(q.dtype)
    dq = torch.zeros_like(q, dtype=wide)
    own = Homecoming(ring, like, wide)
    held: torch.Tensor | None = like.flat
    for step in range(ring.steps):
        batch, coming = pass_blocks(ring, step, held, like)
        made = None
        if ring.computes(step) and held is not None:
            owner = ring.owner(step)
            made = like.empty(owner, wide).zero_()
            block = ring.split.block(ring.ranks.rank, owner)
            add = add_into(dq, *like.views(made, owner))
            block_backward(q, *like.views(held, owner), grads, block, ring.scores, add)
        own.step(step, made)
        batch.wait()
        held = coming
    dk, dv = like.views(own.finish(), ring.ranks.rank)
    return dq, dk, dv


class Homecoming:
    """The gradients of the keys and values: each block's travel one step behind it, then home to its owner."""

    def __init__(self, ring: Ring, like: Travelling, wide: torch.dtype) -> None:
        self.ring, self.like, self.wide = ring, like, wide
        self.own = like.empty(ring.ranks.rank, wide).zero_()
        self.home: torch.Tensor | None = None
        self.coming: torch.Tensor | None = None
        self.batch = Batch(ring.ranks, "key and value gradients", 0).post()
        self.sent: torch.Tensor | None = None  # alive until its message has gone

    def step(self, step: int, made: torch.Tensor | None) -> None:
        """Add what this rank found for the block of the step to what has come with it, and send the sum on."""
        self.batch.wait()
        if step == 0:
            if made is not None:
                self.own += made
            return
        total = made if self.coming is None else self.coming if made is None else self.coming.add_(made)
        self.batch, self.sent = Batch(self.ring.ranks, "key and value gradients", step), total
        route, rank = routes(self.ring.split), self.ring.ranks.rank
        held, behind = route[self.ring.owner(step)], self.ring.owner(step, behind=1)
        if total is not None:
            self.batch.send(total, rank + 1 if step < held.last else self.ring.owner(step))
        self.coming = None
        if route[behind].first <= step < route[behind].last:
            self.coming = self.like.empty(behind, self.wide)
            self.batch.receive(self.coming, rank - 1)
        if step == route[rank].last:
            self.home = self.like.empty(rank, self.wide)
            self.batch.receive(self.home, rank + step)
        self.batch.post()

    def finish(self) -> torch.Tensor:
        """Return the whole gradient of this rank's own block."""
        self.batch.wait()
        return self.own if self.home is None else self.own.add_(self.home)


class RingAttention(torch.autograd.Function):  # type: ignore[misc]  # torch is not read by mypy
    """Ring attention with its own backward pass: autograd never sees the communication."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, ring: Ring
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return output [b, h, n of the rank, e] and log-sum-exp [b, h, n of the rank]."""
        merged = ring_forward(q, k, v, ring)
        output = merged.output.to(q.dtype)
        ctx.save_for_backward(q, k, v, output, merged.lse)
        ctx.ring = ring
        return output, merged.lse

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor, lse_grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of this rank's shards; every rank of the mesh must call backward."""
        q, k, v, output, lse = ctx.saved_tensors
        found = ring_backward(q, k, v, grads_of(output, lse, grad, lse_grad), ctx.ring)
        return (*(x.to(like.dtype) for x, like in zip(found, (q, k, v), strict=True)), None)
