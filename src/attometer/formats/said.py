"""Values of a `quantization_config`, read and checked: whole numbers and lists of modules."""

from collections.abc import Mapping
from typing import Any

from attometer.errors import AttometerError
from attometer.formats.rules import Rule, rule

Values = Mapping[str, Any]
# A list of modules longer than this is no list of a model's modules.
MOST_MODULES = 200_000


def listed(values: Values, *keys: str) -> list[str]:
    """Return the modules that the first of `keys` lists."""
    for key in keys:
        found = values.get(key)
        if found is None:
            continue
        if isinstance(found, str):
            return [found]
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found) or len(found) > MOST_MODULES:
            raise AttometerError(f"{key} must be a list of module names, got {found!r:.80}")
        return found
    return []


def ignored(values: Values, *keys: str) -> tuple[Rule, ...]:
    """Return the rules that leave the modules of the first of `keys` as they are."""
    return tuple(rule(entry, None) for entry in listed(values, *keys))


def number(values: Values, key: str, default: int, most: int = 1 << 20, row: bool = False) -> int:
    """Return the positive integer under a key; with `row` it may be -1, the groups of which are whole rows."""
    found = values.get(key)
    value = default if found is None else found
    if isinstance(value, bool) or not isinstance(value, int) or not (1 <= value <= most or (row and value == -1)):
        raise AttometerError(f"{key} must be an integer from 1 to {most:,}, got {value!r:.40}")
    return value
