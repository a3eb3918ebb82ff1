"""An independent referee of the red-blue pebble game: replays a list of moves and checks every rule.

Red pebbles are words in fast memory, at most M; blue pebbles are words in slow memory. It shares no code with the
solver.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from attometer.errors import AttometerError, positive_int, unknown
from attometer.simulate.pebble.dag import Dag
from attometer.simulate.pebble.moves import ACTIONS, RULES, Move, Replay


class PebbleError(AttometerError):
    """A list of moves that breaks a rule of the pebble game; the message names the move, the rule and the vertex."""


@dataclass
class Board:
    """The pebbles on a Dag during a replay; `apply` makes one move or raises PebbleError."""

    dag: Dag
    M: int
    rule: str = "place"
    recompute: bool = True
    red: set[int] = field(default_factory=set)
    blue: set[int] = field(default_factory=set)
    computed: set[int] = field(default_factory=set)
    loads: int = 0
    stores: int = 0
    computes: int = 0
    peak: int = 0
    made: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise unknown("pebble rule", self.rule, RULES)
        positive_int("M", self.M)
        self.blue = set(self.dag.inputs)

    def apply(self, move: Move) -> None:
        """Make `move`, which changes the board, or raise PebbleError."""
        self.made += 1
        if move.action not in ACTIONS:
            raise unknown("pebble move", str(move.action), ACTIONS)
        if not 0 <= move.vertex < len(self.dag):
            self._refuse(move, "vertex rule", f"the dag has vertices 0 to {len(self.dag) - 1}")
        getattr(self, f"_{move.action}")(move)
        self.peak = max(self.peak, len(self.red))
        if len(self.red) > self.M:
            self._refuse(move, "capacity rule", f"{len(self.red)} red pebbles with M={self.M}; delete one first")

    def _load(self, move: Move) -> None:
        if move.vertex not in self.blue:
            self._refuse(move, "load rule", "it is not in slow memory; store it before it is dropped")
        if move.vertex in self.red:
            self._refuse(move, "load rule", "it is in fast memory already")
        self.red.add(move.vertex)
        self.loads += 1

    def _store(self, move: Move) -> None:
        self._require_red(move, "store rule")
        self.blue.add(move.vertex)
        self.stores += 1

    def _delete(self, move: Move) -> None:
        self._require_red(move, "delete rule")
        self.red.remove(move.vertex)

    def _compute(self, move: Move) -> None:
        self._check_compute(move)
        self.red.add(move.vertex)

    def _slide(self, move: Move) -> None:
        if self.rule != "slide":
            self._refuse(move, "slide rule", 'sliding is off; replay with rule="slide"')
        if move.source not in self.dag.parents[move.vertex]:
            self._refuse(move, "slide rule", f"the pebble comes from {move.source}, which is not one of its parents")
        self._check_compute(move)
        self.red.remove(move.source)
        self.red.add(move.vertex)

    def _check_compute(self, move: Move) -> None:
        if move.vertex in self.dag.inputs:
            self._refuse(move, "compute rule", "it is an input; load it")
        if move.vertex in self.red:
            self._refuse(move, "compute rule", "it is in fast memory already")
        missing = [parent for parent in self.dag.parents[move.vertex] if parent not in self.red]
        if missing:
            parent = f'{missing[0]} "{self.dag.labels[missing[0]]}"'
            self._refuse(move, "compute rule", f"its parent {parent} is not in fast memory")
        if move.vertex in self.computed and not self.recompute:
            self._refuse(move, "recompute rule", "it was computed before and recomputation is off")
        self.computed.add(move.vertex)
        self.computes += 1

    def _require_red(self, move: Move, rule: str) -> None:
        if move.vertex not in self.red:
            self._refuse(move, rule, "it is not in fast memory")

    def _refuse(self, move: Move, rule: str, reason: str) -> None:
        label = f' "{self.dag.labels[move.vertex]}"' if 0 <= move.vertex < len(self.dag) else ""
        raise PebbleError(f"move {self.made} ({move}) breaks the {rule} at vertex {move.vertex}{label}: {reason}")

    def finish(self) -> Replay:
        """Return the counts of the whole game, or raise PebbleError when an output is not in slow memory."""
        for output in self.dag.outputs:
            if output not in self.blue:
                name = f'{output} "{self.dag.labels[output]}"'
                raise PebbleError(
                    f"after move {self.made} the output rule is broken: vertex {name} is not in slow memory"
                )
        return Replay(self.loads, self.stores, self.computes, self.computes - len(self.computed), self.peak)


def referee(dag: Dag, moves: Iterable[Move], M: int, rule: str = "place", recompute: bool = True) -> Replay:
    """Replay `moves` on `dag` under every rule of the red-blue pebble game and return what they cost.

    Args:
        dag: the computation graph; its inputs start in slow memory.
        moves: loads and stores (1 word each), computes, slides and deletes (free).
        M: words of fast memory, the most red pebbles on the board at once.
        rule: `place` puts a new pebble on a result; `slide` may also move the pebble of an operand onto it.
        recompute: whether a vertex may be computed more than once.

    Returns:
        A Replay; `cost` is loads plus stores.

    Raises:
        PebbleError: a rule is broken; the message names the number of the move (from 1), the rule and the vertex.

    Source: Hong and Kung, STOC 1981, with inputs that cannot be computed.

    >>> from attometer.simulate.pebble.dag import matmul_dag
    >>> dag = matmul_dag(1, 1, 1)
    >>> moves = [Move("load", 0), Move("load", 1), Move("compute", 2), Move("store", 2)]
    >>> print(referee(dag, moves, M=3))
    3 words (2 loads, 1 stores), 1 computes (0 repeated), peak 3
    >>> referee(dag, moves[1:], M=3)
    Traceback (most recent call last):
    attometer.simulate.pebble.referee.PebbleError: move 2 (compute 2) breaks the compute rule at vertex 2 "C[0,0]": ...
    """
    board = Board(dag, M, rule, recompute)
    for move in moves:
        board.apply(move)
    return board.finish()


def boards(dag: Dag, moves: Iterable[Move], M: int, rule: str = "place") -> Iterator[tuple[Move | None, Board]]:
    """Yield the board before the first move (with None) and after each move; it is one object, changed in place."""
    board = Board(dag, M, rule)
    yield None, board
    for move in moves:
        board.apply(move)
        yield move, board
