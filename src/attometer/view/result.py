"""What every result of a verb can do: show itself in a notebook, become a data frame, be drawn."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError, printable
from attometer.view.table import Table

_WIDEST = 40
"""Bars of one picture."""


class Result:
    """A result: `tables()` are the tables it is made of; what it shows follows from these, or from its text where it has none."""

    def tables_of(self) -> tuple[Table, ...]:
        """Return the tables: those of the page, else one of names and values, else one of the lines of the text."""
        plain = getattr(self, "to_dict", None)
        if plain is not None:
            rows = tuple((name, value) for name, value in _flat(plain()) if not isinstance(value, list))
            return (Table(type(self).__name__, ("name", "value"), rows),)
        return (Table(type(self).__name__, ("text",), tuple((line,) for line in str(self).splitlines())),)

    def to_frame(self, which: int = 0) -> Any:
        """Return a table of the result as a pandas DataFrame: the first one, or the one at `which`.

        Raises AttometerError for a table that is not there, and where pandas is not installed.
        """
        return self._table(which).to_frame()

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw the numbers of a table as bars, one panel for each column, into a .png, .svg or .pdf; return its path.

        Raises AttometerError for a table without numbers, another ending, and a folder that does not exist.
        """
        from attometer.view.bars import draw_bars

        return draw_bars(self._table(which), path, _WIDEST)

    def _table(self, which: int) -> Table:
        found = self.tables_of()
        if not 0 <= which < len(found):
            raise AttometerError(f"table {which} is not there: the result has {len(found)}, from 0 on")
        return found[which]

    def _repr_html_(self) -> str:
        return f"<pre>{escape(printable(str(self)))}</pre>"


def _flat(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    """Return the values of nested dictionaries under names with dots."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        full = f"{above}{name}"
        found += _flat(value, f"{full}.") if isinstance(value, Mapping) else [(full, value)]
    return found
