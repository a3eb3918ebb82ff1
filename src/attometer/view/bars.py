"""The numbers of a table as bars: a picture for every result that has none of its own."""

from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.view.style import COLOURS, figure_path, look, save, sheet
from attometer.view.table import Table, plain, text

_PANELS = 4


def draw_bars(table: Table, path: str | Path, most: int) -> Path:
    """Draw the first columns of numbers, a bar for each of the first `most` rows named by the first column; return the path.

    Raises AttometerError for a table without numbers, an ending that is no picture, a folder that does not exist.
    """
    target = figure_path(path)
    shown = table.rows[:most]
    columns = [k for k in range(1, len(table.columns)) if any(_is_number(row[k]) for row in shown)][:_PANELS]
    if not columns:
        raise AttometerError(f'nothing to draw: table "{table.title}" has no column of numbers')
    with look():
        figure = sheet(table.title.partition("\n")[0][:90], 3 + 3 * len(columns), 1.6 + 0.25 * len(shown))
        names = [f"{text(row[0])[:40]}" for row in shown]
        for number, (axes, k) in enumerate(zip(_panels(figure, len(columns)), columns, strict=True)):
            values = [plain(row[k]) if _is_number(row[k]) else 0 for row in shown]
            axes.barh(range(len(shown)), [float(v) for v in values], color=COLOURS[number])
            axes.set_yticks(range(len(shown)), names if not number else [])
            axes.set_xlabel(table.columns[k])
            axes.invert_yaxis()
        return save(figure, target)


def _panels(figure: Any, count: int) -> list[Any]:
    return list(figure.subplots(1, count, squeeze=False)[0])


def _is_number(cell: Any) -> bool:
    value = plain(cell)
    return isinstance(value, int | float) and not isinstance(value, bool)
