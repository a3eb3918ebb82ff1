"""What transformers' configuration classes have for keys that a file leaves out, by `model_type`: data, not code."""

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    text = (files("attometer") / "data" / "class_defaults.json").read_text()
    table: dict[str, dict[str, Any]] = json.loads(text)
    return table


def class_defaults(kind: str) -> Mapping[str, Any]:
    """Return the defaults of the configuration class of `kind`, nothing where its reader states them itself.

    >>> class_defaults("siglip_vision_model")["patch_size"]
    16
    """
    return _table().get(kind, {})
