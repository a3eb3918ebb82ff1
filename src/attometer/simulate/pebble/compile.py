"""Compile an order of computations to a legal list of pebble moves, with Belady's rule for what leaves fast memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from attometer.errors import AttometerError
from attometer.simulate.pebble.dag import Dag
from attometer.simulate.pebble.moves import Move

NEVER = 1 << 60


@dataclass
class _Compiler:
    dag: Dag
    M: int
    rule: str
    uses: dict[int, list[int]]  # positions in the order at which each vertex is read or computed anew, last one first
    rebuilt: set[tuple[int, int]]  # (vertex, position) pairs at which the order computes the vertex
    red: set[int] = field(default_factory=set)
    blue: set[int] = field(default_factory=set)
    moves: list[Move] = field(default_factory=list)

    def next_use(self, vertex: int, step: int) -> int:
        """Return the next position that reads the vertex, or NEVER when it is recomputed first or not used again."""
        positions = self.uses[vertex]
        while positions and positions[-1] <= step:
            positions.pop()
        return NEVER if not positions or (vertex, positions[-1]) in self.rebuilt else positions[-1]

    def make_room(self, step: int, kept: set[int], limit: int) -> None:
        """Evict until at most `limit` red pebbles remain, never one of `kept`; the farthest next use goes first."""
        while len(self.red) > limit:
            # Among equals a word that slow memory already holds leaves without a store.
            victim = max(self.red - kept, key=lambda v: (self.next_use(v, step), v in self.blue, v))
            self.drop(victim, step)

    def drop(self, vertex: int, step: int) -> None:
        unsaved_output = vertex in self.dag.outputs
        if vertex not in self.blue and (unsaved_output or self.next_use(vertex, step) < NEVER):
            self.moves.append(Move("store", vertex))
            self.blue.add(vertex)
        self.moves.append(Move("delete", vertex))
        self.red.remove(vertex)

    def compute(self, vertex: int, step: int) -> None:
        parents = self.dag.parents[vertex]
        kept = set(parents)
        for parent in parents:
            if parent not in self.red:
                self.make_room(step - 1, kept, self.M - 1)
                self.moves.append(Move("load", parent))
                self.red.add(parent)
        if vertex not in self.red:
            self._put(vertex, parents, step)
        if vertex in self.dag.outputs and vertex not in self.blue:
            self.moves.append(Move("store", vertex))
            self.blue.add(vertex)
        for word in sorted(self.red):
            if self.next_use(word, step) == NEVER:
                self.drop(word, step)

    def _put(self, vertex: int, parents: tuple[int, ...], step: int) -> None:
        if self.rule == "place" or len(self.red) < self.M or not parents:
            self.make_room(step - 1, set(parents), self.M - 1)
            self.moves.append(Move("compute", vertex))
            self.red.add(vertex)
            return
        source = max(parents, key=lambda v: (self.next_use(v, step), v in self.blue, v))
        if source not in self.blue and (self.next_use(source, step) < NEVER):
            self.moves.append(Move("store", source))
            self.blue.add(source)
        self.moves.append(Move("slide", vertex, source))
        self.red.remove(source)
        self.red.add(vertex)


def compile_moves(dag: Dag, M: int, order: Sequence[int] | None = None, rule: str = "place") -> tuple[Move, ...]:
    """Return legal moves that compute the vertices of `order` one after another, loading what is missing.

    Args:
        dag: the computation graph.
        M: words of fast memory.
        order: computed vertices, operands before uses; a vertex may come again, to be recomputed. By default each
            needed vertex once, in the order of the dag.
        rule: `place` or `slide`; with `slide` a full board moves an operand's pebble onto the result.

    Returns:
        The moves; their cost is an upper bound on the optimum at M.

    Raises:
        AttometerError: M is below the smallest feasible one, or the order uses a vertex before it is computed.

    Source: eviction by farthest next use, Belady 1966.

    >>> from attometer.simulate import matmul_dag, referee
    >>> dag = matmul_dag(2, 2, 2)
    >>> referee(dag, compile_moves(dag, M=4), M=4).cost
    18
    """
    check_memory(dag, M, rule)
    steps = list(dag.computed if order is None else order)
    _check_order(dag, steps)
    uses: dict[int, list[int]] = {vertex: [] for vertex in range(len(dag))}
    for position in range(len(steps) - 1, -1, -1):
        uses[steps[position]].append(position)
        for parent in dag.parents[steps[position]]:
            uses[parent].append(position)
    rebuilt = {(vertex, position) for position, vertex in enumerate(steps)}
    compiler = _Compiler(dag, M, rule, uses, rebuilt, blue=set(dag.inputs))
    for position, vertex in enumerate(steps):
        compiler.compute(vertex, position)
    return tuple(compiler.moves)


def check_memory(dag: Dag, M: int, rule: str) -> None:
    """Raise AttometerError when no pebbling of `dag` exists at M; the message gives the smallest M that has one."""
    smallest = dag.smallest_memory(rule)
    if smallest > M:
        widest = max(dag.computed, key=lambda vertex: len(dag.parents[vertex]))
        raise AttometerError(
            f'M={M} is too small for any pebbling: vertex {widest} "{dag.labels[widest]}" has '
            f'{len(dag.parents[widest])} operands; the smallest feasible M is {smallest} with rule="{rule}"'
        )


def _check_order(dag: Dag, order: list[int]) -> None:
    done = set(dag.inputs)
    for position, vertex in enumerate(order):
        if not 0 <= vertex < len(dag) or vertex in dag.inputs:
            raise AttometerError(f"order[{position}]={vertex} is not a computed vertex of the dag")
        missing = [parent for parent in dag.parents[vertex] if parent not in done]
        if missing:
            late, early = (f'{number} "{dag.labels[number]}"' for number in (missing[0], vertex))
            raise AttometerError(f"order[{position}]={early} comes before its operand {late}")
        done.add(vertex)
    unmade = [vertex for vertex in dag.outputs if vertex not in done]
    if unmade:
        raise AttometerError(f'the order never computes output {unmade[0]} "{dag.labels[unmade[0]]}"')


def tiled_matmul_order(m: int, n: int, k: int, rows: int, columns: int) -> tuple[int, ...]:
    """Return the order of `matmul_dag(m, n, k)` that keeps a rows × columns tile of C and streams over k.

    >>> tiled_matmul_order(1, 2, 2, 1, 2)
    (6, 8, 7, 9)
    """
    first = m * k + k * n
    return tuple(
        first + (i * n + j) * k + step
        for top in range(0, m, rows)
        for left in range(0, n, columns)
        for step in range(k)
        for i in range(top, min(top + rows, m))
        for j in range(left, min(left + columns, n))
    )
