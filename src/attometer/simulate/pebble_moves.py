"""Moves of the red-blue pebble game, and the replayed count of a whole list of them."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

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
