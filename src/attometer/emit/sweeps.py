"""A sweep as a C++ function: loops over the places of each step, what one place hands to the next in fast memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sympy

from attometer.emit.expressions import Writer, cxx, index_of
from attometer.emit.steps import CLAUSE, EMPTY, FOLD
from attometer.errors import AttometerError
from attometer.program.expression import Binary, Expression, Name, Negative, Number, Position, Ref, Where
from attometer.program.indices import index_names
from attometer.program.operations import Einsum, Map, Reduce, Scatter, Sort, Tensor
from attometer.program.recurrences import refs_of
from attometer.program.size_expressions import size_in
from attometer.schedule.sweeps import Step, Sweep

if TYPE_CHECKING:
    from attometer.emit.program import _Unit

PAD = "    "


def _loop(axis: str, extent: str, body: list[str], simd: str | None = None) -> list[str]:
    k = index_of(axis)
    head = [] if simd is None else [f"#pragma omp simd {simd}".rstrip()]
    return [*head, f"for (int64_t {k} = 0; {k} < {extent}; {k}++) {{", *(PAD + line for line in body), "}"]


@dataclass
class SweepCode:
    """Writes a sweep."""

    unit: _Unit
    sweep: Sweep
    label: str
    extents: dict[str, sympy.Expr] = field(default_factory=dict)
    rooms: list[str] = field(default_factory=list)
    """Declarations of memory that steps need."""

    def __post_init__(self) -> None:
        for step in self.sweep.steps:
            self.extents |= dict(step.extents) | dict(zip(step.output.indices, step.output.extents, strict=True))
        self.held = {name for name in self.sweep.made if self.sweep.held(name)}
        self.fixed = {*self.sweep.batch, *([self.sweep.axis] if self.sweep.axis else [])}

    def code(self) -> Iterator[str]:
        """Yield the function that runs one item of the parallel axes, and the one that says how many there are."""
        sweep, body = self.sweep, [line for step in self.sweep.steps for line in self.step(step)]
        count = " * ".join(map(self.extent, sweep.batch)) or "1"
        yield f"// {sweep}"
        yield f"static int64_t items_{self.label}(const Problem& p) {{ return {count}; }}"
        yield f"static void phase_{self.label}(const Problem& p, int64_t item) {{"
        for axis in reversed(sweep.batch):
            yield f"{PAD}const int64_t {index_of(axis)} = item % {self.extent(axis)};"
            yield f"{PAD}item /= {self.extent(axis)};"
        yield f"{PAD}Fast fast;"
        for name in sorted(self.held):
            size = " * ".join(f"{self.extent(a)}" for a in self.own(name)) or "1"
            real = "double" if name in {s.output.name for s in sweep.scans} else "R"  # prefixes are long sums
            yield f"{PAD}{real} *{cxx(name)} = fast.of<{real}>({size}), *{_before(name)} = fast.of<{real}>({size});"
            yield f"{PAD}std::fill_n({_before(name)}, {size}, {real}(0));"
        yield from (PAD + line for line in self.rooms)
        if sweep.axis is not None:
            length = self.extent(sweep.axis)
            turns = [f"std::swap({cxx(name)}, {_before(name)});" for name in sorted(self.held)]
            place = "t" if sweep.way > 0 else f"{length} - 1 - t"
            body = [f"const int64_t {index_of(sweep.axis)} = {place};", *body, *turns]
            body = [f"for (int64_t t = 0; t < {length}; t++) {{", *(PAD + line for line in body), "}"]
        yield from (PAD + line for line in body)
        yield "}"

    # --- sizes and places --------------------------------------------------------------------------------------------

    def size(self, value: sympy.Expr) -> str:
        """Return a size as C++."""
        return str(value) if value.is_Integer else self.unit.size(value)

    def extent(self, axis: str) -> str:
        """Return how many places an axis has."""
        return self.size(self.extents[axis])

    def own(self, name: str) -> tuple[str, ...]:
        """Return the axes of what is held of one place."""
        return tuple(a for a in self.sweep.made[name].output.indices if a not in self.fixed)

    def array(self, name: str) -> tuple[str, list[str], list[sympy.Expr]]:
        """Return a tensor in slow memory: its address, its strides and its extents."""
        extents = self.tensor(name).extents
        held = f"{name}'all"
        at = self.unit.array(held, name, tuple(map(self.unit.axis, extents)))
        kind = self.unit.names.types[held]
        strides = [f"p.arrays[{at}].stride[{k}]" for k in range(len(extents))]
        return f"(({kind}*)p.arrays[{at}].data)", strides, list(extents)

    def tensor(self, name: str) -> Tensor:
        """Return a tensor that the sweep reads or makes."""
        return self.sweep.made[name].output if name in self.sweep.made else self.unit.program.tensors[name]

    # --- steps -------------------------------------------------------------------------------------------------------

    def step(self, step: Step) -> list[str]:
        """Return the lines of a step."""
        shown = f"// {step.output.name}[{','.join(step.output.indices)}] = {step.label}"
        match step:
            case Sort():
                body = self.sort(step)
            case Scatter():
                body = self.scatter(step)
            case _:
                body = self.fold(step) if isinstance(step, Einsum | Reduce) else self.map(step)
        return [shown, "{", *(PAD + line for line in body), "}"]

    def free(self, step: Step) -> list[str]:
        """Return the axes of a step's result that no loop around it runs along."""
        return [a for a in step.output.indices if a not in self.fixed]

    def target(self, writer: _Places, step: Step, text: str) -> list[str]:
        """Return what writes a result at the running indices: where it is held, and where it is stored."""
        name, at = step.output.name, Ref(step.output.name, tuple(map(Name, step.output.indices)))
        lines, value = [], text
        if name in self.held:
            lines.append(f"{writer.local(at)} = {text};")
            value = writer.local(at)
        if name in self.sweep.stored:
            lines.append(f"narrow(R({value}), &{writer.slow(at)});")
        return lines

    def seen(self, writer: _Places, where: Where | None) -> str | None:
        """Return whether a mask allows the pair at the running indices."""
        if where is None:
            return None
        names = self.unit.names
        for axis in (where.query, where.key):
            names.axes.setdefault(axis, len(names.axes))
            self.unit.extents.setdefault(axis, self.extents[axis])
        at = names.masks.setdefault(where, len(names.masks))
        text = f"sees(p.masks[{at}], {index_of(where.query)}, {index_of(where.key)})"
        return text if writer.inner in (where.query, where.key) else writer._kept("const bool", text)

    def nest(self, axes: list[str], body: list[str]) -> list[str]:
        """Return a body inside loops along axes."""
        for axis in reversed(axes):
            body = _loop(axis, self.extent(axis), body)
        return body

    def map(self, step: Map) -> list[str]:
        """An expression at every place."""
        free = self.free(step)
        writer = _Places(self, free[-1] if free else None)
        text, seen = writer.text(step.expression), self.seen(writer, step.where)
        body = self.target(writer, step, f"({seen} ? {text} : R(0))" if seen else text)
        if not free:
            return [*writer.front(), *body]
        return self.nest(free[:-1], [*writer.front(), *_loop(free[-1], self.extent(free[-1]), body, "")])

    def fold(self, step: Einsum | Reduce) -> list[str]:
        """A sum, product or extreme: along the axis in which most of what it touches lies in one piece."""
        kind = step.kind if isinstance(step, Reduce) else "sum"
        term: Expression = step.operand if isinstance(step, Reduce) else Binary("*", *step.operands)
        free, summed = self.free(step), list(step.summed)
        refs = [r for r in refs_of(step) if r.indices]
        straight = {a: sum(r.indices[-1] == Name(a) for r in refs) for a in (*free[-1:], *summed)}
        across = {a: sum(any(a in index_names(i) for i in r.indices[:-1]) for r in refs) for a in straight}
        inner = max(straight, key=lambda a: (straight[a] - across[a] + (a in free), a in free))
        masked = step.where is not None and kind != "sum"
        if inner in free and not masked:
            return self.rows(step, kind, term, free, summed)
        inner = inner if inner in summed else summed[-1]
        writer = _Places(self, inner)
        text, seen = writer.text(term), self.seen(writer, step.where)
        body = [f"const R x = {f'{seen} ? {text} : {EMPTY[kind]}' if seen else text};", FOLD[kind].format(a="a", x="x")]
        body += [f"any |= {seen};"] if masked else []
        clauses = f"reduction({CLAUSE[kind]} : a)" + (" reduction(| : any)" if masked else "")
        lines = [*writer.front(), *_loop(inner, self.extent(inner), body, clauses)]
        lines = self.nest([a for a in summed if a != inner], lines)
        out = _Places(self, None)
        start = [f"R a = {EMPTY[kind]};", *(["bool any = false;"] if masked else [])]
        ends = self.target(out, step, "(any ? a : R(0))" if masked else "a")
        return self.nest(free, [*start, *lines, *out.front(), *ends])

    def rows(self, step: Einsum | Reduce, kind: str, term: Expression, free: list[str], summed: list[str]) -> list[str]:
        """A fold into a row of the result."""
        inner, extent = free[-1], self.extent(free[-1])
        writer, out = _Places(self, inner), _Places(self, inner)
        text, seen = writer.text(term), self.seen(writer, step.where)
        within = seen is not None and inner not in (step.where.query, step.where.key)  # type: ignore[union-attr]
        value = f"({seen} ? {text} : {EMPTY[kind]})" if seen and not within else f"({text})"
        k = index_of(inner)
        row = self.row(step)
        body = _loop(inner, extent, [FOLD[kind].format(a=f"row[{k}]", x=value)], "")
        body = [*writer.front(), *([f"if (!{seen}) continue;"] if within else []), *body]
        lines = [f"std::fill_n(row, {extent}, {EMPTY[kind]});", *self.nest(summed, body)]
        if step.output.name in self.sweep.stored:
            at = Ref(step.output.name, tuple(map(Name, step.output.indices)))
            ends = _loop(inner, extent, [f"narrow(row[{k}], &{out.slow(at)});"], "")
            lines += [*out.front(), *ends]
        return self.nest(free[:-1], [f"R* const row = {row};", *lines])

    def row(self, step: Step) -> str:
        """Return the memory of a row of a result: where it is held, else one of its own."""
        name, free = step.output.name, self.free(step)
        extents = [self.extent(a) for a in free]
        if name not in self.held:
            self.rooms.append(f"R* const row_{len(self.rooms)} = fast.of<R>({extents[-1]});")
            return f"row_{len(self.rooms) - 1}"
        terms = [" * ".join([index_of(a), *extents[k + 1 :]]) for k, a in enumerate(free[:-1])]
        return " + ".join([cxx(name), *terms])

    def sort(self, step: Sort) -> list[str]:
        """Positions in the order of their keys."""
        along, out = step.along, step.output
        new = next(i for i in out.indices if i not in dict(step.extents) or i == along)
        writer, target = _Places(self, None), _Places(self, None)
        worst = "R(INF)" if step.keep is None else "R(-INF)"
        text, seen = writer.text(step.operand), self.seen(writer, step.where)
        fill = [*writer.front(), f"keys[{index_of(along)}] = {f'{seen} ? {text} : {worst}' if seen else text};"]
        length, count = self.size(dict(step.extents)[along]), self.size(out.extents[out.indices.index(new)])
        ends = self.target(target, step, f"R(order[{index_of(new)}])")
        body = [
            f"std::vector<R> keys({length});",
            f"std::vector<int64_t> order({length});",
            *_loop(along, length, fill),
            f"sort_by(keys, order, {'true' if step.keep is not None else 'false'});",
            *_loop(new, count, [*target.front(), *ends]),
        ]
        return self.nest([a for a in self.free(step) if a != new], body)

    def scatter(self, step: Scatter) -> list[str]:
        """Sums into places that are computed."""
        out, chosen = step.output, dict(step.places)
        zero, writer = _Places(self, None), _Places(self, None)
        clear = self.nest(self.free(step), self.target(zero, step, "R(0)"))
        at = Ref(out.name, tuple(chosen.get(i, Name(i)) for i in out.indices))
        place, inside = writer.slow_at(at)
        text, seen = writer.text(step.operand), self.seen(writer, step.where)
        tests = [*([seen] if seen else []), *inside]
        add = f"narrow(widen({place}) + {text}, &{place});"
        body = [*writer.front(), f"if ({' && '.join(tests)}) {add}" if tests else add]
        axes = [a for a, _ in step.extents if a not in self.fixed]
        return [*clear, *self.nest(axes, body)]


