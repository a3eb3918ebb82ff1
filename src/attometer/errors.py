"""Errors are part of the interface: lower-case, they name the thing and suggest the nearest right name."""

import difflib
from collections.abc import Iterable


class AttometerError(ValueError):
    """Bad input, said in one line that a person can act on; the command line prints it and exits with 2."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the option closest to `name`, or the sorted options when none is close.

    >>> nearest("h1000", ["h100-sxm", "l40s"])
    '; did you mean "h100-sxm"?'
    """
    known = sorted(options)
    spelled = {option.lower(): option for option in known}
    close = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.5)
    if close:
        return f'; did you mean "{spelled[close[0]]}"?'
    return f"; known: {', '.join(known)}" if known else ""


def unknown(kind: str, name: str, options: Iterable[str]) -> AttometerError:
    """Build the error for an unknown name.

    >>> print(unknown("hardware", "h1000", ["h100-sxm"]))
    unknown hardware "h1000"; did you mean "h100-sxm"?
    """
    return AttometerError(f'unknown {kind} "{name}"{nearest(name, options)}')
