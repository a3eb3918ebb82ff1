"""Which of several symbolic counts is the largest, for all positive integer sizes, when that can be told."""

from itertools import product
from math import prod

import sympy

from attometer.sizes import clog2, scan_depth


def largest(*expressions: sympy.Expr) -> sympy.Expr:
    """Return the maximum, without a `Max` where one expression is at least the other term by term.

    >>> n = sympy.Symbol("n", integer=True, positive=True)
    >>> largest(n, n + 2, sympy.Integer(1))
    n + 2
    """
    kept: list[sympy.Expr] = []
    for candidate in dict.fromkeys(a for e in (sympy.Integer(0), *expressions) for a in _alternatives(e)):
        if not any(_never_negative(other - candidate) for other in kept):
            kept = [other for other in kept if not _never_negative(candidate - other)] + [candidate]
    # Max would look for more relations among its arguments, which takes seconds for a dozen of them.
    return kept[0] if len(kept) == 1 else sympy.Max(*kept, evaluate=False)


_MOST_ALTERNATIVES = 64


def _alternatives(expression: sympy.Expr) -> list[sympy.Expr]:
    """Return expressions without an outer Max whose maximum is `expression`: Max(a, b) + c is a + c or b + c."""
    if isinstance(expression, sympy.Max):
        return [found for argument in expression.args for found in _alternatives(argument)]
    if not (isinstance(expression, sympy.Add) and any(isinstance(t, sympy.Max) for t in expression.args)):
        return [expression]
    choices = [_alternatives(t) for t in expression.args]
    if prod(map(len, choices)) > _MOST_ALTERNATIVES:
        return [expression]
    return [sympy.Add(*terms) for terms in product(*choices)]


def _never_negative(difference: sympy.Expr) -> bool:
    if difference.is_nonnegative:
        return True
    terms = tuple(map(_lower, sympy.Add.make_args(_without_near_scans(sympy.expand(difference)))))
    if all(_sign(t) >= 0 for t in terms):
        return True
    # Every positive integer size is at least 1, every logarithm at least 0: constants may be covered by sizes.
    constant = sum((t for t in terms if t.is_number), sympy.Integer(0))
    rest = [t for t in terms if not t.is_number]
    return all(_sign(t) >= 0 for t in rest) and constant + sum(_least(t) for t in rest) >= 0


def _without_near_scans(difference: sympy.Expr) -> sympy.Expr:
    """Return the least that a difference can be, as one more element makes a scan deeper by 0 or 1."""
    scans = difference.atoms(scan_depth)
    for longer in scans:
        shorter = scan_depth(longer.args[0] - 1)
        if shorter in scans:
            coefficient = difference.coeff(longer)
            difference += coefficient * (shorter - longer) + sympy.Min(coefficient, 0)
    return difference


def _lower(term: sympy.Expr) -> sympy.Expr:
    """Return what a term is at least: a factor of at most 1 (whether a read finds anything) is 1 where it is taken off."""
    if _sign(term) > 0 or not term.has(sympy.Min):
        return term
    return sympy.Mul(*(1 if isinstance(f, sympy.Min) and 1 in f.args else f for f in sympy.Mul.make_args(term)))


def _sign(term: sympy.Expr) -> int:
    coefficient, _ = term.as_coeff_Mul()
    return 1 if coefficient > 0 else -1 if coefficient < 0 else 0


def _least(term: sympy.Expr) -> sympy.Expr:
    if term.has(clog2) or term.has(sympy.Function) or term.has(sympy.Min):
        return sympy.Integer(0)
    return term.as_coeff_Mul()[0]
