"""Stack distances by a Fenwick tree over time, kept small: marks of last touches, 32 to a word, counted by popcount.

The window of time is renumbered when it is full, so that memory follows the distinct words, not the trace's length.
"""

from typing import Any

import numpy as np

from attometer.simulate.cache.traces import Words
from attometer.simulate.compiled import COMPILED, jit, lowest_bit, popcount

BITS = 32
SHIFT = 5
# Positions in the state array.
NOW, MARKED = 0, 1


@jit
def _add(tree: Any, word: int, amount: int) -> None:
    word += 1
    while word < len(tree):
        tree[word] += amount
        word += word & -word


@jit
def _before(tree: Any, word: int) -> int:
    """Return the marks in the closed words before `word`."""
    total = 0
    while word:
        total += tree[word]
        word &= word - 1
    return total


@jit
def renumber(last: Any, owner: Any, marks: Any, tree: Any, state: Any) -> None:
    """Pack the marked times to the front of the window, in order, and rebuild the tree."""
    packed = 0
    for word in range(len(marks)):
        left = marks[word]
        while left:
            address = owner[(word << SHIFT) + lowest_bit(left)]
            left &= left - 1
            owner[packed] = address
            last[address] = packed
            packed += 1
    for word in range(len(marks)):
        marks[word] = (1 << min(max(packed - (word << SHIFT), 0), BITS)) - 1
        tree[word + 1] = 0
    # The word of the last mark stays open until time leaves it.
    for word in range((max(packed, 1) - 1) >> SHIFT):
        _add(tree, word, BITS)
    state[NOW] = packed


@jit
def lru_pass(block: Any, start: int, last: Any, owner: Any, marks: Any, tree: Any, state: Any, histogram: Any) -> int:
    """Count the distances of `block[start:]` until the window is full; return the position reached.

    The word of marks that time is in stays out of the tree until it is left, which saves an update per reference.
    """
    now, marked = state[NOW], state[MARKED]
    window = len(owner)
    position = start
    while position < len(block) and now < window:
        address = block[position]
        position += 1
        then = last[address]
        if then == now - 1 and now:
            histogram[1] += 1
            continue
        word = now >> SHIFT
        if now & BITS - 1 == 0 and now:
            _add(tree, word - 1, popcount(marks[word - 1]))
        if then < 0:
            marked += 1
        else:
            old, bit = then >> SHIFT, then & BITS - 1
            later = popcount(marks[old] >> bit)
            marks[old] ^= 1 << bit
            if old != word:
                later += marked - _before(tree, old + 1)
                _add(tree, old, -1)
            histogram[later] += 1
        marks[word] |= 1 << (now & BITS - 1)
        owner[now] = address
        last[address] = now
        now += 1
    state[NOW], state[MARKED] = now, marked
    return position


def _zeros(count: int, kind: Any, value: int = 0) -> Any:
    return np.full(count, value, kind) if COMPILED else [value] * count


def _extended(column: Any, count: int, value: int = 0) -> Any:
    fill = _zeros(count - len(column), getattr(column, "dtype", None), value)
    return column + fill if isinstance(column, list) else np.concatenate([column, fill])


class LruStack:
    """The state of one pass: last touch of each word, and marks over a window of time."""

    def __init__(self) -> None:
        self.references = 0
        self.last = _zeros(1 << 10, np.int32, -1)
        self.counts = _zeros(1 << 10, np.int64)
        self.state = _zeros(2, np.int64)
        self._window(1 << 12)

    def _window(self, size: int) -> None:
        self.owner = _zeros(size, np.int32)
        self.marks = _zeros(size // BITS, np.int64)
        self.tree = _zeros(size // BITS + 1, np.int32)

    def feed(self, block: Words) -> None:
        """Count the references of one block."""
        if not len(block):
            return
        self.references += len(block)
        largest = int(block.max())
        if largest >= len(self.last):
            self.last = _extended(self.last, max(largest + 1, 2 * len(self.last)), -1)
        items = block if COMPILED else block.tolist()
        position = 0
        while position < len(items):
            self._make_room()
            position = lru_pass(items, position, self.last, self.owner, self.marks, self.tree, self.state, self.counts)

    def _make_room(self) -> None:
        marked = int(self.state[MARKED])
        if self.state[NOW] == len(self.owner):
            if 4 * marked > len(self.owner):
                size = 2 * len(self.owner)
                self.owner = _extended(self.owner, size)
                self.marks = _extended(self.marks, size // BITS)
                self.tree = _zeros(size // BITS + 1, np.int32)
            renumber(self.last, self.owner, self.marks, self.tree, self.state)
        # No distance exceeds the distinct words, and one window adds at most its own length to them.
        if marked + len(self.owner) >= len(self.counts):
            self.counts = _extended(self.counts, 2 * (marked + len(self.owner)) + 1)

    def touched_from(self, word: int) -> int:
        """Return how many words numbered `word` or more were touched."""
        return int(np.count_nonzero(np.asarray(self.last[word:]) >= 0))

    def histogram(self) -> Words:
        """Return the references by distance, from 0 to the number of distinct words; first touches are in none."""
        return np.asarray(self.counts[: int(self.state[MARKED]) + 1], dtype=np.int64)
