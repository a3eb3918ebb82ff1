"""The printer of the notation: Program → text that parses back to the same Program."""

from itertools import groupby

import sympy

from attometer.masks.relations import (
    And,
    Band,
    Block,
    Chunked,
    Document,
    Fixed,
    Global,
    Mask,
    Not,
    Or,
    Prefix,
    Random,
    Strided,
)
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


def size_text(value: sympy.Expr) -> str:
    """Return a size in the notation.

    >>> size_text(sympy.floor(sympy.Symbol("n") / 2))
    'n // 2'
    """
    return _size_text(value, 0)


def _size_text(value: sympy.Expr, level: int) -> str:
    if isinstance(value, sympy.floor):
        return _bracketed_above(2, level, _floor_text(value.args[0]))
    if value.is_Add:
        text = " + ".join(_size_text(a, 1) for a in value.as_ordered_terms()).replace("+ -", "- ")
        return _bracketed_above(1, level, text)
    if value.is_Pow and value.exp.is_Rational and value.exp > 0:
        if not value.exp.is_Integer:
            return f"sqrt({_size_text(value.base ** (2 * value.exp), 0)})"
        return _bracketed_above(2, level, " * ".join([_size_text(value.base, 3)] * int(value.exp)))
    if value.is_Mul or value.is_Pow or value.is_Rational:
        first, rest = _steps(value)
        return _bracketed_above(2 if rest else 3, level, first + "".join(f" {op} {x}" for op, x in rest))
    return str(value)


def _bracketed_above(own: int, level: int, text: str) -> str:
    return f"({text})" if level > own else text


def _floor_text(argument: sympy.Expr) -> str:
    first, rest = _steps(argument)
    if not rest or rest[-1][0] == "*":
        rest = [*rest, ("/", "1")]
    return first + "".join(f" {op} {x}" for op, x in rest[:-1]) + f" // {rest[-1][1]}"


def _steps(value: sympy.Expr) -> tuple[str, list[tuple[str, str]]]:
    """Return the text of the first factor, sign included, then each further one with * or / before it, to apply in order."""
    number, rest = value.as_coeff_Mul()
    factors = [] if rest == 1 else rest.as_ordered_factors()
    below = [f for f in factors if f.is_Pow and f.exp.is_Rational and f.exp < 0]
    above = [f for f in factors if f not in below]
    steps = [("*", _size_text(f, 3)) for f in above] + [("/", _size_text(1 / f, 3)) for f in below]
    size = [("*", str(abs(number.p)))] if abs(number.p) != 1 or not above else []
    # SymPy multiplies a number into a sum that it meets first; met last, it stays outside.
    steps = [*steps, *size] if any(f.is_Add for f in above) else [*size, *steps]
    steps += [("/", str(number.q))] if number.q != 1 else []
    return "-" * (number.p < 0) + steps[0][1], steps[1:]


def where_text(where: Where) -> str:
    """Return a mask over its indices in the notation.

    >>> from attometer.masks.catalogue import causal, window
    >>> where_text(Where(causal() & window(4), "i", "j"))
    'causal(i, j) & window(i, j, 4)'
    """
    return _mask_text(where.mask, f"{where.query}, {where.key}", 0)


def _mask_text(mask: Mask, over: str, level: int) -> str:
    match mask:
        case Or(parts=parts):
            text = " | ".join(_mask_text(p, over, 1) for p in parts)
            return f"({text})" if level > 0 else text
        case And(parts=parts):
            text = " & ".join(_mask_text(p, over, 2) for p in parts)
            return f"({text})" if level > 1 else text
        case Not(part=part):
            return f"~{_mask_text(part, over, 2)}"
    name, parameters = _atom(mask)
    return f"{name}({', '.join((over, *parameters))})"


def _atom(mask: Mask) -> tuple[str, tuple[str, ...]]:
    match mask:
        case Band(left=None, right=0):
            return "causal", ()
        case Band(left=left, right=0) if left is not None:
            return "window", (_parameter(left + 1),)
        case Band(left=left, right=right):
            return "band", tuple("*" if x is None else _parameter(x) for x in (left, right))
        case Global(count=x):
            return "global", (_parameter(x),)
        case Prefix(count=x):
            return "prefix", (_parameter(x),)
        case Strided(stride=x):
            return "strided", (_parameter(x),)
        case Chunked(chunk=x):
            return "chunked", (_parameter(x),)
        case Fixed(stride=x, summary=c):
            return "fixed", (_parameter(x), _parameter(c))
        case Random(count=count, seed=seed):
            return "random", (str(count), str(seed))
        case Document(lengths=lengths):
            return "document", (f"[{', '.join(map(str, lengths))}]",)
        case Block(block=block, layout=layout):
            rows = ", ".join(f"[{', '.join(map(str, row))}]" for row in layout)
            return "block", (str(block), f"[{rows}]")
    raise TypeError(f"no notation for {type(mask).__name__}")


def _parameter(value: int | sympy.Expr) -> str:
    return size_text(sympy.sympify(value))


def program_text(program: Program) -> str:
    """Return a whole program in the notation."""
    lines = []
    if program.axes:
        lines.append("axis " + ", ".join(f"{name}: {size_text(value)}" for name, value in program.axes))
    for role, group in groupby(program.declarations, key=lambda d: d.role):
        lines.append(f"{role} " + ", ".join(f"{d.tensor}{bracketed(d.indices)}" for d in group))
    return "\n".join([*lines, *map(statement_text, program.statements)])
