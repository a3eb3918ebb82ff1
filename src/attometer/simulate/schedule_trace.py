"""The references that a schedule makes when its compute steps run word by word on a cache.

Loads and stores of tiles do not appear: on a cache they happen by missing. A tensor that the schedule keeps in slow
memory is touched in place; a tile without one (scores that never leave fast memory) is a scratch buffer, used again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import sympy

from attometer.errors import AttometerError
from attometer.program.masks import Mask
from attometer.schedule.nest import Compute, Loop, Node, Schedule, Store, Tile
from attometer.simulate.traces import Layout, Trace, Words, joined

Span = tuple[int, int]


@dataclass(frozen=True)
class _Walk:
    schedule: Schedule
    sizes: Mapping[sympy.Symbol, sympy.Integer]
    extents: Mapping[str, int]
    layout: Layout
    mask: Mask | None

    def value(self, expression: sympy.Expr) -> int:
        return int(sympy.sympify(expression).xreplace(dict(self.sizes)))

    def run(self, nodes: tuple[Node, ...], spans: Mapping[str, Span], numbers: Mapping[str, int]) -> Iterator[Words]:
        for node in nodes:
            if isinstance(node, Loop):
                yield from self.loop(node, spans, numbers)
            elif isinstance(node, Compute):
                yield from self.compute(node, spans, numbers)
            elif isinstance(node, Store) and node.tensor != node.tile.name:
                copy = Tile(node.tensor, node.tile.axes, self._block_of(node.tensor))
                yield np.stack([self.words(node.tile, spans, numbers), self.words(copy, spans, numbers)], axis=-1)

    def loop(self, loop: Loop, spans: Mapping[str, Span], numbers: Mapping[str, int]) -> Iterator[Words]:
        start, stop = spans[loop.axis]
        for number, low in enumerate(range(start, stop, self.value(loop.length))):
            inner = {**spans, loop.axis: (low, min(low + self.value(loop.length), stop))}
            if loop.partner is None or self.visible(inner):
                yield from self.run(loop.body, inner, {**numbers, loop.index: number} if loop.index else numbers)

    def visible(self, spans: Mapping[str, Span]) -> bool:
        """Whether the mask leaves a pair in the tile of rows and columns."""
        if self.mask is None:
            return True
        rows, columns = np.arange(*spans["i"])[:, None], np.arange(*spans["j"])[None, :]
        return bool(np.any(self.mask.allows(rows, columns, self.extents["i"], self.extents["j"])))

    def compute(self, step: Compute, spans: Mapping[str, Span], numbers: Mapping[str, int]) -> Iterator[Words]:
        """Yield the touches of each part of the step: at every index of its axes, the tiles that have no other axis."""
        for _, axes in step.work:
            # Columns of scores outside, as a key is streamed past the query rows.
            order = sorted(axes, key="jic".find) if "j" in axes else list(axes)
            tiles = [tile for tile in (*step.reads, *step.out) if set(tile.axes) <= set(axes)]
            grids = [self._aligned(tile, order, spans, numbers) for tile in tiles]
            yield np.stack(np.broadcast_arrays(*grids), axis=-1)

    def _aligned(self, tile: Tile, order: list[str], spans: Mapping[str, Span], numbers: Mapping[str, int]) -> Words:
        words = self.words(tile, spans, numbers)
        present = [axis for axis in order if axis in tile.axes]
        turned = words.transpose([tile.axes.index(axis) for axis in present])
        return turned.reshape([turned.shape[present.index(axis)] if axis in present else 1 for axis in order])

    def words(self, tile: Tile, spans: Mapping[str, Span], numbers: Mapping[str, int]) -> Words:
        """Return the word numbers of a tile, one array axis for each of its axes."""
        declared = dict(self.schedule.tensors).get(tile.name)
        if declared is None:
            return self.layout(tile.name, *(slice(spans[axis][1] - spans[axis][0]) for axis in tile.axes))
        block = [numbers[tile.block or declared.blocks or ""]] if declared.blocks else []
        index = [slice(*spans[axis]) if axis in tile.axes else spans[axis][0] for axis in declared.axes]
        return self.layout(tile.name, *block, *index)

    def _block_of(self, tensor: str) -> str | None:
        return dict(self.schedule.tensors)[tensor].blocks


def schedule_trace(schedule: Schedule, sizes: Mapping[str, int], mask: Mask | None = None, align: int = 1) -> Trace:
    """Return the word references of a schedule's compute steps, streamed.

    Args:
        schedule: a loop nest over tiles.
        sizes: each size and tile of the schedule by name (`n`, `m`, `d`, `e`, `B_r`, …); those left out are 1.
        mask: pairs of queries and keys to keep; tiles with none are skipped.
        align: each array starts at a multiple of this many words, so that lines do not straddle two arrays.

    Returns:
        A Trace; `lines(k)` makes it one of lines.

    Raises:
        AttometerError: a name is not a size of the schedule, or a size is below 1.

    >>> from attometer.schedule.flash import flash2
    >>> trace = schedule_trace(flash2(), {"n": 4, "m": 4, "d": 2, "e": 2, "B_r": 2, "B_c": 1, "B_d": 2, "B_e": 2})
    >>> trace.words, trace.array().size
    (60, 416)
    """
    values = _values(schedule, sizes)
    extents = {axis: int(sympy.sympify(symbol).xreplace(values)) for axis, symbol in schedule.axes}
    layout = Layout(align)
    walk = _Walk(schedule, values, extents, layout, mask)
    spans = {axis: (0, extent) for axis, extent in extents.items()}
    inputs = _place(walk)

    def pieces() -> Iterator[Words]:
        return walk.run(schedule.phases, spans, {})

    return Trace(lambda: joined(pieces()), layout.words, inputs)


def _values(schedule: Schedule, sizes: Mapping[str, int]) -> dict[sympy.Symbol, sympy.Integer]:
    expressions = [symbol for _, symbol in schedule.axes] + [symbol for symbol, _ in schedule.tiles]
    symbols = {symbol.name: symbol for expression in expressions for symbol in sympy.sympify(expression).free_symbols}
    for name, value in sizes.items():
        if name not in symbols:
            known = ", ".join(sorted(symbols))
            raise AttometerError(f'schedule {schedule.name} has no size "{name}"; its sizes are {known}')
        if value < 1:
            raise AttometerError(f"{name}={value} is not a size; give an integer of at least 1")
    return {symbol: sympy.Integer(sizes.get(name, 1)) for name, symbol in symbols.items()}


def _place(walk: _Walk) -> int:
    """Give every tensor and every scratch tile its words, inputs first; return the words of the inputs."""
    inputs = 0
    for name, tensor in sorted(walk.schedule.tensors, key=lambda entry: entry[1].role != "input"):
        shape = [walk.extents[axis] for axis in tensor.axes]
        walk.layout.place(name, *([_splits(walk)] if tensor.blocks else []), *shape)
        inputs = walk.layout.words if tensor.role == "input" else inputs
    declared = dict(walk.schedule.tensors)
    scratch = {tile.name: tile for phase in walk.schedule.phases for tile in _tiles(phase) if tile.name not in declared}
    for name, tile in scratch.items():
        walk.layout.place(name, *(walk.extents[axis] for axis in tile.axes))
    return inputs


def _splits(walk: _Walk) -> int:
    """Return the most tiles that a numbered loop runs over."""
    loops = [loop for phase in walk.schedule.phases for loop in _loops(phase) if loop.index]
    return max((-(-walk.extents[loop.axis] // walk.value(loop.length)) for loop in loops), default=1)


def _loops(node: Node) -> Iterator[Loop]:
    if isinstance(node, Loop):
        yield node
        for inner in node.body:
            yield from _loops(inner)


def _tiles(node: Node) -> Iterator[Tile]:
    for loop in _loops(node):
        for inner in loop.body:
            if isinstance(inner, Compute):
                yield from (*inner.out, *inner.reads)
