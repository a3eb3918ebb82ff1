"""Block-sparse layouts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks.intervals import Intervals, Ints, Rows
from attometer.masks.mask import Mask, Parameter, Predicate, parameter


@dataclass(frozen=True)
class Block(Mask):
    """A block-sparse layout: query block I sees key block J where `layout[I][J]` is 1; blocks beyond the layout are empty."""

    block: int
    layout: tuple[tuple[int, ...], ...]

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return the layout's entry for the two blocks, by tables of each position's."""
        table = np.pad(np.asarray(self.layout, dtype=bool), (0, 1))
        row, column = (
            array(self._of(positions, blocks))
            for positions, blocks in zip((np.arange(n) + (m - n), np.arange(m)), np.shape(self.layout), strict=True)
        )
        held = array(table)
        return lambda i, j: held[row[i], column[j]]

    def _of(self, positions: Ints, blocks: int) -> Ints:
        """Return the block of each position; those beyond the layout share the one after it."""
        found = positions // self.block
        return np.where((found >= 0) & (found < blocks), found, blocks)

    def spans(self, rows: Rows) -> Intervals:
        """Return the blocks of the query's row of the layout."""
        table = np.pad(np.asarray(self.layout, dtype=bool), ((0, 1), (0, 0)))
        start = np.broadcast_to(np.arange(table.shape[1])[:, None] * self.block, (table.shape[1], len(rows.queries)))
        held = table[self._of(rows.positions, len(self.layout))].T
        return rows.clip(start, np.where(held, start + self.block, start))

    def spread(self, m: int) -> int:
        """Return the columns of the layout."""
        return len(self.layout[0])

    def sizes(self) -> tuple[tuple[str, Parameter, int], ...]:
        """Return none: block and layout are numbers."""
        return ()

    def written(self) -> tuple[str, tuple[str, ...]]:
        """Return block and layout."""
        rows = ", ".join(f"[{', '.join(map(str, row))}]" for row in self.layout)
        return "block", (str(self.block), f"[{rows}]")


def block(size: int, layout: Any) -> Mask:
    """A block-sparse mask: `layout[I][J]` says whether query block I sees key block J.

    >>> block(2, [[1, 0], [1, 1]]).pairs(4)
    12
    """
    if not isinstance(layout, list | tuple) or not all(isinstance(row, list | tuple) for row in layout):
        raise AttometerError("block layout must be a non-empty rectangle of 0 and 1")
    if not layout or len({len(row) for row in layout}) != 1 or not layout[0]:
        raise AttometerError("block layout must be a non-empty rectangle of 0 and 1")
    if any(x not in (0, 1) for row in layout for x in row):
        raise AttometerError("block layout must hold only 0 and 1")
    chosen = parameter(size, "block size")
    if not isinstance(chosen, int):
        raise AttometerError(f"block size must be a number, got {chosen}")
    return Block(chosen, tuple(tuple(int(x) for x in row) for row in layout))
