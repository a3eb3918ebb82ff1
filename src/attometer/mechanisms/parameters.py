"""The parameters of a mechanism: sizes of its Program, and choices that shape it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy

from attometer.errors import AttometerError, unknown
from attometer.program import Mask, parse_mask, size


@dataclass(frozen=True)
class Parameter:
    """One parameter: its default, what it means, and its `value`.

    A size whose default is a number stays a symbol until a value is given; one whose default is an expression of other
    sizes has that value. `check` returns the value to use, or raises.
    """

    name: str
    default: Any
    meaning: str
    check: Callable[[str, Any], Any]
    value: Any
    is_size: bool

    def choose(self, value: object) -> "Parameter":
        """Return the parameter with a checked value."""
        return replace(self, value=self.check(f"parameter {self.name}", value))


def size_parameter(name: str, default: int | sympy.Expr, meaning: str) -> Parameter:
    """Return a parameter that is a size of the Program.

    >>> size_parameter("w", 256, "window").value, size_parameter("e", size("d"), "width of V").value
    (w, d)
    """
    return Parameter(name, default, meaning, _size, size(name) if isinstance(default, int) else default, True)


def flag(name: str, meaning: str, default: bool = False) -> Parameter:
    """Return a parameter that is true or false."""
    return Parameter(name, default, meaning, _flag, default, False)


def choice(name: str, default: str, options: Iterable[str], meaning: str) -> Parameter:
    """Return a parameter that is one of `options`."""

    def check(what: str, value: Any) -> str:
        if value not in options:
            raise unknown(what, str(value), options)
        return str(value)

    return Parameter(name, default, meaning, check, default, False)


def count(name: str, default: int, meaning: str, least: int = 1) -> Parameter:
    """Return a parameter that must be a number, because the Program's text holds it."""

    def check(what: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise AttometerError(f"{what} must be an integer of at least {least}, got {value!r}")
        return int(value)

    return Parameter(name, default, meaning, check, default, False)


def mask_parameter() -> Parameter:
    """Return the parameter that restricts which keys a query sees."""
    return Parameter("mask", None, "which keys a query sees, as a mask; all of them when None", _mask, None, False)


def _size(what: str, value: Any) -> sympy.Expr:
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, str) and value.isidentifier():
        return size(value)
    if isinstance(value, sympy.Expr) and (not value.is_number or (value.is_integer and value.is_positive)):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return sympy.Integer(value)
    raise AttometerError(f"{what} must be a positive integer or a size symbol, got {value!r}")


def _flag(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise AttometerError(f"{what} must be True or False, got {value!r}")
    return value


def _mask(what: str, value: Any) -> Mask | None:
    if isinstance(value, str):
        return parse_mask(value)
    if value is not None and not isinstance(value, Mask):
        raise AttometerError(f"{what} must be a mask such as causal() or window(256), its text, or None, got {value!r}")
    return value
