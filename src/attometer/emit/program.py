"""The translation unit of a whole Program: its nests and scans, phase after phase, and the entry that runs them."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import sympy

from attometer.emit.phase import Names, PhaseCode
from attometer.emit.sweeps import SweepCode
from attometer.errors import AttometerError, unknown
from attometer.program.expression import Where
from attometer.program.expression_reader import ExpressionReader
from attometer.program.mask_reader import MaskReader
from attometer.program.printer import where_text
from attometer.program.program import Program
from attometer.program.size_expressions import to_size
from attometer.schedule.lean import pieces
from attometer.schedule.nest import Schedule
from attometer.schedule.sweeps import Sweep
from attometer.sizes import size_text

MICRO = Path(__file__).parent / "micro"
TYPES = {"float32": "float", "bfloat16": "Bfloat", "float16": "_Float16", "float64": "double"}
BYTES = {"float": 4, "Bfloat": 2, "_Float16": 2, "double": 8}


Extents: TypeAlias = tuple[str, tuple[sympy.Expr, ...]]
"""A tensor's name, and its extents."""


@dataclass(frozen=True)
class Emitted:
    """The C++ of a program for one type of tensors, and all that a call needs to know of the program.

    What a call hands over, each in its order: `arrays` are (value, the tensor that it is of, its axes); `masks`, `extents`,
    `sizes` and `tiles` as their names say.
    """

    text: str
    symbols: tuple[str, ...]
    inputs: tuple[Extents, ...]
    outputs: tuple[Extents, ...]
    arrays: tuple[tuple[str, str, tuple[str, ...]], ...]
    masks: tuple[Where, ...]
    extents: tuple[tuple[str, sympy.Expr], ...]
    sizes: tuple[tuple[str, sympy.Expr], ...]
    tiles: tuple[tuple[str, bool], ...]
    """Each with whether it is of rows."""
    stored: tuple[Extents, ...]
    """Values kept between phases."""

    def to_json(self) -> dict[str, Any]:
        """Return it as strings, sizes and masks in the notation; `from_json` is the inverse."""
        sized = {f: [[n, size_text(e)] for n, e in getattr(self, f)] for f in ("extents", "sizes")}
        shaped = {f: [[n, [*map(size_text, e)]] for n, e in getattr(self, f)] for f in ("inputs", "outputs", "stored")}
        return vars(self) | sized | shaped | {"masks": [where_text(w) for w in self.masks]}

    @staticmethod
    def from_json(held: dict[str, Any]) -> "Emitted":
        """Return what `to_json` wrote."""
        found: dict[str, Any] = {f: tuple((n, _size(e)) for n, e in held[f]) for f in ("extents", "sizes")}
        found |= {f: tuple((n, tuple(map(_size, e))) for n, e in held[f]) for f in ("inputs", "outputs", "stored")}
        arrays = tuple((name, of, tuple(axes)) for name, of, axes in held["arrays"])
        masks = tuple(MaskReader(1, text).where() for text in held["masks"])
        tiles = tuple((name, rows) for name, rows in held["tiles"])
        return Emitted(held["text"], tuple(held["symbols"]), arrays=arrays, masks=masks, tiles=tiles, **found)


@lru_cache(maxsize=1024)
def _size(text: str) -> sympy.Expr:
    return to_size(ExpressionReader(1, text).sum())


@lru_cache(maxsize=64)
def emitted(program: Program, dtype: str, full: frozenset[str] = frozenset()) -> Emitted:
    """Return the C++ of a program whose tensors are of `dtype`, those named in `full` of the type that sums have.

    Raises AttometerError naming the operation that no nest runs, and for a type without machine code.

    >>> from attometer.program import parse
    >>> made = emitted(parse("Y[i,k] = A[i,j] * B[j,k]"), "float32")
    >>> "// Y[i,k] += A[i,j] * B[j,k]" in made.text, [name for name, _, _ in made.arrays]
    (True, ['A', 'B', 'Y'])
    """
    if dtype not in TYPES:
        raise unknown("compiled type", dtype, TYPES)
    return _Unit(program, dtype, full).emitted()


