"""Errors are part of the interface: lower-case, they name the thing and suggest the nearest right name."""

import difflib
import operator
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from typing import Any


class AttometerError(ValueError):
    """Bad input, said in one line that a person can act on; the command line prints it and exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return `text` with control characters and turns of direction written out: names from files steer no terminal.

    >>> print(printable(chr(27) + "[31mred"))
    \\x1b[31mred
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def needs(what: str, missing: str, extra: str, prefix: str = sys.prefix) -> str:
    """Return the line that says which package is missing and how to install it where this interpreter lives.

    >>> print(needs("figures need", "matplotlib", "plot", "/home/me/.local/pipx/venvs/attometer"))
    figures need matplotlib; install it with: pipx install --force "attometer[plot]"
    """
    asked, where = f'"attometer[{extra}]"', prefix.replace("\\", "/")
    ways = {"/pipx/venvs/": "pipx install --force {}", "/uv/tools/": "uv tool install --force {}",
            "/uv/archive-": "uvx --from {} attometer", "/uv/environments-": "uvx --from {} attometer"}  # fmt: skip
    way = next((way for part, way in ways.items() if part in where), "pip install {}")
    return f"{what} {missing}; install it with: {way.format(asked)}"


EXTRAS = {
    "matplotlib": "plot",
    "torch": "torch",
    "transformers": "torch",
    "numba": "io",
    "networkx": "io",
    "catboost": "calibrate",
}
"""The extra that brings each optional package."""


@contextmanager
def extras(what: str) -> Iterator[None]:
    """Turn the absence of an optional package, while this context is open, into the line that says how to install it.

    Raises AttometerError for a package of an extra; what else is missing stays ModuleNotFoundError.

    >>> with extras("figures need"):
    ...     raise ModuleNotFoundError(name="matplotlib.figure")
    Traceback (most recent call last):
    attometer.errors.AttometerError: figures need matplotlib; install it with: pip install "attometer[plot]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        raise AttometerError(needs(what, missing, EXTRAS[missing])) from None


def positive_int(name: str, value: Any, most: int | None = None) -> int:
    """Return `value` as an int of at least 1.

    Raises AttometerError naming what it is for anything else: a truth, a fraction, a text, 0 or below, above `most`.

    >>> positive_int("batch", 4)
    4
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < 1:
        raise AttometerError(f"{name} must be a positive integer, got {value!r:.80}")
    if most is not None and number > most:
        raise AttometerError(f"{name} must be at most {most:,}, got {number:,}")
    return number


MOST_NAMES = 24
"""A message lists at most so many names; `attometer list` shows the others."""

_LISTS = {
    "hardware": "machines",
    "mechanism": "mechanisms",
    "model": "models",
    "schedule": "schedules",
    "mask": "masks",
    "convention": "conventions",
}


def nearest(name: str, options: Iterable[str], cutoff: float = 0.5, also: Mapping[str, str] | None = None) -> str:
    """Return `; did you mean "x"?` for the option closest to `name`, or the sorted options when none is as close as `cutoff`.

    `also` are other spellings of options. Of nearly equally close ones, that which begins as `name` does.

    >>> nearest("h1000", ["h100-sxm", "l40s"]), nearest("b100", ["gb10", "b200"])
    ('; did you mean "h100-sxm"?', '; did you mean "b200"?')
    """
    known = sorted(options)
    spelled = {**(also or {}), **{option.lower(): option for option in known}}
    typed = name.lower().replace(" ", "-")
    close = difflib.get_close_matches(typed, spelled, n=8, cutoff=cutoff)
    if close:
        alike = {each: difflib.SequenceMatcher(a=each, b=typed).ratio() for each in close}
        begun = {
            each: len(list(takewhile(lambda ab: ab[0] == ab[1], zip(each, typed, strict=False)))) for each in close
        }
        best = max(close, key=lambda each: round(alike[each] + 0.05 * min(begun[each], 4), 3))
        return f'; did you mean "{spelled[best]}"?'
    if len(known) > MOST_NAMES:
        return f"; known: {', '.join(known[: MOST_NAMES // 2])} and {len(known) - MOST_NAMES // 2} more"
    return f"; known: {', '.join(known)}" if known else ""


def unknown(kind: str, name: object, options: Iterable[str], also: Mapping[str, str] | None = None) -> AttometerError:
    """Build the error for an unknown name, or for what is no name at all; `also` are other spellings of the options.

    >>> print(unknown("hardware", "h1000", ["h100-sxm"]))
    unknown hardware "h1000"; did you mean "h100-sxm"?
    >>> print(unknown("hardware", 3, ["h100-sxm"]))
    hardware must be a name, got int; known: h100-sxm
    """
    if not isinstance(name, str):
        return AttometerError(f"{kind} must be a name, got {type(name).__name__}{nearest('', options)}")
    # another thing is no help; one letter makes of an acronym another one: gla, gqa
    acronym = len(name) == 3 and (name.isalpha() or name.isdecimal())
    near = nearest(name, options, 0.75 if acronym else 0.6, also)
    listed = f" (attometer list {_LISTS[kind]})" if near.endswith("more") and kind in _LISTS else ""
    return AttometerError(f'unknown {kind} "{name}"{near}{listed}')
