"""The moves along a path that the search found, turned back from the symmetric images in which states were kept."""

from attometer.simulate.pebble.moves import Move
from attometer.simulate.pebble.search import Tables
from attometer.simulate.pebble.states import Problem, free_compute, tidy
from attometer.simulate.pebble.symmetry import Permutation, image, inverse

Step = tuple[int, int, list[Move]]


def path_moves(problem: Problem, tables: Tables, goal: int, symmetries: list[Permutation]) -> list[Move]:
    """Return the moves from the empty board to the state of record `goal`."""
    path = [goal]
    while tables.origin[path[-1]] >= 0:
        path.append(int(tables.origin[path[-1]]))
    red, blue, moves = _settled(problem, 0, 0)
    back: Permutation = tuple(range(problem.size))
    for record, following in zip(reversed(path), [*reversed(path[:-1]), None], strict=True):
        kept = int(tables.red[record]), int(tables.blue[record])
        turn = next(one for one in symmetries if (image(red, one), image(blue, one)) == kept)
        undo = inverse(turn)
        back = tuple(back[vertex] for vertex in undo)
        if following is not None:
            red, blue, more = _step(problem, tables, following, kept)
            moves += [_renumbered(move, back) for move in more]
    return moves


def _renumbered(move: Move, names: Permutation) -> Move:
    return Move(move.action, names[move.vertex], names[move.source] if move.source >= 0 else -1)


def _step(problem: Problem, tables: Tables, record: int, state: tuple[int, int]) -> Step:
    """Return the state before symmetry, and the moves, by which a record was reached from its origin."""
    red, blue = state
    target, gone, stored = (int(column[record]) for column in (tables.target, tables.gone, tables.stored))
    operands = int(problem.parents[target])
    missing = operands & ~red
    moves = [Move("store", vertex) for vertex in _vertices(stored & red)]
    moves += [Move("delete", vertex) for vertex in _vertices(gone & ~operands)]
    moves += [Move("load", vertex) for vertex in _vertices(missing)]
    source = gone & operands
    moves.append(Move("slide", target, _vertices(source)[0]) if source else Move("compute", target))
    saved = stored if problem.recompute else gone & ~int(problem.inputs)
    red, blue, more = _settled(problem, (red | missing | 1 << target) & ~gone, blue | saved)
    return red, blue, moves + more


def _vertices(mask: int) -> list[int]:
    return [vertex for vertex in range(mask.bit_length()) if mask >> vertex & 1]


def _settled(problem: Problem, red: int, blue: int) -> Step:
    """Return the state and the moves that `settle` makes."""
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
