"""Better orders of computation by local search: each order gives a legal pebbling, hence an upper bound for the solver."""

import random

from attometer.simulate.pebble.compile import compile_moves
from attometer.simulate.pebble.dag import Dag
from attometer.simulate.pebble.moves import Move, transfers


def _moved(dag: Dag, order: list[int], chance: random.Random) -> list[int]:
    """Return the order with one vertex elsewhere, between its last operand and its first use."""
    position = chance.randrange(len(order))
    vertex = order[position]
    rest = order[:position] + order[position + 1 :]
    places = {other: place for place, other in enumerate(rest)}
    low = max((places[parent] + 1 for parent in dag.parents[vertex] if parent in places), default=0)
    high = min((places[child] for child in dag.children[vertex] if child in places), default=len(rest))
    place = chance.randint(low, high)
    return [*rest[:place], vertex, *rest[place:]]


def improved_moves(dag: Dag, M: int, rule: str, tries: int, seed: int = 0) -> tuple[Move, ...]:
    """Return the cheapest moves among `tries` changes of the order, each kept when it costs no more.

    >>> from attometer.simulate.pebble.dag import attention_dag
    >>> dag = attention_dag(2, 2, 1, 1)
    >>> transfers(compile_moves(dag, 5)), transfers(improved_moves(dag, 5, "place", tries=200))
    (13, 11)
    """
    chance = random.Random(seed)
    order = list(dag.computed)
    best = compile_moves(dag, M, order, rule)
    for _ in range(tries if len(order) > 1 else 0):
        other = _moved(dag, order, chance)
        moves = compile_moves(dag, M, other, rule)
        if transfers(moves) <= transfers(best):
            order, best = other, moves
    return best
