"""Opening a configuration file: bounded in size and depth, and an object, or refused in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.view.files import read_json

# The largest real configurations are a few hundred kilobytes; a file beyond this is something else.
LARGEST_FILE = 8 * 2**20
DEEPEST = 40
MOST_VALUES = 500_000


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a Hugging Face `config.json`, or the one in a folder, into a dictionary.

    Raises:
        AttometerError: the file is missing, too large, cut off, not JSON, not an object, or nested too deeply.

    >>> read_config("no/such/config.json")
    Traceback (most recent call last):
    attometer.errors.AttometerError: no/such/config.json: no such file
    """
    file = Path(path)
    file = file / "config.json" if file.is_dir() else file
    values = read_json(file, LARGEST_FILE)
    if not isinstance(values, dict):
        raise AttometerError(f"{file}: must hold a JSON object, got {_kind(values)}")
    check_nesting(values, str(file))
    return values


def check_nesting(values: Any, path: str) -> None:
    """Refuse values nested deeper than any configuration, or too many of them; a cycle is the deepest of all."""
    level, seen = [values], 0
    for _ in range(DEEPEST):
        seen += len(level)
        if seen > MOST_VALUES:
            raise AttometerError(f"{path}: holds more than {MOST_VALUES} values")
        level = [inner for value in level for inner in _inside(value)]
        if not level:
            return
    raise AttometerError(f"{path}: is nested deeper than {DEEPEST} levels")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
