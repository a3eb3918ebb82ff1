"""Sizes are SymPy positive integers: symbols such as `n`, numbers, and exact integer functions of them."""

from functools import lru_cache
from typing import Any, TypeAlias

import sympy

from attometer.errors import AttometerError

Size: TypeAlias = sympy.Expr | int

LARGEST = 10**18
"""No axis is longer: a larger number is a mistake, and would only slow every count down."""


@lru_cache(maxsize=4096)
def size(name: str) -> sympy.Symbol:
    """Return the positive integer symbol called `name`.

    >>> size("n") * size("n")
    n**2
    """
    if not name.isidentifier():
        raise AttometerError(f'size name "{name}" is not an identifier')
    return sympy.Symbol(name, integer=True, positive=True)


class clog2(sympy.Function):  # type: ignore[misc]  # SymPy is untyped
    """`⌈log2 k⌉`: the depth of a balanced tree over k leaves, exact for integers.

    >>> clog2(sympy.Integer(9)), clog2(sympy.Integer(1))
    (4, 0)
    """

    is_integer = True
    is_nonnegative = True

    @classmethod
    def eval(cls, k: Any) -> Any:
        """Evaluate exactly when `k` is an integer."""
        if k.is_Integer:
            return sympy.Integer((int(k) - 1).bit_length()) if k > 0 else sympy.Integer(0)
        return None

    def _sympystr(self, printer: Any) -> str:
        return f"⌈log2({printer._print(self.args[0])})⌉"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"\left\lceil \log_2 {printer.parenthesize(self.args[0], 60)} \right\rceil{power}"


class scan_work(sympy.Function):  # type: ignore[misc]  # SymPy is untyped
    """Combines in a work-efficient parallel prefix over k elements: sum of floor(k / 2^s) - 1 over s (Ladner & Fischer 1980).

    >>> [int(scan_work(sympy.Integer(k))) for k in (1, 2, 3, 4, 8)]
    [0, 1, 2, 4, 11]
    """

    is_integer = True
    is_nonnegative = True

    @classmethod
    def eval(cls, k: Any) -> Any:
        """Evaluate exactly when `k` is an integer."""
        if k.is_Integer:
            count = int(k)
            return sympy.Integer(sum((count >> s) - 1 for s in range(max(count, 1).bit_length())) if count > 0 else 0)
        return None


class scan_depth(sympy.Function):  # type: ignore[misc]  # SymPy is untyped
    """Levels of the work-efficient parallel prefix over k elements: about 2 log2 k (Ladner & Fischer 1980).

    >>> [int(scan_depth(sympy.Integer(k))) for k in (1, 2, 3, 4, 8, 12, 16)]
    [0, 1, 2, 2, 4, 5, 6]
    """

    is_integer = True
    is_nonnegative = True

    @classmethod
    def eval(cls, k: Any) -> Any:
        """Evaluate exactly when `k` is an integer."""
        return sympy.Integer(_scan_depth(int(k))) if k.is_Integer else None


@lru_cache(maxsize=4096)
def _scan_depth(k: int) -> int:
    if k < 2:
        return 0
    # The last odd element waits for the prefix before it: one level more than its pair.
    filled = 0 if k < 3 else 2 + _scan_depth((k - 1) // 2)
    return max(1 + _scan_depth(k // 2), filled)


def as_size(value: Size, what: str = "size") -> sympy.Expr:
    """Return `value` as a SymPy expression; a number must be a positive integer.

    Raises AttometerError naming `what` otherwise.

    >>> as_size(3) + 1
    4
    """
    if isinstance(value, bool) or not isinstance(value, int | sympy.Expr):
        raise AttometerError(f"{what} must be a positive integer or a size symbol, got {value!r}")
    expression = sympy.Integer(value) if isinstance(value, int) else value
    if expression.is_number and not (expression.is_integer and expression.is_positive):
        raise AttometerError(f"{what} must be a positive integer, got {value!s:.60}")
    if expression.is_nonpositive or expression.is_real is False:
        raise AttometerError(f"{what} must be positive, got {value!s:.60}")
    if expression.is_Integer and expression > LARGEST:
        raise AttometerError(f"{what} must be at most 10^18, got a number of {len(str(int(expression)))} digits")
    return expression


def size_text(value: sympy.Expr) -> str:
    """Return a size in the notation.

    >>> size_text(sympy.floor(sympy.Symbol("n") / 2))
    'n // 2'
    """
    return _size_text(value, 0)


def _size_text(value: sympy.Expr, level: int) -> str:
    if isinstance(value, sympy.floor):
        return _bracketed_above(2, level, _floor_text(value.args[0]))
    if value.is_Add:
        text = " + ".join(_size_text(a, 1) for a in value.as_ordered_terms()).replace("+ -", "- ")
        return _bracketed_above(1, level, text)
    if value.is_Pow and value.exp.is_Rational and value.exp > 0:
        if not value.exp.is_Integer:
            return f"sqrt({_size_text(value.base ** (2 * value.exp), 0)})"
        return _bracketed_above(2, level, " * ".join([_size_text(value.base, 3)] * int(value.exp)))
    if value.is_Mul or value.is_Pow or value.is_Rational:
        first, rest = _steps(value)
        return _bracketed_above(2 if rest else 3, level, first + "".join(f" {op} {x}" for op, x in rest))
    return str(value)


def _bracketed_above(own: int, level: int, text: str) -> str:
    return f"({text})" if level > own else text


def _floor_text(argument: sympy.Expr) -> str:
    first, rest = _steps(argument)
    if not rest or rest[-1][0] == "*":
        rest = [*rest, ("/", "1")]
    return first + "".join(f" {op} {x}" for op, x in rest[:-1]) + f" // {rest[-1][1]}"


def _steps(value: sympy.Expr) -> tuple[str, list[tuple[str, str]]]:
    """Return the text of the first factor, sign included, then each further one with * or / before it, to apply in order."""
    number, rest = value.as_coeff_Mul()
    factors = [] if rest == 1 else rest.as_ordered_factors()
    below = [f for f in factors if f.is_Pow and f.exp.is_Rational and f.exp < 0]
    above = [f for f in factors if f not in below]
    steps = [("*", _size_text(f, 3)) for f in above] + [("/", _size_text(1 / f, 3)) for f in below]
    size = [("*", str(abs(number.p)))] if abs(number.p) != 1 or not above else []
    # SymPy multiplies a number into a sum that it meets first; met last, it stays outside.
    steps = [*steps, *size] if any(f.is_Add for f in above) else [*size, *steps]
    steps += [("/", str(number.q))] if number.q != 1 else []
    return "-" * (number.p < 0) + steps[0][1], steps[1:]
