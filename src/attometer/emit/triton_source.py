"""The nests of a Program as Triton kernels: a tile becomes a block, a product of tiles a `tl.dot`, its nodes comments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from attometer.emit.expressions import cxx, index_of
from attometer.emit.phase import PhaseLayout, _flat, _nodes, node_text
from attometer.emit.program import Emitted, _Unit
from attometer.emit.steps import Product, formula_of, product_of_tiles
from attometer.errors import AttometerError, unknown
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, Where
from attometer.program.operations import Scan
from attometer.program.program import Program
from attometer.schedule.formulas import axes_of
from attometer.schedule.incremental import NEW, OLD
from attometer.schedule.nest import Compute, Free, Load, Loop, New, Node, Schedule, Store
from attometer.schedule.small_sums import ONE
from attometer.schedule.sweeps import Sweep

PAD = "    "
TYPES = {"float32": "tl.float32", "bfloat16": "tl.bfloat16", "float16": "tl.float16", "float64": "tl.float64"}
EMPTY_OF = {"sum": "0.0", "prod": "1.0", "max": 'float("-inf")', "min": 'float("inf")'}
JOIN = {"sum": "{a} + {x}", "prod": "{a} * {x}", "max": "tl.maximum({a}, {x})", "min": "tl.minimum({a}, {x})"}
REDUCE = {"sum": "tl.sum({x}, axis={k})", "prod": "tl.reduce({x}, {k}, times_)", "max": "tl.max({x}, axis={k})",
          "min": "tl.min({x}, axis={k})"}  # fmt: skip
FUNCTIONS = {
    "exp": "tl.exp({0})", "log": "tl.log({0})", "sqrt": "tl.sqrt({0})", "rsqrt": "1.0 / tl.sqrt({0})",
    "sigmoid": "1.0 / (1.0 + tl.exp(-({0})))", "silu": "({0}) / (1.0 + tl.exp(-({0})))", "erf": "tl.erf({0})",
    "gelu": "0.5 * ({0}) * (1.0 + tl.erf(({0}) * 0.70710678118654752))", "cos": "tl.cos({0})", "sin": "tl.sin({0})",
    "softplus": "tl.maximum({0}, 0.0) + tl.log(1.0 + tl.exp(-tl.abs({0})))", "abs": "tl.abs({0})",
    "square": "({0}) * ({0})", "floor": "tl.floor({0})", "relu": "tl.where({0} < 0.0, 0.0, {0})", "tanh": "tanh_({0})",
    "sign": "tl.where({0} > 0.0, 1.0, tl.where({0} < 0.0, -1.0, {0}))", "maximum": "maximum_({0}, {1})",
    "minimum": "-maximum_(-({0}), -({1}))", "less": "tl.where({0} < {1}, 1.0, 0.0)",
    "equal": "tl.where({0} == {1}, 1.0, 0.0)", "pow": "pow_({0}, {1})",
}  # fmt: skip
"""What each function of the notation is."""
HEAD = """import os

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def times_(a, b):
    return a * b


@triton.jit
def maximum_(a, b):
    return tl.where((a > b) | (a != a), a, b)


@triton.jit
def pow_(a, b):
    size = tl.where(b == 0.0, 1.0, tl.exp(b * tl.log(tl.abs(a))))
    whole, odd = tl.floor(b) == b, tl.floor(b / 2.0) * 2.0 != b
    # A negative number has powers of whole exponents alone, of its own sign where they are odd.
    return tl.where(a < 0.0, tl.where(whole, tl.where(odd, -size, size), float("nan")), size)


@triton.jit
def linear_(decay, sum, next_decay, next_sum):
    return decay * next_decay, next_decay * sum + next_sum


@triton.jit
def tanh_(x):
    a = tl.abs(x)
    far = 1.0 - 2.0 / (tl.exp(2.0 * a) + 1.0)
    s = x * x  # near 0 the series, where the quotient would cancel
    near = x + x * s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0))))
    return tl.where(a < NEAR, near, tl.where(x < 0.0, -far, far))


@triton.jit
def operand_(x):
    if INTERPRETED:  # which multiplies no bfloat16: in its digits, as float32
        return x.to(TYPE).to(tl.float32)
    else:
        return x.to(TYPE)
