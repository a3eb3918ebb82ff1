"""Expressions of the notation as C++, with what does not vary along the innermost loop taken out of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref
from attometer.schedule.formulas import axes_of

Place = Callable[[Ref], tuple[str, tuple[tuple[str, str], ...]]]
"""Where a tile's entry is: the tile's memory, and its axes with their strides."""


@dataclass
class Writer:
    """Writes expressions inside a loop along `inner`, with what is the same all along it in front of the loop."""

    place: Place
    sizes: dict[str, int]
    inner: str | None
    taken: dict[tuple[str, str], str] = field(default_factory=dict)

    def front(self) -> list[str]:
        """Return the declarations that belong in front of the loop."""
        return [f"{kind} {name} = {text};" for (kind, text), name in self.taken.items()]

    def at(self, ref: Ref) -> str:
        """Return a tile's entry at the running indices."""
        memory, axes = self.place(ref)
        return self.entry("R* const", memory, axes) if axes or memory[-1] != "_" else memory

    def entry(self, kind: str, memory: str, axes: tuple[tuple[str, str], ...]) -> str:
        """Return an entry of memory by its axes and their strides, through a pointer to what the loop runs along."""
        terms = {a: index_of(a) if step == "1" else f"{index_of(a)} * {step}" for a, step in axes}
        if self.inner is None or self.inner not in terms:
            return f"{memory}[{' + '.join(terms.values()) or '0'}]"
        base = " + ".join([memory, *(t for a, t in terms.items() if a != self.inner)])
        step = dict(axes)[self.inner]
        along = index_of(self.inner) if step == "1" else f"{index_of(self.inner)} * {self._kept('const int64_t', step)}"
        return f"{self._kept(kind, base)}[{along}]"

    def text(self, node: Expression) -> str:
        """Return an expression, keeping what is the same all along the inner loop in front of it."""
        if (
            self.inner is not None
            and self.inner not in axes_of(node)
            and isinstance(node, Ref | Binary | Call | Negative)
        ):
            return self._kept("const R", self._plain(node))
        return self._plain(node)

    def _kept(self, kind: str, text: str) -> str:
        return self.taken.setdefault((kind, text), f"x{len(self.taken)}")

    def _plain(self, node: Expression) -> str:
        match node:
            case Number(value=value):
                return f"R({float(value)!r})".replace("inf", "INF")
            case Name(name=name):
                return f"R(p.sizes[{self.sizes.setdefault(name, len(self.sizes))}])"
            case Position(index=index):
                return f"R({name_of(index)}.start + {index_of(index)})"
            case Ref():
                return self.at(node)
            case Negative(operand=operand):
                return f"-{self._inside(operand)}"
            case Binary(op="/", left=left, right=right) if self._same(right) and not self._same(left):
                return f"{self._inside(left)} * {self._kept('const R', f'R(1) / ({self._plain(right)})')}"
            case Binary(op="+" | "-" | "*" | "/" as op, left=left, right=right):
                return f"{self._inside(left)} {op} {self._inside(right)}"
            case Call(function=function, arguments=arguments):
                return f"{function}_({', '.join(map(self.text, arguments))})"
        raise AttometerError(f'"{type(node).__name__.lower()}" has no machine code')

    def _same(self, node: Expression) -> bool:
        return self.inner is not None and self.inner not in axes_of(node)

    def _inside(self, node: Expression) -> str:
        made = self.text(node)
        return f"({made})" if isinstance(node, Binary | Negative) and not re.fullmatch(r"x\d+", made) else made


def name_of(axis: str) -> str:
    """Return the C++ name of the span of an axis."""
    return f"of_{axis}"


def index_of(axis: str) -> str:
    """Return the C++ name of the running index of an axis, within its span."""
    return f"k_{axis}"


def cxx(name: str) -> str:
    """Return a value's name as C++ has it."""
    return "v_" + name.replace("'", "_p_").replace("~", "_t_").replace(".", "_d_")
