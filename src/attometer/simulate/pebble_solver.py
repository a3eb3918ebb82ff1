"""Exact optimum of the red-blue pebble game by A* on bit masks, with legal moves or a certified lower bound."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attometer.errors import AttometerError, unknown
from attometer.simulate.pebble_compile import check_memory, compile_moves
from attometer.simulate.pebble_dag import Dag
from attometer.simulate.pebble_moves import RULES, Move, useful_moves
from attometer.simulate.pebble_referee import referee

if TYPE_CHECKING:
    from attometer.simulate.pebble_search import Tables
    from attometer.simulate.pebble_states import Problem

LARGEST = 62
_FIRST_TABLES = 1 << 14
_STEPS = 1 << 13


@dataclass(frozen=True)
class Pebbling:
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
    dag: Dag, M: int, rule: str = "place", recompute: bool = True, seconds: float = 60.0, states: int = 20_000_000
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
    moves = compile_moves(dag, M, rule=rule)
    best = referee(dag, moves, M, rule, recompute).cost
    kept = sorted(dag.needed)
    if len(kept) > LARGEST:
        raise _too_large(dag, len(kept), best)
    started = time.perf_counter()
    small = _restricted(dag, kept)
    lower, found, expanded = _run(_problem(small, M, rule, recompute), best, started + seconds, states)
    if found is not None:
        moves = useful_moves(dag, [_renamed(move, kept) for move in found])
        best = referee(dag, moves, M, rule, recompute).cost
    return Pebbling(dag, M, rule, recompute, best, min(lower, best), moves, expanded, time.perf_counter() - started)


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


def _array(values: list[int], dtype: Any = np.int64) -> Any:
    """Return what the kernels index: an array when they are compiled, a list when they run as plain Python."""
    from attometer.simulate.compiled import COMPILED

    return np.array(values, dtype) if COMPILED else list(values)


def _mask(vertices: tuple[int, ...]) -> int:
    return sum(1 << vertex for vertex in vertices)


def _problem(dag: Dag, M: int, rule: str, recompute: bool) -> "Problem":
    from attometer.simulate.pebble_states import Problem

    parents = [_mask(operands) for operands in dag.parents]
    above: list[int] = []
    for vertex, operands in enumerate(dag.parents):
        above.append(1 << vertex)
        for parent in operands:
            above[vertex] |= above[parent]
    sole = [uses[0] if len(uses) == 1 and vertex not in dag.outputs else -1 for vertex, uses in enumerate(dag.children)]
    return Problem(
        _array(parents),
        _array([_mask(uses) for uses in dag.children]),
        _array(above),
        _array(sole),
        len(dag),
        _mask(dag.inputs),
        _mask(dag.outputs) & ~_mask(dag.inputs),  # an output that is an input is in slow memory already
        M,
        rule == "slide",
        recompute,
    )


def _tables(capacity: int, ceiling: int) -> "Tables":
    from attometer.simulate.pebble_search import CEILING, LEVEL, Tables

    counters = [0] * 5
    counters[LEVEL], counters[CEILING] = 0, ceiling
    kinds = (np.int64, np.int64, np.int32, np.int32, np.int8, np.int64, np.int64, np.int32, np.int8)
    columns = [_array([0] * capacity, kind) for kind in kinds]
    slots, heads = _array([0] * (4 * capacity), np.int32), _array([0] * (ceiling + 1), np.int32)
    return Tables._make([*columns, slots, heads, _array(counters)])


def _grown(tables: "Tables") -> "Tables":
    """Return the tables at twice the capacity, the hash rebuilt."""
    from attometer.simulate.pebble_search import Tables, rehash

    if isinstance(tables.slots, list):
        doubled = [column + [0] * len(column) for column in tables[:10]]
    else:
        doubled = [np.concatenate([column, np.zeros_like(column)]) for column in tables[:10]]
    bigger = Tables._make([*doubled, tables.heads, tables.counters])
    rehash(bigger)
    return bigger


def _run(problem: "Problem", ceiling: int, deadline: float, states: int) -> tuple[int, list[Move] | None, int]:
    """Return (lower bound, moves that beat the ceiling or None, states expanded)."""
    from attometer.simulate.pebble_search import EXPANDED, FULL, GOAL, LEVEL, RUNNING, SOLVED, push, search
    from attometer.simulate.pebble_states import settle

    tables = _tables(_FIRST_TABLES, ceiling)
    push(problem, tables, settle(problem, 0, 0), (-1, -1, 0, 0))
    outcome = RUNNING
    while outcome in (RUNNING, FULL):
        outcome = search(problem, tables, _STEPS)
        if outcome == FULL and len(tables.red) < states:
            tables = _grown(tables)
        elif outcome == FULL or (outcome == RUNNING and time.perf_counter() > deadline):
            break
    level, expanded = int(tables.counters[LEVEL]), int(tables.counters[EXPANDED])
    if outcome != SOLVED:
        return level, None, expanded
    return level, _moves(problem, tables, int(tables.counters[GOAL])), expanded


def _vertices(mask: int) -> list[int]:
    return [vertex for vertex in range(mask.bit_length()) if mask >> vertex & 1]


def _moves(problem: "Problem", tables: "Tables", goal: int) -> list[Move]:
    """Return the moves along the path to the goal."""
    path = [goal]
    while tables.origin[path[-1]] >= 0:
        path.append(int(tables.origin[path[-1]]))
    red, blue, moves = _settled(problem, 0, 0)
    for record in reversed(path[:-1]):
        target, gone, stored = (int(column[record]) for column in (tables.target, tables.gone, tables.stored))
        operands = int(problem.parents[target])
        missing = operands & ~red
        moves += [Move("store", vertex) for vertex in _vertices(stored & red)]
        moves += [Move("delete", vertex) for vertex in _vertices(gone & ~operands)]
        moves += [Move("load", vertex) for vertex in _vertices(missing)]
        moves += [Move("store", vertex) for vertex in _vertices(stored & ~red)]
        source = gone & operands
        moves.append(Move("slide", target, _vertices(source)[0]) if source else Move("compute", target))
        kept = stored if problem.recompute else gone & ~int(problem.inputs)
        red, blue, more = _settled(problem, (red | missing | 1 << target) & ~gone, blue | kept)
        moves += more
    return moves


def _settled(problem: "Problem", red: int, blue: int) -> tuple[int, int, list[Move]]:
    """Return the state and the moves that `settle` makes."""
    from attometer.simulate.pebble_states import free_compute, tidy

    moves: list[Move] = []
    while True:
        fresh = red & int(problem.outputs) & ~blue
        moves += [Move("store", vertex) for vertex in _vertices(fresh)]
        before = red
        red, blue = (int(mask) for mask in tidy(problem, red, blue | fresh))
        moves += [Move("delete", vertex) for vertex in _vertices(before & ~red)]
        code = int(free_compute(problem, red, blue))
        if code < 0:
            return red, blue, moves
        vertex, source = code & 63, (code >> 6) - 1
        moves.append(Move("slide", vertex, source) if source >= 0 else Move("compute", vertex))
        operand = 1 << source if source >= 0 else 0
        red = (red | 1 << vertex) & ~operand
        blue |= 0 if problem.recompute else operand
