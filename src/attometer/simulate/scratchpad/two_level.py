"""A fast memory of M words that a schedule really runs on: tiles move, the capacity is enforced, words are counted."""

import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.masks.counts import substitute
from attometer.program.expression import Name, Where, refs_in
from attometer.schedule.nest import (
    Compute,
    Formula,
    Free,
    Load,
    Loop,
    New,
    Node,
    Schedule,
    Store,
    Tensor,
    Tile,
    loops,
    uses,
)
from attometer.simulate.scratchpad.formula import Evaluation, Named
from attometer.simulate.scratchpad.tile_kernels import KERNELS, Array, Step
from attometer.sizes import size

Span = tuple[int, int]


@dataclass(frozen=True)
class Execution:
    """What one run did: its results, words read and written per tensor, the most words held, operations and depth."""

    outputs: Mapping[str, Array]
    reads: Mapping[str, int]
    writes: Mapping[str, int]
    peak: int
    operations: int
    depth: int

    @property
    def words(self) -> int:
        """Words moved both ways."""
        return sum(self.reads.values()) + sum(self.writes.values())


@dataclass(frozen=True)
class TwoLevel:
    """A machine with a fast memory of `M` words beside an unlimited slow one.

    Tiles of parallel loops overlap in the depth, as if each had a fast memory of its own; with `serial` they do not.

    >>> import numpy as np
    >>> from attometer.schedule.catalogue import schedule
    >>> q = np.ones((1, 2, 1))
    >>> done = TwoLevel(20).run(schedule("flash2"), {"Q": q, "K": q, "V": q}, {"B_r": 1, "B_c": 1, "B_d": 1, "B_e": 1})
    >>> done.outputs["O"].tolist(), done.words, done.peak
    ([[[1.0], [1.0]]], 14, 6)
    """

    M: int
    serial: bool = False

    def run(
        self,
        schedule: Schedule,
        arrays: Mapping[str, Array],
        tiles: Mapping[str, int],
        mask: Mask | None = None,
        stack: int = 1,
        sizes: Mapping[str, int] | None = None,
    ) -> Execution:
        """Execute `schedule` on `arrays` (inputs, each [z, rows, columns] or [z, rows]) with the given tile sizes.

        With `stack` > 1 each query is that many consecutive rows, the query heads that share a key/value head. A derived
        nest takes its program's inputs, in their shapes, and gives its outputs in the axes of the nest; `sizes` are the
        sizes by name, those of its masks included.

        Raises AttometerError when a tile does not fit into fast memory, or for missing or misshapen inputs or tiles.
        """
        if schedule.copies is None:
            machine = _derived(self.M, schedule, arrays, tiles, sizes or {}, self.serial)
        else:
            extents = _sizes(schedule, arrays, tiles)
            allowed = _allowed(mask, extents["i"], extents["j"], stack)
            machine = _Machine(self.M, schedule, extents, dict(tiles), allowed, mask is not None, self.serial)
            machine.slow = _memory(schedule, arrays, extents)
        depth = sum(machine.loop(phase) for phase in schedule.phases)
        outputs = {name: machine.slow[name] for name, t in schedule.tensors if t.role == "output"}
        return Execution(outputs, machine.reads, machine.writes, machine.peak, machine.operations, depth)


