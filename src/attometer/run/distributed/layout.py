"""Which positions of a sequence each rank holds: one contiguous piece, or a zig-zag pair that balances causal work."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from attometer.errors import AttometerError, unknown

Ints: TypeAlias = NDArray[np.int64]
Segments: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layout:
    """The ascending position ranges [start, stop) of each rank; together they hold every position once.

    >>> Layout((((0, 2),), ((3, 4),)))
    Traceback (most recent call last):
    attometer.errors.AttometerError: layout: got positions 2 to 3 on no rank, expected every position on exactly one rank
    """

    segments: tuple[Segments, ...]

    def __post_init__(self) -> None:
        for rank, own in enumerate(self.segments):
            if any(start > stop for start, stop in own) or any(a[1] > b[0] for a, b in pairwise(own)):
                raise AttometerError(
                    f"layout: got ranges {own} on rank {rank}, expected ascending ranges [start, stop)"
                )
        at = 0
        for start, stop in sorted(s for own in self.segments for s in own if s[0] < s[1]):
            if start != at:
                where = f"{at} to {start} on no rank" if start > at else f"{start} to {at} on two ranks"
                raise AttometerError(f"layout: got positions {where}, expected every position on exactly one rank")
            at = stop

    @property
    def ranks(self) -> int:
        """Return the number of ranks."""
        return len(self.segments)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Return how many positions each rank holds."""
        return tuple(sum(stop - start for start, stop in own) for own in self.segments)

    @property
    def length(self) -> int:
        """Return the length of the whole sequence."""
        return sum(self.lengths)

    def positions(self, rank: int) -> Ints:
        """Return the positions of `rank`, ascending, int64 [length of the rank].

        >>> zigzag(8, 2).positions(0).tolist()
        [0, 1, 6, 7]
        """
        return np.concatenate([np.arange(start, stop) for start, stop in self.segments[rank]] or [np.arange(0)])

    def shard(self, x: torch.Tensor, rank: int, dim: int = 2) -> torch.Tensor:
        """Return the positions of `rank` along `dim` of a whole tensor, as a copy.

        >>> zigzag(4, 2).shard(torch.arange(4), 1, dim=0)
        tensor([1, 2])
        """
        if x.shape[dim] != self.length:
            raise AttometerError(f"x: got {x.shape[dim]} positions in dimension {dim}, expected {self.length}")
        return torch.cat([x.narrow(dim, start, stop - start) for start, stop in self.segments[rank]], dim)

    def join(self, shards: list[torch.Tensor], dim: int = 2) -> torch.Tensor:
        """Return the whole tensor from the shards of all ranks in rank order; the inverse of `shard`.

        >>> layout = zigzag(5, 2)
        >>> layout.join([layout.shard(torch.arange(5), rank, 0) for rank in (0, 1)], 0)
        tensor([0, 1, 2, 3, 4])
        """
        return torch.cat(shards, dim).index_select(dim, torch.from_numpy(self.order).to(shards[0].device))

    @cached_property
    def order(self) -> Ints:
        """Return where each position stands in the shards laid end to end."""
        return np.argsort(np.concatenate([self.positions(rank) for rank in range(self.ranks)]), kind="stable")


def contiguous(length: int, ranks: int) -> Layout:
    """Return the layout of `ranks` pieces, as even as can be; under a causal mask the last rank works most.

    >>> contiguous(7, 2).segments
    (((0, 3),), ((3, 7),))
    """
    edges = _edges(length, ranks, ranks)
    return Layout(tuple((piece,) for piece in pairwise(edges)))


def zigzag(length: int, ranks: int) -> Layout:
    """Return the layout in which rank r of p holds pieces r and 2p - 1 - r of 2p: equal causal work on every rank.

    Source: Llama 3, arXiv:2407.21783, section 3.3.2; the imbalance itself is shown in Brandon et al. 2023,
    arXiv:2311.09431, section 3.

    >>> zigzag(8, 2).segments
    (((0, 2), (6, 8)), ((2, 4), (4, 6)))
    """
    pieces = list(pairwise(_edges(length, ranks, 2 * ranks)))
    return Layout(tuple((pieces[rank], pieces[-1 - rank]) for rank in range(ranks)))


def _edges(length: int, ranks: int, pieces: int) -> list[int]:
    if ranks < 1 or length < 0:
        raise AttometerError(f"layout: got {length} positions on {ranks} ranks, expected at least 0 on at least 1")
    return [length * piece // pieces for piece in range(pieces + 1)]


SCHEMES: dict[str, Callable[[int, int], Layout]] = {"zigzag": zigzag, "contiguous": contiguous}
"""The layouts that have a name."""


def layout_of(scheme: str | Layout, length: int, ranks: int) -> Layout:
    """Return the layout called `scheme`, or `scheme` itself if it fits `length` and `ranks`.

    >>> layout_of("zig-zag", 8, 2)
    Traceback (most recent call last):
    attometer.errors.AttometerError: unknown layout "zig-zag"; did you mean "zigzag"?
    """
    if isinstance(scheme, str):
        if scheme not in SCHEMES:
            raise unknown("layout", scheme, SCHEMES)
        return SCHEMES[scheme](length, ranks)
    if (scheme.ranks, scheme.length) != (ranks, length):
        raise AttometerError(
            f"layout: got {scheme.length} positions on {scheme.ranks} ranks, expected {length} on {ranks}"
        )
    return scheme
