"""Moves of the red-blue pebble game, and the replayed count of a whole list of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from attometer.simulate.pebble.dag import Dag

Action = Literal["load", "store", "compute", "slide", "delete"]
Rule = Literal["place", "slide"]

ACTIONS: tuple[Action, ...] = ("load", "store", "compute", "slide", "delete")
RULES: tuple[Rule, ...] = ("place", "slide")


class Move(NamedTuple):
    """One move: what is done to which vertex; a slide also names the operand whose red pebble moves to the vertex.

    >>> print(Move("load", 3), "|", Move("slide", 5, 3))
    load 3 | slide 5 from 3
    """

    action: Action
    vertex: int
    source: int = -1

    def __str__(self) -> str:
        return f"{self.action} {self.vertex}" + (f" from {self.source}" if self.source >= 0 else "")


@dataclass(frozen=True)
class Replay:
    """What a legal list of moves did: words loaded and stored, computes, repeated computes, most red pebbles at once."""

    loads: int
    stores: int
    computes: int
    recomputes: int
    peak: int

    @property
    def cost(self) -> int:
        """Words moved between fast and slow memory."""
        return self.loads + self.stores

    def __str__(self) -> str:
        return (
            f"{self.cost} words ({self.loads} loads, {self.stores} stores), "
            f"{self.computes} computes ({self.recomputes} repeated), peak {self.peak}"
        )


def transfers(moves: Sequence[Move]) -> int:
    """Return the loads and stores among the moves.

    >>> transfers([Move("load", 0), Move("compute", 1), Move("store", 1)])
    2
    """
    return sum(move.action in ("load", "store") for move in moves)


def useful_moves(dag: Dag, moves: Sequence[Move]) -> tuple[Move, ...]:
    """Return legal moves without the loads and computes whose pebble leaves before anything reads or stores it.

    >>> from attometer.simulate.pebble.dag import matmul_dag
    >>> wasted = [Move("load", 0), Move("delete", 0), Move("load", 0), Move("load", 1), Move("compute", 2), Move("store", 2)]
    >>> useful_moves(matmul_dag(1, 1, 1), wasted) == tuple(wasted[2:])
    True
    """
    wanted: set[int] = set()
    kept: list[Move] = []
    deletions: dict[int, int] = {}  # position in `kept` of the deletion that ends a vertex's stay in fast memory
    for move in reversed(moves):
        vertex = move.vertex
        if move.action == "delete":
            deletions[vertex] = len(kept)
            kept.append(move)
        elif move.action == "store" or vertex in wanted:
            kept.append(move)
            _want(dag, move, wanted)
            if move.action != "store":
                deletions.pop(vertex, None)
            if move.action == "slide":
                deletions.pop(move.source, None)
        else:
            _forget(kept, deletions, move)
    return tuple(move for move in reversed(kept) if move.vertex >= 0)


_NOTHING = Move("delete", -1)


def _want(dag: Dag, move: Move, wanted: set[int]) -> None:
    if move.action == "store":
        wanted.add(move.vertex)
        return
    wanted.discard(move.vertex)
    if move.action != "load":
        wanted.update(dag.parents[move.vertex])


def _forget(kept: list[Move], deletions: dict[int, int], move: Move) -> None:
    """Leave out a move whose pebble is never used, and the deletion of that pebble; a slide still ends its operand's stay."""
    position = deletions.pop(move.vertex, None)
    if position is not None:
        kept[position] = _NOTHING
    if move.action == "slide":
        deletions[move.source] = len(kept)
        kept.append(Move("delete", move.source))
