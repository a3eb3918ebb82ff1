"""States of the pebble game as bit masks: what may be forgotten, what is free, and what a finish must still cost.

A state is the pair (red, blue): vertices in fast memory, and computed vertices in slow memory, where inputs always are.
Without recomputation a vertex that is used up counts as blue, so that `red | blue` is what has been computed.
"""

from typing import Any, NamedTuple

from attometer.simulate.compiled import jit, lowest_bit, popcount
from attometer.simulate.pebble.symmetry import CHUNK


class Problem(NamedTuple):
    """One instance: masks of a graph of at most 62 vertices, every one of which reaches an output.

    Masks by vertex: `parents`, `children`, `above` (the vertex and its ancestors) and `funnel` (vertices that are no output
    and whose every use leads through it by single children). `orphans` are computed from nothing; `images` are the tables
    of `symmetries` permutations.
    """

    parents: Any
    children: Any
    above: Any
    funnel: Any
    images: Any
    symmetries: int
    size: int
    inputs: int
    outputs: int
    orphans: int
    memory: int
    slide: bool
    recompute: bool


@jit
def _union(masks: Any, members: int) -> int:
    """Return the union of the masks of the members."""
    together = 0
    while members:
        together |= masks[lowest_bit(members)]
        members &= members - 1
    return together


@jit
def live_vertices(problem: Problem, blue: int) -> int:
    """Return the mask of vertices that reach an output not yet stored."""
    return _union(problem.above, problem.outputs & ~blue)


@jit
def tidy(problem: Problem, red: int, blue: int) -> tuple[int, int]:
    """Return the canonical (red, blue) of a state with its red outputs stored: pebbles that cannot help are dropped."""
    if problem.recompute:
        live = live_vertices(problem, blue)
        # What serves one red vertex alone serves nothing that keeping that vertex does not serve; and what serves one
        # blue vertex alone would be loaded only to compute what can be loaded for the same word.
        blue &= (live & ~_union(problem.funnel, blue)) | problem.outputs
        return red & live & ~_union(problem.funnel, red), blue
    used_up = 0
    members = red & ~(problem.outputs & ~blue)
    while members:
        low = members & -members
        if problem.children[lowest_bit(low)] & ~(red | blue) == 0:
            used_up |= low
        members ^= low
    return red & ~used_up, blue | (used_up & ~problem.inputs)


@jit
def useful_targets(problem: Problem, red: int, blue: int) -> int:
    """Return the mask of vertices of which a computed pebble would be of use, given a tidy state."""
    if problem.recompute:
        live = live_vertices(problem, blue)
        return live & ~red & ~problem.inputs & ~_union(problem.funnel, red)
    return ((1 << problem.size) - 1) & ~(red | blue | problem.inputs)


@jit
def ready_vertices(problem: Problem, red: int, blue: int) -> int:
    """Return the mask of useful targets whose operands are all in fast memory."""
    near = (_union(problem.children, red) | problem.orphans) & useful_targets(problem, red, blue)
    ready = 0
    while near:
        low = near & -near
        if problem.parents[lowest_bit(low)] & ~red == 0:
            ready |= low
        near ^= low
    return ready


@jit
def spent_parent(problem: Problem, red: int, blue: int, vertex: int) -> int:
    """Return an operand of `vertex`, held in fast memory only, that has no other use left, or -1."""
    operands = problem.parents[vertex] & ~blue & ~problem.inputs
    while operands:
        parent = lowest_bit(operands)
        operands &= operands - 1
        left = problem.children[parent] if problem.recompute else problem.children[parent] & ~(red | blue)
        if left == 1 << vertex and problem.outputs >> parent & 1 == 0:
            return parent
    return -1


@jit
def free_compute(problem: Problem, red: int, blue: int) -> int:
    """Return a compute that can only help, or -1; it is vertex + 64·(1 + operand) when it slides from an operand.

    With recomputation any useful result may fill a free word. Without it a result must be kept until it is used, so
    only results that are stored at once, or that replace an operand held in fast memory alone, are free.
    """
    room = popcount(red) < problem.memory
    ready = ready_vertices(problem, red, blue)
    first = ready & problem.outputs & ~blue
    for candidates in (first, ready & ~first):
        while candidates:
            vertex = lowest_bit(candidates)
            candidates &= candidates - 1
            if room and (problem.recompute or (problem.outputs >> vertex & 1 and problem.children[vertex] == 0)):
                return vertex
            parent = spent_parent(problem, red, blue, vertex) if room or problem.slide else -1
            if parent >= 0:
                return vertex if room else vertex + 64 * (1 + parent)
    return -1


@jit
def settle(problem: Problem, red: int, blue: int) -> tuple[int, int, int]:
    """Make every move that can only help: store red outputs, drop pointless pebbles, compute what is free.

    Returns (red, blue, words stored).
    """
    cost = 0
    while True:
        fresh = red & problem.outputs & ~blue
        blue |= fresh
        cost += popcount(fresh)
        red, blue = tidy(problem, red, blue)
        code = free_compute(problem, red, blue)
        if code < 0:
            return red, blue, cost
        red |= 1 << (code & 63)
        if code >= 64:
            operand = 1 << (code >> 6) - 1
            red &= ~operand
            blue |= 0 if problem.recompute else operand


@jit
def words_to_finish(problem: Problem, red: int, blue: int) -> int:
    """Return a consistent lower bound on the words that must still move: unstored outputs, and inputs to load again.

    Without recomputation each blue vertex on the way is loaded too.
    """
    frontier = problem.outputs & ~blue
    words = popcount(frontier)
    frontier &= ~red
    seen = frontier
    while frontier:
        vertex = lowest_bit(frontier)
        frontier &= frontier - 1
        fresh = problem.parents[vertex] & ~red & ~seen
        seen |= fresh
        words += popcount(fresh & problem.inputs)
        if not problem.recompute:
            words += popcount(fresh & blue)
        frontier |= fresh & ~problem.inputs & ~blue
    return words


@jit
def _image(problem: Problem, symmetry: int, mask: int) -> int:
    chunks = (problem.size + CHUNK - 1) // CHUNK
    place = symmetry * chunks << CHUNK
    moved = 0
    while mask:
        moved |= problem.images[place + (mask & (1 << CHUNK) - 1)]
        mask >>= CHUNK
        place += 1 << CHUNK
    return moved


@jit
def least_image(problem: Problem, red: int, blue: int) -> tuple[int, int]:
    """Return the least (red, blue) into which a symmetry turns the state."""
    least_red, least_blue = red, blue
    for symmetry in range(1, problem.symmetries):
        moved = _image(problem, symmetry, red)
        if moved <= least_red:
            other = _image(problem, symmetry, blue)
            if moved < least_red or other < least_blue:
                least_red, least_blue = moved, other
    return least_red, least_blue
