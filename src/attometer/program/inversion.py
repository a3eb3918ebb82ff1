"""Where an index expression is undone: which indices of a statement lead to place x of the tensor that it reads."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref, walk
from attometer.program.expression_reader import read_expression
from attometer.program.printer import expression_text
from attometer.program.size_expressions import size_in
from attometer.sizes import size_text


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
        left: list[tuple[Expression, Expression]] = [(part, Name(self.own[k])) for k, part in parts.items()]
        while left:
            part, target = left.pop(0)
            match part:
                case Binary(op="//" | "/", left=whole, right=divisor):
                    rest = Binary("%", whole, divisor)
                    pair = next((k for k, (other, _) in enumerate(left) if other == rest), None)
                    if pair is not None:
                        part, target = whole, Binary("+", Binary("*", target, divisor), left.pop(pair)[1])
            self.solve(part, target)

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
                rest = self.rest(size_in(right, self.size_of))
                self.solve(left, Binary("+", Binary("*", target, right), rest))
            case Binary(op="%", left=left, right=right):
                rest = self.rest(self.extent(left) / size_in(right, self.size_of))
                self.solve(left, Binary("+", Binary("*", rest, right), target))
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
            case [(one, coefficient), (other, sign)] if (
                sign in (1, -1)
                and self.extent(other) == coefficient
                and constant == (0 if sign == 1 else coefficient - 1)
            ):
                rest = Binary("%", target, _size(coefficient))
                self.solve(one, Binary("//", target, _size(coefficient)))
                self.solve(other, rest if sign == 1 else Binary("-", _size(constant), rest))
            case [(one, 1), (other, sign)] if sign in (1, -1) and isinstance(other, Name):
                self.solve(one, Binary("-" if sign == 1 else "+", moved, other))
            case _:
                raise AttometerError(f'the index "{expression_text(part)}" cannot be undone')

    def terms(self, part: Expression) -> tuple[list[tuple[Expression, sympy.Expr]], sympy.Expr]:
        """Return the parts with indices, each with what it is multiplied by, and the constant."""
        if not self.indices(part):
            return [], size_in(part, self.size_of)
        match part:
            case Binary(op="+" | "-" as op, left=left, right=right):
                (some, one), (more, other) = self.terms(left), self.terms(right)
                sign = 1 if op == "+" else -1
                return [*some, *((node, sign * c) for node, c in more)], one + sign * other
            case Binary(op="*", left=left, right=right) if not self.indices(right):
                times = size_in(right, self.size_of)
                terms, constant = self.terms(left)
                return [(node, c * times) for node, c in terms], constant * times
        return [(part, sympy.Integer(1))], sympy.Integer(0)

    def stay_inside(self, factors: list[Expression]) -> None:
        """Add what is 0 where an index that was shifted leaves its axis, unless one of `factors`, being 0 there, says so."""
        told = {name for f in factors if isinstance(f, Ref) for part in f.indices for name in self.indices(part)}
        for name, target in self.found.items():
            within = any(n.name in self.axes for n in walk(target) if isinstance(n, Name))
            if name not in told and isinstance(target, Binary) and target.op in "+-" and not within:
                place, end = self.value(target), _size(self.size_of(name))
                self.only += [Call("less", (Negative(Number(1)), place)), Call("less", (place, end))]

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


def _minus(target: Expression | sympy.Expr, other: Expression | sympy.Expr) -> Expression:
    left = target if not isinstance(target, sympy.Basic) else _size(target)
    if isinstance(other, sympy.Basic):
        if other == 0:
            return left
        if other.is_negative:
            return Binary("+", left, _size(-other))
        other = _size(other)
    return Binary("-", left, other)
