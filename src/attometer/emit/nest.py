"""A schedule's loop nest as C++: one statement for each node, under the node's own text as a comment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attometer.emit.forms import Form, Product, forms, is_scores, product, read_again
from attometer.errors import AttometerError
from attometer.schedule.nest import Compute, Free, Load, Loop, New, Node, Schedule, Store, Tile

WIDTH = {"c": "call.d", "x": "call.e", "i": "i.size()", "j": "j.size()"}
OPERAND = {"Q": "q", "K": "k", "V": "v", "O": "o", "L": "lse", "dO": "grad", "dQ": "dq", "dK": "dk", "dV": "dv"}
"""The field of a call that is the tensor in slow memory."""


@dataclass(frozen=True)
class Nest:
    """One schedule as it is written out: `outer` is the axis of the scores' rows, `packed` what is packed before.

    `streamed` is what is read once, by a product that takes it as it lies.
    """

    schedule: Schedule
    outer: str
    packed: frozenset[str]
    streamed: frozenset[str]
    forms: dict[str, tuple[Form, ...]]

    @classmethod
    def of(cls, schedule: Schedule, outer: str, packed: bool = True) -> "Nest":
        """Return the nest of a schedule; without `packed`, keys and values are read once."""
        none: frozenset[str] = frozenset()
        kept = (frozenset(read_again(schedule)), none) if packed else (none, frozenset({"K", "V"}))
        return cls(schedule, outer, *kept, forms(schedule, outer))

    @property
    def inner(self) -> str:
        """The axis of the scores' columns."""
        return "j" if self.outer == "i" else "i"


def _rows(name: str, axis: str) -> str:
    kind = "query" if axis == "i" else "key"
    return f"[&](int64_t t) {{ return head.{kind}<T>(call.{OPERAND[name]}, t); }}"


def _axis(tile: Tile) -> str:
    return next(axis for axis in tile.axes if axis in "ij")


def _width(tile: Tile) -> str:
    return next(axis for axis in tile.axes if axis not in "ij")


def _name(name: str, form: Form) -> str:
    return f"{name}_{form.outer}{form.inner}"


def _pack(tile: Tile, form: Form, to: str) -> str:
    """Return the statement that packs a tile in a form."""
    axis, wide = _axis(tile), _width(tile)
    verb = f"pack_{form.side}"
    if form.inner == axis:
        verb += "_across" if form.side == "left" else "_along"
    return f"{verb}<T>({to}, {_rows(tile.name, axis)}, {axis}, {WIDTH[wide]}, call.{OPERAND[tile.name]}.column);"


def _room(tile: Tile) -> str:
    # What the loop over keys makes lives for one of its steps.
    return "step" if "j" in tile.axes else "fast"


def _load(nest: Nest, tile: Tile) -> Iterator[str]:
    if tile.name == "dQ":
        yield "const Sums dQ{dQ_sums + i.start * call.d, call.d, i.size(), PANEL, call.d * PANEL};"
        return
    for form in nest.forms.get(tile.name, ()):
        name = _name(tile.name, form)
        if tile.name in nest.packed and form.outer == _axis(tile):
            yield f"const Right {name} = columns_from(packed.{name}, {form.outer});"
        elif tile.name in nest.packed:
            length = "call.tile_columns" if form.inner == "j" else "call.tile_rows"
            yield f"const Right {name} = units_from(packed.{name}, {form.inner}, {length});"
        elif tile.name in nest.streamed:
            yield "// as the product reads it"
        else:
            yield f"const {form.side.capitalize()} {name} = {form.side}({_room(tile)}, {WIDTH[form.outer]}, {WIDTH[form.inner]});"
            yield from _packing(nest, tile, form, name)


def _packing(nest: Nest, tile: Tile, form: Form, to: str) -> Iterator[str]:
    """Yield the statements that pack a tile, without NaN where it multiplies gradients of scores."""
    yield _pack(tile, form, to)
    axis = _axis(tile)
    if nest.outer == "j" and tile.name in ("K", "Q") and form.inner == axis:
        more = "" if form.side == "left" else f", {axis}.size()"
        yield f"clean({to}, {WIDTH[form.outer]}{more});"


