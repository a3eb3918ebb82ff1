"""Sizes inside the notation: a syntax tree that mentions only names and numbers, as a SymPy expression."""

from collections.abc import Callable, Mapping

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import MAX_HEIGHT, Binary, Call, Expression, Name, Negative, Number, height, walk
from attometer.sizes import size

_LARGEST = 10**30


def to_size(node: Expression, sizes: Mapping[str, sympy.Expr] | None = None) -> sympy.Expr:
    """Return `node` as a SymPy expression; a name is looked up in `sizes`, else it is the symbol of that name.

    Raises AttometerError when the tree mentions a tensor.

    >>> from attometer.program.expression import Name, Binary
    >>> to_size(Binary("/", Name("D"), Name("h")))
    D/h
    """
    if height(node) > MAX_HEIGHT:
        raise AttometerError(f"a size is nested deeper than {MAX_HEIGHT}")
    return _value(node, sizes or {})


def size_in(node: Expression, size_of: Callable[[str], sympy.Expr]) -> sympy.Expr:
    """Return a size inside an index expression: a name is the size of the axis of that name.

    >>> from attometer.program.expression import Name
    >>> size_in(Name("c"), lambda name: size(name) * 2)
    2*c
    """
    return to_size(node, {n.name: size_of(n.name) for n in walk(node) if isinstance(n, Name)})


def _value(node: Expression, sizes: Mapping[str, sympy.Expr]) -> sympy.Expr:
    match node:
        case Number(value=value):
            # A decimal is the fraction it spells, so that sizes stay exact.
            return _bounded(sympy.Rational(repr(value)))
        case Name(name=name):
            return sizes.get(name, size(name))
        case Negative(operand=operand):
            return -_value(operand, sizes)
        case Binary(op=op, left=left, right=right):
            return _bounded(_binary(op, _value(left, sizes), _value(right, sizes)))
        case Call(function="sqrt", arguments=(inner,)):
            return sympy.sqrt(_value(inner, sizes))
    raise AttometerError(
        f"a size may use only names, numbers, + - * / // % and sqrt, got {type(node).__name__.lower()}"
    )


def _bounded(value: sympy.Expr) -> sympy.Expr:
    coefficient = value.as_coeff_Mul()[0]
    if coefficient.is_Rational and max(abs(coefficient.p), coefficient.q) > _LARGEST:
        raise AttometerError("a size holds a number above 10^30")
    return value


def _binary(op: str, left: sympy.Expr, right: sympy.Expr) -> sympy.Expr:
    if op in ("/", "//", "%") and right.is_zero:
        raise AttometerError("a size divides by zero")
    match op:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "//":
            return sympy.floor(left / right)
    return left - right * sympy.floor(left / right)
