"""Compute steps of a lean nest as C++: element by element, row by row, or as a product of tiles."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attometer.emit.expressions import Writer, cxx, index_of, name_of
from attometer.program.expression import Expression, Name, Ref, Where, factors_of, reads, refs_in
from attometer.schedule.formulas import axes_of, evaluate
from attometer.schedule.incremental import product_of
from attometer.schedule.nest import Compute, Formula, Tile

if TYPE_CHECKING:
    from attometer.emit.phase import PhaseCode, PhaseLayout

EMPTY = {"sum": "R(0)", "prod": "R(1)", "max": "R(-INF)", "min": "R(INF)"}
FOLD = {
    "sum": "{a} = {a} + {x};",
    "prod": "{a} = {a} * {x};",
    "max": "{a} = {x} > {a} ? {x} : {a};",
    "min": "{a} = {x} < {a} ? {x} : {a};",
}
CLAUSE = {"sum": "+", "prod": "*", "max": "max", "min": "min"}
PAD = "    "


def formula_of(node: Compute) -> Formula:
    """Return the formula of a step of a derived nest."""
    assert node.formula is not None
    return node.formula


# --- element by element -----------------------------------------------------------------------------------------------


def elementwise(code: PhaseCode, nodes: list[Compute]) -> Iterator[str]:
    """Yield steps that follow one another; those that have the row of the tile run row by row together."""
    while nodes:
        by_row = _by_row(code, nodes[0])
        count = next((k for k, n in enumerate(nodes) if _by_row(code, n) != by_row), len(nodes))
        yield from _group(code, nodes[:count], by_row)
        nodes = nodes[count:]


def _by_row(code: PhaseCode, node: Compute) -> bool:
    return code.row is not None and all(code.row in t.axes for t in node.out)


def _group(code: PhaseCode, nodes: list[Compute], by_row: bool) -> Iterator[str]:
    yield from (f"// {n.text}" for n in nodes)
    wheres = list(dict.fromkeys(w for n in nodes if (w := formula_of(n).where) is not None))
    done: tuple[str, ...] = (code.row,) if by_row and code.row else ()
    body = list(_chunks(code, nodes, done))
    if by_row and code.row:
        head = f"for (int64_t {index_of(code.row)} = 0; {index_of(code.row)} < {name_of(code.row)}.size(); {index_of(code.row)}++) {{"
        body = [head, *(PAD + line for line in body), "}"]
    if wheres:
        mixed = " || ".join(f"seen_{code.names.masks[w]} != ALL" for w in wheres)
        yield "{"
        yield "    const auto step = [&](auto mixed) {"
        yield "        (void)mixed;"
        yield from (PAD * 2 + line for line in body)
        yield "    };"
        yield f"    if ({mixed}) step(std::true_type{{}});"
        yield "    else step(std::false_type{});"
        yield "}"
    else:
        yield "{"
        yield from (PAD + line for line in body)
        yield "}"
    for node in nodes:
        if formula_of(node).kind == "set":
            code.masked[node.out[0].name] = formula_of(node).where


def _chunks(code: PhaseCode, nodes: list[Compute], done: tuple[str, ...]) -> Iterator[str]:
    """Yield the steps inside the loops over `done`, those along one same axis in one loop."""
    while nodes:
        axis = _along(code, nodes[0], done)
        count, folded = 1, _folded(nodes[:1])
        while axis and count < len(nodes) and _along(code, nodes[count], done) == axis:
            if folded & {*reads(formula_of(nodes[count]).expression), nodes[count].out[0].name}:
                break
            folded |= _folded(nodes[count : count + 1])
            count += 1
        yield "{"
        if axis:
            yield from (PAD + line for line in _along_one(code, nodes[:count], axis, done))
        else:
            yield from (PAD + line for line in _over_many(code, nodes[0], done))
        yield "}"
        nodes = nodes[count:]


def _folded(nodes: list[Compute]) -> set[str]:
    return {t.name for n in nodes if formula_of(n).kind in FOLD for t in n.out}


def _left(code: PhaseCode, node: Compute, done: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the axes of a step that no loop runs along yet: those of its output, and those that it folds."""
    out = code.layout(node.out[0].axes)
    folded = [a for a in code.layout(formula_of(node).axes) if a not in out]
    return [a for a in out if a not in done], folded


def _along(code: PhaseCode, node: Compute, done: tuple[str, ...]) -> str | None:
    """Return the only axis that is left; None where there is none or more."""
    out, folded = _left(code, node, done)
    return (out + folded)[0] if len(out + folded) == 1 else None


def _along_one(code: PhaseCode, nodes: list[Compute], axis: str, done: tuple[str, ...]) -> Iterator[str]:
    writer = code.writer(axis)
    body, before, after, clauses = list[str](), list[str](), list[str](), list[str]()
    for number, node in enumerate(nodes):
        formula = formula_of(node)
        if formula.kind in FOLD and not _left(code, node, done)[0]:
            a = f"a{number}"
            before.append(f"R {a} = {EMPTY[formula.kind]};")
            clauses.append(f"reduction({CLAUSE[formula.kind]} : {a})")
            body += _fold(code, writer, node, a, f"t{number}")
            after += _finish(code, node, a, done)
        else:
            body.append(_set(code, writer, node))
    yield from writer.front()
    yield from before
    yield f"#pragma omp simd {' '.join(clauses)}".rstrip()
    yield from _for(axis, body)
    yield from after


