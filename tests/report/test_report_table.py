"""Tables: aligned text, folding, plain values for JSON."""

import json

import pytest
import sympy

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


def test_text_is_aligned_with_numbers_to_the_right() -> None:
    assert str(TABLE).splitlines() == [
        "memory of [two] models",
        "model                  bytes  formula",
        "------  --------------------  -------",
        "a       17.18 GB = 16.00 GiB  n^2",
        "longer                 800 B  3",
        "S[i,j] counts pairs",
    ]


def test_a_narrow_table_is_folded_and_loses_nothing() -> None:
    for width in (24, 40, 200):
        text = TABLE.text(width)
        letters = "".join(text.split())
        for word in ("17.18", "GB", "GiB", "longer", "S[i,j]", "n^2"):
            assert word in letters
        if width >= 40:
            assert max(map(len, text.splitlines())) <= width
    assert TABLE.text(200) == TABLE.text() == str(TABLE)


def test_rows_of_several_lines_are_told_apart() -> None:
    table = Table("", ("a", "b"), (("one\ntwo", "x"), ("y", "z")))
    assert str(table).splitlines() == ["a    b", "---  -", "one  x", "two", "", "y    z"]


def test_control_characters_are_written_out() -> None:
    held = Table("\x1b[1mt", ("a",), (("\x1b[31m\u202e",),), ("\x07",))
    assert not {"\x1b", "\x07", "\u202e"} & set(str(held) + held._repr_html_())
    assert "\\x1b[31m\\u202e" in str(held)


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


def test_names_too_long_for_their_column_are_parted_after_underscores() -> None:
    lines = Table("", ("schedule", "what"), (("two_pass_outer_rowmax", "x " * 60),)).text(30).splitlines()
    assert [line[:14].strip() for line in lines if line[:14].strip("- ")] == ["schedule", "two_pass_", "outer_rowmax"]


def test_a_line_folds_below_twelve_before_it_is_too_long() -> None:
    heads = ("model", "weights", "on", "fits", "needs GB", "usable GB", "largest context", "at least", "bound by")
    row = ("llama-3.1-8b", "bf16", "H100 SXM5 80GB", "yes", Cell(45.59, "45.59"), Cell(85.52, "85.52"))
    table = Table("", heads, ((*row, Cell(308328, "308,328"), Cell(6.64, "6.64 s"), "compute"),))
    text = table.text(80)
    assert max(map(len, text.splitlines())) <= 80
    # Numbers and short words stay whole.
    assert all(part in text for part in ("llama-3.1-8b", "45.59", "308,328", "6.64 s", "compute", "H100"))
    assert table.text(200) == table.text()