def _new(nest: Nest, node: New) -> Iterator[str]:
    tile, value = node.tile, "-INF" if node.value == float("-inf") else f"{node.value:g}"
    if is_scores(tile) or tile.name == "dQ":
        return  # a product that begins anew overwrites it
    if len(tile.axes) == 1:
        yield f"Real* {tile.name} = fast.of<Real>({WIDTH[tile.axes[0]]});"
        yield f"std::fill_n({tile.name}, {WIDTH[tile.axes[0]]}, {value});"
        return
    rows, columns = (WIDTH[axis] for axis in tile.axes)
    yield f"const Sums {tile.name} = sums({_room(tile)}, {rows}, {columns});"
    yield f"fill({tile.name}, {value});"


def _store(nest: Nest, node: Store) -> Iterator[str]:
    tile = node.tile
    if tile.name == "dQ":
        return  # it is in slow memory: the sums of all its rows
    if node.tensor.endswith("_part"):
        field = node.tensor.removesuffix("_part")
        count = f"{tile.name}.rows * {tile.name}.row" if len(tile.axes) == 2 else WIDTH[tile.axes[0]]
        at = f"{tile.name}.at" if len(tile.axes) == 2 else tile.name
        to = "partial.O.at" if field == "O" else f"partial.{field}"
        yield f"std::copy_n({at}, {count}, {to});"
    elif node.tensor == "L":
        yield f"for (int64_t t = 0; t < i.size(); t++) *head.query<Real>(call.lse, i.start + t) = {tile.name}[t];"
    else:
        axis = _axis(tile)
        factor = "(Real)call.scale" if tile.name == "dK" else "(Real)1"
        yield (
            f"store_rows<T>({tile.name}, {_rows(node.tensor, axis)}, {axis}, call.{OPERAND[node.tensor]}.column, {factor});"
        )
        if node.tensor == "O":
            yield f"store_rest<T>({tile.name}, head, {axis});"


def _contract(nest: Nest, step: Compute) -> Iterator[str]:
    made: Product = product(step, nest.outer)
    (left, left_form), (right, right_form) = made.forms
    fresh, seen = "false", "whole()"
    if is_scores(made.out):
        fresh, seen = "true", "seen.result()"
    elif is_scores(made.left):
        seen = "seen.left()"
    elif is_scores(made.right):
        seen = "seen.right()"
    out, operand = f"{made.out.name}, {_name(left, left_form)}", _name(right, right_form)
    call = f"contract({out}, {operand}, units({WIDTH[made.summed]}), {fresh}, {seen});"
    finite = f"*{operand}.finite"
    if right in nest.streamed:
        wide, field = WIDTH[_width(made.right)], f"call.{OPERAND[right]}"
        verb = "contract_along" if right_form.inner == "j" else "contract_rows"
        call = f"{verb}<Stored>({out}, {field}, {field}_scale, {wide}, seen);"
        finite = "(seen.all() && !call.bias.data) || finite_values<Stored>(head, j)"
    if nest.outer == "i" and is_scores(made.left):
        yield f"if ({finite})"
        yield f"    {call}"
        yield "else"
        yield f"    weigh_seen<Stored>({made.out.name}, {_name(left, left_form)}, seen);"
    else:
        yield call


def _score_forms(nest: Nest, name: str) -> str:
    """Return the operands that a step on scores writes, left first."""
    return ", ".join(_name(name, form) for form in sorted(nest.forms[name], key=lambda f: f.side))


STEPS: dict[str, Callable[[Nest, Compute], Iterator[str]]] = {
    "contract": _contract,
    "score": lambda nest, step: iter(["score(P, seen);"] if nest.outer == "i" else []),
    "online": lambda nest, step: iter([f"online(P, {_score_forms(nest, 'P')}, mx, l, O, seen, scale);"]),
    "shifted": lambda nest, step: iter([f"shifted(P, {_score_forms(nest, 'P')}, packed.L, seen, scale, bow);"]),
    "score_gradient": lambda nest, step: iter(
        [f"score_gradient(dS, P, {_score_forms(nest, 'dS')}, packed.D, seen, bow);"]
    ),
    "divide": lambda nest, step: iter(["sink(mx, l, O, head, i);", "divide(O, l);"]),
    "log_sum_exp": lambda nest, step: iter(["log_sum_exp(mx, l, i.size(), scale);"]),
    "merge": lambda nest, step: iter(["merge(mx, l, O, part.m, part.l, part.O, scale);"]),
}
"""How each compute step is written."""


