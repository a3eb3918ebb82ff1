"""The page of the catalogue says what the catalogue says; `python docs/make_mechanisms.py` rewrites it."""

import importlib.util
from pathlib import Path
from typing import Any

from attometer.mechanisms import MECHANISMS

DOCS = Path(__file__).parents[2] / "docs"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("make_mechanisms", DOCS / "make_mechanisms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date() -> None:
    written = (DOCS / "mechanisms.md").read_text("utf-8")
    assert _script().page(written) == written


def test_an_edit_of_a_table_is_noticed() -> None:
    written = (DOCS / "mechanisms.md").read_text("utf-8")
    edited = written.replace("| O(b d h n^2) |", "| O(b d h n) |", 1)
    assert edited != written
    assert _script().page(edited) == written


def test_page_has_every_mechanism() -> None:
    written = (DOCS / "mechanisms.md").read_text("utf-8")
    assert all(f"\n| `{name}` | " in written for name in MECHANISMS)