def _for(axis: str, body: list[str]) -> Iterator[str]:
    k = index_of(axis)
    yield f"for (int64_t {k} = 0; {k} < {name_of(axis)}.size(); {k}++) {{"
    yield from (PAD + line for line in body)
    yield "}"


def _seen(code: PhaseCode, writer: Writer, where: Where | None) -> str | None:
    return f"(!mixed.value || {code.flag(where, writer)})" if where is not None else None


def _own(node: Compute) -> Ref:
    tile = node.out[0]
    return Ref(tile.name, tuple(map(Name, tile.axes)))


def _set(code: PhaseCode, writer: Writer, node: Compute) -> str:
    formula, out = formula_of(node), writer.at(_own(node))
    if formula.kind == "settle":
        return f"{out} = {out} == {writer.text(formula.expression)} ? R(0) : {out};"
    text, seen = writer.text(formula.expression), _seen(code, writer, formula.where)
    if formula.kind == "scale":
        return f"{out} = {out} == R(0) ? R(0) : {out} * ({text});"
    if formula.kind in FOLD:  # along an axis of the output
        return _guarded(FOLD[formula.kind].format(a=out, x=f"({text})"), seen)
    return f"{out} = {seen} ? {text} : R(0);" if seen else f"{out} = {text};"


def _guarded(statement: str, seen: str | None) -> str:
    return f"if ({seen}) {statement}" if seen else statement


def _fold(code: PhaseCode, writer: Writer, node: Compute, a: str, t: str) -> list[str]:
    formula = formula_of(node)
    text, seen = writer.text(formula.expression), _seen(code, writer, formula.where)
    term = f"{seen} ? {text} : {EMPTY[formula.kind]}" if seen else text
    return [f"const R {t} = {term};", FOLD[formula.kind].format(a=a, x=t)]


def _finish(code: PhaseCode, node: Compute, a: str, done: tuple[str, ...]) -> list[str]:
    """Fold what a tile gave into an accumulator, and correct those that run with it."""
    writer = code.writer(None)
    formula, out = formula_of(node), writer.at(_own(node))
    if not formula.carried:
        return [FOLD[formula.kind].format(a=out, x=a)]
    # The factor of a reduction that did not move is 1, also where both are infinite.
    lines = [
        f"const R old_ = {out};",
        f"R new_ = old_; {FOLD[formula.kind].format(a='new_', x=a)}",
        "if (new_ != old_) {",
    ]
    lines.append(f"    {out} = new_;")
    for number, (tile, factor) in enumerate(zip(node.out[1:], formula.carried, strict=True)):
        axes = [x for x in code.layout(tile.axes) if x not in (*done, *code.layout(node.out[0].axes))]
        lines.append(f"    const R c{number} = {writer.text(factor)};")
        along = code.writer(axes[-1] if axes else None)
        body = [f"{along.at(Ref(tile.name, tuple(map(Name, tile.axes))))} *= c{number};"]
        if axes:
            body = [*along.front(), "#pragma omp simd", *_for(axes[-1], body)]
        for axis in reversed(axes[:-1]):
            body = list(_for(axis, body))
        lines += [PAD + line for line in body]
    return [*lines, "}"]


def _over_many(code: PhaseCode, node: Compute, done: tuple[str, ...]) -> Iterator[str]:
    """Yield a step with no axis left, or with several."""
    out, folded = _left(code, node, done)
    formula = formula_of(node)
    if formula.kind not in FOLD or not folded:
        inner = out[-1] if out else None
        writer = code.writer(inner)
        body = [_set(code, writer, node)] if formula.kind not in FOLD else _one(code, writer, node, done)
        yield from _nest(out, writer, body)
        return
    last = {code.tiles[n.tensor][-1] for n in refs_in(formula.expression) if code.tiles[n.tensor]}
    if out and not formula.carried and not last & set(folded):
        writer = code.writer(out[-1])
        yield from _nest([*out[:-1], *folded, out[-1]], writer, [_set(code, writer, node)])
        return
    writer = code.writer(folded[-1])
    seen = _fold(code, writer, node, "a", "t")
    inside = writer.front()
    inside += [f"#pragma omp simd reduction({CLAUSE[formula.kind]} : a)", *_for(folded[-1], seen)]
    for axis in reversed(folded[:-1]):
        inside = list(_for(axis, inside))
    whole = [f"R a = {EMPTY[formula.kind]};", *inside, *_finish(code, node, "a", done)]
    for axis in reversed(out):
        whole = list(_for(axis, whole))
    yield from whole


