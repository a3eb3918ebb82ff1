"""The small language of schedules: loops over tiles, transfers, tiles held in fast memory, and compute steps.

A tile lives in fast memory from its `Load` or `New` to the end of the loop body that holds it, or to an earlier `Free`.
Nothing here counts: traffic, footprint, work and depth are derived elsewhere by walking the nest, and a simulator
executes the same nest.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import sympy

from attometer.program.expression import Expression, Where, refs_in
from attometer.program.printer import expression_text
from attometer.view.printed import Printed

Accumulators: TypeAlias = Literal["accumulator", "tree"]
ONE = sympy.Integer(1)


@dataclass(frozen=True)
class Tile:
    """The part of tensor `name` that the current loops select: whole axes where no loop runs, tiles elsewhere.

    `block` names a loop index that selects one of several equal blocks (a partial result per split); it has no extent.
    """

    name: str
    axes: tuple[str, ...]
    block: str | None = None

    def __str__(self) -> str:
        shown = [*([self.block] if self.block else []), *self.axes]
        return f"{self.name}[{','.join(shown)}]"


@dataclass(frozen=True)
class Load:
    """Move a tile from slow to fast memory."""

    tile: Tile


@dataclass(frozen=True)
class Store:
    """Move a tile from fast to slow memory, where it is part of the tensor `to` (by default the one of its name)."""

    tile: Tile
    to: str | None = None

    @property
    def tensor(self) -> str:
        """Name of the tensor written."""
        return self.to or self.tile.name


@dataclass(frozen=True)
class New:
    """Make a tile in fast memory, filled with a constant; no transfer."""

    tile: Tile
    value: float = 0.0


@dataclass(frozen=True)
class Free:
    """Drop a tile from fast memory before its scope ends."""

    tile: Tile


@dataclass(frozen=True)
class Formula:
    """A compute step as an expression over the tiles it reads, which it names, at every point of `axes`.

    `kind`: "set" makes the first output; "sum", "max", "min" and "prod" fold the points into it, those that `where`
    forbids left out; "move" sets it; "scale" multiplies it, where zeros stay zeros; "settle" makes an extreme that is still what the
    expression says, unseen, 0;
    "argsort" and "topk" write positions along the last axis, by the key that the expression is; "scatter" adds points into
    the `places` of the axes that they name. When a fold or a move changes its output from `old` to `new`, each further
    output is multiplied by its factor in `carried`. An axis that the first output and its expression lack is one place long.
    """

    kind: str
    expression: Expression
    axes: tuple[str, ...]
    where: Where | None = None
    carried: tuple[Expression, ...] = ()
    places: tuple[tuple[str, Expression], ...] = ()


@dataclass(frozen=True)
class Compute:
    """One compute step on tiles in fast memory: `kernel`, or the formula of a derived nest, updates `out` from `reads`.

    `work` lists (operations per element, axes of the elements); `depth` is (constant, axes reduced by balanced trees), and
    what follows the first output, corrected when it has moved, is ready `late` levels after it.
    """

    kernel: str
    out: tuple[Tile, ...]
    reads: tuple[Tile, ...]
    text: str
    work: tuple[tuple[int | sympy.Expr, tuple[str, ...]], ...]
    depth: tuple[int | sympy.Expr, tuple[str, ...]]
    formula: Formula | None = None
    late: int = 0


@dataclass(frozen=True)
class Loop:
    """Run the body for each tile of `length` along `axis`.

    `partner` is an axis already tiled: tiles of the pair that the mask leaves empty are skipped, the mask of the problem
    over (i, j) or the loop's own in `where`. `parallel` says that the iterations are independent; `index` names the
    running number of the tile; `backward` says that they run from the last to the first.
    """

    axis: str
    length: sympy.Expr
    body: tuple["Node", ...]
    parallel: bool = False
    partner: str | None = None
    index: str | None = None
    where: Where | None = None
    backward: bool = False


Node: TypeAlias = Load | Store | New | Free | Compute | Loop
Role: TypeAlias = Literal["input", "output", "scratch"]


@dataclass(frozen=True)
class Image:
    """An axis whose places are c·x + … + offset for the places of other axes: `terms` lists these, each x with its c.

    A tile has the places between the least and the greatest; outside of `extent`, all is 0.
    """

    terms: tuple[tuple[str, int], ...]
    offset: sympy.Expr
    extent: sympy.Expr

    def length(self, lengths: Callable[[str], Any]) -> Any:
        """Return how many places there are for axes of these lengths."""
        return 1 + sum(abs(c) * (lengths(axis) - 1) for axis, c in self.terms)


def monomials(axes: Iterable[str], images: Mapping[str, Image]) -> list[tuple[int, tuple[str, ...]]]:
    """Return the product of the lengths of `axes` as a sum of products of lengths of axes that are no images.

    >>> monomials(["i - u", "d"], {"i - u": Image((("i", 1), ("u", -1)), ONE, ONE)})
    [(1, ('d', 'i')), (1, ('d', 'u')), (-1, ('d',))]
    """
    found = [(1, tuple(a for a in axes if a not in images))]
    for image in (images[a] for a in axes if a in images):
        parts = [*((abs(c), (axis,)) for axis, c in image.terms), (1 - sum(abs(c) for _, c in image.terms), ())]
        found = [(c * k, (*own, *more)) for c, own in found for k, more in parts if k]
    return found


@dataclass(frozen=True)
class Tensor:
    """A tensor in slow memory: its axes in order, and its part in the calculation; `of` is the tensor it is a view of.

    With `at`, an entry is the word of `of`, a tensor of the extents in `shape`, at these places: expressions over axes,
    sizes, and tiles that are in fast memory when it is loaded; outside of it, 0. Every entry counts as a word. Entries that
    `where` forbids are loaded as 0: nothing may have been stored there.
    """

    axes: tuple[str, ...]
    role: Role
    blocks: str | None = None
    of: str | None = None
    at: tuple[Expression, ...] = ()
    shape: tuple[sympy.Expr, ...] = ()
    where: Where | None = None


@dataclass(frozen=True)
class Schedule(Printed):
    """How a calculation runs on a fast memory of M words: phases of loops over tiles, one after another.

    `axes` gives the size symbol of each axis, `tiles` the free tile sizes with the axis that each divides,
    `accumulators` the class of algorithms it belongs to, for the lower bounds. `copies` is the axis of independent
    problems; a derived nest has none, its axes are those of its program. `images` are axes that loops along others fix.
    """

    name: str
    title: str
    source: str
    axes: tuple[tuple[str, sympy.Expr], ...]
    tensors: tuple[tuple[str, Tensor], ...]
    phases: tuple[Loop, ...]
    tiles: tuple[tuple[sympy.Symbol, str], ...]
    accumulators: Accumulators = "accumulator"
    backward: bool = False
    clipped: bool = False
    notes: tuple[str, ...] = field(default=())
    copies: str | None = "z"
    images: Mapping[str, Image] = field(default_factory=dict, hash=False)

    def size_of(self, axis: str) -> sympy.Expr:
        """Return the size symbol of an axis."""
        return dict(self.axes)[axis]

    def tensor(self, name: str) -> Tensor:
        """Return the declaration of a tensor in slow memory."""
        return dict(self.tensors)[name]

    @property
    def symbols(self) -> set[sympy.Symbol]:
        """The size symbols of the axes and of the masks that loops bring along."""
        from attometer.masks.counts import symbols

        masks = [loop.where.mask for loop in loops(self.phases) if loop.where is not None]
        extents = {s for _, extent in self.axes for s in extent.free_symbols}
        return extents | {s for mask in masks for s in symbols(mask)}

    @property
    def tile_names(self) -> tuple[str, ...]:
        """Names of the free tile sizes."""
        return tuple(symbol.name for symbol, _ in self.tiles)

    def to_dict(self) -> dict[str, Any]:
        """Return name, title, source, axes, tiles, notes and the printed nest as plain values."""
        return {
            **{key: getattr(self, key) for key in ("name", "title", "source", "accumulators", "backward")},
            "axes": {name: str(length) for name, length in self.axes},
            "tiles": {symbol.name: axis for symbol, axis in self.tiles},
            "notes": list(self.notes),
            "nest": str(self),
        }

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.title} ({self.source})"]
        for name, tensor in self.tensors:
            if tensor.at:
                places = ", ".join(map(expression_text, tensor.at))
                lines.append(f"{name}[{','.join(tensor.axes)}] is {tensor.of}[{places}]")
        for number, phase in enumerate(self.phases, 1):
            if len(self.phases) > 1:
                lines.append(f"pass {number}:")
            lines.extend(_lines(phase, self, 0))
        return "\n".join(lines)


def loops(body: Iterable[Node]) -> Iterator[Loop]:
    """Yield every loop of a nest, outer ones first."""
    for node in body:
        if isinstance(node, Loop):
            yield node
            yield from loops(node.body)


def uses(node: Node, schedule: Schedule) -> tuple[set[str], dict[str, bool]]:
    """Return what must be ready before a node begins, and what it makes: whether that is late (`Compute.late`).

    Tiles have their names, tensors in slow memory a name with a colon.
    """
    match node:
        case Load(tile=tile):
            declared = schedule.tensor(tile.name)
            return {f"{declared.of or tile.name}:", *(r.tensor for at in declared.at for r in refs_in(at))}, {
                tile.name: False
            }
        case Store(tile=tile):
            return {tile.name}, {f"{schedule.tensor(node.tensor).of or node.tensor}:": False}
        case New(tile=tile):
            return set(), {tile.name: False}
        case Compute(out=out, reads=reads):
            kept = out[1:] if node.formula is not None and node.formula.kind == "set" else out
            return {t.name for t in (*reads, *kept)}, {t.name: k > 0 for k, t in enumerate(out)}
        case Loop(body=body):
            inner = [uses(each, schedule) for each in body]
            made = dict.fromkeys((name for _, makes in inner for name in makes), False)
            return {name for needs, _ in inner for name in needs} | made.keys(), made
    return set(), {}


def _lines(node: Node, schedule: Schedule, indent: int) -> Iterator[str]:
    pad = "    " * indent
    if isinstance(node, Loop):
        yield pad + _head(node, schedule)
        for inner in node.body:
            yield from _lines(inner, schedule, indent + 1)
    elif isinstance(node, Load):
        yield f"{pad}load {node.tile}"
    elif isinstance(node, Store):
        yield f"{pad}store {node.tile}" + (f" as {node.to}" if node.to else "")
    elif isinstance(node, New):
        yield f"{pad}{node.tile} = {node.value:g}"
    elif isinstance(node, Free):
        yield f"{pad}free {node.tile.name}"
    else:
        yield pad + node.text


def _head(loop: Loop, schedule: Schedule) -> str:
    over = f"{loop.axis} in tiles of {loop.length} of {schedule.size_of(loop.axis)}"
    where = f" where ({loop.partner},{loop.axis}) is not masked out" if loop.partner else ""
    number = f", number {loop.index}" if loop.index else ""
    last = ", the last first" if loop.backward else ""
    return f"{'parallel for' if loop.parallel else 'for'} {over}{where}{number}{last}:"
