"""The parser of the notation: text → Program. The printer is its inverse."""

import re
from dataclasses import dataclass, field
from typing import NoReturn

import sympy

from attometer.errors import AttometerError, nearest
from attometer.program import masks
from attometer.program.expression import (
    COMPOSITES,
    FUNCTIONS,
    REDUCTIONS,
    SORTS,
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
from attometer.program.program import ROLES, Declaration, Program
from attometer.program.size_expressions import to_size
from attometer.program.sizes import as_size

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<op>//|[-+*/%()\[\],=:&|~]))"
)
_MAX_TEXT = 200_000
_MAX_DEPTH = 60
_ALONG = (*REDUCTIONS, *COMPOSITES, *SORTS)


def parse(text: str) -> Program:
    """Read a Program from its notation, one statement or declaration a line; `#` starts a comment.

    Args:
        text: the notation.

    Returns:
        The Program; `parse(str(program)) == program`.

    Raises:
        AttometerError: naming line, column and what was expected, or the rule that the program breaks.

    >>> print(parse("Y[i,k] = A[i,j] * B[j,k]"))
    Y[i,k] = A[i,j] * B[j,k]
    """
    if len(text) > _MAX_TEXT:
        raise AttometerError(f"notation is {len(text)} characters long; the limit is {_MAX_TEXT}")
    axes: list[tuple[str, sympy.Expr]] = []
    declarations: list[Declaration] = []
    statements: list[Statement] = []
    for number, line in enumerate(text.splitlines(), start=1):
        reader = _Line(number, line.split("#", 1)[0])
        if reader.at_end():
            continue
        if reader.peek() == "axis" and reader.peek(1) not in ("[", "="):
            axes.extend(reader.axes())
        elif reader.peek() in ROLES and reader.peek(1) not in ("[", "="):
            declarations.extend(reader.declarations())
        else:
            statements.append(reader.statement())
    return Program(tuple(statements), tuple(axes), tuple(declarations))


