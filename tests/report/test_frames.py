"""Tables as data frames: the values, not their texts."""

import pytest

from attometer.errors import AttometerError
from attometer.view.numbers import Cell
from attometer.view.table import Table

TABLE = Table("sizes", ("name", "bytes"), (("a", Cell(1024, "1 KiB")), ("b", 16)), ("of one sequence",))


def test_a_frame_holds_values():
    pytest.importorskip("pandas", reason="pandas makes the frame")
    frame = TABLE.to_frame()
    assert frame.to_dict("list") == {"name": ["a", "b"], "bytes": [1024, 16]}
    assert frame.attrs == {"title": "sizes", "notes": ["of one sequence"]}


def test_without_pandas_it_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(AttometerError, match="pip install pandas"):
        TABLE.to_frame()
