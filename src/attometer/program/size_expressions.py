"""Sizes inside the notation: a syntax tree that mentions only names and numbers, as a SymPy expression."""

from collections.abc import Mapping

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number
from attometer.program.sizes import size


def to_size(node: Expression, sizes: Mapping[str, sympy.Expr] | None = None) -> sympy.Expr:
    """Return `node` as a SymPy expression; a name is looked up in `sizes`, else it is the symbol of that name.

    Raises AttometerError when the tree mentions a tensor.

    >>> from attometer.program.expression import Name, Binary
    >>> to_size(Binary("/", Name("D"), Name("h")))
    D/h
    """
    match node:
        case Number(value=value):
            return sympy.Integer(value) if isinstance(value, int) else sympy.Float(value)
        case Name(name=name):
            return (sizes or {}).get(name, size(name))
        case Negative(operand=operand):
            return -to_size(operand, sizes)
        case Binary(op=op, left=left, right=right):
            return _binary(op, to_size(left, sizes), to_size(right, sizes))
        case Call(function="sqrt", arguments=(inner,)):
            return sympy.sqrt(to_size(inner, sizes))
    raise AttometerError(
        f"a size may use only names, numbers, + - * / // % and sqrt, got {type(node).__name__.lower()}"
    )


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
