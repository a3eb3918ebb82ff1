"""The printer of the notation: Program → text that parses back to the same Program."""

from itertools import groupby

from attometer.program.expression import (
    Along,
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    Statement,
    Where,
)
from attometer.program.program import Program
from attometer.sizes import size_text

_LEVEL = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}


def statement_text(statement: Statement) -> str:
    """Return one statement in the notation.

    >>> statement_text(Statement("Y", ("i",), Negative(Ref("X", (Name("i"),)))))
    'Y[i] = -X[i]'
    """
    text = f"{statement.tensor}{bracketed(statement.indices)} = {expression_text(statement.expression)}"
    if statement.where is not None:
        text += f"   where {where_text(statement.where)}"
    return text + ("   associative" if statement.associative else "")


def bracketed(indices: tuple[str, ...]) -> str:
    """Return `[i,j]`, or nothing for a scalar.

    >>> bracketed(("i", "j"))
    '[i,j]'
    """
    return f"[{','.join(indices)}]" if indices else ""


def expression_text(node: Expression, level: int = 0) -> str:
    """Return an expression with the fewest parentheses that keep its tree.

    >>> expression_text(Binary("-", Name("a"), Binary("-", Name("b"), Name("c"))))
    'a - (b - c)'
    """
    match node:
        case Number(value=value):
            return _number_text(value)
        case Name(name=name):
            return name
        case Ref(tensor=tensor, indices=indices):
            return f"{tensor}[{_index_list(indices)}]"
        case Position(index=index):
            return f"pos({index})"
        case Negative(operand=operand):
            return f"-{expression_text(operand, 3)}"
        case Binary(op=op, left=left, right=right):
            own = _LEVEL[op]
            text = f"{expression_text(left, own)} {op} {expression_text(right, own + 1)}"
            return f"({text})" if own < level else text
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(expression_text, arguments))})"
        case Along(function=function, index=index, parameters=parameters, argument=argument):
            inside = ", ".join((index, *map(expression_text, parameters)))
            return f"{function}[{inside}]({expression_text(argument)})"


def _number_text(value: int | float) -> str:
    return str(value) if isinstance(value, int) else repr(value).replace("e+", "e")


def _index_list(indices: tuple[Expression, ...]) -> str:
    texts = [expression_text(i) for i in indices]
    return (",".join if all(isinstance(i, Name) for i in indices) else ", ".join)(texts)


def where_text(where: Where) -> str:
    """Return a mask over its indices in the notation.

    >>> from attometer.masks import causal, window
    >>> where_text(Where(causal() & window(4), "i", "j"))
    'causal(i, j) & window(i, j, 4)'
    """
    return where.mask.text((where.query, where.key))


def program_text(program: Program) -> str:
    """Return a whole program in the notation."""
    lines = []
    if program.axes:
        lines.append("axis " + ", ".join(f"{name}: {size_text(value)}" for name, value in program.axes))
    for role, group in groupby(program.declarations, key=lambda d: d.role):
        lines.append(f"{role} " + ", ".join(f"{d.tensor}{bracketed(d.indices)}" for d in group))
    return "\n".join([*lines, *map(statement_text, program.statements)])
