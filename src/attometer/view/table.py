"""A table: title, columns, rows and notes, as plain text of a given width, as HTML, and as a dictionary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest
from textwrap import wrap
from typing import Any

import sympy

from attometer.errors import AttometerError, printable
from attometer.view.numbers import Cell, exact
from attometer.view.text import folded

_NARROWEST = 12


@dataclass(frozen=True)
class Table:
    """Rows under named columns. A cell is a text, a number, a formula, or a `Cell` whose value goes to JSON.

    >>> print(Table("sizes", ("name", "tokens"), (("a", 4096), ("b", 16)), ("tokens of one sequence",)))
    sizes
    name  tokens
    ----  ------
    a      4,096
    b         16
    tokens of one sequence
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise AttometerError(
                    f'table "{self.title}" has {len(self.columns)} columns, and a row of {len(row)} cells: {row!r:.80}'
                )

    @property
    def cells(self) -> list[list[str]]:
        """The text of every cell."""
        return [[text(cell) for cell in row] for row in self.rows]

    def to_dict(self) -> dict[str, Any]:
        """Return title, columns, rows as dictionaries of plain values, and notes."""
        rows = [{name: plain(cell) for name, cell in zip(self.columns, row, strict=True)} for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows, "notes": list(self.notes)}

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame of plain values, its `attrs` the title and the notes.

        Raises AttometerError where pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise AttometerError("a data frame needs pandas; install it with: pip install pandas") from error
        frame = pandas.DataFrame([[plain(cell) for cell in row] for row in self.rows], columns=list(self.columns))
        frame.attrs.update(title=self.title, notes=list(self.notes))
        return frame

    def text(self, width: int | None = None) -> str:
        """Return title, aligned columns and notes; columns that make a line longer than `width` are folded."""
        grid = [list(self.columns), *self.cells]
        natural = [max(len(line) for cell in column for line in cell.split("\n")) for column in zip(*grid, strict=True)]
        right = self._right()
        widths = _fitted(natural, [_least(*each) for each in zip(right, *grid, strict=True)], right, width)
        sides = [str.rjust if each else str.ljust for each in right]
        rows = [[_folded(cell, w) for cell, w in zip(row, widths, strict=True)] for row in grid]
        # Rows of several lines are told apart by an empty line.
        gap = "\n\n" if any(len(cell) > 1 for row in rows[1:] for cell in row) else "\n"
        head, *body = ("\n".join(_lines(row, widths, sides)) for row in rows)
        rule = "  ".join("-" * w for w in widths)
        title, *notes = ("\n".join(folded(printable(part), width)) for part in (self.title, *self.notes))
        return "\n".join(filter(None, [title, head, rule, gap.join(body), *notes]))

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        sides = [' style="text-align: right"' if right else ' style="text-align: left"' for right in self._right()]
        head = "".join(f"<th{side}>{escape(c)}</th>" for c, side in zip(self.columns, sides, strict=True))
        body = "".join(f"<tr>{_html_row(row, sides)}</tr>" for row in self.cells)
        notes = "".join(f"<p>{escape(printable(note))}</p>" for note in self.notes)
        return f"<table><caption>{escape(printable(self.title))}</caption><tr>{head}</tr>{body}</table>{notes}"

    def _right(self) -> list[bool]:
        """Numbers stand to the right, words and formulas to the left."""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.columns)
        return [bool(c) and all(map(_is_number, filter(_is_there, c))) and any(map(_is_there, c)) for c in columns]


def _html_row(row: list[str], sides: list[str]) -> str:
    return "".join(
        f"<td{side}>{'<br>'.join(map(escape, c.split(chr(10))))}</td>" for c, side in zip(row, sides, strict=True)
    )


def _fitted(natural: list[int], least: list[int], numbers: list[bool], width: int | None) -> list[int]:
    """Return the widths of columns: the widest ones shrink to one width so that a line fits.

    Below twelve the heads of numbers fold first, then words between their spaces, none below its `least`.
    """
    if width is None:
        return natural
    room, cap = width - 2 * (len(natural) - 1), max(natural, default=0)
    widths = natural
    while sum(widths) > room and cap > 1:
        cap -= 1
        widths = [
            low if number and cap < _NARROWEST else max(min(w, cap), low if cap < _NARROWEST else 0)
            for w, low, number in zip(natural, least, numbers, strict=True)
        ]
    return widths


def _least(number: bool, head: str, *cells: str) -> int:
    """Return how narrow a column may be: no number is parted, and no word that is shorter than twelve."""
    words = (head if number else " ".join([head, *cells])).split()
    longest = max(map(len, words), default=0)
    return max(min(longest, _NARROWEST), *map(len, cells)) if number and cells else min(longest, _NARROWEST)


def _folded(cell: str, width: int) -> list[str]:
    lines = (
        wrap(_parted(x, width), width, break_on_hyphens=False) if len(x) > width else [x] for x in cell.split("\n")
    )
    return [part for line in lines for part in line]


def _parted(line: str, width: int) -> str:
    """Return a line whose words longer than `width` are parted after their underscores, so that names stay readable.

    >>> _parted("two_pass_outer_rowmax", 12)
    'two_pass_ outer_rowmax'
    """
    parts = []
    for word in line.split(" "):
        while len(word) > width and (at := word.rfind("_", 0, width) + 1):
            parts.append(word[:at])
            word = word[at:]
        parts.append(word)
    return " ".join(parts)


def _lines(row: list[list[str]], widths: list[int], sides: Sequence[Callable[[str, int], str]]) -> list[str]:
    """Return the lines of a row whose cells are lines."""
    lines = zip_longest(*row, fillvalue="")
    return ["  ".join(side(c, w) for side, c, w in zip(sides, line, widths, strict=True)).rstrip() for line in lines]


def text(cell: Any) -> str:
    """Return the text of a cell.

    >>> text(4096), text(None), text(Cell(1024, "1 KiB"))
    ('4,096', '-', '1 KiB')
    """
    return printable("-" if cell is None else exact(cell))


def plain(cell: Any) -> Any:
    """Return a cell as a value that JSON can hold: a number, a text, true, false or null.

    >>> plain(Cell(1024, "1 KiB")), plain(sympy.Symbol("n") ** 2)
    (1024, 'n**2')
    """
    value = cell.value if isinstance(cell, Cell) else cell
    if isinstance(value, sympy.Expr):
        return int(value) if value.is_Integer else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_there(cell: Any) -> bool:
    return (cell.value if isinstance(cell, Cell) else cell) not in (None, "", "-")


def _is_number(cell: Any) -> bool:
    value = cell.value if isinstance(cell, Cell) else cell
    return (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(value, sympy.Number)
