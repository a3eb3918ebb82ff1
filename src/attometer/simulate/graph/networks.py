"""Graphs of scalar operations, and the networks that sums, sorts and scans build in them."""

from dataclasses import dataclass, field

from attometer.errors import AttometerError

FREE = -1
"""The node of what costs nothing: a constant, a size, a position."""

_LIMIT = 2_000_000


@dataclass
class Graph:
    """Nodes are scalar operations; `parents[k]` are the nodes that node k waits for, `depth[k]` its longest path."""

    parents: list[tuple[int, ...]] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    waits: int = 0

    def node(self, *parents: int) -> int:
        """Add an operation that reads `parents` (FREE ones are ready at once) and return its number."""
        if len(self.depth) >= _LIMIT:
            raise AttometerError(f"graph has more than {_LIMIT} nodes; choose smaller sizes")
        real = tuple(p for p in parents if p != FREE)
        self.parents.append(real)
        self.depth.append(1 + max((self.depth[p] for p in real), default=0))
        return len(self.depth) - 1

    def wait(self, *parents: int) -> int:
        """Add a point that costs nothing and is reached when all `parents` are: a gathered entry and its position."""
        real = tuple(p for p in parents if p != FREE)
        if not real:
            return FREE
        self.parents.append(real)
        self.depth.append(max(self.depth[p] for p in real))
        self.waits += 1
        return len(self.depth) - 1

    @property
    def work(self) -> int:
        """Number of operations."""
        return len(self.depth) - self.waits

    @property
    def span(self) -> int:
        """Longest path, in operations."""
        return max(self.depth, default=0)


def tree(graph: Graph, nodes: list[int]) -> int:
    """Combine pairwise, level by level: the balanced tree."""
    while len(nodes) > 1:
        pairs = [graph.node(a, b) for a, b in zip(nodes[::2], nodes[1::2], strict=False)]
        nodes = pairs + ([nodes[-1]] if len(nodes) % 2 else [])
    return nodes[0]


def bitonic(graph: Graph, wires: list[int]) -> None:
    """Replace `wires`, a power of two of them, by those that leave a bitonic sorting network (Batcher 1968)."""
    span = 2
    while span <= len(wires):
        gap = span // 2
        while gap:
            for low in range(len(wires)):
                if low & gap == 0:
                    wires[low] = wires[low + gap] = graph.node(wires[low], wires[low + gap])
            gap //= 2
        span *= 2


def tournament(graph: Graph, wires: list[int], kept: int) -> list[int]:
    """Return the `kept` largest of `wires`, a power of two of them: winners leave, and their matches are played again.

    Which way that is depends on data; any has the same length, and here it is the first wire's.
    """
    rounds = [list(wires)]
    while len(rounds[-1]) > 1:
        rounds.append([graph.node(a, b) for a, b in zip(rounds[-1][::2], rounds[-1][1::2], strict=True)])
    found = [rounds[-1][0]]
    while len(found) < kept:
        # The way is known once the last winner is.
        winner = found[-1]
        for matches in rounds[1:]:
            winner = graph.node(winner, matches[0])
        found.append(winner)
    return found


def prefix(graph: Graph, items: list[tuple[int, int]], decays: bool) -> list[tuple[int, int]]:
    """Return every prefix of (decay, term) pairs: pair up, scan the pairs, fill in between (Ladner and Fischer 1980)."""
    if len(items) < 2:
        return items
    pairs = [combine(graph, a, b, decays) for a, b in zip(items[::2], items[1::2], strict=False)]
    scanned = prefix(graph, pairs, decays)
    result = [items[0]]
    for k in range(1, len(items)):
        result.append(scanned[k // 2] if k % 2 else combine(graph, scanned[k // 2 - 1], items[k], decays))
    return result


def combine(graph: Graph, one: tuple[int, int], other: tuple[int, int], decays: bool) -> tuple[int, int]:
    """Join (a, x) and (b, y) into (a b, b x + y); without decays, x + y."""
    if not decays:
        return FREE, graph.node(one[1], other[1])
    carried = graph.node(other[0], one[1])
    return graph.node(one[0], other[0]), graph.node(carried, other[1])
