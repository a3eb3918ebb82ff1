"""Masks written as comparisons of indices, `j <= i & i - j < w`: which masks of the catalogue they are."""

from collections.abc import Callable
from dataclasses import dataclass

import sympy

from attometer.errors import AttometerError
from attometer.masks import And, Band, Mask, Or, Strict, block_causal, chunked, prefix, strict, strided
from attometer.program.expression import Binary, Call, Expression, Name, Number, Position, Ref, walk
from attometer.program.printer import expression_text
from attometer.program.size_expressions import to_size

FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
"""Comparisons, and what each is read from the right."""

_NONE = (
    "; masks are conditions on i - j, j, (i - j) % s and on chunks i // c and j // c, or named: causal, window, band, "
    "global, fixed, document, random, block"
)


@dataclass(frozen=True)
class Comparison:
    """`left op right`, with op one of < <= > >= == !=."""

    op: str
    left: Expression
    right: Expression

    def names(self) -> set[str]:
        """Return the names that are compared, indices and sizes."""
        nodes = [n for side in (self.left, self.right) for n in walk(side)]
        return {n.name for n in nodes if isinstance(n, Name)} | {n.index for n in nodes if isinstance(n, Position)}

    def text(self) -> str:
        """Return it as it is written."""
        return f"{expression_text(self.left)} {self.op} {expression_text(self.right)}"


@dataclass(frozen=True)
class Pair:
    """A query and a key index, the sizes of their axes, and sizes by name."""

    query: str
    key: str
    size_of: Callable[[str], sympy.Expr]

    @property
    def ahead(self) -> sympy.Expr:
        """How far a query's position is ahead of its index: m - n."""
        return self.size_of(self.key) - self.size_of(self.query)

    def mask(self, comparison: Comparison) -> Mask:
        """Return the mask that allows the pairs of which `comparison` holds.

        Raises AttometerError where no mask of the catalogue is that, naming those that exist.
        """
        op, left, right = comparison.op, comparison.left, comparison.right
        if any(isinstance(n, Ref) for side in (left, right) for n in walk(side)):
            raise AttometerError(
                f'"{comparison.text()}" depends on data; a mask that data decide is a product with equal(a, b) or less(a, b)'
            )
        if isinstance(right, Call):
            op, left, right = FLIPPED[op], right, left
        if isinstance(left, Call) and left.function == "abs" and op in ("<", "<=", ">", ">="):
            inside, below = left.arguments[0], {"<": "<", "<=": "<=", ">": "<=", ">=": "<"}[op]
            negative = Binary("-", Number(0), right)
            found = both(
                self.mask(Comparison(below, inside, right)), self.mask(Comparison(FLIPPED[below], inside, negative))
            )
            return found if below == op else ~found
        found_or_none = self.chunks(op, left, right) or self.stride(op, left, right) or self.distance(op, left, right)
        if found_or_none is None:
            raise AttometerError(
                f'"{comparison.text()}" is no mask of the notation over {self.query} and {self.key}{_NONE}'
            )
        return found_or_none

    def linear(self, node: Expression) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr] | None:
        """Return how often `node` has the query's position and the key, and the rest; None of what is not linear in them."""
        q, k = sympy.Dummy(integer=True), sympy.Dummy(integer=True)
        at = {n: self.size_of(n) for n in _names(node)} | {self.query: q, self.key: k}
        try:
            value = sympy.expand(to_size(_plain(node), at))
        except AttometerError:
            return None
        one, other = value.coeff(q), value.coeff(k)
        rest = sympy.expand(value - one * q - other * k)
        if rest.has(q) or rest.has(k) or not (one.is_Integer and other.is_Integer):
            return None
        return one, other, rest - one * self.ahead

    def distance(self, op: str, left: Expression, right: Expression) -> Mask | None:
        """Return the mask of `i - j <= w` and the like, and of `j < p`."""
        found = self.linear(Binary("-", left, right))
        if found is None:
            return None
        one, other, rest = found
        if (one, other) in ((-1, 1), (0, -1)):
            one, other, rest, op = -one, -other, -rest, FLIPPED[op]
        if (one, other) == (1, -1):
            return _compared(op, -rest, self.at_most)
        if (one, other) != (0, 1):
            return None
        # The first key has none before it.
        op = {"==": "<=", "!=": ">"}.get(op, op) if rest == 0 else op
        return _compared(op, -rest, lambda last: prefix(last + 1))

    def at_most(self, distance: sympy.Expr) -> Mask:
        """Return the pairs of p - j <= distance."""
        if distance.is_nonnegative:
            return Band(_number(distance), None)
        if (-1 - distance).is_nonnegative:
            return ~Band(None, _number(-1 - distance))
        ahead = f"{self.key} <= {self.query} + {self.ahead}"
        told = f"; of n queries and m keys the last of both meet, so that causal is {ahead}" if self.ahead != 0 else ""
        raise AttometerError(f"whether {distance} is negative depends on sizes{told}")

    def chunks(self, op: str, left: Expression, right: Expression) -> Mask | None:
        """Return the mask of `j // c <= i // c` and the like."""
        match left, right:
            case Binary(op="//", left=one, right=c), Binary(op="//", left=other, right=same) if c == same:
                pass
            case _:
                return None
        found = self.linear(one), self.linear(other)
        if found == ((0, 1, 0), (1, 0, 0)):
            op = FLIPPED[op]
        elif found != ((1, 0, 0), (0, 1, 0)):
            return None
        size = to_size(c, {n: self.size_of(n) for n in _names(c)})
        own, before = chunked(size), block_causal(size)
        return {
            "==": own, "!=": ~own, ">=": before, "<": ~before, ">": before & ~own, "<=": ~before | own,
        }[op]  # fmt: skip

    def stride(self, op: str, left: Expression, right: Expression) -> Mask | None:
        """Return the mask of `(i - j) % s == 0`."""
        if op not in ("==", "!=") or right != Number(0) or not (isinstance(left, Binary) and left.op == "%"):
            return None
        found = self.linear(left.left)
        if found not in ((1, -1, 0), (-1, 1, 0)):
            return None
        mask = strided(to_size(left.right, {n: self.size_of(n) for n in _names(left.right)}))
        return mask if op == "==" else ~mask


