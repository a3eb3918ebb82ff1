"""What is written to a terminal or a pipe: any encoding, a reader that leaves early, and how wide a line may be."""

import codecs
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NEAREST = dict(
    zip(
        "µμ×÷−–—·•█■▣●◉○□│─┌┐└┘├┤┬┴┼≤≥≈≠→←⌈⌉⌊⌋“”‘’…∞√",
        "uux/---.*##%@%o.|-+++++++++<>~!><[][]\"\"''.8v",
        strict=True,
    )
)
"""What stands for a character where an encoding lacks it."""


def nearest(error: UnicodeError) -> tuple[str, int]:
    """Return what can be written in place of characters that an encoding lacks: a letter without its accent, a sign like it, or ?.

    >>> "328 µs, 2 × é".encode("ascii", errors="attometer.nearest")
    b'328 us, 2 x e'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(NEAREST.get(c) or _plain(c) for c in lacking), error.end


def _plain(character: str) -> str:
    bare = unicodedata.normalize("NFKD", character).encode("ascii", errors="ignore").decode()
    return bare or "?"


codecs.register_error("attometer.nearest", nearest)


class Patient:
    """A text stream whose reader may leave (as `head` does): what is written after that goes nowhere, and nothing fails."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, or drop it when nobody reads any more."""
        try:
            return int(self._stream.write(text) or 0)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left when nobody reads any more."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        # The buffer still holds the rest, which is flushed at exit: it needs somewhere to go.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def patient_streams() -> Iterator[None]:
    """Let standard output and errors take any character, with what is nearest for what their encoding lacks, and readers that leave."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="attometer.nearest")
    sys.stdout, sys.stderr = (Patient(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def line_width() -> int | None:
    """Return how many characters a line of standard output may have: the terminal's width, or None for a file or pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


# Sixteen-colour red and green, no bright ones: legible on dark and on light ground. Words say the same.
_SHADES = (
    (re.compile(r"^(.+)(?=\n-+(?:  -+)*$)", re.M), "1"),
    (re.compile(r"\bdoes not fit\b|\btoo large\b"), "31"),
    (re.compile(r"(?<!that )\bfits\b"), "32"),
)


def shaded(text: str) -> str:
    """Return text as a terminal that has colours shows it: heads of tables bold, verdicts green or red.

    >>> shaded("it does not fit\\na  b\\n-  -\\n1  2")
    'it \\x1b[31mdoes not fit\\x1b[0m\\n\\x1b[1ma  b\\x1b[0m\\n-  -\\n1  2'
    """
    for pattern, shade in _SHADES:
        text = pattern.sub(lambda found, shade=shade: f"\x1b[{shade}m{found[0]}\x1b[0m", text)  # type: ignore[misc]
    return text


def has_colours() -> bool:
    """Return whether standard output is a terminal that shows colours, and nobody asked for none (no-color.org)."""
    modern = sys.platform != "win32" or "WT_SESSION" in os.environ
    return sys.stdout.isatty() and modern and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