class _Unit:
    def __init__(self, program: Program, dtype: str, full: frozenset[str]) -> None:
        self.program, self.dtype, self.full = program, dtype, full
        self.pieces = pieces(program)
        self.names = Names()
        self.extents: dict[str, sympy.Expr] = {}
        self.stored: dict[str, tuple[sympy.Expr, ...]] = {}

    def emitted(self) -> Emitted:
        functions, labels = list[str](), list[str]()
        for piece in self.pieces:
            if piece.nest is not None:
                functions += self.nest(piece.nest, labels)
            elif piece.sweep is not None:
                functions += self.sweep(piece.sweep, labels)
        lines = [*self.head(), *functions, *self.entry(labels)]
        arrays = tuple((name, *self.names.of[name]) for name in self.names.arrays)
        extents = tuple((axis, self.extents[axis]) for axis in self.names.axes)
        inputs, outputs = (tuple((t.name, t.extents) for t in x) for x in (self.program.inputs, self.program.outputs))
        sizes = tuple((name, self.program.size_of(name)) for name in self.names.sizes)
        return Emitted(
            "\n".join(lines) + "\n", tuple(map(str, self.program.symbols)), inputs, outputs,
            arrays, tuple(self.names.masks), extents, sizes,
            tuple((name, name in self.names.rows) for name in self.names.tiles), tuple(self.stored.items()),
        )  # fmt: skip

    def head(self) -> Iterator[str]:
        yield "// " + "\n// ".join(str(self.program).splitlines())
        if self.dtype == "float16":
            yield "#define ATTOMETER_HALF"
        if self.dtype == "float64":
            yield "#define ATTOMETER_DOUBLE"
        yield from ((MICRO / f"{name}.hpp").read_text() for name in ("vectors", "call", "tiles"))
        yield f"typedef {TYPES[self.dtype]} T;  // of tensors"
        yield (MICRO / "program.hpp").read_text()

    def array(self, name: str, of: str, axes: tuple[str, ...]) -> int:
        name = self.names.key(name, axes)
        at = self.names.arrays.setdefault(name, len(self.names.arrays))
        self.names.of[name] = (of, axes)
        outside = {t.name for t in (*self.program.inputs, *self.program.outputs)}
        self.names.types[name] = "T" if of in outside and of not in self.full else "R"
        if of not in outside and of not in self.stored:
            held = self.program.tensors.get(of)
            self.stored[of] = held.extents if held is not None else tuple(self.extents[a] for a in axes)
        return at

    def nest(self, schedule: Schedule, labels: list[str]) -> Iterator[str]:
        for axis, extent in schedule.axes:
            if self.extents.setdefault(axis, extent) != extent:
                raise AttometerError(
                    f"index {axis} has {self.extents[axis]} places in one nest and {extent} in another"
                )
        for name, tensor in sorted(schedule.tensors, key=lambda t: t[1].of is not None):
            self.array(name, tensor.of or name, tensor.axes)
        yield from (f"// {line}" for line in str(schedule).splitlines())
        for number in range(len(schedule.phases)):
            code = PhaseCode(schedule, number, self.names, str(len(labels) + 1))
            yield from code.code()
            labels.append(code.label)

    def sweep(self, sweep: Sweep, labels: list[str]) -> Iterator[str]:
        """Yield a sweep."""
        labels.append(str(len(labels) + 1))
        return SweepCode(self, sweep, labels[-1]).code()

    def axis(self, extent: sympy.Expr) -> str:
        """Return the name of an axis that is there for its length alone."""
        name = f"#{size_text(extent)}"
        self.names.axes.setdefault(name, len(self.names.axes))
        self.extents[name] = extent
        return name

    def size(self, value: sympy.Expr) -> str:
        """Return a size as C++."""
        return f"p.extents[{self.names.axes[self.axis(value)]}]"

    def entry(self, labels: list[str]) -> Iterator[str]:
        names = self.names
        counts = [len(names.arrays), len(names.masks), len(names.axes), len(names.tiles), len(names.sizes)]
        kinds = [f"sizeof({names.types[n]})" for n in names.arrays]
        yield 'extern "C" __attribute__((visibility("default"))) int attometer_run(const Problem* given, int64_t size) {'
        yield "    if (!given || size != (int64_t)sizeof(Problem)) return NULL_POINTER;"
        yield f"    const int bytes[] = {{{', '.join(f'(int){k}' for k in kinds)}}};"
        yield f"    const int64_t counts[] = {{{', '.join(map(str, counts))}}};"
        yield "    const Problem p = *given;"
        yield "    if (int code = refused(p, bytes, counts)) return code;"
        yield "    try {"
        for label in labels:
            yield f"        parallel(items_{label}(p), p.threads, [&](int64_t item) {{ const Flushed flushed; phase_{label}(p, item); }});"
        yield "        return DONE;"
        yield "    } catch (...) {"
        yield "        return NO_MEMORY;"
        yield "    }"
        yield "}"


@dataclass(frozen=True)
class ProgramUnit:
    """A program's C++ as it is compiled, for tensors of one type."""

    source: str
    dtype: str
    schedule: str = "program"
    bf16: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """Return flags of the compiler: loops as vectors, as wide as the processor's."""
        wide = ("-mprefer-vector-width=512",) if platform.machine() in ("x86_64", "AMD64") else ()
        return "-fopenmp-simd", "-fno-trapping-math", *wide

    def text(self) -> str:
        """Return its C++."""
        return self.source
