"""Tables: aligned text, brackets that survive Rich, plain values for JSON."""

import json
from io import StringIO

import pytest
import sympy
from rich.console import Console

from attometer.errors import AttometerError
from attometer.view.numbers import Cell, size_in_bytes
from attometer.view.table import Table

N = sympy.Symbol("n")
TABLE = Table(
    "memory of [two] models",
    ("model", "bytes", "formula"),
    (("a", Cell(17179869184, size_in_bytes(17179869184)), N**2), ("longer", Cell(800, "800 B"), sympy.Integer(3))),
    ("S[i,j] counts pairs",),
)


def rendered(table: Table, width: int = 120) -> str:
    console = Console(file=StringIO(), width=width, no_color=True)
    console.print(table)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_text_is_aligned_with_numbers_to_the_right() -> None:
    assert str(TABLE).splitlines() == [
        "memory of [two] models",
        "model                  bytes  formula",
        "------  --------------------  -------",
        "a       17.18 GB = 16.00 GiB  n^2",
        "longer                 800 B  3",
        "S[i,j] counts pairs",
    ]


def test_rich_shows_every_cell_and_keeps_brackets() -> None:
    text = rendered(TABLE)
    for part in ("memory of [two] models", "17.18 GB = 16.00 GiB", "S[i,j] counts pairs", "longer"):
        assert part in text


def test_rich_folds_instead_of_dropping_when_narrow() -> None:
    letters = "".join(rendered(TABLE, 40).split())
    assert "17.18" in letters
    assert "longer" in letters


def test_json_gets_values_and_not_texts() -> None:
    held = json.loads(json.dumps(TABLE.to_dict()))
    assert held["rows"][0] == {"model": "a", "bytes": 17179869184, "formula": "n**2"}
    assert held["rows"][1]["formula"] == 3


def test_html_is_escaped() -> None:
    html = Table("<t>", ("a",), (("<b>",),))._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_a_missing_cell_is_a_dash_and_null() -> None:
    table = Table("", ("a", "b"), ((1, None),))
    assert str(table).splitlines()[-1].split() == ["1", "-"]
    assert table.to_dict()["rows"] == [{"a": 1, "b": None}]


def test_a_row_of_the_wrong_length_is_named() -> None:
    with pytest.raises(AttometerError, match='table "t" has 2 columns, and a row of 1 cells'):
        Table("t", ("a", "b"), (("x",),))
