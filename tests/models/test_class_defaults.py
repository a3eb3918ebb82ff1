"""The table of class defaults holds what the configuration classes of transformers hold; run as a script, it is written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from attometer.models.class_defaults import class_defaults
from attometer.models.no_cost import NO_COST
from attometer.models.readers.families import OF_CLASS

transformers = pytest.importorskip("transformers")
FILE = Path(__file__).parents[2] / "src" / "attometer" / "data" / "class_defaults.json"


def defaults_of(kind: str) -> dict[str, Any]:
    """Return the plain values that the class of `kind` adds to those of every class."""
    cls = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind]
    common = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}
    found = {}
    for field in dataclasses.fields(cls):
        value = list(field.default) if isinstance(field.default, tuple) else field.default
        plain = value is None or isinstance(value, bool | int | float | str | list)
        if field.name not in common | NO_COST and plain:
            found[field.name] = value
    # Fields that a class redeclares without an annotation.
    tied = getattr(cls, "tie_word_embeddings", None)
    return found | ({"tie_word_embeddings": tied} if isinstance(tied, bool) else {})


@pytest.mark.parametrize("kind", OF_CLASS)
def test_the_table_holds_the_defaults_of_the_class(kind: str) -> None:
    assert dict(class_defaults(kind)) == defaults_of(kind)


if __name__ == "__main__":
    lines = [f"{json.dumps(kind)}: {json.dumps(defaults_of(kind), sort_keys=True)}" for kind in sorted(OF_CLASS)]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
