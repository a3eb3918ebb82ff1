"""Numbers a person can read: a unit beside each, and bytes always said in GB (10^9) and GiB (2^30)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from attometer.errors import AttometerError

_DECIMAL = ((10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_NAMED = ((10**15, " × 10^15"), (10**12, " T"), (10**9, " B"), (10**6, " M"), (10**3, " k"))
_BINARY = ((2**60, "EiB"), (2**50, "PiB"), (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_SECONDS = ((Fraction(1), "s"), (Fraction(1, 10**3), "ms"), (Fraction(1, 10**6), "µs"), (Fraction(1, 10**9), "ns"))


@dataclass(frozen=True)
class Cell:
    """A value with the text that stands for it in a table; JSON gets the value."""

    value: Any
    text: str

    def __str__(self) -> str:
        return self.text


def amount(value: Any) -> str:
    """Return a number of things with a short-scale suffix and two decimals; below 1,000 the number itself.

    >>> amount(8030261248), amount(999_999), amount(999)
    ('8.03 B', '1.00 M', '999')
    """
    return _scaled(value, _NAMED, 2)


def flop(value: Any) -> str:
    """Return a number of floating-point operations with an SI prefix.

    >>> flop(158_100_000_000_000), flop(960_000_000), flop(12)
    ('158.1 TFLOP', '960.0 MFLOP', '12 FLOP')
    """
    return _scaled(value, tuple((size, f" {prefix}FLOP") for size, prefix in _DECIMAL), 1, " FLOP")


def size_in_bytes(value: Any) -> str:
    """Return bytes in the decimal unit and in the binary one, each named.

    >>> size_in_bytes(17179869184), size_in_bytes(800)
    ('17.18 GB = 16.00 GiB', '800 B')
    """
    if _check(value) < 1000:
        return f"{value} B"
    decimal = _scaled(value, tuple((size, f" {prefix}B") for size, prefix in _DECIMAL), 2)
    return f"{decimal} = {_scaled(value, tuple((s, f' {u}') for s, u in _BINARY), 2, ' B')}"


def seconds(value: float) -> str:
    """Return a time with three digits in its natural unit.

    >>> seconds(0.1319), seconds(3.2e-05), seconds(75.0), seconds(0.0)
    ('132 ms', '32.0 µs', '75.0 s', '0 s')
    """
    if _check(value) == 0:
        return "0 s"
    size, unit = next(((s, u) for s, u in _SECONDS if value >= s), _SECONDS[-1])
    scaled = value / float(size)
    return f"{scaled:,.0f} {unit}" if scaled >= 100 else f"{scaled:#.3g} {unit}"


def ratio(first: Any, second: Any) -> str:
    """Return how many times `second` goes into `first`.

    >>> ratio(10, 5), ratio(1, 8), ratio(9999, 10000), ratio(1, 0)
    ('2.0×', '0.125×', '1.0×', 'infinite')
    """
    if not second:
        return "infinite"
    quotient = float(Fraction(int(first), int(second)))
    below = f"{quotient:.3g}×"
    return f"{quotient:,.1f}×" if quotient >= 1 or below == "1×" else below


def share(part: Any, whole: Any) -> str:
    """Return a part of a whole in per cent, one decimal.

    >>> share(1, 8)
    '12.5 %'
    """
    return f"{100 * part / whole:.1f} %"


def exact(value: Any) -> str:
    """Return a number with thousands separators, or a formula as `formula` writes it.

    >>> exact(206158430208), exact(sympy.Rational(1, 2))
    ('206,158,430,208', '1/2')
    """
    if isinstance(value, bool) or not isinstance(value, int | float | sympy.Expr):
        return str(value)
    if isinstance(value, sympy.Expr):
        return f"{int(value):,}" if value.is_Integer else formula(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def formula(expression: Any) -> str:
    """Return an expression as mathematics is typed: powers with `^`, products side by side.

    >>> n, d = sympy.symbols("n d")
    >>> formula(4 * n**2 * d - n), formula(sympy.Min(n, 3) / d)
    ('4 d n^2 - n', 'min(3, n)/d')
    """
    text = str(_without_zero(sympy.sympify(expression)))
    for typed, written in (("**", "^"), ("*", " "), ("Min(", "min("), ("Max(", "max("), ("ceiling(", "ceil(")):
        text = text.replace(typed, written)
    return text


def _without_zero(expression: sympy.Expr) -> sympy.Expr:
    """Drop the 0 from a maximum: no count is negative."""
    if isinstance(expression, sympy.Max) and sympy.Integer(0) in expression.args:
        rest = [a for a in expression.args if a != 0]
        return rest[0] if len(rest) == 1 else sympy.Max(*rest, evaluate=False)
    return expression


def _scaled(value: Any, units: tuple[tuple[int, str], ...], digits: int, plain: str = "") -> str:
    """Write `value` in the largest unit that it fills once rounded: 999,999 is 1.00 M and never 1,000.00 k."""
    _check(value)
    number = Fraction(value)
    smaller = [*(size for size, _ in units[1:]), 0]
    for (size, unit), below in zip(units, smaller, strict=True):
        if number + Fraction(below, 2 * 10**digits) >= size:
            return f"{float(number / size):,.{digits}f}{unit}"
    return f"{exact(value)}{plain}"


def _check(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise AttometerError(f"a report needs a number of at least 0, got {value!r}")
    return value