def both(one: Mask, other: Mask) -> Mask:
    """Return the pairs of both; two one-sided bands are one band, `j <= i & i - j < w` a window.

    >>> print(both(Band(None, 0), Band(3, None)))
    window(4)
    """
    if isinstance(one, Band) and isinstance(other, Band):
        sides = [[s for s in pair if s is not None] for pair in zip(one.reach, other.reach, strict=True)]
        if all(len(set(side)) < 2 for side in sides):
            left, right = (side[0] if side else None for side in sides)
            return Band(left, right)
    return one & other


def looks_back(mask: Mask) -> bool:
    """Return whether some part of a mask, as it stands, sees nothing after the query."""
    if isinstance(mask, And | Or):
        return any(map(looks_back, mask.parts))
    return isinstance(mask, Strict) or mask.looks_back


def _compared(op: str, bound: sympy.Expr, at_most: Callable[[sympy.Expr], Mask]) -> Mask:
    if op in ("==", "!="):
        at = both(at_most(bound), _not(at_most(bound - 1)))
        return at if op == "==" else ~at
    found = at_most(bound if op in ("<=", ">") else bound - 1)
    return found if op in ("<", "<=") else _not(found)


def _not(mask: Mask) -> Mask:
    return strict() if mask == Band(0, None) else ~mask


def _number(value: sympy.Expr) -> int | sympy.Expr:
    return int(value) if value.is_Integer else value


def _names(node: Expression) -> set[str]:
    return {n.name for n in walk(node) if isinstance(n, Name)}


def _plain(node: Expression) -> Expression:
    """Return `node` with positions as the indices that they number."""
    match node:
        case Position(index=index):
            return Name(index)
        case Binary(op=op, left=left, right=right):
            return Binary(op, _plain(left), _plain(right))
    return node
