"""Long lines, broken at spaces."""

from textwrap import wrap


def folded(text: str, width: int | None, indent: str = "  ") -> list[str]:
    """Return the lines of `text`, those longer than `width` broken at spaces and continued under an indent.

    >>> folded("one two three", 8)
    ['one two', '  three']
    """
    lines = text.split("\n")
    if width is None:
        return lines
    return [part for line in lines for part in (_broken(line, width, indent) if len(line) > width else [line])]


def _broken(line: str, width: int, indent: str) -> list[str]:
    own = line[: len(line) - len(line.lstrip())]
    return wrap(line, width, subsequent_indent=own + indent, break_on_hyphens=False, break_long_words=False)
