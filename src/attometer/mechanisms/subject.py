"""What a command is about: a mechanism of the catalogue, a file of notation, text on standard input, or a Program."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from attometer.errors import AttometerError, unknown
from attometer.mechanisms.catalogue import MECHANISMS, mechanism
from attometer.mechanisms.mechanism import Mechanism
from attometer.program import Program, parse
from attometer.program import gradient as program_gradient
from attometer.sizes import Size
from attometer.view.files import read_text

SUFFIX = ".att"
"""How a file of notation is called; `-` is standard input."""

Subject: TypeAlias = str | Path | Program | Mechanism


def subject(what: Subject, /, **parameters: object) -> Mechanism:
    """Return what is named as a mechanism, whether the catalogue has it or you wrote it.

    Args:
        what: a name of the catalogue; a file of notation such as `mine.att`, whose first comment is its title and whose
            comment `source:` its citation; `-` for notation on standard input; a Program, or a mechanism.
        **parameters: of a mechanism of the catalogue its parameters; of your own its sizes.

    Raises:
        AttometerError: an unknown name with the nearest, a file that cannot be read, or a fault in the notation with file,
            line and column.

    >>> subject(parse("Y[i] = exp(X[i])"), i=4).program.axes
    (('i', 4),)
    """
    if isinstance(what, Mechanism):
        return replace(what, program=_sized(what.program, parameters)) if parameters else what
    if isinstance(what, Program):
        return _own("program", "a program", _sized(what, parameters))
    if not isinstance(what, str | Path):
        raise unknown("mechanism", what, MECHANISMS)
    text = str(what)
    if text != "-" and not (text.endswith(SUFFIX) or isinstance(what, Path) or "/" in text):
        # What is no file is a name of the catalogue, or is told what it may mean.
        return mechanism(text, **parameters)
    return _read("stdin" if text == "-" else text, sys.stdin.read() if text == "-" else read_text(text), parameters)


def gradient(what: Subject, /, *, of: str | Sequence[str] | None = None, to: Sequence[str] | None = None) -> Program:
    """Return the Program that computes gradients of what is named; `of` and `to` as in `attometer.program.gradient`.

    Args:
        what: a name of the catalogue, a file of notation, a Program or a mechanism.
        of: the results whose gradients arrive; all outputs when None.
        to: the inputs whose gradients are computed; all that have one when None.

    Raises:
        AttometerError: as `subject`; an input that no result depends on smoothly, or an operation without a rule.

    >>> [t.name for t in gradient("softmax", to=["V"]).outputs]
    ['dV']
    """
    return program_gradient(subject(what).program, of=of, to=to)


def gradient_of(made: Mechanism) -> Mechanism:
    """Return the mechanism whose program is the gradient of another's."""
    return replace(
        made,
        name=f"gradient of {made.name}",
        title=f"gradients of {made.title}",
        program=gradient(made),
        approximates=None,
        notes="reads what the mechanism reads and, for each result O, the gradient dO that arrives at it",
    )


def _sized(program: Program, sizes: dict[str, object]) -> Program:
    known = {str(s) for s in program.symbols}
    chosen: dict[str, Size] = {}
    for name, value in sizes.items():
        if name not in known:
            raise unknown("size", name, known)
        if isinstance(value, bool) or not isinstance(value, int):
            raise AttometerError(f'size "{name}" must be a positive integer, got {value!r:.80}')
        chosen[name] = value
    return program.substitute(dict(chosen)) if chosen else program


def _own(name: str, title: str, program: Program, citation: str = "your own") -> Mechanism:
    return Mechanism(name, title, program, None, MappingProxyType({}), citation)


def _read(name: str, text: str, parameters: dict[str, object]) -> Mechanism:
    try:
        program = parse(text)
    except AttometerError as error:
        raise AttometerError(f"{name}: {_located(str(error), text)}") from None
    comments = [line.strip("# \t") for line in text.splitlines() if line.lstrip().startswith("#")]
    source = next((c.partition(":")[2].strip() for c in comments if c.lower().startswith("source:")), "your own")
    title = next((c for c in comments if c and not c.lower().startswith("source:")), "your own notation")
    return _own(Path(name).stem, title, _sized(program, parameters), source)


def _located(words: str, text: str) -> str:
    """Return an error's words with line and column: those it has, or where the name it quotes first is written first."""
    if words.startswith("notation line"):
        return words.removeprefix("notation ")
    for name in re.findall(r'"([A-Za-z_]\w*)', words):
        for number, line in enumerate(text.splitlines(), start=1):
            found = re.search(rf"\b{name}\b", line.split("#", 1)[0])
            if found:
                return f"line {number}, column {found.start() + 1}: {words}"
    return words
