"""Bytes that each rank sends in a collective, and the time that links need for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, log2

from attometer.errors import unknown

KINDS = ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "all_max", "send")
"""Collectives: over rings of p ranks, an all-to-all where each pair exchanges its part, or one message to one rank."""


def chunks(elements: int, ranks: int) -> list[int]:
    """Return the sizes of `ranks` chunks of `elements` entries, the first ones longer by one where they do not divide.

    >>> chunks(10, 4)
    [3, 3, 2, 2]
    """
    return [elements // ranks + (rank < elements % ranks) for rank in range(ranks)]


def elements_sent(kind: str, parts: Sequence[int], rank: int) -> int:
    """Return the elements that `rank` sends on a ring over the chunks `parts`, one for each rank.

    A reduce-scatter passes on every chunk but the rank's own, an all-gather every chunk but its successor's, an all-reduce
    is the one after the other (Patarasuk and Yuan 2009). In an all-to-all `parts` are what goes to each rank.

    >>> [elements_sent(kind, chunks(10, 4), 0) for kind in ("reduce_scatter", "all_gather", "all_reduce")]
    [7, 7, 14]
    """
    if len(parts) == 1:
        return 0
    scattered, gathered = sum(parts) - parts[rank], sum(parts) - parts[(rank + 1) % len(parts)]
    found = {
        "all_reduce": scattered + gathered,
        "all_max": scattered + gathered,
        "reduce_scatter": scattered,
        "all_gather": gathered,
        "all_to_all": scattered,
        "send": sum(parts),
    }
    if kind not in found:
        raise unknown("collective", kind, KINDS)
    return found[kind]


@dataclass(frozen=True)
class Message:
    """One collective of a pass on one rank.

    Attributes:
        kind: one of `KINDS`.
        part: the part it belongs to.
        ranks: ranks that take part.
        reach: how far apart they stand: ranks that lie between the first and the last, itself included.
        payload: bytes of the tensor that is reduced, gathered, exchanged or sent, whole.
        times: how often in one pass.
    """

    kind: str
    part: str
    ranks: int
    reach: int
    payload: float
    times: float = 1

    @property
    def sent(self) -> float:
        """Bytes that one rank sends each time (the even share, where chunks differ by one)."""
        return self.payload * _SHARE[self.kind](self.ranks)

    @property
    def steps(self) -> int:
        """Messages in a row that each pays the latency of the link."""
        return _STEPS[self.kind](self.ranks)

    def seconds(self, bandwidth: float, latency: float) -> float:
        """Return the time of all of them on a link: latency per step and bytes over bandwidth."""
        return self.times * (self.steps * latency + self.sent / bandwidth)


_SHARE: dict[str, Callable[[int], float]] = {
    "all_reduce": lambda p: 2 * (p - 1) / p,
    "all_max": lambda p: 2 * (p - 1) / p,
    "reduce_scatter": lambda p: (p - 1) / p,
    "all_gather": lambda p: (p - 1) / p,
    "all_to_all": lambda p: (p - 1) / p,
    "send": lambda p: 1,
}
# Trees and direct exchange take fewer steps than rings where messages are short.
_STEPS: dict[str, Callable[[int], int]] = {
    "all_reduce": lambda p: 2 * ceil(log2(p)),
    "all_max": lambda p: 2 * ceil(log2(p)),
    "reduce_scatter": lambda p: ceil(log2(p)),
    "all_gather": lambda p: ceil(log2(p)),
    "all_to_all": lambda p: 1,
    "send": lambda p: 1,
}
