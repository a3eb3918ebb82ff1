"""A cursor over the tokens of one line of the notation; every failure says line and column."""

import re
from dataclasses import dataclass, field
from typing import NoReturn

from attometer.errors import AttometerError

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z_0-9]*)|(?P<op>//|[<>=!]=|[-+*/%()\[\],=:&|~<>]))",
    re.ASCII,
)
_INSTEAD = {
    "@": "; a matrix product is a sum over an index that the left does not have: Y[i,k] = A[i,j] * B[j,k]",
    "^": "; a power is square(x) or pow(x, y)",
    "!": "; a mask is negated with ~, numbers are compared with equal(a, b)",
    ".": "; there are no methods: to transpose, write the indices in another order; functions are written f(x)",
    "?": "; choose by a product with less(a, b) or equal(a, b)",
    "'": "; to transpose, write the indices in another order: Y[i,k] = A[i,j] * B[k,j]",
}
"""What to write for what other languages have."""

_COMPARED = dict.fromkeys(
    ("<", ">", "<=", ">="), "; a comparison is less(a, b), 1 where a < b and 0 elsewhere"
) | dict.fromkeys(("==", "!="), "; numbers are compared with equal(a, b), 1 where a is b and 0 elsewhere")
_ADDED = "; nothing is added in place: what the left has no index for is summed, a running sum reads [t-1]"
_FOR_EQUALS = _COMPARED | dict.fromkeys("+-*/", _ADDED) | {"(": "; indices stand in square brackets, as in S[i,j]"}
_HERE = _COMPARED | {
    "=": "; numbers are compared with equal(a, b), 1 where a is b and 0 elsewhere",
    "if": "; choose by a product with less(a, b) or equal(a, b), or mask the statement: where causal(i, j)",
    "and": "; masks are joined with & and |, and negated with ~",
    "or": "; masks are joined with & and |, and negated with ~",
    "for": "; a statement runs over all its indices; a recurrence reads [t-1]",
}
"""The same for what stands where a line should end."""

MAX_NESTING = 60
"""Brackets inside brackets; deeper text is refused before it can exhaust the stack."""


@dataclass
class Cursor:
    """The tokens of one line, and where reading stands."""

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
                found = self.text[position:].strip()[0]
                self.fail(f"unexpected character {found!r}{_INSTEAD.get(found, '')}", position)
            kind = str(match.lastgroup)
            self.tokens.append((kind, match.group(kind), match.start(kind)))
            position = match.end()

    def fail(self, what: str, column: int | None = None) -> NoReturn:
        """Raise AttometerError at `column`, or at the next token."""
        raise AttometerError(
            f"notation line {self.number}, column {(self.column() if column is None else column) + 1}: {what}"
        )

    def column(self) -> int:
        """Return where the next token starts, or the end of the line."""
        return len(self.text.rstrip()) if self.at_end() else self.tokens[self.at][2]

    def at_end(self) -> bool:
        """Return whether every token has been read."""
        return self.at >= len(self.tokens)

    def kind(self) -> str:
        """Return `number`, `name` or `op` for the next token; empty at the end."""
        return "" if self.at_end() else self.tokens[self.at][0]

    def peek(self, ahead: int = 0) -> str:
        """Return a coming token without reading it; empty past the end."""
        return self.tokens[self.at + ahead][1] if self.at + ahead < len(self.tokens) else ""

    def next(self) -> str:
        """Read one token."""
        self.at += 1
        return self.tokens[self.at - 1][1]

    def take(self, expected: str) -> None:
        """Read `expected` or fail."""
        if not self.skip(expected):
            instead = (_FOR_EQUALS if expected == "=" else _COMPARED).get(self.peek(), "")
            self.fail(f'expected "{expected}", got {self.here()}{instead}')

    def skip(self, token: str) -> bool:
        """Read `token` if it comes next, and return whether it did."""
        found = self.peek() == token
        self.at += found
        return found

    def name(self, what: str) -> str:
        """Read a name or fail, saying that `what` was expected."""
        if self.kind() != "name":
            self.fail(f"expected {what}, got {self.here()}")
        return self.next()

    def end(self) -> None:
        """Fail unless the line is over."""
        if not self.at_end():
            self.fail(f"unexpected {self.here()}{_HERE.get(self.peek(), '')}")

    def here(self) -> str:
        """Return the next token in quotes, or that there is none."""
        return "the end of the line" if self.at_end() else f'"{self.peek()[:40]}"'

    def enter(self, what: str) -> None:
        """Go one level deeper; fail below the limit. `leave` comes back."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            self.fail(f"{what} nested deeper than {MAX_NESTING}")

    def leave(self) -> None:
        """Come back from `enter`."""
        self.depth -= 1
