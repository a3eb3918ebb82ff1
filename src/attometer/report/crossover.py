"""Crossovers: the length at which one cost overtakes another, solved from the two formulas and checked on exact counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import lcm
from typing import Any

import sympy
from sympy import Integer, Max, Min

from attometer.program import size
from attometer.view.numbers import exact, formula
from attometer.view.printed import Printed

N = size("n")
# Beyond this length no crossing is looked for: a million million tokens.
LONGEST = 10**12
SOLVED = "exact root of the difference of the two formulas"
BISECTION = "bisection of exact counts between powers of two"
# Counting the pairs of random keys takes time in proportion to the length, so the search for a change of sign ends here.
_BISECTED_TO = 14


@dataclass(frozen=True)
class Crossover(Printed):
    """A length at which `first` overtakes `second`, or the other way round.

    Attributes:
        first, second: the names of what is compared.
        convention: what is counted.
        symbolic: the crossing as an expression in other sizes, None where it has no such form.
        root: the exact crossing at the sizes given, an integer or an algebraic number; the first of several equal lengths.
        below, above: the nearest lengths around it at which the costs differ.
        counts: (length, first's count, second's count) at below, at the crossing when it is an integer, and above.
        method: how it was found.
    """

    first: str
    second: str
    convention: str
    symbolic: sympy.Expr | None
    root: sympy.Expr
    below: int
    above: int
    counts: tuple[tuple[int, Any, Any], ...]
    method: str

    @property
    def cheaper_below(self) -> str:
        """The name of the one that costs less on shorter sequences."""
        _, one, other = self.counts[0]
        return self.first if one < other else self.second

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; counts are exact."""
        counts = [{"n": n, self.first: _plain(a), self.second: _plain(b)} for n, a, b in self.counts]
        return {
            "first": self.first,
            "second": self.second,
            "convention": self.convention,
            "symbolic": None if self.symbolic is None else str(self.symbolic),
            "root": str(self.root),
            "below": self.below,
            "above": self.above,
            "cheaper_below": self.cheaper_below,
            "counts": counts,
            "method": self.method,
        }

    @property
    def where(self) -> str:
        """The crossing in words: an expression and its number, or the lengths it lies between."""
        if self.method == BISECTION and not self.root.is_Integer:
            return f"between n = {self.below:,} and {self.above:,}"
        if self.above - self.below > 2:
            return f"from n = {self.below + 1:,} to {self.above - 1:,}"
        symbols = "" if self.symbolic is None or self.symbolic.is_number else f"{formula(self.symbolic)} = "
        return f"at n = {symbols}{exact(self.root) if self.root.is_Integer else f'{float(self.root):,.2f}'}"

    def __str__(self) -> str:
        dearer = self.second if self.cheaper_below == self.first else self.first
        return f"{self.first} = {self.second} {self.where}: {self.cheaper_below} costs less below, {dearer} above"


def crossovers(
    first: tuple[str, sympy.Expr],
    second: tuple[str, sympy.Expr],
    sizes: dict[sympy.Symbol, int],
    convention: str = "flop",
) -> tuple[Crossover, ...]:
    """Solve `first = second` for the length n.

    Args:
        first, second: a name and its cost, an expression in n and other sizes.
        sizes: numbers for the other sizes.
        convention: what the costs count, for the report.

    Returns:
        The crossings, shortest first, each verified: the exact counts are ordered one way just below and the other way
        just above. Empty when the two never cross.

    >>> n, d = size("n"), size("d")
    >>> for found in crossovers(("attention", 4 * n**2 * d), ("rnn", 4 * n * d**2), {d: 768}):
    ...     print(found)
    attention = rnn at n = d = 768: attention costs less below, rnn above
    """
    numbers = {s: Integer(v) for s, v in sizes.items() if s != N}
    difference = sympy.expand((first[1] - second[1]).xreplace(numbers))
    symbolic = _symbolic(first[1] - second[1])
    found = []
    for root, below, above, method in _found(difference):
        chosen = next((s for s in symbolic if s.xreplace(numbers) == root), None)
        points = sorted({below, *([int(root)] if root.is_Integer else []), above})
        counts = tuple((n, *(_at(cost, numbers, n) for _, cost in (first, second))) for n in points)
        found.append(Crossover(first[0], second[0], convention, chosen, root, below, above, counts, method))
    return tuple(found)


def _at(cost: sympy.Expr, numbers: dict[sympy.Symbol, sympy.Expr], n: int) -> sympy.Expr:
    return cost.xreplace({**numbers, N: Integer(n)})


def _plain(value: sympy.Expr) -> int | float:
    return int(value) if value.is_Integer else float(value)


def _found(difference: sympy.Expr) -> Iterator[tuple[sympy.Expr, int, int, str]]:
    """Yield root, neighbouring lengths of opposite sign and method of every crossing, shortest first."""
    if _opaque(difference):
        for below, above in _bisected(difference):
            step = _step(difference)
            yield (
                Integer(below + step) if above - below > step else below + sympy.Rational(1, 2), below, above, BISECTION,
            )  # fmt: skip
        return
    for root in _roots(difference):
        below, above = (
            (int(root) - 1, int(root) + 1) if root.is_Integer else (int(sympy.floor(root)), int(sympy.ceiling(root)))
        )
        if below >= 1 and _value(difference, below) * _value(difference, above) < 0:
            yield root, below, above, SOLVED


