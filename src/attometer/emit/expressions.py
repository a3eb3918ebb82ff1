"""Expressions of the notation as C++, with what does not vary along the innermost loop taken out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref
from attometer.schedule.formulas import axes_of

At = Callable[[Ref], str]
"""Where a tile's entry is, as C++."""


@dataclass
class Writer:
    """Writes expressions inside a loop along `inner`; `taken` are the values that it may keep in front of the loop."""

    at: At
    sizes: dict[str, int]
    inner: str | None
    taken: dict[str, str] = field(default_factory=dict)

    def text(self, node: Expression) -> str:
        """Return an expression, keeping what is the same all along the inner loop in front of it."""
        if (
            self.inner is not None
            and self.inner not in axes_of(node)
            and isinstance(node, Ref | Binary | Call | Negative)
        ):
            return self._kept(self._plain(node))
        return self._plain(node)

    def _kept(self, text: str) -> str:
        return self.taken.setdefault(text, f"x{len(self.taken)}")

    def _plain(self, node: Expression) -> str:
        match node:
            case Number(value=value):
                return f"R({float(value)!r})"
            case Name(name=name):
                return f"R(p.sizes[{self.sizes.setdefault(name, len(self.sizes))}])"
            case Position(index=index):
                return f"R({name_of(index)}.start + {index_of(index)})"
            case Ref():
                return self.at(node)
            case Negative(operand=operand):
                return f"-{self._inside(operand)}"
            case Binary(op="/", left=left, right=right) if self._same(right) and not self._same(left):
                return f"{self._inside(left)} * {self._kept(f'R(1) / {self._bracketed(right)}')}"
            case Binary(op="+" | "-" | "*" | "/" as op, left=left, right=right):
                return f"{self._inside(left)} {op} {self._inside(right)}"
            case Call(function=function, arguments=arguments):
                return f"{function}_({', '.join(map(self.text, arguments))})"
        raise AttometerError(f'"{type(node).__name__.lower()}" has no machine code')

    def _same(self, node: Expression) -> bool:
        return self.inner is not None and self.inner not in axes_of(node)

    def _inside(self, node: Expression) -> str:
        made = self.text(node)
        return f"({made})" if isinstance(node, Binary | Negative) and not made.startswith("x") else made

    def _bracketed(self, node: Expression) -> str:
        return f"({self._plain(node)})"


def name_of(axis: str) -> str:
    """Return the C++ name of the span of an axis."""
    return f"of_{axis}"


def index_of(axis: str) -> str:
    """Return the C++ name of the running index of an axis, within its span."""
    return f"k_{axis}"


def cxx(name: str) -> str:
    """Return a value's name as C++ has it."""
    return "v_" + name.replace("'", "_p_").replace("~", "_t_").replace(".", "_d_")
