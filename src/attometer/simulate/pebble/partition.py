"""Hong and Kung's S-partitions: dominators by maximum flow, minimum sets, and a checker of whole partitions."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from attometer.errors import AttometerError, extras
from attometer.simulate.pebble.dag import Dag
from attometer.simulate.pebble.moves import Move, useful_moves
from attometer.simulate.pebble.referee import Board


@dataclass(frozen=True)
class Partition:
    """A checked S-partition: its parts in order, its size S, and the largest dominator and minimum set that occur."""

    parts: tuple[frozenset[int], ...]
    size: int
    dominator: int
    minimum: int

    def __str__(self) -> str:
        return (
            f"{self.size}-partition in {len(self.parts)} parts: largest dominator {self.dominator}, "
            f"largest minimum set {self.minimum}"
        )


def minimum_set(dag: Dag, vertices: Collection[int]) -> frozenset[int]:
    """Return the vertices of the set that have no child in it.

    >>> from attometer.simulate.pebble.dag import matmul_dag
    >>> sorted(minimum_set(matmul_dag(1, 1, 2), {4, 5}))
    [5]
    """
    inside = frozenset(vertices)
    return frozenset(vertex for vertex in inside if not inside.intersection(dag.children[vertex]))


def minimum_dominator(dag: Dag, vertices: Collection[int]) -> frozenset[int]:
    """Return a smallest set of vertices that meets every path from an input to the given vertices.

    Args:
        dag: the computation graph; a path starts at a vertex without parents.
        vertices: the set to dominate; its own members may be in the dominator.

    Returns:
        One smallest dominator: a minimum vertex cut, by maximum flow through split vertices.

    Raises:
        AttometerError: NetworkX is not installed.

    Source: Hong and Kung, STOC 1981, section 3; Menger's theorem.

    >>> from attometer.simulate.pebble.dag import matmul_dag
    >>> len(minimum_dominator(matmul_dag(1, 1, 3), {6, 7})), sorted(minimum_dominator(matmul_dag(1, 1, 3), {8}))
    (2, [8])
    """
    with extras("dominators need"):
        import networkx
    if not vertices:
        return frozenset()
    flow = networkx.DiGraph()
    for vertex, parents in enumerate(dag.parents):
        flow.add_edge(("in", vertex), ("out", vertex), capacity=1)
        if not parents:
            flow.add_edge("source", ("in", vertex))
        for parent in parents:
            flow.add_edge(("out", parent), ("in", vertex))
    for vertex in vertices:
        flow.add_edge(("out", vertex), "sink")
    _, (near, _) = networkx.minimum_cut(flow, "source", "sink")
    return frozenset(vertex for vertex in range(len(dag)) if ("in", vertex) in near and ("out", vertex) not in near)


def check_partition(dag: Dag, parts: Sequence[Collection[int]], size: int) -> Partition:
    """Check that `parts` is an S-partition of the computed vertices of `dag` and return it with its measures.

    Args:
        dag: the computation graph.
        parts: sets of computed vertices, in an order in which no part needs a later one.
        size: S, the most vertices of a dominator and of a minimum set.

    Returns:
        A Partition.

    Raises:
        AttometerError: a vertex is missing, repeated or an input; a part needs a later part; a set is too large.

    Source: Hong and Kung, STOC 1981, section 3; inputs are left out, for they are never computed.

    >>> from attometer.simulate.pebble.dag import matmul_dag
    >>> print(check_partition(matmul_dag(1, 2, 2), [{6, 7}, {8, 9}], size=4))
    4-partition in 2 parts: largest dominator 2, largest minimum set 1
    """
    sets = [frozenset(part) for part in parts]
    _check_cover(dag, sets)
    dominators = [len(minimum_dominator(dag, part)) for part in sets]
    minima = [len(minimum_set(dag, part)) for part in sets]
    for kind, sizes in (("dominator", dominators), ("minimum set", minima)):
        for number, words in enumerate(sizes):
            if words > size:
                raise AttometerError(f"part {number} needs a {kind} of {words} vertices, more than S={size}")
    return Partition(tuple(sets), size, max(dominators, default=0), max(minima, default=0))


def _check_cover(dag: Dag, parts: list[frozenset[int]]) -> None:
    home: dict[int, int] = {}
    for number, part in enumerate(parts):
        for vertex in sorted(part):
            if vertex not in range(len(dag)) or vertex in dag.inputs:
                raise AttometerError(f"part {number} holds {vertex}, which is not a computed vertex of the dag")
            if vertex in home:
                raise AttometerError(f"vertex {vertex} is in part {home[vertex]} and in part {number}")
            home[vertex] = number
    for vertex in dag.computed:
        if vertex not in home:
            raise AttometerError(f'vertex {vertex} "{dag.labels[vertex]}" is in no part')
    for vertex, number in home.items():
        for parent in dag.parents[vertex]:
            if home.get(parent, 0) > number:
                raise AttometerError(f"part {number} needs vertex {parent} of the later part {home[parent]}")


def hong_kung_partition(dag: Dag, moves: Iterable[Move], M: int) -> tuple[frozenset[int], ...]:
    """Return the 2M-partition of a pebbling with M red pebbles: what is first computed in each run of M transfers.

    Every pebbling of cost Q gives h parts with M·h >= Q >= M·(h - 1), and so a lower bound needs only the least number
    of parts that a 2M-partition can have. The rule is `place`; computes that nothing uses are left out.

    Source: Hong and Kung, STOC 1981, theorem 3.1.

    >>> from attometer.simulate import compile_moves, matmul_dag
    >>> dag = matmul_dag(2, 2, 2)
    >>> parts = hong_kung_partition(dag, compile_moves(dag, M=4), M=4)
    >>> print(check_partition(dag, parts, size=8))
    8-partition in 5 parts: largest dominator 2, largest minimum set 2
    """
    board = Board(dag, M)
    parts: list[set[int]] = [set()]
    for move in useful_moves(dag, list(moves)):
        if move.action in ("load", "store") and board.loads + board.stores == M * len(parts):
            parts.append(set())
        if move.action == "compute" and move.vertex not in board.computed:
            parts[-1].add(move.vertex)
        board.apply(move)
    return tuple(frozenset(part) for part in parts)
