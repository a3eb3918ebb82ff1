"""Ulysses attention: an all-to-all trades positions for heads, each rank attends whole sequences of some heads, and back.

Jacobs et al. 2023, arXiv:2309.14509. Key/value heads travel unrepeated; with fewer of them than ranks, each is sent to
several ranks, and their gradients are summed where they came from.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from attometer.run.distributed.block_plan import Block, Split
from attometer.run.distributed.exchange import all_to_all
from attometer.run.distributed.layout import Layout
from attometer.run.distributed.local import Grads, Scores, add_into, block_backward, block_forward, grads_of
from attometer.run.distributed.mesh import Ranks
from attometer.run.operands import accumulation


@dataclass(frozen=True, eq=False)
class Ulysses:
    """One call of Ulysses attention as seen from one rank: h query heads and g key/value heads over the ranks."""

    ranks: Ranks
    split: Split
    scores: Scores
    h: int
    g: int

    @property
    def block(self) -> Block:
        """Return the whole sequence."""
        n, m = self.split.queries.length, self.split.keys.length
        return Block(self.split.mask, ((0, n),), ((0, m),), n, m)

    @property
    def replicates(self) -> bool:
        """Return whether a key/value head goes to more than one rank."""
        return self.g % self.ranks.count != 0

    def query_heads(self, rank: int) -> slice:
        """Return the query heads that a rank attends."""
        own = self.h // self.ranks.count
        return slice(rank * own, (rank + 1) * own)

    def key_heads(self, rank: int) -> slice:
        """Return the key/value heads that a rank needs."""
        if self.replicates:
            head = rank * self.g // self.ranks.count
            return slice(head, head + 1)
        own = self.g // self.ranks.count
        return slice(rank * own, (rank + 1) * own)


def to_heads(call: Ulysses, purpose: str, parts: list[tuple[torch.Tensor, Layout, bool]]) -> list[torch.Tensor]:
    """Trade positions for heads: shards [b, heads, length of the rank, width] → [b, own heads, whole length, width].

    Each part is a tensor, the layout of its positions, and whether its heads are key/value heads.
    """
    ranks, rank = call.ranks, call.ranks.rank
    heads = {True: call.key_heads, False: call.query_heads}
    outgoing = [torch.cat([x[:, heads[kv](to)].reshape(-1) for x, _, kv in parts]) for to in range(ranks.count)]
    shapes = [[_shape(x, heads[kv](rank), layout.lengths[of]) for x, layout, kv in parts] for of in range(ranks.count)]
    received = all_to_all(ranks, purpose, outgoing, [sum(map(_numel, own)) for own in shapes])
    shards = [_unpack(flat, own) for flat, own in zip(received, shapes, strict=True)]
    return [layout.join([own[place] for own in shards]) for place, (_, layout, _) in enumerate(parts)]


def to_positions(call: Ulysses, purpose: str, parts: list[tuple[torch.Tensor, Layout]]) -> list[list[torch.Tensor]]:
    """Trade heads for positions: [b, own heads, whole length, width] → for each part, what each rank found for this one."""
    ranks, rank = call.ranks, call.ranks.rank
    outgoing = [torch.cat([layout.shard(x, to).reshape(-1) for x, layout in parts]) for to in range(ranks.count)]
    shapes = [_shape(x, slice(0, x.shape[1]), layout.lengths[rank]) for x, layout in parts]
    received = all_to_all(ranks, purpose, outgoing, [sum(map(_numel, shapes))] * ranks.count)
    shards = [_unpack(flat, shapes) for flat in received]
    return [[own[place] for own in shards] for place in range(len(parts))]


def _shape(x: torch.Tensor, heads: slice, length: int) -> tuple[int, ...]:
    return (x.shape[0], heads.stop - heads.start, length, x.shape[-1])


def _numel(shape: tuple[int, ...]) -> int:
    b, heads, length, width = shape
    return b * heads * length * width


def _unpack(flat: torch.Tensor, shapes: list[tuple[int, ...]]) -> list[torch.Tensor]:
    pieces = flat.split([_numel(shape) for shape in shapes])
    return [piece.view(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _summed(call: Ulysses, found: list[torch.Tensor]) -> torch.Tensor:
    """Return key/value gradients [b, g, length of the rank, width] from what each rank found for its heads."""
    if not call.replicates:
        return torch.cat(found, dim=1)
    each = call.ranks.count // call.g
    return torch.cat([torch.stack(found[k : k + each]).sum(0) for k in range(0, len(found), each)], dim=1)


def backward_heads(
    call: Ulysses, own: tuple[torch.Tensor, torch.Tensor, torch.Tensor], grads: Grads
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return dQ, dK, dV of whole sequences of this rank's heads, in the accumulation type."""
    dq, dk, dv = (torch.zeros_like(x, dtype=accumulation(x.dtype)) for x in own)
    block_backward(*own, grads, call.block, call.scores, add_into(dq, dk, dv))
    return dq, dk, dv


class UlyssesAttention(torch.autograd.Function):  # type: ignore[misc]  # torch is not read by mypy
    """Ulysses attention with its own backward pass: autograd never sees the communication."""

    @staticmethod
    def forward(
        ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, call: Ulysses, return_lse: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return output [b, h, n of the rank, e] and log-sum-exp [b, h, n of the rank], empty if not asked for."""
        queries, keys = call.split.queries, call.split.keys
        own = to_heads(call, "queries, keys and values", [(q, queries, False), (k, keys, True), (v, keys, True)])
        wide, lse = block_forward(own[0], own[1], own[2], call.block, call.scores)
        output = wide.to(q.dtype)
        ctx.save_for_backward(*own, output, lse)
        ctx.call, ctx.return_lse = call, return_lse
        (found,) = to_positions(call, "outputs", [(output, queries)])
        if not return_lse:
            return torch.cat(found, dim=1), q.new_empty(0)
        (statistics,) = to_positions(call, "log-sum-exp", [(lse[..., None], queries)])
        return torch.cat(found, dim=1), torch.cat(statistics, dim=1)[..., 0]

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor, lse_grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of this rank's shards; every rank of the mesh must call backward."""
        call: Ulysses = ctx.call
        queries, keys = call.split.queries, call.split.keys
        *own, output, lse = ctx.saved_tensors
        (rows,) = to_heads(call, "output gradients", [(grad, queries, False)])
        of_lse = None
        if ctx.return_lse:
            of_lse = to_heads(call, "log-sum-exp gradients", [(lse_grad[..., None], queries, False)])[0][..., 0]
        dq, dk, dv = backward_heads(call, (own[0], own[1], own[2]), grads_of(output, lse, rows, of_lse))
        narrow = dk.dtype if call.replicates else own[1].dtype  # a sum over ranks is added up in the wide type
        (found,) = to_positions(call, "query gradients", [(dq.to(grad.dtype), queries)])
        of_keys, of_values = to_positions(
            call, "key and value gradients", [(dk.to(narrow), keys), (dv.to(narrow), keys)]
        )
        back = torch.cat(found, dim=1), _summed(call, of_keys), _summed(call, of_values)
        return (*(x.to(grad.dtype) for x in back), None, None)