"""
"""What kernels call. On a GPU `tl.dot` of short types forms products as its matrix units do, and sums them in float32."""


@dataclass
class Kernel:
    """One kernel: what it runs over, and what a call hands it, each in its order."""

    name: str
    batch: tuple[str, ...]
    row: str | None
    streams: frozenset[str] = frozenset()
    widths: dict[str, None] = field(default_factory=dict)
    """Axes whose places lie in a block."""
    arrays: dict[str, int] = field(default_factory=dict)
    """The arrays by name, each with its number of axes."""
    masks: dict[Where, bool] = field(default_factory=dict)
    """Each with whether tiles that it leaves empty are skipped."""
    extents: dict[str, None] = field(default_factory=dict)
    sizes: dict[str, None] = field(default_factory=dict)
    products: list[tuple[str, ...]] = field(default_factory=list)
    """Axes that make one side of a product, which needs 16 places."""

    def parameters(self) -> list[str]:
        """Return the names of the kernel's parameters."""
        made = [p for a, (_, n) in enumerate(self.arrays.items()) for p in (f"a{a}", *(f"a{a}_s{k}" for k in range(n)))]
        for at in range(len(self.masks)):
            made += [f"m{at}_{x}" for x in ("starts", "ends", "count", "visits", "across")]
        made += [*(f"x_{a}" for a in self.extents), *(f"z_{s}" for s in self.sizes)]
        return [*made, *(f"W_{a}: tl.constexpr" for a in self.widths)]


def _plain(node: Expression) -> Expression:
    """Return an index without a 0 that is added to it."""
    match node:
        case Binary(op="+" | "-", left=left, right=Number(value=0)):
            return left
    return node


@dataclass(frozen=True)
class TritonProgram:
    """The Triton source of a Program for one type of tensors, and its kernels in the order in which they run."""

    emitted: Emitted
    kernels: tuple[Kernel, ...]


@lru_cache(maxsize=64)
def triton_of(program: Program, dtype: str, full: frozenset[str] = frozenset()) -> TritonProgram:
    """Return the Triton kernels of a program whose tensors are of `dtype`, those named in `full` of the type of sums.

    Raises AttometerError naming the operation that no nest runs, and for a type or function without Triton code.

    >>> from attometer.program import parse
    >>> made = triton_of(parse("Y[i,k] = A[i,j] * B[j,k]"), "float32")
    >>> "# Y[i,k] += A[i,j] * B[j,k]" in made.emitted.text, [k.row for k in made.kernels]
    (True, ['i'])
    """
    if dtype not in TYPES:
        raise unknown("Triton type", dtype, TYPES)
    unit = _TritonUnit(program, dtype, full)
    return TritonProgram(unit.emitted(), tuple(unit.kernels))