def body(nest: Nest, nodes: tuple[Node, ...], indent: int) -> Iterator[str]:
    """Yield the lines of a loop's body."""
    pad = "    " * indent
    for node in nodes:
        if isinstance(node, Loop):
            yield from _loop(nest, node, indent)
            continue
        yield f"{pad}// {_text(node)}"
        yield from (pad + line for line in _statement(nest, node))


def _statement(nest: Nest, node: Node) -> Iterator[str]:
    if isinstance(node, Load):
        return _load(nest, node.tile)
    if isinstance(node, New):
        return _new(nest, node)
    if isinstance(node, Store):
        return _store(nest, node)
    if isinstance(node, Compute):
        if node.kernel not in STEPS:
            raise AttometerError(
                f'schedule "{nest.schedule.name}": the step {node.kernel} has no machine code; known: {", ".join(STEPS)}'
            )
        return STEPS[node.kernel](nest, node)
    return iter(())


def _text(node: Node) -> str:
    if isinstance(node, Load):
        return f"load {node.tile}"
    if isinstance(node, Store):
        return f"store {node.tile}" + (f" as {node.to}" if node.to else "")
    if isinstance(node, New):
        return f"{node.tile} = {node.value:g}"
    if isinstance(node, Free):
        return f"free {node.tile.name}"
    return node.text if isinstance(node, Compute) else ""


def _loop(nest: Nest, loop: Loop, indent: int) -> Iterator[str]:
    pad = "    " * indent
    if loop.axis in "cx":  # the product itself goes by panels
        yield f"{pad}// for {loop.axis} in tiles of {loop.length}: as panels of register blocks"
        yield from body(nest, loop.body, indent)
        return
    if loop.index:
        yield f"{pad}for (int64_t s = 0; s < splits; s++) {{"
        yield f"{pad}    const Partial& part = parts[s];"
        yield from body(nest, tuple(n for n in loop.body if isinstance(n, Compute)), indent + 1)
        yield f"{pad}}}"
        return
    whole = "part" if loop.axis == "j" else "Span{0, head.queries()}"
    length = "call.tile_columns" if loop.axis == "j" else "call.tile_rows"
    yield f"{pad}for (Span {loop.axis} : tiles({whole}, {length})) {{"
    if loop.axis == nest.inner:
        yield f"{pad}    const Seen seen{{head, visits, i, j, {'true' if nest.outer == 'j' else 'false'}}};"
        yield f"{pad}    if (!seen.any()) continue;  // where (i,j) is not masked out"
    if loop.axis == "j":
        yield f"{pad}    Fast step;"
    if loop.axis == nest.inner:
        yield from (f"{pad}    {line}" for line in _score_views(nest))
    yield from body(nest, loop.body, indent + 1)
    yield f"{pad}}}"
    if loop.axis == nest.inner:
        sums = "mx, l, O, i, part" if nest.outer == "i" else "packed.L, packed.D, dQ_singles, dK, dV, j"
        types = "T, Stored" if nest.streamed else "T"
        yield f"{pad}singles<{types}>(head, visits, {sums}, scale);  // what the tiles leave"


def _score_views(nest: Nest) -> Iterator[str]:
    for name in ("P", "dS") if nest.outer == "j" else ("P",):
        yield f"Sums {name} = {name}_room;"
        yield f"{name}.rows = {WIDTH[nest.outer]}, {name}.columns = {WIDTH[nest.inner]};"


def score_rooms(nest: Nest) -> Iterator[str]:
    """Yield the fast memory of the scores' tiles and of their forms as operands, which all steps share."""
    outer, inner = ("i.size()", "call.tile_columns") if nest.outer == "i" else ("call.tile_columns", "call.tile_rows")
    if nest.outer == "j":
        yield f"const Sums bow = sums(fast, call.cap > 0 ? {outer} : 1, {inner});  // the slopes of a soft cap"
    for name in ("P", "dS") if nest.outer == "j" else ("P",):
        yield f"const Sums {name}_room = sums(fast, {outer}, {inner});"
        apart = "PAIR > 1 || call.dropout > 0" if name == "P" and nest.outer == "j" else "false"
        for form in nest.forms[name]:
            if form.side == "left":
                yield f"const Left {_name(name, form)} = weights_of(fast, {name}_room, {apart});"
            else:
                yield f"const Right {_name(name, form)} = right(fast, {inner}, {outer});"
