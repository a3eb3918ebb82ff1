"""One phase of a lean nest as a C++ function: its own text as comments, its products as register blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from attometer.emit.expressions import Writer, cxx, index_of, name_of
from attometer.emit.steps import elementwise, product_of_tiles
from attometer.errors import AttometerError
from attometer.program.expression import Ref, Where, walk
from attometer.schedule.incremental import NEW, OLD
from attometer.schedule.nest import Compute, Free, Load, Loop, New, Node, Schedule, Store, Tile
from attometer.schedule.small_sums import ONE

PAD = "    "


@dataclass
class Names:
    """What a whole unit shares: the places of tensors, sizes, masks, axes and tiles in the arrays of a call."""

    arrays: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    masks: dict[Where, int] = field(default_factory=dict)
    axes: dict[str, int] = field(default_factory=dict)
    tiles: dict[str, int] = field(default_factory=dict)
    rows: set[str] = field(default_factory=set)
    """Those tiles that are of rows; the others are of streamed axes."""
    types: dict[str, str] = field(default_factory=dict)
    """For each array T, or R where it is kept between phases."""
    of: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """For each array the tensor that it is of, and its axes."""

    def key(self, name: str, axes: tuple[str, ...]) -> str:
        """Return the name of an array: nests may read one value along other axes, where they split it otherwise."""
        return name if self.of.get(name, ("", axes))[1] == axes else f"{name}[{','.join(axes)}]"


@dataclass
class PhaseLayout:
    """Phase `number` of a schedule: what runs in parallel, what is streamed, and how its tiles lie."""

    schedule: Schedule
    number: int
    names: Names
    label: str
    masked: dict[str, Where | None] = field(default_factory=dict)
    """For each tile the mask outside which it was made 0, where it was."""

    def __post_init__(self) -> None:
        self.top = self.schedule.phases[self.number]
        self.chain: list[Loop] = [self.top]
        while len(body := self.chain[-1].body) == 1 and isinstance(body[0], Loop) and body[0].parallel:
            self.chain.append(body[0])
        self.row = next((x.axis for x in self.chain if x.length != 1), None)
        self.batch = [x.axis for x in self.chain if x.axis != self.row]
        self.body = self.chain[-1].body
        self.streams = {x.axis for x in _loops(self.body) if x.length != 1}
        self.names.rows |= {str(x.length) for x in self.chain if x.length != 1}
        self.tile_of = {x.axis: str(x.length) for x in (*self.chain, *_loops(self.body)) if x.length != 1}
        if len([x for x in self.chain if x.length != 1]) > 1:
            raise AttometerError("a phase with tiles of two axes has no machine code")

    def layout(self, axes: Iterable[str]) -> tuple[str, ...]:
        """Return the axes of a tile as it lies: those run one by one left out, the row before the streamed axis."""
        found = [a for a in axes if a not in self.batch and (a != ONE or a == self.row)]
        stream = next((a for a in found if a in self.streams), None)
        if self.row in found and stream is not None and found.index(stream) < found.index(self.row):
            at, to = found.index(stream), found.index(self.row)
            found[at], found[to] = found[to], found[at]
        return tuple(found)

    @cached_property
    def tiles(self) -> dict[str, tuple[str, ...]]:
        """Every tile by name, with its layout."""
        return {n.tile.name: self.layout(n.tile.axes) for n in _nodes(self.body) if isinstance(n, Load | New)}

    def _pair(self, where: Where) -> bool:
        return where.query not in self.batch and where.key not in self.batch

    @cached_property
    def wheres(self) -> list[Where]:
        """The masks of steps and loops."""
        found = [n.where for n in _loops(self.body) if n.where is not None]
        found += [
            n.formula.where for n in _nodes(self.body) if isinstance(n, Compute) and n.formula and n.formula.where
        ]
        return list(dict.fromkeys(found))


@dataclass
class PhaseCode(PhaseLayout):
    """Writes a phase as C++."""

    # --- tiles -------------------------------------------------------------------------------------------------------

    @cached_property
    def written(self) -> set[str]:
        """Tiles that steps write: what is loaded into one of them must be copied."""
        return {t.name for n in _nodes(self.body) if isinstance(n, Compute) for t in n.out}

    def place(self, ref: Ref) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Return the memory of a tile, and its axes with their strides."""
        if not ref.indices and ref.tensor in (OLD, NEW):
            return f"{ref.tensor}_", ()
        layout, name = self.tiles[ref.tensor], cxx(ref.tensor)
        steps = [*(f"{name}.stride[{k}]" for k in range(len(layout) - 1)), "1"]
        return f"{name}.at", tuple(zip(layout, steps, strict=False))

    def most(self, axis: str) -> str:
        """Return the most places of an axis in a tile."""
        extent = f"p.extents[{self.names.axes[axis]}]"
        return f"std::min<int64_t>({extent}, {self.tile(axis)})" if axis in self.tile_of else extent

    def tile(self, axis: str) -> str:
        """Return the length of a tile."""
        name = self.tile_of[axis]
        return f"p.tiles[{self.names.tiles.setdefault(name, len(self.names.tiles))}]"

    # --- text --------------------------------------------------------------------------------------------------------

    def code(self) -> list[str]:
        """Return the function of the phase, which runs one tile of its rows, and the one that says how many there are."""
        for axis, _ in self.schedule.axes:
            self.names.axes.setdefault(axis, len(self.names.axes))
        for where in self.wheres:
            self.names.masks.setdefault(where, len(self.names.masks))
        body = list(self.nodes(self.body, 1))
        loops = ", ".join(f"{x.axis} in tiles of {x.length}" for x in self.chain)
        counts = " * ".join([f"p.extents[{self.names.axes[a]}]" for a in self.batch] or ["1"])
        rows = f"ceil_div(p.extents[{self.names.axes[self.row]}], {self.tile(self.row)})" if self.row else "1"
        return [
            f"static int64_t items_{self.label}(const Problem& p) {{ return {counts} * {rows}; }}",
            f"// parallel for {loops}:",
            f"static void phase_{self.label}(const Problem& p, int64_t item) {{",
            *(PAD + line for line in self._head(rows)),
            *body,
            "}",
        ]

    def _head(self, rows: str) -> Iterator[str]:
        """Yield the spans of this item and the memory of its tiles."""
        used = {a for n in _nodes(self.body) for a in _axes(n)}
        if self.row:
            axis, length = self.row, self.tile(self.row)
            yield f"const int64_t start = item % {rows} * {length};"
            yield f"const Span {name_of(axis)}{{start, std::min(p.extents[{self.names.axes[axis]}], start + {length})}};"
            yield f"item /= {rows};"
        for axis in reversed(self.batch):
            extent = f"p.extents[{self.names.axes[axis]}]"
            yield f"const Span {name_of(axis)}{{item % {extent}, item % {extent} + 1}};"
            yield f"constexpr int64_t {index_of(axis)} = 0;"
            yield f"item /= {extent};"
        whole = [a for a, _ in self.schedule.axes if a in used and a not in (self.row, *self.batch, *self.streams)]
        for axis in whole:
            yield f"const Span {name_of(axis)}{{0, p.extents[{self.names.axes[axis]}]}};"
            if axis == ONE:
                yield f"constexpr int64_t {index_of(axis)} = 0;"
        yield "Fast fast;"
        yield "Room room;"
        for name, layout in self.tiles.items():
            sizes = [self.most(a) for a in layout]
            if len(sizes) > 1:
                sizes[-1] = f"round_up({sizes[-1]}, PANEL)"
            strides = [" * ".join(sizes[k + 1 :]) or "1" for k in range(len(sizes))]
            shown = f", {{{', '.join(strides)}}}" if layout else ""
            tile = f"Tile<{len(layout)}>"
            yield f"const {tile} room_{cxx(name)}{{fast.of<R>({' * '.join(sizes) or '1'}){shown}}};"
            yield f"{tile} {cxx(name)} = room_{cxx(name)};"
        for where in self.wheres:
            at = self.names.masks[where]
            first, second = self.layout((where.query, where.key)) if self._pair(where) else (where.query, where.key)
            yield f"const int64_t step_{at} = {self.most(second)};"
            yield f"Flag* const flags_{at} = fast.of<Flag>({self.most(first)} * step_{at});"
            yield f"Seen seen_{at} = NONE;"
        for where in self.wheres:
            if not {where.query, where.key} & self.streams:
                yield from self._look(where)

    def _look(self, where: Where) -> Iterator[str]:
        """Yield what finds out which pairs of the current spans a mask allows."""
        at = self.names.masks[where]
        q, k = name_of(where.query), name_of(where.key)
        first = self.layout((where.query, where.key))[0] if self._pair(where) else where.query
        steps = f"step_{at}, 1" if first == where.query else f"1, step_{at}"
        yield f"seen_{at} = seen_by(p.masks[{at}], {q}, {k});"
        yield f"if (seen_{at} != ALL) flags_of(p.masks[{at}], {q}, {k}, flags_{at}, {steps});"

    def flag(self, where: Where, writer: Writer) -> str:
        """Return whether a mask allows the pair at the running indices, as C++."""
        at = self.names.masks[where]
        first, second = self.layout((where.query, where.key)) if self._pair(where) else (where.query, where.key)
        return writer.entry("const Flag* const", f"flags_{at}", ((first, f"step_{at}"), (second, "1")))

    # --- nodes -------------------------------------------------------------------------------------------------------

    def nodes(self, body: tuple[Node, ...], depth: int) -> Iterator[str]:
        """Yield the lines of a body; element-wise steps that follow one another run row by row together."""
        pad, waiting = PAD * depth, list[Compute]()
        flat = list(_flat(body))
        fresh = set[str]()
        for at, node in enumerate(flat):
            if isinstance(node, Free):
                continue
            if isinstance(node, Compute):
                made = product_of_tiles(self, node)
                if made is None:
                    fresh -= {t.name for t in node.out}
                    waiting.append(node)
                    continue
            if not _apart(node, waiting):
                yield from self._flushed(waiting, depth)
            if isinstance(node, Loop):
                yield from self._loop(node, depth)
                continue
            yield f"{pad}// {node_text(node)}"
            if isinstance(node, New):
                first = self._first(flat[at + 1 :], node.tile)
                if node.value == 0 and first is not None and product_of_tiles(self, first) is not None:
                    fresh.add(node.tile.name)
                    continue
                if first is not None and _sets(first, node.tile):
                    yield f"{pad}{cxx(node.tile.name)} = room_{cxx(node.tile.name)};"
                    continue
                yield from (pad + line for line in self._new(node))
            elif isinstance(node, Load):
                yield from (pad + line for line in self._load(node))
            elif isinstance(node, Store):
                yield from (pad + line for line in self._store(node))
            else:
                assert made is not None
                yield from (pad + line for line in made.lines(self, node.out[0].name in fresh))
                fresh.discard(node.out[0].name)
        yield from self._flushed(waiting, depth)

    def _first(self, rest: list[Node], tile: Tile) -> Compute | None:
        """Return the step that first touches a tile if it writes it; None where a loop or a store comes before."""
        for node in rest:
            if isinstance(node, Loop | Store):
                return None
            if isinstance(node, Compute) and tile in (*node.out, *node.reads):
                return node if node.out[0] == tile else None
        return None

    def _flushed(self, waiting: list[Compute], depth: int) -> Iterator[str]:
        if waiting:
            yield from (PAD * depth + line for line in elementwise(self, list(waiting)))
            waiting.clear()

    def _loop(self, loop: Loop, depth: int) -> Iterator[str]:
        pad, axis = PAD * depth, loop.axis
        over = f"{loop.axis} in tiles of {loop.length}"
        where = f" where ({loop.partner},{loop.axis}) is not masked out" if loop.partner else ""
        yield f"{pad}// for {over}{where}:"
        yield f"{pad}for (Span {name_of(axis)} : tiles({{0, p.extents[{self.names.axes[axis]}]}}, {self.tile(axis)})) {{"
        for mask in self.wheres:
            if axis in (mask.query, mask.key):
                yield from (f"{pad}{PAD}{line}" for line in self._look(mask))
        if loop.where is not None:
            yield f"{pad}{PAD}if (seen_{self.names.masks[loop.where]} == NONE) continue;"
        yield from self.nodes(loop.body, depth + 1)
        yield f"{pad}}}"

    def _new(self, node: New) -> Iterator[str]:
        name, layout = cxx(node.tile.name), self.tiles[node.tile.name]
        value = {float("inf"): "R(INF)", float("-inf"): "R(-INF)"}.get(node.value, f"R({node.value!r})")
        size = " * ".join(self.most(a) for a in layout[:1]) if layout else "1"
        if len(layout) > 1:
            size += f" * room_{name}.stride[0]"
        yield f"{name} = room_{name};"
        yield f"std::fill_n({name}.at, {size}, {value});"

    def _place(self, tensor: str) -> tuple[str, list[str], str]:
        """Return an array of slow memory from the current spans on: its address, the strides in a layout, its type."""
        axes = self.schedule.tensor(tensor).axes if tensor in dict(self.schedule.tensors) else ()
        key = self.names.key(tensor, axes)
        at, kind = self.names.arrays[key], self.names.types[key]
        start = " + ".join(f"{name_of(a)}.start * p.arrays[{at}].stride[{k}]" for k, a in enumerate(axes)) or "0"
        steps = [f"p.arrays[{at}].stride[{axes.index(a)}]" for a in self.layout(axes)]
        return f"({kind}*)p.arrays[{at}].data + {start}", steps, kind

    def _load(self, node: Load) -> Iterator[str]:
        name, layout = cxx(node.tile.name), self.tiles[node.tile.name]
        from_, steps, kind = self._place(node.tile.name)
        kept = "false" if node.tile.name in self.written else "true"
        sizes = [f"{name_of(a)}.size()" for a in layout]
        yield "{"
        yield f"    const int64_t step[] = {{{', '.join(steps) or '0'}}}, size[] = {{{', '.join(sizes) or '1'}}};"
        yield f"    load_tile<{kind}, {len(layout)}, {kept}>({name}, room_{name}, {from_}, step, size);"
        yield "}"

    def _store(self, node: Store) -> Iterator[str]:
        name, layout = cxx(node.tile.name), self.tiles[node.tile.name]
        to, steps, kind = self._place(node.tensor)
        sizes = [f"{name_of(a)}.size()" for a in layout]
        strides = f"{name}.stride" if layout else "step"
        yield "{"
        yield f"    const int64_t step[] = {{{', '.join(steps) or '0'}}}, size[] = {{{', '.join(sizes) or '1'}}};"
        yield f"    scatter<{kind}, {len(layout)}>({to}, step, {name}.at, {strides}, size);"
        yield "}"

    def writer(self, inner: str | None) -> Writer:
        """Return what writes expressions inside a loop along `inner`."""
        return Writer(self.place, self.names.sizes, inner)


