"""In which forms the products of a nest read their tiles: derived from the nest, so that no tile is ever transposed.

A product of register blocks reads a left operand (rows, the summed axis inside) and a right one (panels of columns). The
scores' rows are the outer loop's axis; every other form follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from attometer.schedule.nest import Compute, Load, Loop, Node, Schedule, Tile


@dataclass(frozen=True)
class Form:
    """A tile as an operand: `outer` are its rows (left) or columns (right), `inner` is the axis that is summed."""

    side: Literal["left", "right"]
    outer: str
    inner: str


@dataclass(frozen=True)
class Product:
    """A contraction with its orientation: `rows` and `columns` of the result, the operands with their forms."""

    out: Tile
    left: Tile
    right: Tile
    rows: str
    columns: str
    summed: str

    @property
    def forms(self) -> tuple[tuple[str, Form], tuple[str, Form]]:
        """Return the names of both operands with the form that each is read in."""
        return (self.left.name, Form("left", self.rows, self.summed)), (
            self.right.name,
            Form("right", self.columns, self.summed),
        )


def walk(node: Node, above: tuple[Loop, ...] = ()) -> Iterator[tuple[Node, tuple[Loop, ...]]]:
    """Yield every node below `node`, itself first, with the loops around it."""
    yield node, above
    if isinstance(node, Loop):
        for inner in node.body:
            yield from walk(inner, (*above, node))


def is_scores(tile: Tile) -> bool:
    """Return whether a tile is of the score matrix: queries by keys."""
    return set(tile.axes) == {"i", "j"}


def product(step: Compute, outer: str) -> Product:
    """Return the orientation of a contraction where the scores' rows are the axis `outer`."""
    (out,), (a, b) = step.out, step.reads
    (summed,) = {*a.axes, *b.axes} - set(out.axes)
    # Scores that are read with the outer axis summed can only be the right operand: their columns are the inner axis.
    rows = outer if outer in out.axes else next(axis for axis in out.axes if axis not in "ij")
    (columns,) = set(out.axes) - {rows}
    left, right = (a, b) if rows in a.axes else (b, a)
    return Product(out, left, right, rows, columns, summed)


def forms(schedule: Schedule, outer: str) -> dict[str, tuple[Form, ...]]:
    """Return the forms in which each tile is an operand of the schedule's products.

    >>> from attometer.schedule import schedule
    >>> forms(schedule("flash2"), "i")["K"]
    (Form(side='right', outer='j', inner='c'),)
    >>> [f"{form.side} {form.outer}{form.inner}" for form in forms(schedule("flash_backward_fused"), "j")["K"]]
    ['left jc', 'left cj']
    """
    found: dict[str, dict[Form, None]] = {}
    for phase in schedule.phases:
        for node, _ in walk(phase):
            if isinstance(node, Compute) and node.kernel == "contract" and len(node.out[0].axes) == 2:
                for name, form in product(node, outer).forms:
                    found.setdefault(name, {})[form] = None
    return {name: tuple(held) for name, held in found.items()}


def read_again(schedule: Schedule) -> set[str]:
    """Return the tensors whose tiles a sequential nest loads again for each tile of another axis: packed once before.

    >>> from attometer.schedule import schedule
    >>> sorted(read_again(schedule("flash2"))), sorted(read_again(schedule("flash_backward_fused")))
    (['K', 'V'], ['D', 'L', 'Q', 'dO', 'dQ'])
    """
    found = set()
    for phase in schedule.phases:
        for node, above in walk(phase):
            if isinstance(node, Load) and len(above) > 2:
                around = {loop.axis for loop in above} & {"i", "j"}
                if around - set(node.tile.axes):
                    found.add(node.tile.name)
    return found
