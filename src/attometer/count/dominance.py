"""Which of several symbolic counts is the largest, for all positive integer sizes, when that can be told."""

from functools import reduce

import sympy

from attometer.program.sizes import clog2


def largest(*expressions: sympy.Expr) -> sympy.Expr:
    """Return the maximum, without a `Max` where one expression is at least the other term by term.

    >>> n = sympy.Symbol("n", integer=True, positive=True)
    >>> largest(n, n + 2, sympy.Integer(1))
    n + 2
    """
    return reduce(_larger, expressions, sympy.Integer(0))


def _larger(one: sympy.Expr, other: sympy.Expr) -> sympy.Expr:
    if one == other or _never_negative(one - other):
        return one
    return other if _never_negative(other - one) else sympy.Max(one, other)


def _never_negative(difference: sympy.Expr) -> bool:
    if difference.is_nonnegative:
        return True
    terms = sympy.Add.make_args(sympy.expand(difference))
    if all(_sign(t) >= 0 for t in terms):
        return True
    # Every positive integer size is at least 1, every logarithm at least 0: constants may be covered by sizes.
    constant = sum((t for t in terms if t.is_number), sympy.Integer(0))
    rest = [t for t in terms if not t.is_number]
    return all(_sign(t) >= 0 for t in rest) and constant + sum(_least(t) for t in rest) >= 0


def _sign(term: sympy.Expr) -> int:
    coefficient, _ = term.as_coeff_Mul()
    return 1 if coefficient > 0 else -1 if coefficient < 0 else 0


def _least(term: sympy.Expr) -> sympy.Expr:
    if term.has(clog2) or term.has(sympy.Function) or term.has(sympy.Min):
        return sympy.Integer(0)
    return term.as_coeff_Mul()[0]