def _one(code: PhaseCode, writer: Writer, node: Compute, done: tuple[str, ...]) -> list[str]:
    """A fold over axes that run one by one: one term."""
    return [
        "R a = " + EMPTY[formula_of(node).kind] + ";",
        *_fold(code, writer, node, "a", "t"),
        *_finish(code, node, "a", done),
    ]


def _nest(axes: list[str], writer: Writer, body: list[str]) -> Iterator[str]:
    for depth, axis in enumerate(reversed(axes)):
        kept = writer.front() if depth == 0 else []
        # Values are the same all along the innermost loop only, so that they stay inside the others.
        body = [*kept, *(["#pragma omp simd"] if depth == 0 else []), *_for(axis, body)]
    yield from body


# --- products ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """`out += left right` over `summed`: rows by columns, for every place of the axes `around` and `also`, summed too."""

    node: Compute
    left: Expression
    right: Expression
    rows: str
    columns: str
    summed: str
    around: tuple[str, ...]
    also: tuple[str, ...]

    def lines(self, code: PhaseCode, fresh: bool) -> Iterator[str]:
        """Yield the product; `fresh` overwrites its result."""
        out, where = self.node.out[0], formula_of(self.node).where
        left = yield from self._operand(code, self.left, where)
        right = yield from self._operand(code, self.right, where)
        name, layout = cxx(out.name), code.tiles[out.name]
        if fresh:
            yield f"{name} = room_{name};"
        a, b = self._matrix(code, left, self.rows, self.summed), self._matrix(code, right, self.summed, self.columns)
        first = " && ".join([str(fresh).lower(), *(f"{index_of(x)} == 0" for x in self.also if fresh)])
        to = self._from(code, out.name, (self.rows, self.columns))
        body = [
            f"multiply({to}, {name}.stride[{layout.index(self.rows)}], {name_of(self.rows)}.size(), "
            f"{name_of(self.columns)}.size(), {a}, {b}, {name_of(self.summed)}.size(), {first}, room);"
        ]
        for axis in reversed((*self.around, *self.also)):
            body = list(_for(axis, body))
        yield from body
        code.masked[out.name] = None
        if where is not None and {where.query, where.key} <= set(out.axes):
            made = evaluate(out, _own(self.node), (out,), where)
            yield f"if (seen_{code.names.masks[where]} != ALL) {{"
            yield from (PAD + line for line in elementwise(code, [made]))
            yield "}"

    def _operand(self, code: PhaseCode, node: Expression, where: Where | None) -> Generator[str, None, str]:
        """Yield what makes an operand of an expression; return the name of its tile."""
        axes = tuple(dict.fromkeys(axes_of(node)))
        inside = where if where is not None and {where.query, where.key} <= set(axes) else None
        if isinstance(node, Ref) and (inside is None or code.masked.get(node.tensor) == inside):
            return node.tensor
        tile = Tile(f"term{len(code.tiles)}", axes)
        code.tiles[tile.name] = code.layout(axes)
        read = tuple(Tile(n.tensor, axes_of(n)) for n in refs_in(node))
        yield from elementwise(code, [evaluate(tile, node, read, inside)])
        return tile.name

    def _from(self, code: PhaseCode, name: str, own: tuple[str, ...]) -> str:
        layout = code.tiles[name]
        terms = [
            f"{index_of(x)} * {cxx(name)}.stride[{k}]"
            for k, x in enumerate(layout)
            if x not in own and x in (*self.around, *self.also)
        ]
        return " + ".join([f"{cxx(name)}.at", *terms])

    def _matrix(self, code: PhaseCode, name: str, rows: str, columns: str) -> str:
        layout = code.tiles[name]
        steps = ["1" if x == layout[-1] else f"{cxx(name)}.stride[{layout.index(x)}]" for x in (rows, columns)]
        return f"Matrix{{{self._from(code, name, (rows, columns))}, {', '.join(steps)}}}"


def product_of_tiles(code: PhaseLayout, node: Compute) -> Product | None:
    """Return a step as a product of tiles; None where it is none."""
    formula = formula_of(node)
    out = code.layout(node.out[0].axes)
    if formula.kind != "sum" or formula.carried or len(out) < 2:
        return None
    columns = out[-1]
    factors = factors_of(formula.expression)
    right = [f for f in factors if columns in axes_of(f[1])]
    left = [f for f in factors if columns not in axes_of(f[1])]
    if not left or not right:
        return None
    one, two = product_of(left), product_of(right)
    sides = [set(code.layout(axes_of(x))) for x in (one, two)]
    summed = [a for a in code.layout(formula.axes) if a not in out]
    inside = [a for a in summed if a in sides[0] & sides[1]]
    rows = [a for a in out[:-1] if a in sides[0] - sides[1]]
    if not inside or not rows:
        return None
    where = formula.where
    if where is not None and not any({where.query, where.key} <= side for side in (*sides, set(node.out[0].axes))):
        return None
    depth = next((a for a in inside if a in code.streams), inside[-1])
    row = code.row if code.row in rows else rows[-1]
    assert row is not None
    around = tuple(a for a in out if a not in (row, columns))
    return Product(node, one, two, row, columns, depth, around, tuple(a for a in summed if a != depth))
