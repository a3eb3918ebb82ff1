"""Messages between the ranks, each one counted: what a rank sends is known in bytes, and by what it was for."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from attometer.run.distributed.mesh import Ranks


@dataclass
class Sent:
    """Bytes that this rank sent to other ranks, by purpose, and the number of messages."""

    bytes: Counter[str] = field(default_factory=Counter)
    messages: int = 0

    @property
    def total(self) -> int:
        """Return the bytes of all purposes but the agreement on shapes."""
        return sum(size for purpose, size in self.bytes.items() if purpose != "agreement")


_COUNTERS: list[Sent] = []  # a list, not a context variable: autograd runs CUDA backward passes in other threads


@contextmanager
def count_sent() -> Iterator[Sent]:
    """Count what this rank sends inside the block, backward passes included.

    >>> with count_sent() as sent:
    ...     pass
    >>> sent.total
    0
    """
    held = Sent()
    _COUNTERS.append(held)
    try:
        yield held
    finally:
        # By identity: two nested counters are equal while both are empty.
        _COUNTERS[:] = [c for c in _COUNTERS if c is not held]


def record(purpose: str, elements: int, x: torch.Tensor, messages: int = 1) -> None:
    """Count `elements` of the type of `x` as sent."""
    for held in _COUNTERS:
        held.bytes[purpose] += elements * x.element_size()
        held.messages += messages


class Batch:
    """Messages of one step that every rank posts in the same order; `wait` ends when all have come and gone."""

    def __init__(self, ranks: Ranks, purpose: str, step: int) -> None:
        self.ranks, self.purpose, self.step = ranks, purpose, step
        self._operations: list[dist.P2POp] = []
        self._works: list[Any] = []

    def send(self, x: torch.Tensor, to: int) -> None:
        """Send x to a rank of the group; an empty tensor is not sent."""
        if x.numel():
            self._operations.append(dist.P2POp(dist.isend, x, self.ranks.name(to), self.ranks.group))
            record(self.purpose, x.numel(), x)

    def receive(self, x: torch.Tensor, source: int) -> None:
        """Receive x from a rank of the group; an empty tensor is not waited for."""
        if x.numel():
            self._operations.append(dist.P2POp(dist.irecv, x, self.ranks.name(source), self.ranks.group))

    def post(self) -> "Batch":
        """Start every message; computing may go on until `wait`."""
        if self._operations:
            with self.ranks.guarded(f"{self.purpose}, step {self.step}"):
                self._works = dist.batch_isend_irecv(self._operations)
        return self

    def wait(self) -> None:
        """Wait for every message of the batch."""
        with self.ranks.guarded(f"{self.purpose}, step {self.step}"):
            for work in self._works:
                work.wait()


def all_to_all(ranks: Ranks, purpose: str, outgoing: list[torch.Tensor], sizes: list[int]) -> list[torch.Tensor]:
    """Send outgoing[r] to each rank r and return what each rank sent here, flat, of sizes[r] elements."""
    lengths = [x.numel() for x in outgoing]
    packed = torch.cat([x.reshape(-1) for x in outgoing])
    received = packed.new_empty(sum(sizes))
    with ranks.guarded(purpose):
        dist.all_to_all_single(received, packed, sizes, lengths, group=ranks.group)
    away = sum(lengths) - lengths[ranks.rank]
    record(purpose, away, packed, messages=sum(1 for r, n in enumerate(lengths) if n and r != ranks.rank))
    return list(received.split(sizes))
