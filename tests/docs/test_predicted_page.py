"""The tables of docs/predicted.md are those of the shipped calibrations."""

from tests.docs.scripts import DOCS, script


def test_the_page_has_the_errors_of_the_shipped_coefficients() -> None:
    text = (DOCS / "predicted.md").read_text(encoding="utf-8")
    assert script("make_predicted").page(text) == text
