"""Operation graphs built node by node, their critical path, and a greedy scheduler: the measure of the formulas."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass
class Graph:
    """Unit-cost operations; `parents[v]` are the operations that v waits for."""

    parents: list[tuple[int, ...]] = field(default_factory=list)
    after: int | None = None

    def op(self, *parents: int) -> int:
        self.parents.append(parents or (() if self.after is None else (self.after,)))
        return len(self.parents) - 1

    def ops(self, count: int) -> list[int]:
        return [self.op() for _ in range(count)]

    def tree(self, leaves: Sequence[int]) -> int:
        level = list(leaves)
        while len(level) > 1:
            pairs = [self.op(a, b) for a, b in zip(level[::2], level[1::2], strict=False)]
            level = pairs + level[len(pairs) * 2 :]
        return level[0]

    def work(self) -> int:
        return len(self.parents)

    def depth(self) -> int:
        longest: list[int] = []
        for parents in self.parents:
            longest.append(1 + max((longest[p] for p in parents), default=0))
        return max(longest)


def greedy_steps(graph: Graph, processors: int) -> int:
    """Run as many ready operations as there are processors in each step, and count the steps."""
    waiting = [len(set(parents)) for parents in graph.parents]
    children: list[list[int]] = [[] for _ in graph.parents]
    for node, parents in enumerate(graph.parents):
        for parent in set(parents):
            children[parent].append(node)
    ready = [node for node, count in enumerate(waiting) if not count]
    steps = done = 0
    while ready:
        running, ready = ready[:processors], ready[processors:]
        steps += 1
        done += len(running)
        for child in _children(running, children):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    assert done == graph.work()
    return steps


def _children(nodes: Iterable[int], children: list[list[int]]) -> Iterable[int]:
    return (child for node in nodes for child in children[node])
