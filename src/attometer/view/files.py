"""Files are written whole or not at all, and JSON files are read with their fault named."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError


def in_folder(path: str | Path, what: str = "file") -> Path:
    """Return a path whose folder exists and that is no folder itself: asked before an hour of work, not after.

    Raises AttometerError for a folder that does not exist, and for a path that is a folder.

    >>> in_folder("a.csv").name
    'a.csv'
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise AttometerError(f'folder "{target.parent}" of {what} "{target.name}" does not exist')
    if target.is_dir():
        raise AttometerError(f'"{target}" is a folder; name a file in it for the {what}')
    return target


def write_atomically(path: str | Path, data: bytes | str, *, private: bool = False) -> Path:
    """Write `data` to `path` so that a reader sees the old file or the new one, never a part; `private`: for this user alone.

    Returns the path written. Raises AttometerError when the folder does not exist or `path` is one, OSError when it cannot be written.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(pathlib.Path(folder) / "a.txt", "x").read_text()
    'x'
    """
    target = in_folder(path)
    content = data.encode() if isinstance(data, str) else data
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        if not private:  # as mkstemp makes it; a report is as readable as any other new file
            os.chmod(name, 0o666 & ~_umask())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_json(path: str | Path, largest: int = 64 * 2**20) -> Any:
    """Read a JSON file of at most `largest` bytes.

    Raises AttometerError naming the file: missing, too large, not text, not JSON, or nested too deeply.

    >>> read_json("no/such.json")
    Traceback (most recent call last):
    attometer.errors.AttometerError: no/such.json: no such file
    """
    file = Path(path)
    text = read_text(file, largest)
    if file.suffix == ".att":
        raise AttometerError(
            f"{file}: is notation, not JSON; a model takes it in place of its attention: plan gpt2 --attention {file}"
        )
    try:
        return json.loads(text)
    except RecursionError:
        raise AttometerError(f"{file}: is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise AttometerError(f"{file}: is not JSON, or is cut off: {error}") from None
    except ValueError as error:
        raise AttometerError(f"{file}: holds a number that no such file has: {error}") from None


def read_text(path: str | Path, largest: int = 2**20) -> str:
    """Read a text file in UTF-8 of at most `largest` bytes.

    Raises AttometerError naming the file: missing, too large, or not text.

    >>> read_text("no/such.att")
    Traceback (most recent call last):
    attometer.errors.AttometerError: no/such.att: no such file
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            data = stream.read(largest + 1)
    except FileNotFoundError:
        raise AttometerError(f"{file}: no such file") from None
    except OSError as error:
        raise AttometerError(f"{file}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise AttometerError(f"{str(file)!r} is not a path: {error}") from None
    if len(data) > largest:
        raise AttometerError(f"{file}: is {max(size, len(data)):,} bytes; at most {largest:,} are read")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AttometerError(f"{file}: is not text in UTF-8") from None
