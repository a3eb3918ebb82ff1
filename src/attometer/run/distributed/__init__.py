"""Attention over several processes: ring and Ulysses, forward and backward, exact, with every byte counted."""

from attometer.run.distributed.attention import distributed_attention, ring_attention, ulysses_attention
from attometer.run.distributed.exchange import Sent, count_sent
from attometer.run.distributed.layout import Layout, contiguous, zigzag
from attometer.run.distributed.mesh import LostRank, check_ranks, leave, sequence_mesh
from attometer.run.distributed.sequence import gather_sequence, shard_sequence

__all__ = [
    "Layout",
    "LostRank",
    "Sent",
    "check_ranks",
    "contiguous",
    "count_sent",
    "distributed_attention",
    "gather_sequence",
    "leave",
    "ring_attention",
    "sequence_mesh",
    "shard_sequence",
    "ulysses_attention",
    "zigzag",
]
