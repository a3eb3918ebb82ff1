"""Closed forms of path length, read off a Program's mask or recurrence; the search in `path_length` checks them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy
from sympy import Integer, Rational, ceiling

from attometer.count.paths.dependence import POSITIONS
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.program.operations import Einsum, Recurrence, Reduce, Sort
from attometer.program.program import Program
from attometer.sizes import size
from attometer.view.printed import Printed


@dataclass(frozen=True)
class PathFormula(Printed):
    """Longest and mean hops between positions as expressions in n, and other conventions in use for the mean.

    `short_longest` and `short_mean` are written with the names that `where` explains; `longest` and `mean` in full.
    `directions` says which ordered pairs are averaged: those back in time, or both ways.
    """

    short_longest: sympy.Expr
    short_mean: sympy.Expr
    directions: str
    where: tuple[tuple[sympy.Symbol, sympy.Expr], ...] = ()
    conventions: tuple[tuple[str, sympy.Expr], ...] = ()

    @property
    def longest(self) -> sympy.Expr:
        """Hops of the farthest pair."""
        return self.short_longest.xreplace(dict(self.where))

    @property
    def mean(self) -> sympy.Expr:
        """Average hops over the pairs."""
        return self.short_mean.xreplace(dict(self.where))

    def at(self, n: int, **sizes: int) -> tuple[int, Fraction]:
        """Return longest and mean at sizes, exactly.

        Raises AttometerError naming a size that is missing.

        >>> from attometer.mechanisms import mechanism
        >>> path_length_formula(mechanism("sliding_window")).at(4096, w=1024)
        (5, Fraction(40343, 21504))
        """
        numbers = {size(name): sympy.Integer(value) for name, value in {"n": n, **sizes}.items()}
        longest, mean = self.longest.xreplace(numbers), self.mean.xreplace(numbers)
        missing = longest.free_symbols | mean.free_symbols
        if missing:
            raise AttometerError(f"path length needs size {', '.join(sorted(map(str, missing)))}; pass it")
        return int(longest), Fraction(int(mean.p), int(mean.q))

    def __str__(self) -> str:
        longest = str(self.short_longest)
        if isinstance(self.short_longest, sympy.Piecewise):
            (fewer, when), (longest, _) = self.short_longest.args
            longest = f"{longest} ({fewer} when {when.lhs} = {when.rhs})"
        text = f"longest {longest}, mean {self.short_mean} over pairs {self.directions}"
        text += "".join(f"; {name} = {value}" for name, value in self.where)
        return text + "".join(f"; {source} says mean {value}" for source, value in self.conventions)


def path_length_formula(subject: Any) -> PathFormula | None:
    """Return the closed form of a program's path length, or None when none is known.

    Known: attention with all or all earlier keys, windows and bands, any pattern with global tokens, the Sparse
    Transformer's two patterns, sums over all positions, and plain recurrences.

    Raises AttometerError when `subject` is not a Program or a mechanism.

    >>> from attometer.program import parse
    >>> print(path_length_formula(parse("axis t: n" + chr(10) + "H[t] = tanh(H[t-1] + X[t])")))
    longest n - 1, mean n/3 + 1/3 over pairs back in time; Brenndoerfer 2025 says mean n/2 - 1/2
    """
    program = getattr(subject, "program", subject)
    if not isinstance(program, Program):
        raise AttometerError(f"path length takes a Program or a mechanism, got {type(subject).__name__}")
    if any(isinstance(op, Sort) for op in program.operations) or not _maps_positions(program):
        return None
    masks = _masks(program)
    recurrences = [op for op in program.operations if isinstance(op, Recurrence)]
    if recurrences:
        return _RECURRENCE if not masks and all(op.length in POSITIONS for op in recurrences) else None
    if not masks:
        return _EVERYTHING if _sums_positions(program) else None
    return _of_mask(masks.pop()) if len(masks) == 1 else None


def _maps_positions(program: Program) -> bool:
    """Return whether the program takes n positions to n positions; a decode step or a sum does not."""
    return any(e in POSITIONS for t in program.outputs for e in t.extents)


def _masks(program: Program) -> set[Mask]:
    """Return the masks over positions: those whose two axes both have n of them."""
    found = {s.where for s in program.statements if s.where is not None}
    return {w.mask for w in found if {program.size_of(w.query), program.size_of(w.key)} <= set(POSITIONS)}


def _sums_positions(program: Program) -> bool:
    return any(
        dict(op.extents)[index] in POSITIONS
        for op in program.operations
        if isinstance(op, Einsum | Reduce)
        for index in op.summed
    )


_N = size("n")
_BACK, _BOTH = "back in time", "both ways"
_EVERYTHING = PathFormula(Integer(1), Integer(1), _BOTH)
_ARTICLE = ("Brenndoerfer 2025", (_N - 1) * Rational(1, 2))
_RECURRENCE = PathFormula(_N - 1, (_N + 1) * Rational(1, 3), _BACK, conventions=(_ARTICLE,))


def _of_mask(mask: Mask) -> PathFormula | None:
    if mask.reach is not None:
        return _band(*mask.reach)
    if mask.hub:
        # Every token sees a global token, and is seen by it; a token that saw not itself would be counted wrongly.
        return _two_hops(mask, _N * (_N - 1), _BOTH) if mask.sees_itself else None
    return _two_hops(mask, _N * (_N - 1) / 2, _BACK) if mask.back_in_two() else None


def _two_hops(mask: Mask, pairs: sympy.Expr, directions: str) -> PathFormula:
    """Return the form of a pattern that joins any pair in two hops; the P pairs it allows, in one."""
    joined = sympy.Symbol("P", integer=True, nonnegative=True)
    longest = sympy.Piecewise((Integer(1), sympy.Eq(joined, pairs)), (Integer(2), True))
    return PathFormula(longest, 2 - joined / pairs, directions, ((joined, mask.pairs(_N) - _N),))


def _band(left: Any, right: Any) -> PathFormula | None:
    """Return the form of a band: a hop moves at most `left` back in time, `right` forward; None is any distance."""
    ways = [(sympy.sympify(reach), name) for reach, name in ((left, "q"), (right, "s")) if reach is None or reach != 0]
    if not ways:
        return None
    if len(ways) == 2 and left == right:
        ways = ways[:1]
    where = tuple((_hops(name), ceiling((_N - 1) / reach)) for reach, name in ways if reach is not None)
    longest = sympy.Max(*(Integer(1) if reach is None else _hops(name) for reach, name in ways))
    mean = sympy.Add(*(_mean_one_way(reach, name) for reach, name in ways)) / len(ways)
    both = left != 0 and right != 0
    return PathFormula(longest, mean, _BOTH if both else _BACK if left != 0 else "forward in time", where)


def _hops(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, integer=True, positive=True)


def _mean_one_way(reach: sympy.Expr | None, name: str) -> sympy.Expr:
    """Return the mean of ceil(distance / reach) over the n(n-1)/2 pairs in one direction; q hops reach the farthest."""
    if reach is None:
        return Integer(1)
    # Sum over t < q of the (n-1-tr)(n-tr)/2 pairs farther apart than t r.
    q = _hops(name)
    return q - reach * q * (q - 1) * (3 * (2 * _N - 1) - reach * (2 * q - 1)) / (6 * _N * (_N - 1))
