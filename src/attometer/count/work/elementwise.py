"""What one point of an element-wise expression costs: its operations, and how far each operand is from the result."""

from attometer.errors import AttometerError
from attometer.program.expression import Binary, Call, Expression, Name, Negative, Number, Position, Ref


def operations(node: Expression) -> int:
    """Return the number of scalar operations per point; constants are folded before anything runs.

    >>> from attometer.program.expression import Binary, Name, Ref
    >>> operations(Binary("/", Ref("S", ()), Name("d")))
    1
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


_Visit = tuple[int, list[tuple[Ref | None, int]]]


def _visit(node: Expression) -> _Visit:
    match node:
        case Number() | Name():
            return 0, []
        case Position():
            return 0, [(None, 0)]
        case Ref():
            return 0, [(node, 0)]
        case Negative(operand=operand):
            return _apply([_visit(operand)])
        case Call(arguments=arguments):
            return _apply([_visit(a) for a in arguments])
        case Binary(op="+" | "*"):
            return _tree([_visit(t) for t in _terms(node, node.op)])
        case Binary(left=left, right=right):
            return _apply([_visit(left), _visit(right)])
    raise AttometerError(f"{type(node).__name__.lower()} has no element-wise cost")


def _apply(parts: list[_Visit]) -> _Visit:
    work = sum(w for w, _ in parts)
    leaves = [(ref, h + 1) for _, found in parts for ref, h in found]
    return (work + 1, leaves) if leaves else (0, [])


def _tree(parts: list[_Visit]) -> _Visit:
    """A chain of one associative operation as a balanced tree; all its constants are one operand."""
    varying = [p for p in parts if p[1]]
    level = varying + ([(0, [])] if varying and len(varying) < len(parts) else [])
    while len(level) > 1:
        joined = [_apply([a, b]) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = joined + ([level[-1]] if len(level) % 2 else [])
    return level[0] if level else (0, [])


def _terms(node: Expression, op: str) -> list[Expression]:
    if isinstance(node, Binary) and node.op == op:
        return _terms(node.left, op) + _terms(node.right, op)
    return [node]
