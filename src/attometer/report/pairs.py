"""Pair counts by a short name: a mask's formula would otherwise stand in every row of a cost table."""

from collections.abc import Mapping

import sympy

from attometer.program import Program
from attometer.view.numbers import formula


def pair_names(program: Program) -> dict[sympy.Expr, sympy.Symbol]:
    """Return a short symbol for each number of pairs that a mask of `program` allows.

    >>> from attometer.mechanisms import mechanism
    >>> pair_names(mechanism("softmax", causal=True).program)
    {n**2 - n*(n - 1)/2: pairs}
    """
    counts = dict.fromkeys(
        s.where.mask.pairs(program.size_of(s.where.query), program.size_of(s.where.key))
        for s in program.statements
        if s.where is not None
    )
    long = [c for c in counts if isinstance(c, sympy.Add | sympy.Function)]
    names = ["pairs"] if len(long) == 1 else [f"pairs{k}" for k in range(1, len(long) + 1)]
    return {c: sympy.Symbol(name, integer=True, nonnegative=True) for c, name in zip(long, names, strict=True)}


def legend(names: Mapping[sympy.Expr, sympy.Symbol]) -> tuple[str, ...]:
    """Return one sentence per short name.

    >>> n = sympy.Symbol("n")
    >>> legend({n * (n + 1) / 2: sympy.Symbol("pairs")})
    ('pairs = n (n + 1)/2, the (query, key) pairs that the mask allows',)
    """
    return tuple(
        f"{short} = {formula(count)}, the (query, key) pairs that the mask allows" for count, short in names.items()
    )


def shortened(expression: sympy.Expr, names: Mapping[sympy.Expr, sympy.Symbol]) -> sympy.Expr:
    """Return `expression` with pair counts written by their short names."""
    return expression.xreplace(dict(names))
