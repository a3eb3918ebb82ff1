"""docs/models.md names every family and every shipped model."""

from __future__ import annotations

from pathlib import Path

from attometer.models import shipped
from attometer.models.readers.families import READERS

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


def test_every_family_and_every_shipped_model_is_listed() -> None:
    missing = [name for name in (*READERS, *shipped()) if f"`{name}`" not in TEXT]
    assert missing == []