def _before(name: str) -> str:
    return f"was_{cxx(name)}"


@dataclass
class _Places(Writer):
    """Writes expressions that read tensors at any place; what lies outside of one is 0."""

    def __init__(self, code: SweepCode, inner: str | None) -> None:
        super().__init__(lambda ref: ("", ()), code.unit.names.sizes, inner)
        self.code = code

    def at(self, ref: Ref) -> str:
        """Return an entry at the running indices."""
        look = self.code.sweep.looks(ref) if ref.tensor in self.code.held else None
        if look is not None:
            return self.local(ref, _before(ref.tensor) if look else cxx(ref.tensor))
        place, inside = self.slow_at(ref)
        return f"({' && '.join(inside)} ? widen({place}) : R(0))" if inside else f"widen({place})"

    def local(self, ref: Ref, memory: str | None = None) -> str:
        """Return an entry of what is held."""
        code, out = self.code, self.code.sweep.made[ref.tensor].output
        own = code.own(ref.tensor)
        parts = [ref.indices[out.indices.index(a)] for a in own]
        steps = [" * ".join(code.extent(x) for x in own[k + 1 :]) or "1" for k in range(len(own))]
        extents = [out.extents[out.indices.index(a)] for a in own]
        place, inside = self.entry_at(memory or cxx(ref.tensor), parts, steps, extents)
        return f"({' && '.join(inside)} ? {place} : R(0))" if inside else place

    def slow(self, ref: Ref) -> str:
        """Return an entry of a tensor in slow memory that is surely in it."""
        return self.slow_at(ref)[0]

    def slow_at(self, ref: Ref) -> tuple[str, list[str]]:
        """Return an entry of a tensor in slow memory, and what must hold for it to be in it."""
        memory, steps, extents = self.code.array(ref.tensor)
        return self.entry_at(memory, list(ref.indices), steps, extents)

    def entry_at(
        self, memory: str, parts: list[Expression], steps: list[str], extents: list[sympy.Expr]
    ) -> tuple[str, list[str]]:
        same, along, inside = list[str](), list[str](), list[str]()
        for part, step, extent in zip(parts, steps, extents, strict=True):
            fixed = self.inner is None or self.inner not in index_names(part)
            text = self.index(part)
            if not (isinstance(part, Name) and self.code.extents.get(part.name) == extent):
                test = f"inside({text}, {self.code.size(extent)})"
                inside.append(self._kept("const bool", test) if fixed and self.inner else test)
            if fixed or step == "1":
                (same if fixed else along).append(text if step == "1" else f"{text} * {step}")
            else:
                along.append(f"{text} * {self._kept('const int64_t', step)}")
        if self.inner is None:
            return f"{memory}[{' + '.join(same) or '0'}]", inside
        base = self._kept("const int64_t", " + ".join(same) or "0")
        data = memory if memory.isidentifier() else self._kept("auto* const", memory)
        return f"{data}[{' + '.join([base, *along])}]", inside

    def index(self, part: Expression) -> str:
        """Return an index as C++."""
        match part:
            case Name(name=name) if name in self.code.extents:
                return index_of(name)
            case Number() | Name():
                return f"int64_t({self.code.size(self._size(part))})"
            case Ref():
                return f"int64_t({self.at(part)})"
            case Negative(operand=operand):
                return f"(-{self.index(operand)})"
            case Binary(op="+" | "-" as op, left=left, right=right):
                return f"({self.index(left)} {op} {self.index(right)})"
            case Binary(op="*", left=left, right=right):
                return f"({self.index(left)} * {self.code.size(self._size(right))})"
            case Binary(op="//" | "/", left=left, right=right):
                return f"floor_div({self.index(left)}, {self.code.size(self._size(right))})"
            case Binary(op="%", left=left, right=right):
                return f"floor_mod({self.index(left)}, {self.code.size(self._size(right))})"
        raise AttometerError(f"cannot use {type(part).__name__.lower()} as an index")

    def _size(self, node: Expression) -> sympy.Expr:
        return size_in(node, self.code.unit.program.size_of)

    def _plain(self, node: Expression) -> str:
        return f"R({index_of(node.index)})" if isinstance(node, Position) else super()._plain(node)
