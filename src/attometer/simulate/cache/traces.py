"""Access traces: streams of word or line numbers in blocks, and the traces of matrix products and of attention."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError, positive_int

Words: TypeAlias = NDArray[np.int64]
BLOCK = 1 << 20


@dataclass(frozen=True)
class Trace:
    """A sequence of references to words, made anew block by block each time it is read.

    `blocks` returns a fresh iterator of int64 arrays; `words` is one more than the largest word number. Words from
    `inputs` on are temporaries and results, first written: their first touch needs no read (None: all are inputs).

    >>> trace = Trace(lambda: iter([np.array([0, 1]), np.array([0])]), words=2)
    >>> [block.tolist() for block in trace], trace.lines(2).array().tolist()
    ([[0, 1], [0]], [0, 0, 0])
    """

    blocks: Callable[[], Iterator[Words]]
    words: int
    inputs: int | None = None

    def __iter__(self) -> Iterator[Words]:
        return self.blocks()

    def lines(self, line: int) -> "Trace":
        """Return the trace of lines of `line` consecutive words; a line with an input in it counts as an input."""
        positive_int("line", line)
        inputs = None if self.inputs is None else -(-self.inputs // line)
        return Trace(lambda: (block // line for block in self.blocks()), -(-self.words // line), inputs)

    def array(self) -> Words:
        """Return the whole trace as one array."""
        return np.concatenate([np.empty(0, np.int64), *self.blocks()])


Addresses: TypeAlias = Trace | Words | Sequence[int]


def input_words(trace: object) -> int:
    """Return the number from which on words are temporaries; beyond every word when the trace does not say."""
    inputs = trace.inputs if isinstance(trace, Trace) else None
    return 1 << 31 if inputs is None else inputs


def blocks_of(trace: Addresses | Iterable[Words]) -> Iterator[Words]:
    """Yield a trace as int64 arrays; an array or a list is cut into blocks of about a million references."""
    if isinstance(trace, np.ndarray) or (
        isinstance(trace, Sequence) and (not len(trace) or not isinstance(trace[0], np.ndarray))
    ):
        flat = np.asarray(trace)
        if flat.ndim != 1 or (flat.size and not np.issubdtype(flat.dtype, np.integer)):
            raise AttometerError(
                f"a trace is one row of integers, not an array of shape {flat.shape} and type {flat.dtype}"
            )
        for start in range(0, len(flat), BLOCK):
            yield _checked(flat[start : start + BLOCK])
        return
    for block in trace:
        yield _checked(np.asarray(block))


def _checked(block: NDArray[Any]) -> Words:
    if block.size and (int(block.min()) < 0 or int(block.max()) >= 1 << 31):
        raise AttometerError(
            f"a trace holds word numbers from 0 to 2^31 - 1, not {int(block.min())} to {int(block.max())}"
        )
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


def joined(pieces: Iterable[Words]) -> Iterator[Words]:
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


def matmul_trace(m: int, n: int, k: int, tile: int | None = None) -> Trace:
    """Return the word references of C[m,n] += A[m,k] B[k,n], i then j then k, within square tiles when a side is given.

    Each multiply-add touches A[i,k], B[k,j], C[i,j] in this order.

    >>> matmul_trace(1, 1, 2).array().tolist()
    [0, 2, 4, 1, 3, 4]
    """
    layout = Layout()
    for name, rows, columns in (("A", m, k), ("B", k, n), ("C", m, n)):
        layout.place(name, rows, columns)
    side = tile or max(m, n, k)

    def pieces() -> Iterator[Words]:
        for top in range(0, m, side):
            for left in range(0, n, side):
                for front in range(0, k, side):
                    yield _multiply(
                        layout, slice(top, top + side), slice(left, left + side), slice(front, front + side)
                    )

    return Trace(lambda: joined(pieces()), layout.words, inputs=(m + n) * k)


def _multiply(layout: Layout, rows: slice, columns: slice, inner: slice) -> Words:
    a, b, c = layout("A", rows, inner), layout("B", inner, columns), layout("C", rows, columns)
    return np.stack(np.broadcast_arrays(a[:, None, :], b.T[None, :, :], c[:, :, None]), axis=-1)


def flash_trace(n: int, d: int, rows: int, columns: int) -> Trace:
    """Return the word references of FlashAttention-2 on n rows of width d, query tiles outside, one running sum a row.

    The output tile, the scores and the sums are scratch words, used again for each tile of queries; every reference is
    to a word, as a program on a cache would make it. Source: Dao 2023, Algorithm 1, without the maximum.

    >>> flash_trace(4, 2, 2, 1).array().size
    208
    """
    layout = Layout()
    for name, height, width in (
        ("Q", n, d),
        ("K", n, d),
        ("V", n, d),
        ("O", rows, d),
        ("S", rows, columns),
        ("l", rows, 1),
    ):
        layout.place(name, height, width)

    def pieces() -> Iterator[Words]:
        for top in range(0, n, rows):
            for left in range(0, n, columns):
                yield from _flash_step(layout, slice(top, min(top + rows, n)), slice(left, min(left + columns, n)))

    return Trace(lambda: joined(pieces()), layout.words, inputs=3 * n * d)


def _flash_step(layout: Layout, rows: slice, columns: slice) -> Iterator[Words]:
    q, k, v = layout("Q", rows), layout("K", columns), layout("V", columns)
    height, width = len(q), len(k)
    scores, total, out = (
        layout("S", slice(height), slice(width)),
        layout("l", slice(height)),
        layout("O", slice(height)),
    )
    grid = (width, height, q.shape[1])
    dots = np.stack(np.broadcast_arrays(q[None, :, :], k[:, None, :]), axis=-1).reshape(width, height, -1)
    yield np.concatenate([dots, scores.T[:, :, None]], axis=-1)
    yield np.stack(np.broadcast_arrays(scores, total), axis=-1)
    yield np.stack(
        np.broadcast_arrays(np.broadcast_to(scores.T[:, :, None], grid), v[:, None, :], out[None, :, :]), axis=-1
    )