class _TritonUnit(_Unit):
    def __init__(self, program: Program, dtype: str, full: frozenset[str]) -> None:
        super().__init__(program, dtype, full)
        self.kernels: list[Kernel] = []

    def head(self) -> Iterator[str]:
        yield "# " + "\n# ".join(str(self.program).splitlines())
        yield HEAD.replace("NEAR", "0.0" if self.dtype == "float64" else "0.25").replace("TYPE", TYPES[self.dtype])

    def entry(self, labels: list[str]) -> Iterator[str]:
        return iter(())

    def nest(self, schedule: Schedule, labels: list[str]) -> Iterator[str]:
        self.extents |= dict(schedule.axes)
        for name, tensor in sorted(schedule.tensors, key=lambda t: t[1].of is not None):
            self.array(name, tensor.of or name, tensor.axes)
        for number in range(len(schedule.phases)):
            labels.append(str(len(labels) + 1))
            code = _Phase(schedule, number, self.names, labels[-1], dtype=self.dtype)
            yield from code.code()
            self.kernels.append(code.kernel)

    def sweep(self, sweep: Sweep, labels: list[str]) -> Iterator[str]:
        """Yield the scans of a sweep; nothing else of it has Triton code."""
        if len(sweep.scans) < len(sweep.steps):
            raise AttometerError(f"{sweep} runs place by place, for which there is no Triton kernel")
        for scan in sweep.scans:
            yield from self.scan(scan, labels)

    def scan(self, scan: Scan, labels: list[str]) -> Iterator[str]:
        """Yield a scan: each line of the other axes by a program of its own, block after block."""
        labels.append(str(len(labels) + 1))
        out, along = scan.output, scan.axis
        self.extents |= dict(zip(out.indices, out.extents, strict=True))
        for axis in out.indices:
            self.names.axes.setdefault(axis, len(self.names.axes))
        others = tuple(a for a in out.indices if a != along)
        kernel = Kernel(f"phase_{labels[-1]}", others, None, frozenset({along}), {along: None})
        kernel.extents = dict.fromkeys((*others, along))
        real = TYPES["float64" if self.dtype == "float64" else "float32"]
        empty = EMPTY_OF["max" if scan.kind == "max" else "sum"]
        places = {"out": self._at(kernel, out.name, out.name, out.indices)}
        for name, ref in (("term", scan.term), ("decay", scan.decay)):
            if ref is not None:
                held, of, axes = self.place_of(ref, scan)
                places[name] = self._at(kernel, held, of, axes)

        def read(name: str, other: str) -> str:
            return f"tl.load({places[name]}, mask=ok, other={other}).to({real})"

        body = [f"t = start + tl.arange(0, W_{along})", f"ok = t < x_{along}"]
        body.append(f"k_{along} = ({'t' if scan.step > 0 else f'x_{along} - 1 - t'}).to(tl.int64)")
        if scan.kind == "max":
            body.append(f"held = tl.maximum(tl.associative_scan({read('term', empty)}, 0, maximum_), state)")
        elif "decay" in places:
            body += [f"term, decay = {read('term', empty)}, {read('decay', '1.0')}"]
            body += ["decay, held = tl.associative_scan((decay, term), 0, linear_)", "held = held + decay * state"]
        else:
            body.append(f"held = tl.cumsum({read('term', empty)}, axis=0) + state")
        body.append(f"tl.store({places['out']}, held, mask=ok)")
        body.append(f"state = tl.sum(tl.where(tl.arange(0, W_{along}) == W_{along} - 1, held, 0.0), axis=0)")
        first = "0.0" if scan.kind != "max" else 'float("-inf")'
        lines = [f"state = tl.full((), {first}, {real})", f"for start in range(0, x_{along}, W_{along}):"]
        yield from _function(kernel, [f"# {scan.label}"], [*_items(kernel), *lines, *(PAD + line for line in body)])
        self.kernels.append(kernel)

    def place_of(self, ref: Ref, scan: Scan) -> tuple[str, str, tuple[str, ...]]:
        """Return the array that a scan reads, the tensor that it is of, and its axes."""
        axes = tuple(i.name for i in map(_plain, ref.indices) if isinstance(i, Name))
        if len(axes) < len(ref.indices) or not set(axes) <= set(scan.output.indices):
            raise AttometerError(
                f'"{scan.output.name}" = {scan.label} reads "{ref.tensor}" elsewhere than at its own indices'
            )
        held = next((n for n, (of, found) in self.names.of.items() if of == ref.tensor and found == axes), None)
        return held or f"{ref.tensor}'scan{len(self.names.of)}", ref.tensor, axes

    def _at(self, kernel: Kernel, name: str, of: str, axes: tuple[str, ...]) -> str:
        self.array(name, of, axes)
        kernel.arrays[name] = len(axes)
        at = list(kernel.arrays).index(name)
        return " + ".join([f"a{at}", *(f"k_{a} * a{at}_s{k}" for k, a in enumerate(axes))])


def _function(kernel: Kernel, comments: Iterable[str], body: Iterable[str]) -> Iterator[str]:
    yield ""
    yield ""
    yield "@triton.jit"
    parameters = kernel.parameters()
    yield f"def {kernel.name}({', '.join(parameters)}):"
    yield from (PAD + line for line in (*comments, *body))


def _items(kernel: Kernel) -> Iterator[str]:
    """Yield which item of the axes that run in parallel this program is: the tile of rows varies fastest."""
    yield "item = tl.program_id(0)"
    if kernel.row:
        yield f"tiles_ = tl.cdiv(x_{kernel.row}, W_{kernel.row})"
        yield f"tile_{kernel.row} = item % tiles_"
        yield "item = item // tiles_"
    for axis in reversed(kernel.batch):
        yield f"k_{axis} = (item % x_{axis}).to(tl.int64)"
        yield f"item = item // x_{axis}"