def _symbolic(difference: sympy.Expr) -> tuple[sympy.Expr, ...]:
    """Return the positive solutions for n as expressions, where the costs are polynomials of low degree."""
    if difference.has(Min, Max) or difference.atoms(sympy.Function):
        return ()
    top = sympy.numer(sympy.together(difference))
    solutions = []
    for factor, _ in sympy.factor_list(top)[1]:
        if factor.has(N) and 0 < sympy.degree(factor, N) <= 2:
            solutions += [sympy.simplify(s) for s in sympy.roots(sympy.Poly(factor, N))]
    return tuple(s for s in solutions if s.is_positive is not False)


def _roots(difference: sympy.Expr) -> list[sympy.Expr]:
    """Return the positive roots in n, isolated exactly on each piece on which the difference is a polynomial."""
    pieces = _pieces(difference, Integer(1), Integer(LONGEST))
    found = [root for low, high, piece in pieces for root in _real_roots(piece) if low <= root <= high]
    return list(dict.fromkeys(found))


def _real_roots(piece: sympy.Expr) -> list[sympy.Expr]:
    top = sympy.numer(sympy.together(piece))
    if not top.has(N):
        return []
    # real_roots isolates the roots of an integer polynomial exactly; a multiple root is named once.
    return list(dict.fromkeys(sympy.real_roots(sympy.Poly(top, N), multiple=True)))


def _pieces(
    expression: sympy.Expr, low: sympy.Expr, high: sympy.Expr
) -> Iterator[tuple[sympy.Expr, sympy.Expr, sympy.Expr]]:
    """Split (low, high) where a minimum or maximum changes its winner; on each part the expression is a polynomial in n."""
    choice = next((c for c in expression.atoms(Min, Max) if not any(a.has(Min, Max) for a in c.args)), None)
    if choice is None:
        yield low, high, expression
        return
    arguments = list(choice.args)
    ties = {r for k, a in enumerate(arguments) for b in arguments[k + 1 :] for r in _real_roots(sympy.expand(a - b))}
    edges = [low, *sorted(t for t in ties if low < t < high), high]
    for start, end in pairwise(edges):
        middle = (start + end) / 2
        pick = min if isinstance(choice, Min) else max
        winner = pick(arguments, key=lambda a, at=middle: a.xreplace({N: at}))  # type: ignore[misc]
        yield from _pieces(sympy.expand(expression.xreplace({choice: winner})), start, end)


def searched_to(difference: sympy.Expr) -> str:
    """Return up to which length a crossover was looked for, or nothing when every length was.

    >>> searched_to(size("n") ** 2 - size("d")), searched_to(sympy.floor(size("n") / 2))
    ('', ' up to n = 16,384')
    """
    return f" up to n = {2**_BISECTED_TO:,}" if _opaque(difference) else ""


def _opaque(difference: sympy.Expr) -> bool:
    """Whether a difference holds counts that are not polynomials on pieces: roundings, or pairs that are counted."""
    return bool(difference.atoms(sympy.Function) - difference.atoms(Min, Max))


def _bisected(difference: sympy.Expr) -> Iterator[tuple[int, int]]:
    """Yield neighbouring lengths of opposite sign, with none but equal costs between them."""
    step = _step(difference)
    signed = [
        (k, _value(difference, k)) for k in (step * 2**e for e in range(_BISECTED_TO + 1)) if k <= 2**_BISECTED_TO
    ]
    for (low, at_low), (high, at_high) in pairwise((k, v) for k, v in signed if v != 0):
        if at_low * at_high < 0:
            below = _last(difference, low, high, step, lambda value, sign=at_low: value * sign > 0)  # type: ignore[misc]
            yield below, step + _last(difference, below, high, step, lambda value, sign=at_low: value * sign >= 0)  # type: ignore[misc]


def _step(difference: sympy.Expr) -> int:
    """Return the number of which a length must be a multiple for the counts to have a value: whole chunks."""
    step, value = 1, _value(difference, 1)
    while fractions := [f.args[0].q for f in value.atoms(sympy.Function) if f.args[0].is_Rational]:
        step *= lcm(*fractions)
        value = _value(difference, step)
    return step


def _last(difference: sympy.Expr, low: int, high: int, step: int, holds: Callable[[sympy.Expr], bool]) -> int:
    """Return the last multiple of `step` before `high` at which the exact difference `holds`, by halving."""
    while high - low > step:
        middle = (low + high) // step // 2 * step
        low, high = (middle, high) if holds(_value(difference, middle)) else (low, middle)
    return low


def _value(difference: sympy.Expr, n: int) -> sympy.Expr:
    counted = {f: _counted(f, n) for f in difference.atoms(sympy.Function) if hasattr(f.func, "mask")}
    return difference.xreplace(counted).xreplace({N: Integer(n)})


@lru_cache(maxsize=4096)
def _counted(pairs: sympy.Expr, n: int) -> sympy.Expr:
    """The same mask is counted at the same lengths for every pair of mechanisms."""
    return pairs.xreplace({N: Integer(n)})
