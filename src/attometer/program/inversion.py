"""Where an index expression is undone: which indices of a statement lead to place x of the tensor that it reads."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from itertools import permutations, starmap
from typing import TypeAlias

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    rewritten,
    walk,
)
from attometer.program.expression_reader import read_expression
from attometer.program.printer import expression_text
from attometer.program.size_expressions import size_in
from attometer.sizes import size_text

Place: TypeAlias = tuple[Expression, Expression]
"""An index expression of a statement, and the place of the tensor that it is."""


@dataclass
class Inversion:
    """How the indices of a statement follow from the places of a tensor that it reads.

    `context` are the statement's indices, `own` the tensor's. `found` gives an index as an expression in the tensor's own
    and in `axes`, new indices that are summed; `only` are factors, 1 at the places that are read and 0 elsewhere.
    """

    size_of: Callable[[str], sympy.Expr]
    context: tuple[str, ...]
    own: tuple[str, ...]
    new_axis: Callable[[sympy.Expr], str]
    found: dict[str, Expression] = field(default_factory=dict)
    only: list[Expression] = field(default_factory=list)
    axes: list[str] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Whether every index is an index of the tensor."""
        return all(isinstance(target, Name) for target in self.found.values())

    def solve_all(self, parts: Mapping[int, Expression]) -> None:
        """Find the indices for which each of `parts` is the tensor's own; quotient and remainder of one index are one place."""
        left = [self.shifted(part, Name(self.own[k])) for k, part in parts.items()]
        while joined := next(filter(None, starmap(self.joined, permutations(left, 2))), None):
            high, low, whole = joined
            left = [whole, *(each for each in left if each not in (high, low))]
        for part, target in left:
            self.solve(part, target)
        for name in reversed([*self.found]):  # an index may have been found by another that was found later
            self.found[name] = self.undone(self.found[name])
        self.only = [self.substituted(factor) for factor in self.only]

    def shifted(self, part: Expression, target: Expression) -> Place:
        """Bring what is added to a quotient or a remainder to the other side."""
        match self.terms(part):
            case [(Binary(op="//" | "/" | "%") as own, 1)], constant:
                return own, _minus(target, constant)
        return part, target

    def joined(self, quotient: Place, remainder: Place) -> tuple[Place, Place, Place] | None:
        """Return both with the one place that they are digits of: x // m and x % m, or x // (y m) and x // y % m."""
        match quotient, remainder:
            case (Binary(op="//" | "/", left=whole, right=divisor), high), (
                Binary(op="%", left=of, right=modulus),
                low,
            ):
                inner = of.right if isinstance(of, Binary) and of.op in ("//", "/") and of.left == whole else Number(1)
                if whole in (of, getattr(of, "left", None)) and self.size(divisor) == self.size(inner) * self.size(
                    modulus
                ):
                    return (
                        quotient,
                        remainder,
                        (of, Binary("+", Binary("*", high, modulus), self.inside(low, self.size(modulus)))),
                    )
        return None

    def inside(self, target: Expression, extent: sympy.Expr) -> Expression:
        """Return `target`, a place of `extent`; what is read is 0 where it is none, if it can be none."""
        low, high = self.reach(target)
        if not low.is_nonnegative:
            self.only.append(Call("less", (Negative(Number(1)), self.value(target))))
        if not sympy.expand(extent - 1 - high).is_nonnegative:
            self.only.append(Call("less", (self.value(target), _number(extent))))
        return target

    def reach(self, target: Expression) -> tuple[sympy.Expr, sympy.Expr]:
        """Return the least and the largest value of a place, as far as they are known; an extent divided is one of whole numbers."""
        if not any(n.name in (*self.context, *self.own, *self.axes) for n in walk(target) if isinstance(n, Name)):
            return (self.size(target),) * 2
        match target:
            case Name(name=name):
                return sympy.Integer(0), self.size_of(name) - 1
            case Binary(op="+" | "-" as op, left=left, right=right):
                (low, high), (least, most) = self.reach(left), self.reach(right)
                return (low + least, high + most) if op == "+" else (low - most, high - least)
            case Binary(op="*", left=left, right=right):
                low, high = self.reach(left)
                return low * self.size(right), high * self.size(right)
            case Binary(op="//" | "/", left=left, right=right):
                low, high = self.reach(left)
                least = sympy.Integer(0) if low.is_nonnegative else sympy.floor(low / self.size(right))
                return least, (high + 1) / self.size(right) - 1
            case Binary(op="%", right=right):
                return sympy.Integer(0), self.size(right) - 1
        return -sympy.oo, sympy.oo

    def solve(self, part: Expression, target: Expression) -> None:
        """Find the indices for which `part` is `target`."""
        known = all(name in self.found for name in self.indices(part))
        if known:
            # A fixed place, or an index that another axis has told.
            self.only.append(Call("equal", (self.value(target), self.value(_in_index(part, self)))))
            return
        match part:
            case Name(name=name):
                self.found[name] = target
            case Negative(operand=operand):
                self.solve(operand, Negative(target))
            case Binary(op="//" | "/", left=left, right=right):
                rest = self.rest(self.size(right))
                self.solve(left, Binary("+", Binary("*", target, right), rest))
            case Binary(op="%", left=left, right=right):
                rest = self.rest(self.extent(left) / self.size(right))
                self.solve(left, Binary("+", Binary("*", rest, right), self.inside(target, self.size(right))))
            case Binary(op="+" | "-" | "*"):
                self.linear(part, target)
            case _:
                raise AttometerError(f'the index "{expression_text(part)}" cannot be undone')

    def rest(self, extent: sympy.Expr) -> Name:
        """Return a new index of `extent` values."""
        self.axes.append(self.new_axis(extent))
        return Name(self.axes[-1])

    def linear(self, part: Expression, target: Expression) -> None:
        """Solve a sum of multiples of indices."""
        terms, constant = self.terms(part)
        moved = _minus(target, constant)
        match sorted(terms, key=lambda term: term[1] in (1, -1)):
            case [(own, coefficient)] if coefficient in (1, -1):
                self.solve(own, moved if coefficient == 1 else _minus(_size(constant), target))
            case [(own, coefficient)] if coefficient.is_positive:
                self.only.append(Call("equal", (self.value(Binary("%", moved, _size(coefficient))), Number(0))))
                self.solve(own, Binary("//", moved, _size(coefficient)))
            case [(one, coefficient), (other, 1)] if (coefficient - self.extent(other)).is_nonnegative:
                quotient, rest = _divided(target, constant, coefficient)
                self.solve(one, quotient)
                self.solve(other, rest)
            case [(one, coefficient), (other, -1)] if self.extent(other) == coefficient == constant + 1:
                self.solve(one, Binary("//", target, _size(coefficient)))
                self.solve(other, Binary("-", _size(constant), Binary("%", target, _size(coefficient))))
            case [(one, 1), (other, sign)] if sign in (1, -1) and isinstance(other, Name):
                self.solve(one, Binary("-" if sign == 1 else "+", moved, other))
            case _:
                raise AttometerError(f'the index "{expression_text(part)}" cannot be undone')

    def terms(self, part: Expression) -> tuple[list[tuple[Expression, sympy.Expr]], sympy.Expr]:
        """Return the parts with indices, each with what it is multiplied by, and the constant."""
        if not self.indices(part):
            return [], self.size(part)
        match part:
            case Binary(op="+" | "-" as op, left=left, right=right):
                (some, one), (more, other) = self.terms(left), self.terms(right)
                sign = 1 if op == "+" else -1
                return [*some, *((node, sign * c) for node, c in more)], one + sign * other
            case Binary(op="*", left=left, right=right) if not self.indices(right):
                times = self.size(right)
                terms, constant = self.terms(left)
                return [(node, c * times) for node, c in terms], constant * times
        return [(part, sympy.Integer(1))], sympy.Integer(0)

    def stay_inside(self, factors: list[Expression]) -> None:
        """Add what is 0 where an index leaves its axis, unless one of `factors`, being 0 there, says so."""
        told = {part.name for f in factors if isinstance(f, Ref) for part in f.indices if isinstance(part, Name)}
        for name, target in self.found.items():
            if name not in told:
                self.inside(target, self.size_of(name))

    def rename(self, names: Mapping[str, str]) -> None:
        """Rename indices in all that was found; those of the statement that were not found are found to be their new names."""

        def change(node: Expression) -> Expression:
            if isinstance(node, Position):
                return Position(names.get(node.index, node.index))
            return Name(names.get(node.name, node.name)) if isinstance(node, Name) else node

        self.found = {index: rewritten(target, change) for index, target in self.found.items()}
        self.found |= {index: Name(new) for index, new in names.items() if index in self.context}
        self.only = [rewritten(factor, change) for factor in self.only]
        self.own = tuple(names.get(index, index) for index in self.own)

    def repeated(self, factors: list[Expression]) -> list[Expression]:
        """Return the extents of the new indices that stand in none of `factors`."""
        named = {
            n.name if isinstance(n, Name) else n.index
            for f in factors
            for n in walk(f)
            if isinstance(n, Name | Position)
        }
        return [_number(self.size_of(axis)) for axis in self.axes if axis not in named]

    def value(self, part: Expression) -> Expression:
        """Return an index expression as a number."""
        return as_value(part, {*self.context, *self.own, *self.axes})

    def substituted(self, node: Expression) -> Expression:
        """Return `node` with the indices that were found put in, inside brackets and under `pos`."""
        match node:
            case Ref(tensor=tensor, indices=parts):
                return Ref(tensor, tuple(_in_index(part, self) for part in parts))
            case Position(index=index):
                return self.value(self.found[index]) if index in self.found else node
            case Negative(operand=operand):
                return Negative(self.substituted(operand))
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.substituted(left), self.substituted(right))
            case Call(function=function, arguments=arguments):
                return Call(function, tuple(self.substituted(a) for a in arguments))
        return node

    def undone(self, part: Expression) -> Expression:
        """Return an index expression with the indices that were found put in."""
        return _in_index(part, self)

    def size(self, part: Expression) -> sympy.Expr:
        """Return an expression of sizes."""
        return size_in(part, self.size_of)

    def indices(self, part: Expression) -> list[str]:
        """Return the indices of the statement that `part` names."""
        return [n.name for n in walk(part) if isinstance(n, Name) and n.name in self.context]

    def extent(self, part: Expression) -> sympy.Expr:
        """Return how many values an index expression takes, where it is a plain index."""
        if isinstance(part, Name):
            return self.size_of(part.name)
        raise AttometerError(f'the index "{expression_text(part)}" cannot be undone')