def stack_heads(X: Array, kv_heads: int) -> Array:
    """Return X[b, h, n, d] as [b·g, n·h/g, d]: query heads of one key/value head become a query's rows.

    >>> import numpy as np
    >>> stack_heads(np.arange(4.0).reshape(1, 2, 2, 1), 1)[0, :, 0].tolist()
    [0.0, 2.0, 1.0, 3.0]
    """
    b, h, n, d = X.shape
    split = X.reshape(b, kv_heads, h // kv_heads, n, d)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 2, 4)).reshape(b * kv_heads, n * (h // kv_heads), d)


def _sizes(schedule: Schedule, arrays: Mapping[str, Array], tiles: Mapping[str, int]) -> dict[str, int]:
    inputs = {name: tensor for name, tensor in schedule.tensors if tensor.role == "input"}
    if set(arrays) != set(inputs):
        raise AttometerError(f'schedule "{schedule.name}" takes {", ".join(inputs)}; got {", ".join(arrays)}')
    if set(tiles) != set(schedule.tile_names):
        wanted = ", ".join(schedule.tile_names)
        raise AttometerError(f'schedule "{schedule.name}" has tiles {wanted}; got {", ".join(tiles)}')
    sizes: dict[str, int] = {}
    for name, tensor in inputs.items():
        shape = np.shape(arrays[name])
        if len(shape) != len(tensor.axes):
            raise AttometerError(f"{name} must have axes [{', '.join(tensor.axes)}], got shape {shape}")
        for axis, length in zip(tensor.axes, shape, strict=True):
            if sizes.setdefault(axis, length) != length:
                raise AttometerError(f"{name} has {length} along {axis}, another input has {sizes[axis]}")
    return sizes


def _allowed(mask: Mask | None, rows: int, keys: int, stack: int) -> NDArray[np.bool_]:
    if rows % stack:
        raise AttometerError(f"stack = {stack} must divide the {rows} rows of Q")
    if mask is None:
        return np.ones((rows, keys), dtype=bool)
    return np.repeat(mask.matrix(rows // stack, keys), stack, axis=0)


def _memory(schedule: Schedule, arrays: Mapping[str, Array], sizes: Mapping[str, int]) -> dict[str, Array]:
    """Slow memory: the inputs, and everything else poisoned so that a word read before it is written shows."""
    memory: dict[str, Array] = {}
    numbered = {loop.index: sizes[loop.axis] for loop in loops(schedule.phases) if loop.index}
    for name, tensor in sorted(schedule.tensors, key=lambda entry: entry[1].of is not None):
        shape = tuple(sizes[axis] for axis in tensor.axes)
        if tensor.at:
            continue  # its words are found when they are loaded
        if tensor.of is not None:
            memory[name] = memory[tensor.of].reshape(shape)  # a view: the same words under other axes
        elif tensor.role == "input":
            memory[name] = np.array(arrays[name], dtype=np.float64).reshape(shape)
        else:
            memory[name] = np.full((numbered[tensor.blocks], *shape) if tensor.blocks else shape, np.nan)
    return memory


def _derived(
    M: int,
    schedule: Schedule,
    arrays: Mapping[str, Array],
    tiles: Mapping[str, int],
    sizes: Mapping[str, int],
    serial: bool,
) -> "_Machine":
    """A machine for a nest over the axes of a program, whose sizes are all given."""
    inputs = [name for name, tensor in schedule.tensors if tensor.role == "input" and tensor.of is None]
    if set(arrays) != set(inputs):
        raise AttometerError(f'schedule "{schedule.name}" takes {", ".join(inputs)}; got {", ".join(arrays)}')
    missing = sorted({s.name for s in schedule.symbols} - set(sizes)) + sorted(set(schedule.tile_names) - set(tiles))
    if missing:
        raise AttometerError(f'schedule "{schedule.name}" needs a number for {", ".join(missing)}')
    numbers = {size(name): sympy.Integer(value) for name, value in sizes.items()}
    extents = {axis: int(extent.xreplace(numbers)) for axis, extent in schedule.axes}
    machine = _Machine(M, schedule, extents, dict(tiles), np.ones((0, 0), bool), False, serial, numbers)
    machine.slow = _memory(schedule, arrays, extents)
    return machine


@dataclass
class _Machine:
    M: int
    schedule: Schedule
    sizes: Mapping[str, int]
    tiles: Mapping[str, int]
    allowed: NDArray[np.bool_]
    masked: bool
    serial: bool = False
    bound: Mapping[sympy.Expr, sympy.Expr] = field(default_factory=dict)
    used: dict[int, tuple[set[str], dict[str, bool]]] = field(default_factory=dict)
    seen: dict[Where, NDArray[np.bool_]] = field(default_factory=dict)
    slow: dict[str, Array] = field(default_factory=dict)
    fast: dict[str, tuple[Array, list[Span]]] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    peak: int = 0
    operations: int = 0
    late: int = 0

    def loop(self, loop: Loop) -> int:
        """Run a loop; return its depth: the longest iteration when they are independent, else their sum."""
        outer = self.spans.get(loop.axis)
        depths = []
        for _ in self._iterations(loop, outer or (0, self.sizes[loop.axis])):
            held = set(self.fast)
            depths.append(self._chain(loop.body))
            for name in set(self.fast) - held:
                del self.fast[name]
        if outer is None:
            self.spans.pop(loop.axis, None)
        else:
            self.spans[loop.axis] = outer
        return (max(depths) if loop.parallel and not self.serial else sum(depths)) if depths else 0

    def _chain(self, body: tuple[Node, ...]) -> int:
        """Run the body of a loop; return the longest chain of steps that wait for one another."""
        ready: dict[str, int] = {}
        longest = 0
        for node in body:
            if id(node) not in self.used:
                self.used[id(node)] = uses(node, self.schedule)
            needs, makes = self.used[id(node)]
            end = max((ready[name] for name in needs if name in ready), default=0) + self.step(node)
            late = end + (self.late if isinstance(node, Compute) else 0)
            ready |= {name: late if delayed else end for name, delayed in makes.items()}
            longest = max(longest, late)
        return longest

    def _iterations(self, loop: Loop, outer: Span) -> Iterator[None]:
        length = self._length(loop)
        tiles = list(enumerate(range(*outer, length)))
        for number, low in reversed(tiles) if loop.backward else tiles:
            self.spans[loop.axis] = (low, min(low + length, outer[1]))
            if loop.index:
                self.numbers[loop.index] = number
            if self._visible(loop):
                yield None

    def _visible(self, loop: Loop) -> bool:
        """Whether the mask leaves a pair in the tiles that a loop is at."""
        if loop.where is not None:
            return bool(self._allowed(loop.where).any())
        return not (loop.partner and self.masked) or bool(self._pairs().any())

    def _allowed(self, where: Where) -> NDArray[np.bool_]:
        """The pairs of the current tiles that a mask allows."""
        if where not in self.seen:
            mask = substitute(where.mask, dict(self.bound))
            self.seen[where] = mask.matrix(self.sizes[where.query], self.sizes[where.key])
        return np.asarray(self._part(self.seen[where], (where.query, where.key)), bool)

    def _part(self, whole: NDArray[Any], axes: tuple[str, ...]) -> NDArray[Any]:
        """The places of the current loops along all axes of an array; what is outside of it is 0."""
        if not {*axes} & self.schedule.images.keys():
            return whole[tuple(slice(*self._span(axis)) for axis in axes)]
        at = np.ix_(*(np.arange(*self._span(axis)) for axis in axes))
        inside = functools.reduce(np.logical_and, [(p >= 0) & (p < n) for p, n in zip(at, whole.shape, strict=True)])
        clipped = tuple(np.clip(p, 0, n - 1) for p, n in zip(at, whole.shape, strict=True))
        return np.where(inside, whole[clipped], 0)

    def _inside(self, axes: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which places of the current loops are in the tensors that the axes are of."""
        return np.asarray(self._part(np.ones([self.sizes[axis] for axis in axes], bool), axes), bool)

    def _length(self, loop: Loop) -> int:
        factors = loop.length.args or (loop.length,)
        return math.prod(int(f) if f.is_Integer else self.tiles[f.name] for f in factors)

    def _pairs(self) -> NDArray[np.bool_]:
        return self.allowed[slice(*self._span("i")), slice(*self._span("j"))]

    def _span(self, axis: str) -> Span:
        if axis in self.schedule.images:
            image = self.schedule.images[axis]
            ends = [sorted((c * low, c * (high - 1))) for a, c in image.terms for low, high in (self._span(a),)]
            offset = int(image.offset.xreplace(dict(self.bound)))
            return offset + sum(low for low, _ in ends), offset + sum(high for _, high in ends) + 1
        return self.spans.get(axis, (0, self.sizes[axis]))

    def step(self, node: Node) -> int:
        """Run one node; return its depth."""
        if isinstance(node, Loop):
            return self.loop(node)
        if isinstance(node, Compute):
            return self.compute(node)
        if isinstance(node, Load):
            data = self.loaded(node.tile)
            self.hold(node.tile, data, "load")
            self.reads[node.tile.name] += data.size
        elif isinstance(node, Store):
            data = self.view(node.tile)
            self.slow[node.tensor][self._address(node.tensor, node.tile)] = data
            self.writes[node.tensor] += data.size
        elif isinstance(node, New):
            shape = [high - low for low, high in map(self._span, node.tile.axes)]
            self.hold(node.tile, np.full(shape, node.value), "new")
        elif isinstance(node, Free):
            del self.fast[node.tile.name]
        return 0

    def loaded(self, tile: Tile) -> Array:
        """Return a copy of the words of a tile in slow memory."""
        declared = self.schedule.tensor(tile.name)
        if not declared.at:
            return self._window(tile, declared)
        source = self.slow[str(declared.of)].reshape([self._extent(extent) for extent in declared.shape])
        spans = {axis: self._span(axis) for axis in self.sizes}
        named = {r.tensor: r for node in declared.at for r in refs_in(node)}
        tiles: dict[Named, tuple[Array, tuple[str, ...]]] = {}
        for name, ref in named.items():
            axes = tuple(part.name for part in ref.indices if isinstance(part, Name))
            tiles[name] = (self.view(Tile(name, axes)), axes)
        at = Evaluation(spans, tiles, self._number, None, ("", ""))
        shape = [high - low for low, high in map(self._span, tile.axes)]
        places = [np.broadcast_to(at.place(node, tile.axes), shape).astype(np.int64) for node in declared.at]
        inside = np.ones(shape, dtype=bool)
        for place, length in zip(places, source.shape, strict=True):
            inside &= (place >= 0) & (place < length)
        clipped = tuple(np.clip(p, 0, length - 1) for p, length in zip(places, source.shape, strict=True))
        return np.where(inside, source[clipped], 0.0)

    def _window(self, tile: Tile, declared: Tensor) -> Array:
        """Return the words of a rectangle: 0 outside of its tensor, and where nothing may be stored."""
        if not {*declared.axes} & self.schedule.images.keys() and declared.where is None:
            return self.slow[tile.name][self._address(tile.name, tile)].copy()
        data = np.asarray(self._part(self.slow[tile.name], declared.axes))
        if declared.where is not None:
            pair = (declared.where.query, declared.where.key)
            allowed = self._allowed(declared.where)
            order = sorted(pair, key=declared.axes.index)
            shape = [len(range(*self._span(a))) if a in pair else 1 for a in declared.axes]
            data = np.where((allowed if tuple(order) == pair else allowed.T).reshape(shape), data, 0.0)
        return data.reshape([high - low for low, high in map(self._span, tile.axes)])

    def _extent(self, extent: sympy.Expr) -> int:
        return int(extent.xreplace(dict(self.bound)))

    def _address(self, tensor: str, tile: Tile) -> tuple[slice | int, ...]:
        declared = self.schedule.tensor(tensor)
        place: list[slice | int] = [self.numbers[declared.blocks]] if declared.blocks else []
        for axis in declared.axes:
            place.append(slice(*self._span(axis)) if axis in tile.axes else self._span(axis)[0])
        return tuple(place)

    def hold(self, tile: Tile, data: Array, how: str) -> None:
        """Put a tile into fast memory, or say that it does not fit."""
        used = sum(array.size for array, _ in self.fast.values())
        if used + data.size > self.M:
            raise AttometerError(
                f"fast memory of {self.M} words overflows: {how} {tile} needs {data.size} words, "
                f"{self.M - used} are free"
            )
        if tile.name in self.fast:
            raise AttometerError(f"{how} {tile}: {tile.name} is already in fast memory")
        self.fast[tile.name] = (data, [self._span(axis) for axis in tile.axes])
        self.peak = max(self.peak, used + data.size)

    def view(self, tile: Tile) -> Array:
        """The part of a tile in fast memory that the current loops select, perhaps under other axes."""
        if tile.name not in self.fast:
            raise AttometerError(f"{tile} is not in fast memory")
        data, spans = self.fast[tile.name]
        place = []
        for axis, (start, end) in zip(tile.axes, spans, strict=True):
            low, high = self._span(axis)
            if low < start or high > end:
                raise AttometerError(f"{tile} asks for {axis} {low}..{high}, and {start}..{end} is in fast memory")
            place.append(slice(low - start, high - start))
        return data[tuple(place)] if place else data  # a view, not a copy of a single word

    def compute(self, node: Compute) -> int:
        """Run a kernel, or a formula, on tiles in fast memory; return the depth of its first output."""
        self.late = 0
        if node.formula is not None:
            return self.evaluate(node, node.formula)
        step = Step(
            tuple(map(self.view, node.out)),
            tuple(map(self.view, node.reads)),
            tuple(tile.axes for tile in node.out),
            tuple(tile.axes for tile in node.reads),
            self._pairs,
            1 / math.sqrt(self.sizes["c"]),
        )
        operations, depth = KERNELS[node.kernel](step)
        self.operations += operations
        return depth

    def evaluate(self, node: Compute, formula: Formula) -> int:
        """Run a formula on tiles in fast memory."""
        tiles: dict[Named, tuple[Array, tuple[str, ...]]] = {}
        for tile in (*node.reads, *node.out):
            tiles[tile.name] = tiles[tile.name, tile.axes] = self.view(tile), tile.axes
        spans = {axis: self._span(axis) for axis in self.sizes}
        where = formula.where
        allowed = self._allowed(where) if where is not None else None
        at = Evaluation(spans, tiles, self._number, allowed, (where.query, where.key) if where else ("", ""))
        operations, depth = at.run(formula, tuple(map(self.view, node.out)), tuple(t.axes for t in node.out))
        for tile in node.out:
            if {*tile.axes} & self.schedule.images.keys():
                self.view(tile)[~self._inside(tile.axes)] = 0.0
        self.operations, self.late = self.operations + operations, at.late
        return depth

    def _number(self, name: str) -> float:
        return float(self.bound[size(name)]) if size(name) in self.bound else float(self.sizes[name])
