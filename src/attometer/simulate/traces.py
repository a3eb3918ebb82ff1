"""Access traces: streams of word or line numbers in blocks, and the traces of matrix products and of attention."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError

Words: TypeAlias = NDArray[np.int64]
BLOCK = 1 << 20


@dataclass(frozen=True)
class Trace:
    """A sequence of references to words, made anew block by block each time it is read.

    `blocks` returns a fresh iterator of int64 arrays; `words` is one more than the largest word number; `temporaries`
    counts the words that are first written, so that their first touch needs no read from slow memory.

    >>> trace = Trace(lambda: iter([np.array([0, 1]), np.array([0])]), words=2)
    >>> [block.tolist() for block in trace], trace.lines(2).array().tolist()
    ([[0, 1], [0]], [0, 0, 0])
    """

    blocks: Callable[[], Iterator[Words]]
    words: int
    temporaries: int = 0

    def __iter__(self) -> Iterator[Words]:
        return self.blocks()

    def lines(self, line: int) -> "Trace":
        """Return the trace of lines of `line` consecutive words; a temporary's line is not counted as a temporary."""
        if line < 1:
            raise AttometerError(f"line={line} is not a line size; give a number of words of at least 1")
        return Trace(lambda: (block // line for block in self.blocks()), -(-self.words // line))

    def array(self) -> Words:
        """Return the whole trace as one array."""
        return np.concatenate([np.empty(0, np.int64), *self.blocks()])


Addresses: TypeAlias = Trace | Words | Sequence[int]


def blocks_of(trace: Addresses | Iterable[Words]) -> Iterator[Words]:
    """Yield a trace as int64 arrays of at most about a million references; an array or a list is cut into such blocks."""
    if isinstance(trace, np.ndarray) or (isinstance(trace, Sequence) and (not len(trace) or not isinstance(trace[0], np.ndarray))):
        flat = np.asarray(trace)
        if flat.ndim != 1 or (flat.size and not np.issubdtype(flat.dtype, np.integer)):
            raise AttometerError(f"a trace is one row of integers, not an array of shape {flat.shape} and type {flat.dtype}")
        for start in range(0, len(flat), BLOCK):
            yield _checked(flat[start : start + BLOCK])
        return
    for block in trace:
        yield _checked(np.asarray(block))


def _checked(block: NDArray[np.integer]) -> Words:  # type: ignore[type-arg]
    if block.size and (int(block.min()) < 0 or int(block.max()) >= 1 << 31):
        raise AttometerError(f"a trace holds word numbers from 0 to 2^31 - 1, not {int(block.min())} to {int(block.max())}")
    return np.ascontiguousarray(block, dtype=np.int64)


class Layout:
    """Places arrays one after another in one address space and numbers their entries, row by row.

    >>> layout = Layout(align=4)
    >>> layout.place("Q", 2, 3); layout.place("K", 2, 3)
    >>> layout("K", slice(0, 1), slice(0, 3)).tolist(), layout.words
    ([[8, 9, 10]], 14)
    """

    def __init__(self, align: int = 1) -> None:
        self.align = align
        self.words = 0
        self._entries: dict[str, Words] = {}

    def place(self, name: str, *shape: int) -> None:
        """Reserve room for an array, starting at a multiple of `align` words."""
        start = -(-self.words // self.align) * self.align
        size = int(np.prod(shape))
        self._entries[name] = np.arange(start, start + size, dtype=np.int64).reshape(shape)
        self.words = start + size

    def __call__(self, name: str, *index: slice | int) -> Words:
        """Return the word numbers of a part of an array, in its shape."""
        return np.asarray(self._entries[name][index])


def _joined(pieces: Iterable[Words]) -> Iterator[Words]:
    """Collect small pieces into blocks, so that each block is worth a call of a compiled loop."""
    waiting: list[Words] = []
    held = 0
    for piece in pieces:
        waiting.append(piece.ravel())
        held += piece.size
        if held >= BLOCK:
            yield np.concatenate(waiting)
            waiting, held = [], 0
    if waiting:
        yield np.concatenate(waiting)