def _in_index(part: Expression, solved: Inversion) -> Expression:
    match part:
        case Name(name=name):
            return solved.found.get(name, part)
        case Ref():
            return solved.substituted(part)
        case Negative(operand=operand):
            return Negative(_in_index(operand, solved))
        case Binary(op="+" | "-" as op, left=left, right=right):
            return Binary(op, _in_index(left, solved), _in_index(right, solved))
        case Binary(op=op, left=left, right=right):
            # What multiplies or divides is a size.
            return Binary(op, _in_index(left, solved), right)
    return part


def as_value(part: Expression, indices: Container[str]) -> Expression:
    """Return an index expression as a number of the statement; a name that is no index is a size.

    >>> expression_text(as_value(Binary("//", Name("i"), Name("B")), {"i"}))
    'floor(pos(i) / B)'
    """
    match part:
        case Name(name=name):
            return Position(name) if name in indices else part
        case Negative(operand=operand):
            return Negative(as_value(operand, indices))
        case Binary(op="+" | "-" as op, left=left, right=right):
            return Binary(op, as_value(left, indices), as_value(right, indices))
        case Binary(op="*", left=left, right=right):
            return Binary("*", as_value(left, indices), right)
        case Binary(op="/" | "//", left=left, right=right):
            return Call("floor", (Binary("/", as_value(left, indices), right),))
        case Binary(op="%", left=left, right=right):
            whole = Call("floor", (Binary("/", as_value(left, indices), right),))
            return Binary("-", as_value(left, indices), Binary("*", right, whole))
    return part