@dataclass
class _Line:
    """A cursor over the tokens of one line."""

    number: int
    text: str
    tokens: list[tuple[str, str, int]] = field(default_factory=list)
    at: int = 0
    depth: int = 0

    def __post_init__(self) -> None:
        position, end = 0, len(self.text.rstrip())
        while position < end:
            match = _TOKEN.match(self.text, position)
            if match is None:
                self.fail(f"unexpected character {self.text[position:].strip()[0]!r}", position)
            kind = str(match.lastgroup)
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()

    def fail(self, what: str, column: int | None = None) -> NoReturn:
        place = (
            column if column is not None else self.tokens[self.at][2] if self.at < len(self.tokens) else len(self.text)
        )
        raise AttometerError(f"notation line {self.number}, column {place + 1}: {what}")

    def at_end(self) -> bool:
        return self.at >= len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead][1] if self.at + ahead < len(self.tokens) else ""

    def take(self, expected: str) -> None:
        if self.peek() != expected:
            self.fail(f'expected "{expected}", got {self._here()}')
        self.at += 1

    def skip(self, token: str) -> bool:
        found = self.peek() == token
        self.at += found
        return found

    def name(self, what: str) -> str:
        if self.at_end() or self.tokens[self.at][0] != "name":
            self.fail(f"expected {what}, got {self._here()}")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def end(self) -> None:
        if not self.at_end():
            self.fail(f"unexpected {self._here()}")

    def _here(self) -> str:
        return f'"{self.peek()}"' if not self.at_end() else "the end of the line"

    def axes(self) -> list[tuple[str, sympy.Expr]]:
        self.take("axis")
        found = []
        while True:
            name = self.name("an axis name")
            self.take(":")
            found.append((name, as_size(to_size(self.sum()), f'size of axis "{name}"')))
            if not self.skip(","):
                break
        self.end()
        return found

    def declarations(self) -> list[Declaration]:
        role = self.name("a role")
        found = []
        while True:
            name = self.name("a tensor name")
            found.append(Declaration(role, name, self.plain_indices()))
            if not self.skip(","):
                break
        self.end()
        return found

    def plain_indices(self) -> tuple[str, ...]:
        if not self.skip("["):
            return ()
        names = []
        while not self.skip("]"):
            names.append(self.name("an index name"))
            if self.peek() != "]":
                self.take(",")
        return tuple(names)

    def statement(self) -> Statement:
        tensor = self.name("a tensor name")
        indices = self.plain_indices()
        self.take("=")
        expression = self.sum()
        where = self.where() if self.skip("where") else None
        associative = self.skip("associative")
        self.end()
        return Statement(tensor, indices, expression, where, associative)

    def sum(self) -> Expression:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"expression nested deeper than {_MAX_DEPTH}")
        left = self.product()
        while self.peek() in ("+", "-"):
            op = self.peek()
            self.at += 1
            left = Binary(op, left, self.product())
        self.depth -= 1
        return left

    def product(self) -> Expression:
        left = self.unary()
        while self.peek() in ("*", "/", "//", "%"):
            op = self.peek()
            self.at += 1
            left = Binary(op, left, self.unary())
        return left

    def unary(self) -> Expression:
        negations = 0
        while self.skip("-"):
            negations += 1
            if negations > _MAX_DEPTH:
                self.fail(f"expression nested deeper than {_MAX_DEPTH}")
        node = self.atom()
        for _ in range(negations):
            node = Negative(node)
        return node

    def atom(self) -> Expression:
        if self.skip("("):
            inner = self.sum()
            self.take(")")
            return inner
        if not self.at_end() and self.tokens[self.at][0] == "number":
            self.at += 1
            literal = self.tokens[self.at - 1][1]
            value = float(literal)
            if value > 1e300:
                self.fail(f"number {literal[:20]} is too large", self.tokens[self.at - 1][2])
            return Number(int(literal) if literal.isdigit() else value)
        name = self.name("a tensor, size, number or function")
        if self.peek() == "[":
            return self.along(name) if name in _ALONG else Ref(name, self.indices())
        return self.call(name) if self.peek() == "(" else Name(name)

    def indices(self) -> tuple[Expression, ...]:
        self.take("[")
        found = []
        while not self.skip("]"):
            found.append(self.sum())
            if self.peek() != "]":
                self.take(",")
        return tuple(found)

    def along(self, function: str) -> Expression:
        column = self.tokens[self.at - 1][2]
        inside = self.indices()
        if not inside or not isinstance(inside[0], Name):
            self.fail(f"{function} needs the index it runs along, as in {function}[j](X)", column)
        if len(inside) != (2 if function == "topk" else 1):
            self.fail(
                f"{function} takes {'an index and a count' if function == 'topk' else 'one index'} in brackets", column
            )
        self.take("(")
        argument = self.sum()
        self.take(")")
        return Along(function, inside[0].name, tuple(inside[1:]), argument)

    def call(self, function: str) -> Expression:
        column = self.tokens[self.at - 1][2]
        if function != "pos" and function not in FUNCTIONS:
            hint = (
                f"; write {function}[j](X) to say along which index"
                if function in _ALONG
                else nearest(function, FUNCTIONS)
            )
            self.fail(f'unknown function "{function}"{hint}', column)
        self.take("(")
        if function == "pos":
            index = self.name("an index name")
            self.take(")")
            return Position(index)
        arguments = [self.sum()]
        while self.skip(","):
            arguments.append(self.sum())
        self.take(")")
        if len(arguments) != FUNCTIONS[function]:
            self.fail(f"{function} takes {FUNCTIONS[function]} argument(s), got {len(arguments)}", column)
        return Call(function, tuple(arguments))

    def where(self) -> Where:
        over: set[tuple[str, str]] = set()
        mask = self.mask_or(over)
        if len(over) != 1:
            self.fail("a mask must be over one pair of indices, got " + ", ".join(map(str, sorted(over))))
        query, key = over.pop()
        if query == key:
            self.fail(f'a mask needs two different indices, got "{query}" twice')
        return Where(mask, query, key)

    def mask_or(self, over: set[tuple[str, str]]) -> masks.Mask:
        left = self.mask_and(over)
        while self.skip("|"):
            left = left | self.mask_and(over)
        return left

    def mask_and(self, over: set[tuple[str, str]]) -> masks.Mask:
        left = self.mask_not(over)
        while self.skip("&"):
            left = left & self.mask_not(over)
        return left

    def mask_not(self, over: set[tuple[str, str]]) -> masks.Mask:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"mask nested deeper than {_MAX_DEPTH}")
        if self.skip("~"):
            found = ~self.mask_not(over)
        elif self.skip("("):
            found = self.mask_or(over)
            self.take(")")
        else:
            found = self.mask_atom(over)
        self.depth -= 1
        return found

    def mask_atom(self, over: set[tuple[str, str]]) -> masks.Mask:
        column = self.tokens[self.at][2] if not self.at_end() else len(self.text)
        name = self.name("a mask")
        if name not in masks.MASKS:
            self.fail(f'unknown mask "{name}"{nearest(name, masks.MASKS)}', column)
        self.take("(")
        query = self.name("the query index")
        self.take(",")
        over.add((query, self.name("the key index")))
        parameters = []
        while self.skip(","):
            parameters.append(self.mask_parameter())
        self.take(")")
        try:
            return masks.MASKS[name](*parameters)
        except (AttometerError, TypeError) as error:
            self.fail(f"{name}: {error}".replace("_()", "()"), column)

    def mask_parameter(self) -> object:
        if self.skip("*"):
            return None
        if not self.skip("["):
            value = to_size(self.sum())
            return int(value) if value.is_Integer else value
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"list nested deeper than {_MAX_DEPTH}")
        found = []
        while not self.skip("]"):
            found.append(self.mask_parameter())
            if self.peek() != "]":
                self.take(",")
        self.depth -= 1
        return found
