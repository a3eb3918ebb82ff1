"""A* over states of the pebble game: a bucket queue by cost, an open-addressing hash table, a record per state."""

from typing import Any, NamedTuple

from attometer.simulate.compiled import jit, lowest_bit, popcount
from attometer.simulate.pebble.states import Problem, least_image, settle, useful_targets, words_to_finish

RUNNING, SOLVED, EXHAUSTED, FULL = 0, 1, 2, 3
OPEN, CLOSED = 0, 1
# Positions in Tables.counters.
RECORDS, LEVEL, EXPANDED, CEILING, GOAL = 0, 1, 2, 3, 4


class Tables(NamedTuple):
    """Growing arrays of the search, one entry per record: state, cost so far, how it was reached, and its queue link.

    `slots` hashes a state to its best record plus one; `heads[f]` is the newest record plus one of total cost f.
    """

    red: Any
    blue: Any
    cost: Any
    origin: Any
    target: Any
    gone: Any
    stored: Any
    link: Any
    status: Any
    slots: Any
    heads: Any
    counters: Any


@jit
def _slot_of(tables: Tables, red: int, blue: int) -> int:
    """Return the slot that holds the state, or the free slot where it belongs."""
    mask = len(tables.slots) - 1
    key = (red * 0x2545F4914F6CDD1D ^ blue) * 0x369DEA0F31A53F85
    slot = (key >> 20 ^ key >> 41) & mask
    while tables.slots[slot]:
        record = tables.slots[slot] - 1
        if tables.red[record] == red and tables.blue[record] == blue:
            return slot
        slot = (slot + 1) & mask
    return slot


@jit
def push(problem: Problem, tables: Tables, state: tuple[int, int, int], step: tuple[int, int, int, int]) -> bool:
    """Record a state (red, blue, cost) and the step (origin, target, gone, stored) to it; False when the tables are full.

    A state known at no more, or that cannot beat the ceiling, is left out.
    """
    red, blue, cost = state
    total = cost + words_to_finish(problem, red, blue)
    if total >= tables.counters[CEILING]:
        return True
    red, blue = least_image(problem, red, blue)
    slot = _slot_of(tables, red, blue)
    if tables.slots[slot]:
        known = tables.slots[slot] - 1
        if tables.cost[known] <= cost:
            return True
        tables.status[known] = CLOSED
    record = tables.counters[RECORDS]
    if record == len(tables.red):
        return False
    tables.counters[RECORDS] = record + 1
    tables.slots[slot] = record + 1
    tables.red[record], tables.blue[record], tables.cost[record] = red, blue, cost
    tables.origin[record], tables.target[record], tables.gone[record], tables.stored[record] = step
    tables.status[record] = OPEN
    tables.link[record] = tables.heads[total]
    tables.heads[total] = record + 1
    return True


@jit
def _next_combination(chosen: int) -> int:
    """Return the next larger integer with as many bits set."""
    low = chosen & -chosen
    ripple = chosen + low
    return ripple | ((chosen ^ ripple) >> 2) // low


@jit
def _spread(chosen: int, pool: int) -> int:
    """Return the bits of `pool` whose ranks are set in `chosen`."""
    spread = 0
    while chosen:
        low = pool & -pool
        if chosen & 1:
            spread |= low
        pool ^= low
        chosen >>= 1
    return spread


@jit
def _spent_by(problem: Problem, done: int, target: int, operands: int) -> int:
    """Return the members of `operands` whose only use left is `target`."""
    spent = 0
    while operands:
        low = operands & -operands
        if problem.children[lowest_bit(low)] & ~done == 1 << target:
            spent |= low
        operands ^= low
    return spent


