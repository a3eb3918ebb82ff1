"""The parser of the notation: text → Program. The printer is its inverse."""

import sympy

from attometer.errors import AttometerError
from attometer.program.expression import Statement
from attometer.program.mask_reader import MaskReader
from attometer.program.program import ROLES, Declaration, Program
from attometer.program.size_expressions import to_size
from attometer.sizes import as_size

_MAX_TEXT = 200_000
_MAX_STATEMENTS = 2_000


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
    if not isinstance(text, str):
        raise AttometerError(f"notation must be text, got {type(text).__name__}")
    if len(text) > _MAX_TEXT:
        raise AttometerError(f"notation is {len(text)} characters long; the limit is {_MAX_TEXT}")
    axes: list[tuple[str, sympy.Expr]] = []
    declarations: list[Declaration] = []
    statements: list[Statement] = []
    lines = [_Line(number, line.split("#", 1)[0]) for number, line in enumerate(text.splitlines(), start=1)]
    for reader in lines:
        if reader.peek() == "axis" and reader.peek(1) not in ("[", "="):
            axes.extend(reader.axes())
    for reader in lines:
        if reader.at_end():
            continue
        reader.sizes = dict(axes)
        if reader.peek() in ROLES and reader.peek(1) not in ("[", "="):
            declarations.extend(reader.declarations())
        else:
            statements.append(reader.statement())
        if len(statements) > _MAX_STATEMENTS:
            reader.fail(f"more than {_MAX_STATEMENTS} statements", 0)
    return Program(tuple(statements), tuple(axes), tuple(declarations))


class _Line(MaskReader):
    """Reads the three kinds of line: axes, declarations and statements."""

    def axes(self) -> list[tuple[str, sympy.Expr]]:
        self.take("axis")
        found = [self.axis()]
        while self.skip(","):
            found.append(self.axis())
        self.end()
        return found

    def axis(self) -> tuple[str, sympy.Expr]:
        name = self.name("an axis name")
        self.take(":")
        column = self.column()
        try:
            return name, as_size(to_size(self.sum()), f'size of axis "{name}"')
        except AttometerError as error:
            if str(error).startswith("notation line"):
                raise
            self.fail(str(error), column)

    def declarations(self) -> list[Declaration]:
        role = self.name("a role")
        found = [self.declaration(role)]
        while self.skip(","):
            found.append(self.declaration(role))
        self.end()
        return found

    def declaration(self, role: str) -> Declaration:
        return Declaration(role, self.name("a tensor name"), self.plain_indices())

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
        where = self.where(indices, expression) if self.skip("where") else None
        associative = self.skip("associative")
        self.end()
        return Statement(tensor, indices, expression, where, associative)
