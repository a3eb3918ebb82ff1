"""How a printed value is held against a computed one: exactly, to the printed digits, or in the sense of its words."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import sympy


class Check(Protocol):
    """A printed value and the rule by which a computed one agrees with it."""

    def holds(self, value: Any) -> bool:
        """Say whether `value` agrees with what is printed."""

    def show(self, value: Any) -> str:
        """Write `value` as the source would."""

    @property
    def printed(self) -> str:
        """What the source prints."""


@dataclass(frozen=True)
class Exactly:
    """Equal as a whole number, an expression or a text.

    >>> n = sympy.Symbol("n")
    >>> Exactly(2 * n).holds(n + n), Exactly(25_214_976).show(25_214_977), Exactly("O(n)").holds("O(n**2)")
    (True, '25,214,977', False)
    """

    value: Any

    def holds(self, value: Any) -> bool:
        """Say whether the two are equal; expressions are expanded first."""
        if isinstance(self.value, str | tuple) or isinstance(value, str | tuple):
            return bool(self.value == value)
        return bool(sympy.expand(sympy.sympify(self.value) - sympy.sympify(value)) == 0)

    def show(self, value: Any) -> str:
        """Write whole numbers with separators, anything else as it prints."""
        return plain(value)

    @property
    def printed(self) -> str:
        """What the source prints."""
        return plain(self.value)


@dataclass(frozen=True)
class Formula(Exactly):
    """An expression with the text that the source prints for it, where that differs from our notation.

    >>> Formula(sympy.Symbol("n") + 1, "(logn)+1").printed
    '(logn)+1'
    """

    text: str = ""

    @property
    def printed(self) -> str:
        """The text of the source."""
        return self.text


@dataclass(frozen=True)
class Rounded:
    """Equal to the printed digits: `text` is the number as printed, in units of `unit`, called `suffix`.

    A value half way between two printed numbers agrees with both.

    >>> Rounded("0.025", unit=10**9).holds(25_214_976), Rounded("27", unit=1000, suffix="K tokens").show(7637)
    (True, '7.637K tokens')
    """

    text: str
    unit: int = 1
    suffix: str = ""

    def holds(self, value: Any) -> bool:
        """Say whether `value` rounds to what is printed."""
        printed = Decimal(self.text.replace(",", ""))
        exponent = printed.as_tuple().exponent
        half = Decimal(5).scaleb(int(exponent) - 1)
        return abs(exact(value) / self.unit - printed) <= half

    def show(self, value: Any) -> str:
        """Write the value with two digits more than the source prints, less trailing zeros."""
        exponent = Decimal(self.text.replace(",", "")).as_tuple().exponent
        digits = max(0, -int(exponent)) + (0 if self.unit == 1 and isinstance(value, int) else 3)
        text = f"{exact(value) / self.unit:,.{digits}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text) + self.suffix

    @property
    def printed(self) -> str:
        """What the source prints."""
        return self.text + self.suffix


@dataclass(frozen=True)
class Near(Rounded):
    """Within a tenth of the printed number and on the side that its word says: `over` or `nearly`.

    >>> Near("100", 10**9, word="nearly").holds(103 * 10**9), Near("1.6", 10**9, word="over").holds(1_613_758_464)
    (False, True)
    """

    word: str = "nearly"

    def holds(self, value: Any) -> bool:
        """Say whether `value` is on the right side of the printed number, by a tenth at the most."""
        ratio = exact(value) / self.unit / Decimal(self.text)
        return Decimal(1) < ratio <= Decimal("1.1") if self.word == "over" else Decimal("0.9") <= ratio < Decimal(1)

    @property
    def printed(self) -> str:
        """What the source prints, with its word."""
        return f"{self.word} {self.text}{self.suffix}"


@dataclass(frozen=True)
class Between:
    """Within the range that `words` stand for, ends included, in units of `unit`.

    >>> Between("512-1024 tokens", 512, 1024).holds(1536), Between("double-digit ms", 9, 99, suffix=" ms").show(131.94)
    (False, '131.94 ms')
    """

    words: str
    low: int
    high: int
    unit: int = 1
    suffix: str = ""

    def holds(self, value: Any) -> bool:
        """Say whether `value` lies in the range."""
        return self.low <= exact(value) / self.unit <= self.high

    def show(self, value: Any) -> str:
        """Write the value in the unit of the range."""
        return f"{float(exact(value) / self.unit):,.6g}{self.suffix}"

    @property
    def printed(self) -> str:
        """The words of the source."""
        return self.words


@dataclass(frozen=True)
class Row:
    """Several printed values of one row of a table; each is held against its own computed one.

    >>> Row(Exactly(4), Rounded("0.3")).holds((4, 0.29)), Row(Exactly(4), Exactly(5)).show((4, 6))
    (True, '4 | 6')
    """

    checks: tuple[Check, ...]

    def __init__(self, *checks: Check) -> None:
        object.__setattr__(self, "checks", checks)

    def holds(self, value: Any) -> bool:
        """Say whether every value of the row agrees."""
        return all(check.holds(part) for check, part in zip(self.checks, value, strict=True))

    def show(self, value: Any) -> str:
        """Write the values side by side."""
        return " | ".join(check.show(part) for check, part in zip(self.checks, value, strict=True))

    @property
    def printed(self) -> str:
        """The row as printed."""
        return " | ".join(check.printed for check in self.checks)


@dataclass(frozen=True)
class Says:
    """A statement in words, which is true or not; the computed side is a truth and the numbers that make it so.

    >>> Says("quadruples").holds((True, "×4")), Says("quadruples").show((False, "×3"))
    (True, 'no: ×3')
    """

    words: str

    def holds(self, value: Any) -> bool:
        """Say whether the statement is true."""
        return bool(value[0])

    def show(self, value: Any) -> str:
        """Write the numbers behind the truth."""
        return f"{'yes' if value[0] else 'no'}: {value[1]}"

    @property
    def printed(self) -> str:
        """The words of the source."""
        return self.words


def exact(value: Any) -> Decimal:
    """Return a number as a decimal to 40 digits; fractions and SymPy numbers included."""
    number = sympy.sympify(value)
    return Decimal(str(number)) if number.is_Integer else Decimal(str(sympy.N(number, 40)))


def plain(value: Any) -> str:
    """Write whole numbers with separators, expressions with ^ and ·, anything else as it prints.

    >>> plain(sympy.Integer(10**6)), plain(2 * sympy.Symbol("n") ** 2), plain("O(n)")
    ('1,000,000', '2·n^2', 'O(n)')
    """
    if isinstance(value, tuple):
        return ", ".join(map(plain, value))
    number = isinstance(value, int) or getattr(value, "is_Integer", False)
    return f"{int(value):,}" if number else str(value).replace("**", "^").replace("*", "·")
