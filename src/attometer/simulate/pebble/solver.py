"""Exact optimum of the red-blue pebble game by A* on bit masks, with legal moves or a certified lower bound."""

import time
from dataclasses import dataclass
from typing import Any

from attometer.errors import AttometerError, unknown
from attometer.simulate.pebble.compile import check_memory, compile_moves
from attometer.simulate.pebble.dag import Dag
from attometer.simulate.pebble.moves import RULES, Move, transfers, useful_moves
from attometer.simulate.pebble.orders import improved_moves
from attometer.simulate.pebble.referee import referee
from attometer.simulate.pebble.symmetry import automorphisms
from attometer.view.printed import Printed

LARGEST = 62
SYMMETRIES = 128
# A search that is not over after some rounds of steps is worth a look for a lower ceiling.
_STEPS = 1 << 11
_TRIES = 2000
_IMPROVE = (1, 64, 512)
_FIRST_TABLES = 1 << 14


@dataclass(frozen=True)
class Pebbling(Printed):
    """The answer of the solver: the best moves found, their `cost`, and a `lower_bound` that no pebbling can beat.

    `cost == lower_bound` when the search finished (`optimal`); `states` were expanded in `seconds`.
    """

    dag: Dag
    M: int
    rule: str
    recompute: bool
    cost: int
    lower_bound: int
    moves: tuple[Move, ...]
    states: int
    seconds: float

    @property
    def optimal(self) -> bool:
        """Whether `cost` is proved to be the least possible."""
        return self.cost == self.lower_bound

    def __str__(self) -> str:
        verdict = f"optimum {self.cost}" if self.optimal else f"between {self.lower_bound} and {self.cost}"
        again = "with" if self.recompute else "without"
        return (
            f"{verdict} words at M={self.M} ({self.rule}, {again} recomputation; compulsory {self.dag.compulsory}); "
            f"{len(self.dag)} vertices, {self.states} states"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values; moves are strings."""
        return {
            "vertices": len(self.dag),
            "M": self.M,
            "rule": self.rule,
            "recompute": self.recompute,
            "cost": self.cost,
            "lower_bound": self.lower_bound,
            "compulsory": self.dag.compulsory,
            "optimal": self.optimal,
            "states": self.states,
            "seconds": self.seconds,
            "moves": [str(move) for move in self.moves],
        }


def solve(
    dag: Dag, M: int, rule: str = "place", recompute: bool = True, seconds: float = 60.0, states: int = 1 << 23
) -> Pebbling:
    """Return an optimal pebbling of `dag` at M, or the best found with a certified lower bound at a limit.

    Args:
        dag: the computation graph, at most 62 vertices that reach an output.
        M: words of fast memory.
        rule: `place` (a result takes a word of its own) or `slide` (it may take the word of an operand).
        recompute: whether a vertex may be computed more than once.
        seconds: limit on the time of the search.
        states: limit on the number of states recorded.

    Returns:
        A Pebbling, its moves replayed by the referee.

    Raises:
        AttometerError: the dag is too large, M is too small for any pebbling, or the rule is unknown.

    Source: the game is Hong and Kung's, STOC 1981; A* with a heuristic of unstored outputs and inputs to load again.

    >>> from attometer.simulate import matmul_dag, solve
    >>> print(solve(matmul_dag(2, 2, 2), M=5))
    optimum 14 words at M=5 (place, with recomputation; compulsory 12); 16 vertices, ... states
    """
    if rule not in RULES:
        raise unknown("pebble rule", rule, RULES)
    check_memory(dag, M, rule)
    kept = sorted(dag.needed)
    small = _restricted(dag, kept)
    best = _Incumbent(small, M, rule, compile_moves(small, M, rule=rule))
    if len(kept) > LARGEST:
        raise _too_large(dag, len(kept), best.cost)
    started = time.perf_counter()
    lower, expanded = _search(best, recompute, started + seconds, states)
    moves = useful_moves(dag, [_renamed(move, kept) for move in best.moves])
    cost = referee(dag, moves, M, rule, recompute).cost
    return Pebbling(dag, M, rule, recompute, cost, min(lower, cost), moves, expanded, time.perf_counter() - started)


@dataclass
class _Incumbent:
    """The cheapest moves known, which the search has to beat."""

    dag: Dag
    M: int
    rule: str
    moves: tuple[Move, ...]

    @property
    def cost(self) -> int:
        return transfers(self.moves)

    def improve(self, tries: int, seed: int) -> int:
        """Try other orders and return the cost of the cheapest moves."""
        self.moves = min(self.moves, improved_moves(self.dag, self.M, self.rule, tries, seed), key=transfers)
        return self.cost


def _too_large(dag: Dag, vertices: int, best: int) -> AttometerError:
    return AttometerError(
        f"dag has {vertices} vertices that reach an output; the exact solver takes at most {LARGEST}. Without it: every "
        f"pebbling moves at least {dag.compulsory} words (dag.compulsory), and compile_moves finds one that moves {best}"
    )


def _restricted(dag: Dag, kept: list[int]) -> Dag:
    rank = {vertex: position for position, vertex in enumerate(kept)}
    return Dag(
        tuple(tuple(rank[parent] for parent in dag.parents[vertex]) for vertex in kept),
        tuple(rank[vertex] for vertex in dag.inputs if vertex in rank),
        tuple(rank[vertex] for vertex in dag.outputs),
        tuple(dag.labels[vertex] for vertex in kept),
    )


def _renamed(move: Move, kept: list[int]) -> Move:
    return Move(move.action, kept[move.vertex], kept[move.source] if move.source >= 0 else -1)


def _search(best: _Incumbent, recompute: bool, deadline: float, states: int) -> tuple[int, int]:
    """Improve the incumbent to the optimum, or until a limit; return (lower bound, states expanded)."""
    from attometer.simulate.compiled import COMPILED
    from attometer.simulate.pebble.path import path_moves
    from attometer.simulate.pebble.search import CEILING, EXPANDED, FULL, GOAL, LEVEL, RUNNING, SOLVED, push, search
    from attometer.simulate.pebble.states import settle
    from attometer.simulate.pebble.tables import empty_tables, grown, problem_of

    symmetries = automorphisms(best.dag, SYMMETRIES)
    problem = problem_of(best.dag, best.M, best.rule, recompute, symmetries)
    tables = empty_tables(_FIRST_TABLES, best.cost)
    push(problem, tables, settle(problem, 0, 0), (-1, -1, 0, 0))
    outcome, rounds = RUNNING, 0
    while outcome in (RUNNING, FULL):
        outcome, rounds = search(problem, tables, _STEPS if COMPILED else _STEPS // 64), rounds + 1
        if outcome in (RUNNING, FULL) and rounds in _IMPROVE:
            tables.counters[CEILING] = best.improve(_TRIES, rounds)
        if outcome == FULL and 2 * len(tables.red) <= states:
            tables = grown(tables)
        elif outcome == FULL or (outcome == RUNNING and time.perf_counter() > deadline):
            break
    if outcome == SOLVED:
        best.moves = tuple(path_moves(problem, tables, int(tables.counters[GOAL]), symmetries))
    return int(tables.counters[LEVEL]), int(tables.counters[EXPANDED])