@dataclass
class _Phase(PhaseLayout):
    dtype: str = "float32"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kernel = Kernel(f"phase_{self.label}", tuple(self.batch), self.row, frozenset(self.streams))
        self.real = TYPES["float64" if self.dtype == "float64" else "float32"]
        self.loaded: set[str] = set()
        """Tiles as they were loaded, which are 0 beyond the ends of their axes."""

    # --- text --------------------------------------------------------------------------------------------------------

    def code(self) -> Iterator[str]:
        """Yield the kernel that runs one item of the phase's parallel loops."""
        for axis, _ in self.schedule.axes:
            self.names.axes.setdefault(axis, len(self.names.axes))
        for axis in (*self.batch, *([self.row] if self.row else [])):
            self.kernel.extents.setdefault(axis)
        used = dict.fromkeys(a for n in _nodes(self.body) for a in self._axes(n))
        body = list(self._begin(used)) + list(self.nodes(self.body))
        loops = ", ".join(f"{x.axis} in tiles of {x.length}" for x in self.chain)
        yield from _function(self.kernel, [f"# parallel for {loops}:"], [*_items(self.kernel), *body])

    def _axes(self, node: Node) -> Iterator[str]:
        match node:
            case Load(tile=tile) | Store(tile=tile) | New(tile=tile):
                yield from tile.axes
            case Compute(formula=formula) if formula is not None:
                yield from formula.axes
                yield from axes_of(formula.expression)
                if formula.where is not None:
                    yield from (formula.where.query, formula.where.key)

    def _begin(self, used: Iterable[str]) -> Iterator[str]:
        for axis in used:
            if axis in self.batch or axis in self.streams or (axis == ONE and axis != self.row):
                continue
            start = f"tile_{axis} * {self.width(axis)} + " if axis == self.row else ""
            yield f"k_{axis} = ({start}tl.arange(0, {self.width(axis)})).to(tl.int64)"
            yield f"ok_{axis} = k_{axis} < {self.extent(axis)}"
        for where in self.wheres:
            if not {where.query, where.key} & self.streams:
                yield from self.seen(where, skip=False)

    def width(self, axis: str) -> str:
        """Return how many places of an axis a block has."""
        self.kernel.widths.setdefault(axis)
        return f"W_{axis}"

    def extent(self, axis: str) -> str:
        self.kernel.extents.setdefault(axis)
        return f"x_{axis}"

    def shape(self, layout: Sequence[str]) -> str:
        return f"({', '.join(map(self.width, layout))}{',' if len(layout) == 1 else ''})"

    def aligned(self, name: str, layout: Sequence[str], target: Sequence[str]) -> str:
        """Return a block of a layout as it broadcasts against one of `target`."""
        order = sorted(layout, key=list(target).index)
        if order != list(layout):
            name = f"tl.permute({name}, ({', '.join(str(list(layout).index(a)) for a in order)}))"
        if not layout or len(layout) == len(target):
            return name
        return f"{name}[{', '.join(':' if a in layout else 'None' for a in target)}]"

    def within(self, axes: Iterable[str], target: Sequence[str]) -> str | None:
        """Return whether the places of axes are no further than their ends, as it broadcasts against `target`."""
        found = [self.aligned(f"ok_{a}", (a,), target) for a in axes if a in target]
        return " & ".join(f"({x})" for x in found) or None

    # --- masks -------------------------------------------------------------------------------------------------------

    def seen(self, where: Where, skip: bool) -> Iterator[str]:
        """Yield which pairs of the current tiles a mask allows; of a tile that it leaves whole no interval is read."""
        self.kernel.masks[where] = skip or self.kernel.masks.get(where, False)
        self.names.masks.setdefault(where, len(self.names.masks))
        at = list(self.kernel.masks).index(where)
        pair, q = self.layout((where.query, where.key)), self.layout((where.query,))
        rows = f"t * {self.extent(where.query)} + k_{where.query}"
        mask = f", mask=ok_{where.query}, other=0" if q else ""
        key = self.aligned(f"k_{where.key}", self.layout((where.key,)), pair)
        lines = [f"seen_{at} = tl.full({self.shape(pair) if pair else '()'}, False, tl.int1)"]
        lines.append(f"for t in range(0, m{at}_count):")
        for name in ("starts", "ends"):
            lines.append(f"{PAD}{name} = tl.load(m{at}_{name} + {rows}{mask})")
        start, end = (self.aligned(name, q, pair) for name in ("starts", "ends"))
        lines.append(f"{PAD}seen_{at} = seen_{at} | (({key} >= {start}) & ({key} < {end}))")
        if not skip:
            yield from lines
            return
        whole = self.within((where.query, where.key), pair)
        whole = f"tl.full({self.shape(pair) if pair else '()'}, True, tl.int1)" + (f" & {whole}" if whole else "")
        yield f"seen_{at} = {whole}"
        yield f"if state_{at} == 1:  # the mask leaves some pairs of the tile out"
        yield from (PAD + line for line in lines)

    def _tile(self, axis: str) -> str:
        if axis in self.batch:
            return f"k_{axis}"
        if axis in self.streams:
            return f"start_{axis} // {self.width(axis)}"
        return f"tile_{axis}" if axis == self.row else "0"

    def flag(self, where: Where, target: Sequence[str]) -> str:
        at = list(self.kernel.masks).index(where)
        return self.aligned(f"seen_{at}", self.layout((where.query, where.key)), target)

    # --- nodes -------------------------------------------------------------------------------------------------------

    def nodes(self, body: tuple[Node, ...]) -> Iterator[str]:
        """Yield the lines of a body."""
        for node in _flat(body):
            if isinstance(node, Free):
                continue
            if isinstance(node, Loop):
                yield from self._loop(node)
                continue
            yield f"# {node_text(node)}"
            if isinstance(node, New):
                yield self._new(node)
            elif isinstance(node, Load):
                at, ok = self._place(node.tile.name, self.tiles[node.tile.name])
                yield f"{cxx(node.tile.name)} = tl.load({at}{f', mask={ok}, other=0.0' if ok else ''}).to({self.real})"
                self.loaded.add(node.tile.name)
            elif isinstance(node, Store):
                at, ok = self._place(node.tensor, self.tiles[node.tile.name])
                yield f"tl.store({at}, {cxx(node.tile.name)}{f', mask={ok}' if ok else ''})"
            elif isinstance(node, Compute):
                made = product_of_tiles(self, node)
                yield from (self._dot(made) if made is not None else None) or self._step(node)
                self.loaded -= {t.name for t in node.out}

    def _loop(self, loop: Loop) -> Iterator[str]:
        axis = loop.axis
        over = f" where ({loop.partner},{axis}) is not masked out" if loop.partner else ""
        yield f"# for {axis} in tiles of {loop.length}{over}:"
        yield f"for start_{axis} in range(0, {self.extent(axis)}, {self.width(axis)}):"
        yield f"{PAD}k_{axis} = (start_{axis} + tl.arange(0, {self.width(axis)})).to(tl.int64)"
        yield f"{PAD}ok_{axis} = k_{axis} < {self.extent(axis)}"
        here = [w for w in self.wheres if axis in (w.query, w.key)]
        inside: list[str] = []
        if loop.where is not None:
            self.kernel.masks[loop.where] = True
            at = list(self.kernel.masks).index(loop.where)
            place = f"m{at}_visits + {self._tile(loop.where.query)} * m{at}_across + {self._tile(loop.where.key)}"
            yield f"{PAD}state_{at} = tl.load({place})"
            yield f"{PAD}if state_{at} != 0:"
        for where in here:
            inside += self.seen(where, skip=where == loop.where)
        inside += self.nodes(loop.body)
        pad = PAD * (2 if loop.where is not None else 1)
        yield from (pad + line for line in inside)

    def _new(self, node: New) -> str:
        value = {float("inf"): 'float("inf")', float("-inf"): 'float("-inf")'}.get(node.value, repr(float(node.value)))
        self.loaded.discard(node.tile.name)
        return f"{cxx(node.tile.name)} = tl.full({self.shape(self.tiles[node.tile.name])}, {value}, {self.real})"

    def _place(self, tensor: str, layout: tuple[str, ...]) -> tuple[str, str | None]:
        """Return where a tile lies in slow memory, and which of its places do."""
        axes = self.schedule.tensor(tensor).axes if tensor in dict(self.schedule.tensors) else ()
        key = self.names.key(tensor, axes)
        self.kernel.arrays[key] = len(axes)
        at = list(self.kernel.arrays).index(key)
        terms = [f"a{at}"]
        for k, axis in enumerate(axes):
            if axis in self.batch:
                terms.append(f"k_{axis} * a{at}_s{k}")
            elif axis in layout:
                terms.append(f"{self.aligned(f'k_{axis}', (axis,), layout)} * a{at}_s{k}")
        return " + ".join(terms), self.within(layout, layout)

    # --- steps -------------------------------------------------------------------------------------------------------

    def _step(self, node: Compute) -> Iterator[str]:
        formula, name = formula_of(node), cxx(node.out[0].name)
        out = self.tiles[node.out[0].name]
        if formula.kind == "settle":
            yield f"{name} = tl.where({name} == {self.text(formula.expression, out)}, 0.0, {name})"
        elif formula.kind == "scale":
            yield f"{name} = tl.where({name} == 0.0, 0.0, {name} * ({self.text(formula.expression, out)}))"
        elif formula.kind == "set":
            text = self.text(formula.expression, out)
            if formula.where is not None:
                text = f"tl.where({self.flag(formula.where, out)}, {text}, 0.0)"
            elif set(self.layout(axes_of(formula.expression))) < set(out):
                text = f"tl.zeros({self.shape(out)}, {self.real}) + ({text})"
            yield f"{name} = {text}"
            self.masked[node.out[0].name] = formula.where
        else:
            yield from self._fold(node)

    def _fold(self, node: Compute) -> Iterator[str]:
        formula = formula_of(node)
        if formula.kind not in REDUCE:
            raise AttometerError(f'a step "{formula.kind}" has no Triton code')
        name, out = cxx(node.out[0].name), self.tiles[node.out[0].name]
        over = self.layout(formula.axes)
        folded = [a for a in over if a not in out]
        term, empty = self.text(formula.expression, over), EMPTY_OF[formula.kind]
        seen = [] if formula.where is None else [self.flag(formula.where, over)]
        ends = self.within(folded, over)
        if seen or ends:
            term = f"tl.where({' & '.join([*seen, *([ends] if ends else [])])}, {term}, {empty})"
        yield f"term_ = {term}"
        left = list(over)
        for axis in folded:
            yield f"term_ = {REDUCE[formula.kind].format(x='term_', k=left.index(axis))}"
            left.remove(axis)
        joined = JOIN[formula.kind].format(a=name, x=self.aligned("term_", left, out))
        if not formula.carried:
            yield f"{name} = {joined}"
            return
        yield f"old_ = {name}"
        yield f"new_ = {joined}"
        for tile, factor in zip(node.out[1:], formula.carried, strict=True):
            to = self.tiles[tile.name]
            moved = self.layout((*axes_of(factor), *node.out[0].axes))
            moved = tuple(a for a in to if a in moved)
            # The factor of a reduction that did not move is 1, also where both are infinite.
            same = " == ".join(self.aligned(x, out, moved) for x in ("new_", "old_"))
            yield f"factor_ = tl.where({same}, 1.0, {self.text(factor, moved, out)})"
            yield f"{cxx(tile.name)} = {cxx(tile.name)} * {self.aligned('factor_', moved, to)}"
        yield f"{name} = new_"

    def _dot(self, made: Product) -> list[str] | None:
        """Return a product of tiles as one of matrices; None where an axis belongs to neither side."""
        node = made.node
        out, where = self.tiles[node.out[0].name], formula_of(node).where
        sides = [set(self.layout(axes_of(x))) for x in (made.left, made.right)]
        summed = [made.summed, *made.also]
        both, rows, columns = (
            [a for a in out if a in sides[0] & sides[1]],
            [a for a in out if a in sides[0] - sides[1]],
            [a for a in out if a in sides[1] - sides[0]],
        )
        if not set(summed) <= sides[0] & sides[1] or len(both + rows + columns) < len(out):
            return None
        self.kernel.products += [tuple(x) for x in (rows, columns, summed)]
        left = self._matrix(made.left, (both, rows, summed), summed, where)
        right = self._matrix(made.right, (both, summed, columns), summed, where)
        text = f'tl.dot({left}, {right}, input_precision="ieee", out_dtype={self.real})'
        order = [*both, *rows, *columns]
        if max(map(len, (both, rows, columns))) > 1:
            text = f"tl.reshape({text}, {self.shape(order)})"
        if order != list(out):
            text = f"tl.permute({text}, ({', '.join(str(order.index(a)) for a in out)}))"
        name = cxx(node.out[0].name)
        lines = [f"{name} += {text}"]
        self.masked[node.out[0].name] = None
        if where is not None and {where.query, where.key} <= set(node.out[0].axes):
            lines.append(f"{name} = tl.where({self.flag(where, out)}, {name}, 0.0)")
            self.masked[node.out[0].name] = where
        return lines

    def _matrix(
        self, node: Expression, groups: tuple[list[str], ...], summed: list[str], where: Where | None
    ) -> str:  # fmt: skip
        """Return an operand with the axes of each group as one, 0 where the summed ones have ended or the mask hides."""
        own = self.layout(tuple(dict.fromkeys(axes_of(node))))
        text, held = self.text(node, own), node.tensor if isinstance(node, Ref) else ""
        inside = where if where is not None and {where.query, where.key} <= set(axes_of(node)) else None
        flags = [] if inside is None or self.masked.get(held) == inside else [self.flag(inside, own)]
        known = self.masked.get(held)
        ended = [] if known is None else [known.query, known.key]
        ends = None if held in self.loaded or set(summed) <= {*ended} else self.within(summed, own)
        flags += [ends] if ends else []
        if flags:
            text = f"tl.where({' & '.join(flags)}, {text}, 0.0)"
        if self.dtype in ("bfloat16", "float16"):
            text = f"operand_({text})"
        order = [a for group in groups for a in group]
        if order != list(own):
            text = f"tl.permute({text}, ({', '.join(str(list(own).index(a)) for a in order)}))"
        if any(len(g) > 1 for g in groups):
            wide = [" * ".join(map(self.width, g)) for g in groups if g]
            text = f"tl.reshape({text}, ({', '.join(wide)}))"
        return text

    # --- expressions -------------------------------------------------------------------------------------------------

    def text(self, node: Expression, target: Sequence[str], moved: Sequence[str] = ()) -> str:
        """Return an expression as it broadcasts against a block of the axes `target`."""

        def within(x: Expression) -> str:
            made = self.text(x, target, moved)
            return f"({made})" if isinstance(x, Binary | Negative | Call) else made

        match node:
            case Number(value=value):
                return repr(float(value)) if abs(value) < float("inf") else f'float("{value}")'
            case Name(name=name):
                self.kernel.sizes.setdefault(name)
                self.names.sizes.setdefault(name, len(self.names.sizes))
                return f"tl.full((), z_{name}, {self.real})"
            case Position(index=index):
                if index == ONE and index != self.row:
                    return "0.0"
                return self.aligned(f"{index_of(index)}.to({self.real})", self.layout((index,)), target)
            case Ref(tensor=tensor, indices=()) if tensor in (OLD, NEW):
                return self.aligned(f"{tensor}_", moved, target)
            case Ref(tensor=tensor):
                return self.aligned(cxx(tensor), self.tiles[tensor], target)
            case Negative(operand=operand):
                return f"-{within(operand)}"
            case Binary(op="+" | "-" | "*" | "/" as op, left=left, right=right):
                return f"{within(left)} {op} {within(right)}"
            case Call(function=function, arguments=arguments) if function in FUNCTIONS:
                # Numbers are made blocks of their own: a function takes no constant of Python.
                held = [self.text(a, target, moved) for a in arguments]
                held = [f"tl.full((), {x}, {self.real})" if isinstance(a, Number) else x
                        for a, x in zip(arguments, held, strict=True)]  # fmt: skip
                return FUNCTIONS[function].format(*held)
            case Call(function=function):
                raise AttometerError(f'"{function}" has no Triton code; known: {", ".join(FUNCTIONS)}')
        raise AttometerError(f'"{type(node).__name__.lower()}" has no Triton code')