def _size(value: sympy.Expr) -> Expression:
    return read_expression(size_text(sympy.sympify(value)))


def _number(value: sympy.Expr) -> Expression:
    """Return a size as a number of the statement, where // stands between places alone."""
    node = _size(value)
    return as_value(node, ()) if any(isinstance(n, Binary) and n.op == "//" for n in walk(node)) else node


def _divided(target: Expression, constant: sympy.Expr, divisor: sympy.Expr) -> tuple[Expression, Expression]:
    """Return quotient and remainder of target - constant; a place from which a size is taken is none in the notation."""
    if constant.is_Integer:
        whole, of = _minus(target, constant), _size(divisor)
        return Binary("//", whole, of), Binary("%", whole, of)
    ratio = divisor / constant
    if not ratio.is_Rational:
        raise AttometerError(
            f"an index that is moved by {size_text(constant)} in steps of {size_text(divisor)} cannot be undone"
        )
    part, steps = _size(constant / ratio.q), Number(int(ratio.p))
    whole = Binary("-", Binary("//", target, part), Number(int(ratio.q)))
    return Binary("//", whole, steps), Binary(
        "+", Binary("*", Binary("%", whole, steps), part), Binary("%", target, part)
    )


def _minus(target: Expression | sympy.Expr, other: Expression | sympy.Expr) -> Expression:
    left = target if not isinstance(target, sympy.Basic) else _size(target)
    if isinstance(other, sympy.Basic):
        if other == 0:
            return left
        if other.is_negative:
            return Binary("+", left, _size(-other))
        other = _size(other)
    return Binary("-", left, other)
