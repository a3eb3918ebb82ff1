"""What one point of an element-wise expression costs: its operations, and how far each operand is from the result."""

from collections import Counter

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
    children,
    factors_of,
)
from attometer.program.indices import indices_of

SCALARS = {"+": "add", "-": "sub", "*": "mul", "/": "div", "maximum": "max", "minimum": "min"}
"""What an operator or function counts as; any other function counts under its own name."""


def scalars(node: Expression) -> Counter[str]:
    """Return how many scalar operations of each kind one point takes; constants are folded before anything runs.

    >>> from attometer.program.expression import Binary, Call, Name, Ref
    >>> sorted(scalars(Call("exp", (Binary("/", Ref("S", ()), Name("d")),))).items())
    [('div', 1), ('exp', 1)]
    """
    return _visit(node)[0]


def heights(node: Expression) -> list[tuple[Ref, int]]:
    """Return each tensor reference with the number of operations between it and the result; positions count as operands."""
    return [(ref, height) for ref, height in _visit(node)[1] if ref is not None]


def height(node: Expression) -> int:
    """Return the operations on the longest path through the expression.

    >>> from attometer.program.expression import Binary, Call, Ref
    >>> height(Call("exp", (Binary("-", Ref("S", ()), Ref("m", ())),)))
    2
    """
    return max((h for _, h in _visit(node)[1]), default=0)


_Visit = tuple[Counter[str], list[tuple[Ref | None, int]]]


def _visit(node: Expression) -> _Visit:
    match node:
        case Number() | Name():
            return Counter(), []
        case Position():
            return Counter(), [(None, 0)]
        case Ref():
            return Counter(), [(node, 0)]
        case Negative(operand=operand):
            return _apply("neg", [_visit(operand)])
        case Call(function=function, arguments=arguments):
            return _apply(function, [_visit(a) for a in arguments])
        case Binary(op="+" | "*" as op):
            return _tree(op, [_visit(t) for t in _terms(node, op)])
        case Binary(op=op, left=left, right=right):
            return _apply(op, [_visit(left), _visit(right)])
    raise AttometerError(f"{type(node).__name__.lower()} has no element-wise cost")


def outer_products(node: Expression) -> int:
    """Return how many products of an expression join two tensors, each with an index that the other lacks.

    >>> from attometer.program.expression_reader import read_expression
    >>> outer_products(read_expression("S[t, d, e] + k[t, d] * v[t, e]")), outer_products(read_expression("x[t, d] * c[t]"))
    (1, 0)
    """
    if not (isinstance(node, Binary) and node.op in ("*", "/")):
        return sum(map(outer_products, children(node))) if not isinstance(node, Ref) else 0
    factors = factors_of(node)
    held = [set(indices_of(f)) for inverse, f in factors if not inverse and isinstance(f, Ref)]
    apart = [a | b for k, a in enumerate(held) for b in held[k + 1 :] if a - b and b - a]
    # Where a third has all those indices, entries are scaled: X[i,d] * r[i] * G[d].
    found = int(bool(apart) and not any(some <= other for some in apart for other in held))
    return found + sum(outer_products(f) for _, f in factors)


def _apply(function: str, parts: list[_Visit]) -> _Visit:
    leaves = [(ref, h + 1) for _, found in parts for ref, h in found]
    # Without a leaf that varies it is a constant.
    own = Counter([SCALARS.get(function, function)]) if leaves else Counter[str]()
    return sum((tally for tally, _ in parts), own), leaves


def _tree(op: str, parts: list[_Visit]) -> _Visit:
    """A chain of one associative operation as a balanced tree; all its constants are one operand."""
    varying = [p for p in parts if p[1]]
    level: list[_Visit] = varying + ([(Counter(), [])] if varying and len(varying) < len(parts) else [])
    while len(level) > 1:
        joined = [_apply(op, [a, b]) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = joined + ([level[-1]] if len(level) % 2 else [])
    return level[0] if level else (Counter(), [])


def _terms(node: Expression, op: str) -> list[Expression]:
    if isinstance(node, Binary) and node.op == op:
        return _terms(node.left, op) + _terms(node.right, op)
    return [node]