@jit
def _reach(problem: Problem, tables: Tables, record: int, target: int, gone: int) -> bool:
    """Push every state that loads the operands of `target`, evicts `gone` and computes it, for each choice of stores."""
    red, blue, cost = tables.red[record], tables.blue[record], tables.cost[record]
    missing = problem.parents[target] & ~red
    unsaved = gone & ~blue & ~problem.inputs
    if not problem.recompute:
        # What is used up by this compute need not be stored; every other word that leaves must be.
        unsaved &= ~_spent_by(problem, red | blue, target, unsaved & problem.parents[target])
        blue |= gone & ~problem.inputs
    # A store, and the load of a computed word, cost a word that the bound on the rest does not give back; a word stored
    # without recomputation is loaded again as well.
    spare = tables.counters[CEILING] - tables.counters[LEVEL]
    if problem.recompute:
        spare -= popcount(missing & ~problem.inputs)
    elif 2 * popcount(unsaved) >= spare:
        return True
    stored = unsaved
    after = (red | missing | 1 << target) & ~gone
    while True:
        spent = cost + popcount(missing) + popcount(stored)
        # The bound never falls by settling, which takes longer than the bound.
        if (
            popcount(stored) < spare
            and spent + words_to_finish(problem, after, blue | stored) < tables.counters[CEILING]
        ):
            new_red, new_blue, outputs = settle(problem, after, blue | stored)
            if not push(problem, tables, (new_red, new_blue, spent + outputs), (record, target, gone, stored)):
                return False
        if stored == 0 or not problem.recompute:
            return True
        stored = (stored - 1) & unsaved


@jit
def _expand_target(problem: Problem, tables: Tables, record: int, target: int) -> bool:
    """Push the states that compute `target` next, for each set of words that makes room; loads wait for their use."""
    red, blue = tables.red[record], tables.blue[record]
    operands = problem.parents[target]
    missing = operands & ~red
    if missing & ~(blue | problem.inputs):
        return True
    if problem.recompute and missing and blue >> target & 1:
        return True
    excess = popcount(red) + popcount(missing) + 1 - problem.memory
    if excess <= 0:
        return _reach(problem, tables, record, target, 0)
    pool = red | missing if problem.slide else red & ~operands
    choices = popcount(pool)
    if choices < excess:
        return True
    chosen = (1 << excess) - 1
    while chosen < 1 << choices:
        gone = _spread(chosen, pool)
        if popcount(gone & operands) <= 1 and not _reach(problem, tables, record, target, gone):
            return False
        chosen = _next_combination(chosen)
    return True


@jit
def _expand(problem: Problem, tables: Tables, record: int) -> bool:
    red, blue = tables.red[record], tables.blue[record]
    targets = useful_targets(problem, red, blue)
    while targets:
        target = lowest_bit(targets)
        targets &= targets - 1
        if not _expand_target(problem, tables, record, target):
            return False
    return True


@jit
def search(problem: Problem, tables: Tables, steps: int) -> int:
    """Expand up to `steps` states in order of total cost; return RUNNING, SOLVED, EXHAUSTED or FULL.

    All states of total cost below `counters[LEVEL]` are expanded, so that level is a lower bound on the optimum.
    """
    counters = tables.counters
    while counters[LEVEL] < counters[CEILING]:
        record = tables.heads[counters[LEVEL]] - 1
        if record < 0:
            counters[LEVEL] += 1
            continue
        if tables.status[record] == OPEN:
            if problem.outputs & ~tables.blue[record] == 0:
                counters[GOAL] = record
                return SOLVED
            if steps <= 0:
                return RUNNING
            if not _expand_from(problem, tables, record):
                return FULL
            steps -= 1
            continue
        tables.heads[counters[LEVEL]] = tables.link[record]
    return EXHAUSTED


@jit
def _expand_from(problem: Problem, tables: Tables, record: int) -> bool:
    """Take the record off its queue and expand it; when the tables are full put it back and return False."""
    level = tables.counters[LEVEL]
    tables.heads[level] = tables.link[record]
    tables.status[record] = CLOSED
    if _expand(problem, tables, record):
        tables.counters[EXPANDED] += 1
        return True
    tables.status[record] = OPEN
    tables.link[record] = tables.heads[level]
    tables.heads[level] = record + 1
    return False


@jit
def rehash(tables: Tables) -> None:
    """Fill the empty hash table of grown tables with the best record of each state."""
    for slot in range(len(tables.slots)):
        tables.slots[slot] = 0
    for record in range(tables.counters[RECORDS]):
        slot = _slot_of(tables, tables.red[record], tables.blue[record])
        if tables.slots[slot] == 0 or tables.cost[record] < tables.cost[tables.slots[slot] - 1]:
            tables.slots[slot] = record + 1
