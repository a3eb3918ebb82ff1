"""What a command is about: a mechanism of the catalogue, a file of notation, or notation on standard input."""

import sys
from pathlib import Path

from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import Program, parse


def program_of(name: str) -> Program:
    """Return the Program of a catalogue name, of a file of notation, or of standard input (`-`).

    Raises AttometerError for an unknown name, a file that cannot be read, or notation that breaks a rule.

    >>> program_of("softmax").outputs[0].name
    'O'
    """
    if name == "-":
        return parse(sys.stdin.read())
    path = Path(name)
    if name in MECHANISMS or not (path.suffix or path.exists()):
        return mechanism(name).program
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise AttometerError(f'cannot read notation from "{name}": {reason}') from None
