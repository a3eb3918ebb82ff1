"""The tables of docs/predicted.md are those of the shipped calibrations."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_the_errors_of_the_shipped_coefficients() -> None:
    spec = importlib.util.spec_from_file_location("make_predicted", DOCS / "make_predicted.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (DOCS / "predicted.md").read_text()
    assert module.page(text) == text
