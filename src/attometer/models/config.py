"""Opening a configuration file: bounded in size and depth, and an object, or refused in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError

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
    text = _text(file)
    try:
        values = json.loads(text)
    except RecursionError:
        raise AttometerError(f"{file}: is nested too deeply to be a configuration") from None
    except json.JSONDecodeError as error:
        raise AttometerError(f"{file}: is not JSON, or is cut off: {error}") from None
    except ValueError as error:
        raise AttometerError(f"{file}: holds a number that no configuration has: {error}") from None
    if not isinstance(values, dict):
        raise AttometerError(f"{file}: must hold a JSON object, got {_kind(values)}")
    check_nesting(values, str(file))
    return values


def _text(file: Path) -> str:
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise AttometerError(f"{file}: no such file") from None
    except OSError as error:
        raise AttometerError(f"{file}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise AttometerError(f"{str(file)!r} is not a path: {error}") from None
    if len(data) > LARGEST_FILE:
        raise AttometerError(f"{file}: is {max(size, len(data)):,} bytes; a configuration has at most {LARGEST_FILE:,}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AttometerError(f"{file}: is not text in UTF-8") from None


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
