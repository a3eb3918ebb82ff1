"""The page of the catalogue says what the catalogue says; `python docs/make_mechanisms.py` rewrites it."""

from tests.docs.scripts import DOCS, script

from attometer.mechanisms import MECHANISMS


def test_page_is_up_to_date() -> None:
    written = (DOCS / "mechanisms.md").read_text("utf-8")
    assert script("make_mechanisms").page(written) == written


def test_an_edit_of_a_table_is_noticed() -> None:
    written = (DOCS / "mechanisms.md").read_text("utf-8")
    edited = written.replace("| O(b d h n^2) |", "| O(b d h n) |", 1)
    assert edited != written
    assert script("make_mechanisms").page(edited) == written


def test_page_has_every_mechanism() -> None:
    written = (DOCS / "mechanisms.md").read_text("utf-8")
    assert all(f"\n| `{name}` | " in written for name in MECHANISMS)
