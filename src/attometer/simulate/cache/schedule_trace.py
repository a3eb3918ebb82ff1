"""The references that a schedule makes when its compute steps run word by word on a cache.

Loads and stores of tiles do not appear: on a cache they happen by missing. A tensor that the schedule keeps in slow
memory is touched in place; a tile without one (scores that never leave fast memory) is a scratch buffer, used again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from attometer.masks import Mask
from attometer.schedule.nest import Compute, Loop, Node, Schedule, Store, Tensor, Tile
from attometer.simulate.cache.traces import Layout, Trace, Words, joined
from attometer.simulate.scratchpad.nest_walk import Place, Walk, walk


@dataclass(frozen=True)
class _Words:
    """Word numbers of tiles: a tensor in slow memory is numbered in place, another tile in a scratch buffer.

    A step touches the same pattern of words wherever its tiles start, so that each pattern is made once for its lengths.
    """

    tensors: Mapping[str, Tensor]
    layout: Layout
    patterns: dict[tuple[int, ...], list[tuple[tuple[Tile, ...], Words]]] = field(default_factory=dict)

    def touched(self, step: Node, place: Place) -> Iterator[Words]:
        if isinstance(step, Compute):
            lengths = (place.length(axis) for tile in (*step.reads, *step.out) for axis in tile.axes)
            key = (id(step), *lengths)
            if key not in self.patterns:
                self.patterns[key] = list(self._patterns(step, place))
            for tiles, pattern in self.patterns[key]:
                yield pattern + np.array([self.first(tile, place) for tile in tiles])
        elif isinstance(step, Store) and step.tensor != step.tile.name:
            copy = Tile(step.tensor, step.tile.axes, self.tensors[step.tensor].blocks)
            yield np.stack([self.tile(step.tile, place), self.tile(copy, place)], axis=-1)

    def _patterns(self, step: Compute, place: Place) -> Iterator[tuple[tuple[Tile, ...], Words]]:
        """Yield the touches of each part of the step: at every index of its axes, the tiles that have no other axis."""
        for _, axes in step.work:
            # Columns of scores outside, as a key is streamed past the query rows.
            order = sorted(axes, key="jic".find) if "j" in axes else list(axes)
            tiles = tuple(tile for tile in (*step.reads, *step.out) if set(tile.axes) <= set(axes))
            yield tiles, np.stack(np.broadcast_arrays(*(self._aligned(tile, order, place) for tile in tiles)), axis=-1)

    def _aligned(self, tile: Tile, order: list[str], place: Place) -> Words:
        present = [axis for axis in order if axis in tile.axes]
        turned = self.tile(tile, place).transpose([tile.axes.index(axis) for axis in present])
        shape = [turned.shape[present.index(axis)] if axis in present else 1 for axis in order]
        return turned.reshape(shape) - self.first(tile, place)

    def first(self, tile: Tile, place: Place) -> int:
        """Return the number of a tile's first word."""
        return int(self.layout(tile.name, *self._index(tile, place, first=True)))

    def tile(self, tile: Tile, place: Place) -> Words:
        """Return the word numbers of a tile, one array axis for each of its axes."""
        return self.layout(tile.name, *self._index(tile, place, first=False))

    def _index(self, tile: Tile, place: Place, first: bool) -> list[int | slice]:
        declared = self.tensors.get(tile.name)
        if declared is None:
            return [0 if first else slice(place.length(axis)) for axis in tile.axes]
        block: list[int | slice] = [place.numbers[tile.block or declared.blocks or ""]] if declared.blocks else []
        whole = () if first else tile.axes
        return block + [slice(*place.spans[axis]) if axis in whole else place.spans[axis][0] for axis in declared.axes]


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
    nest = walk(schedule, sizes, mask)
    layout = Layout(align)
    inputs = _place(nest, layout)
    words = _Words(dict(schedule.tensors), layout)

    def pieces() -> Iterator[Words]:
        return (piece for step, place in nest.steps() for piece in words.touched(step, place))

    return Trace(lambda: joined(pieces()), layout.words, inputs)


def _place(nest: Walk, layout: Layout) -> int:
    """Give every tensor and every scratch tile its words, inputs first; return the words of the inputs."""
    inputs = 0
    for name, tensor in sorted(nest.schedule.tensors, key=lambda entry: entry[1].role != "input"):
        shape = [nest.extents[axis] for axis in tensor.axes]
        layout.place(name, *([_splits(nest)] if tensor.blocks else []), *shape)
        inputs = layout.words if tensor.role == "input" else inputs
    declared = dict(nest.schedule.tensors)
    scratch = {tile.name: tile for phase in nest.schedule.phases for tile in _tiles(phase) if tile.name not in declared}
    for name, tile in scratch.items():
        layout.place(name, *(nest.extents[axis] for axis in tile.axes))
    return inputs


def _splits(nest: Walk) -> int:
    """Return the most tiles that a numbered loop runs over."""
    loops = [loop for phase in nest.schedule.phases for loop in _loops(phase) if loop.index]
    return max((-(-nest.extents[loop.axis] // nest.number(loop.length)) for loop in loops), default=1)


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
