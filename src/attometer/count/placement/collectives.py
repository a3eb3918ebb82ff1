"""Bytes that each rank sends in a collective, and the time that links need for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod

from attometer.count.evaluate import evaluate
from attometer.errors import unknown
from attometer.schedule.sharding import Sharded

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


def sharded_bytes(
    sharded: Sharded, degrees: Mapping[str, int], place: Mapping[str, int], word: int, **sizes: int
) -> dict[str, int]:
    """Return the bytes that the rank at `place` sends in each collective of a cut program, by `kind tensor`, exactly.

    Args:
        sharded: the program, cut.
        degrees: ranks of each mesh dimension, the first one outermost.
        place: the rank's number in each.
        word: bytes of an element.
        sizes: the program's sizes.

    >>> from attometer.program import parse
    >>> from attometer.schedule.sharding import Cut, shard_program
    >>> row = parse("axis i: n, c: 8, o: 5" + chr(10) + "Y[i,o] = X[i,c] * W[c,o]")
    >>> sharded_bytes(shard_program(row, [Cut("c", 2)]), {"tp": 2}, {"tp": 0}, 8, n=3)
    {'all_reduce Y': 120}
    """
    found: dict[str, int] = {}
    for collective in sharded.collectives:
        tensor = sharded.program.tensors[collective.tensor]
        extents = [int(evaluate(extent, sizes)) for extent in tensor.extents]
        over = [dim for dim in degrees if dim in collective.over]
        ranks, rank = 1, 0
        for dim in over:
            ranks, rank = ranks * degrees[dim], rank * degrees[dim] + place[dim]
        if collective.axis is None:
            parts = chunks(prod(extents), ranks)
        else:
            length = extents[tensor.indices.index(collective.axis)]
            parts = [each * (prod(extents) // length) for each in chunks(length, ranks)]
        name = f"{collective.kind} {collective.tensor}"
        found[name] = found.get(name, 0) + word * elements_sent(collective.kind, parts, rank)
    return found


def dispatched_bytes(experts: Sequence[int], number: int, ranks: int, rank: int, width: int, word: int) -> int:
    """Return the bytes that a rank sends to take rows to their experts' ranks: `experts` are the rows' experts of `number`.

    >>> dispatched_bytes([0, 5, 7, 1], number=8, ranks=2, rank=0, width=4, word=8)
    64
    """
    return sum(expert * ranks // number != rank for expert in experts) * width * word


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
