"""What follows from a text, kept for later processes beside the machine code: JSON, named by a digest of all it follows from."""

import contextlib
import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import sympy

from attometer.emit.build import kept_folder, trusted
from attometer.errors import AttometerError
from attometer.view.files import write_atomically

PACKAGE = Path(__file__).parents[1]
ROOMS = ("emit", "masks", "program", "schedule")
"""What derives and emits: another version of a file in them makes everything anew."""
Made = TypeVar("Made")


@cache
def _makers(rooms: tuple[str, ...]) -> bytes:
    """Return a digest of the sources of what makes, and of what it stands on."""
    found = hashlib.sha256(f"{sympy.__version__} {platform.python_version()}".encode())
    files = [p for room in rooms for p in (PACKAGE / room).rglob("*") if p.is_file() and p.parent.name != "__pycache__"]
    for path in sorted([*files, PACKAGE / "algebra.py", PACKAGE / "sizes.py"]):
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.digest()


def kept(
    kind: str,
    asked: Sequence[str],
    make: Callable[[], Made],
    write: Callable[[Made], Any],
    read: Callable[[Any], Made],
    rooms: tuple[str, ...] = ROOMS,
) -> Made:
    """Return what `make` makes of `asked`, from an earlier process where one kept it; a refusal is kept too.

    `write` gives what JSON holds, and `read` its inverse: what they do not give back equal is not kept. A file of another version in
    `rooms` makes it anew.
    """
    digest = hashlib.sha256(_makers(rooms) + "\0".join(asked).encode()).hexdigest()[:24]
    path = kept_folder() / f"{kind}-{digest}.json"
    found = held = None
    try:
        held = json.loads(path.read_text()) if trusted(path) else None
        if isinstance(held, dict) and "found" in held:
            found = read(held["found"])
    except (OSError, ValueError, TypeError, KeyError, AttometerError):  # cut short, say: it is made again
        held = None
    if found is not None:
        return found
    if isinstance(held, dict) and isinstance(held.get("refused"), str):
        raise AttometerError(held["refused"])
    try:
        made = make()
    except AttometerError as error:
        _keep(path, {"refused": str(error)})
        raise
    said = json.dumps(write(made))
    try:
        same = read(json.loads(said)) == made
    except AttometerError:  # a size that the notation does not write
        same = False
    if same:
        _keep(path, {"found": json.loads(said)})
    return made


def kept_data(kind: str, make: Callable[[], Mapping[str, Any]], *asked: str) -> dict[str, Any]:
    """Return plain data that follow from the package and `asked` alone: another version of any of its files makes them anew."""
    return kept(kind, asked, lambda: json.loads(json.dumps(make())), dict, dict, ("",))


def _keep(path: Path, held: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a full disk
        write_atomically(path, json.dumps(held), private=True)  # what others may write is not read