def _sets(node: Compute, tile: Tile) -> bool:
    """Return whether a step overwrites all of a tile without reading it."""
    return node.formula is not None and node.formula.kind == "set" and tile not in node.reads


def _apart(node: Node, waiting: list[Compute]) -> bool:
    """Return whether a node may run before steps that wait: neither touches what the other writes."""
    read = {t.name for n in waiting for t in n.reads}
    written = {t.name for n in waiting for t in n.out}
    match node:
        case Load(tile=tile) | New(tile=tile):
            return tile.name not in read | written
        case Compute(out=out, reads=reads):
            own = {t.name for t in out}
            return not own & (read | written) and not {t.name for t in reads} & written
    return False


def _flat(body: Iterable[Node]) -> Iterator[Node]:
    """Yield the nodes of a body; a loop that goes word by word runs whole, as a part of its steps."""
    for node in body:
        if isinstance(node, Loop) and node.length == 1:
            yield from _flat(node.body)
        else:
            yield node


def _nodes(body: Iterable[Node]) -> Iterator[Node]:
    for node in body:
        yield node
        if isinstance(node, Loop):
            yield from _nodes(node.body)


def _loops(body: Iterable[Node]) -> Iterator[Loop]:
    return (n for n in _nodes(body) if isinstance(n, Loop))


def _axes(node: Node) -> Iterator[str]:
    match node:
        case Load(tile=tile) | Store(tile=tile) | New(tile=tile):
            yield from tile.axes
        case Compute(formula=formula) if formula is not None:
            yield from formula.axes
            if formula.where is not None:
                yield from (formula.where.query, formula.where.key)
            for part in walk(formula.expression):
                if isinstance(part, Ref):
                    yield from (str(getattr(i, "name", "")) for i in part.indices)


def node_text(node: Node) -> str:
    """Return a node as the nest's text has it."""
    match node:
        case Load(tile=tile):
            return f"load {tile}"
        case Store(tile=tile, to=to):
            return f"store {tile}" + (f" as {to}" if to else "")
        case New(tile=tile, value=value):
            return f"{tile} = {value:g}"
        case Compute(text=text):
            return text
    return ""
