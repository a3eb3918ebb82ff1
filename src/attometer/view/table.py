"""A table: title, columns, rows and notes, as plain text, as a Rich renderable, and as a dictionary."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy

from attometer.errors import AttometerError
from attometer.view.numbers import Cell, exact

if TYPE_CHECKING:
    from rich.console import Group


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

    def __str__(self) -> str:
        grid = [list(self.columns), ["-" * len(c) for c in self.columns], *self.cells]
        widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
        grid[1] = ["-" * w for w in widths]
        sides = [str.rjust if right else str.ljust for right in self._right()]
        lines = ["  ".join(side(c, w) for side, c, w in zip(sides, row, widths, strict=True)).rstrip() for row in grid]
        return "\n".join([*([self.title] if self.title else []), *lines, *self.notes])

    def __rich__(self) -> "Group":
        from rich import box
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        # Text and not markup: formulas and notation hold square brackets.
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for name, right in zip(self.columns, self._right(), strict=True):
            drawn.add_column(Text(name), justify="right" if right else "left", overflow="fold")
        for row in self.cells:
            drawn.add_row(*map(Text, row))
        return Group(Text(self.title, style="bold"), drawn, *(Text(note, style="dim") for note in self.notes), Text())

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{escape(c)}</th>" for c in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in self.cells)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>{notes}"

    def _right(self) -> list[bool]:
        """Numbers stand to the right, words and formulas to the left."""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.columns)
        return [bool(c) and all(_is_number(cell) or cell in ("", "-") for cell in c) for c in columns]


def text(cell: Any) -> str:
    """Return the text of a cell.

    >>> text(4096), text(None), text(Cell(1024, "1 KiB"))
    ('4,096', '-', '1 KiB')
    """
    return "-" if cell is None else exact(cell)


def plain(cell: Any) -> Any:
    """Return a cell as a value that JSON can hold: a number, a text, true, false or null.

    >>> plain(Cell(1024, "1 KiB")), plain(sympy.Symbol("n") ** 2)
    (1024, 'n**2')
    """
    value = cell.value if isinstance(cell, Cell) else cell
    if isinstance(value, sympy.Expr):
        return int(value) if value.is_Integer else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_number(cell: Any) -> bool:
    value = cell.value if isinstance(cell, Cell) else cell
    return (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(value, sympy.Number)
