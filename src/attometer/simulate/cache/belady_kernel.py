"""The stack of optimal replacement: next uses in blocks of 16, each with its maximum.

A word is known by the time of its next use, which no two words share. A reference takes its word out of position D and
puts it on top; on the way down to D the word used latest is carried along and each sooner one stays where it is. Only
positions that exceed all above them change, so that a block whose maximum is below the carried word is skipped.
"""

from typing import Any

import numpy as np

from attometer.simulate.cache.traces import Words
from attometer.simulate.compiled import COMPILED, jit

BLOCK = 16


@jit
def _fill_next(trace: Any, last: Any, following: Any) -> int:
    """Write the time of each reference's next use (beyond the end when there is none) and count the words."""
    length, distinct = len(trace), 0
    for time in range(length - 1, -1, -1):
        word = trace[time]
        if last[word] < 0:
            distinct += 1
            following[time] = length + time
        else:
            following[time] = last[word]
        last[word] = time
    return distinct


def next_uses(trace: Words) -> tuple[Any, int]:
    """Return the time of the next use of each reference's word, and the number of distinct words."""
    words = int(trace.max()) + 1 if len(trace) else 0
    if not COMPILED:
        following = [0] * len(trace)
        return following, int(_fill_next(trace.tolist(), [-1] * words, following))
    table = np.empty(len(trace), np.int64)
    return table, int(_fill_next(trace, np.full(words, -1, np.int64), table))


@jit
def _sink(stack: Any, latest: Any, place: Any, block: int, first: int, last: int, carry: int, length: int) -> int:
    """Carry a word through positions `first` to `last` of one block and renew its maximum; return what leaves it."""
    for position in range(first, last + 1):
        if stack[position] > carry:
            stack[position], carry = carry, stack[position]
            if stack[position] < length:
                place[stack[position]] = position
    highest = -1
    for position in range(block * BLOCK, block * BLOCK + BLOCK):
        highest = max(highest, stack[position])
    latest[block] = highest
    return carry


@jit
def _put(stack: Any, latest: Any, place: Any, position: int, use: int, length: int) -> None:
    stack[position] = use
    if use < length:
        place[use] = position
    block = position // BLOCK
    highest = -1
    for other in range(block * BLOCK, block * BLOCK + BLOCK):
        highest = max(highest, stack[other])
    latest[block] = highest


@jit
def stack_pass(following: Any, depth: int, stack: Any, latest: Any, place: Any, histogram: Any) -> None:
    """Count the depths at which references find their words; a word below `depth` is forgotten."""
    length, size = len(following), 0
    for time in range(length):
        use = following[time]
        found = place[time]
        bottom = found if found >= 0 else size
        if found >= 0:
            histogram[found + 1] += 1
        if bottom == 0:
            _put(stack, latest, place, 0, use, length)
            size = max(size, 1)
            continue
        carry = stack[0]
        stack[0] = use
        if use < length:
            place[use] = 0
        for block in range((bottom - 1) // BLOCK + 1):
            if block == 0 or latest[block] > carry:
                last = min(bottom - 1, block * BLOCK + BLOCK - 1)
                carry = _sink(stack, latest, place, block, max(1, block * BLOCK), last, carry, length)
        if bottom < depth:
            _put(stack, latest, place, bottom, carry, length)
            size = max(size, bottom + 1)
        elif carry < length:
            place[carry] = -1


def optimal_histogram(following: Any, depth: int) -> Words:
    """Return the references by the cache size from which on they hit, for sizes 0 … depth."""
    padded = (depth // BLOCK + 2) * BLOCK
    if not COMPILED:
        counts = [0] * (depth + 1)
        stack_pass(following, depth, [-1] * padded, [-1] * (padded // BLOCK), [-1] * len(following), counts)
        return np.asarray(counts, np.int64)
    table = np.zeros(depth + 1, np.int64)
    latest, place = np.full(padded // BLOCK, -1, np.int64), np.full(len(following), -1, np.int32)
    stack_pass(following, depth, np.full(padded, -1, np.int64), latest, place, table)
    return table
