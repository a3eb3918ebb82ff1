"""Reads masks of the notation: `causal(i, j) & (window(i, j, w) | global(i, j, g))`."""

import inspect
import re

from attometer.errors import AttometerError, nearest
from attometer.masks import MASKS, Mask
from attometer.program.expression import Where
from attometer.program.expression_reader import ExpressionReader
from attometer.program.size_expressions import to_size

_MAX_ATOMS = 200
_MAX_TEXT = 20_000


class MaskReader(ExpressionReader):
    """A cursor that reads masks."""

    def where(self) -> Where:
        """Read a mask; all its parts are over the same query and key index."""
        column = self.column()
        over: list[tuple[str, str]] = []
        mask = self.mask_or(over)
        pairs = list(dict.fromkeys(over))
        if len(pairs) != 1:
            told = ", ".join(f"({query}, {key})" for query, key in pairs)
            self.fail(f"a mask is over one pair of indices, got {told}", column)
        query, key = pairs[0]
        if query == key:
            self.fail(f'a mask needs two different indices, got "{query}" twice', column)
        return Where(mask, query, key)

    def mask_or(self, over: list[tuple[str, str]]) -> Mask:
        """Read parts joined by |."""
        left = self.mask_and(over)
        while self.skip("|"):
            left = left | self.mask_and(over)
        return left

    def mask_and(self, over: list[tuple[str, str]]) -> Mask:
        """Read parts joined by &."""
        left = self.mask_not(over)
        while self.skip("&"):
            left = left & self.mask_not(over)
        return left

    def mask_not(self, over: list[tuple[str, str]]) -> Mask:
        """Read one mask, negated or in parentheses."""
        self.enter("mask")
        if self.skip("~"):
            found = ~self.mask_not(over)
        elif self.skip("("):
            found = self.mask_or(over)
            self.take(")")
        else:
            found = self.mask_atom(over)
        self.leave()
        return found

    def mask_atom(self, over: list[tuple[str, str]]) -> Mask:
        """Read one named mask; `over` collects its pair of indices."""
        column = self.column()
        name = self.name("a mask")
        if name not in MASKS:
            self.fail(f'unknown mask "{name}"{nearest(name, MASKS)}', column)
        self.take("(")
        query = self.name("the query index")
        self.take(",")
        over.append((query, self.name("the key index")))
        if len(over) > _MAX_ATOMS:
            self.fail(f"a mask of more than {_MAX_ATOMS} parts", column)
        parameters = []
        while self.skip(","):
            parameters.append(self.mask_parameter())
        self.take(")")
        return self.made(name, parameters, ("i", "j"), column)

    def made(self, name: str, parameters: list[object], before: tuple[str, ...], column: int) -> Mask:
        """Return the mask `name` with its parameters, `before` being what is written in front of them."""
        known = inspect.signature(MASKS[name]).parameters.values()
        least = sum(p.default is p.empty for p in known)
        if not least <= len(parameters) <= len(known):
            signature = ", ".join((*before, *(p.name for p in known)))
            written = f"{name}({signature})" if signature else name
            after = " after the indices" if before else ""
            self.fail(f"{name} is written {written}, got {len(parameters)} parameter(s){after}", column)
        try:
            return MASKS[name](*parameters)
        except AttometerError as error:
            self.fail(f"{name}: {error}", column)

    def mask_parameter(self) -> object:
        """Read a size, `*` for unbounded, or a list."""
        if self.skip("*"):
            return None
        if not self.skip("["):
            value = to_size(self.sum())
            return int(value) if value.is_Integer else value
        self.enter("list")
        found = []
        while not self.skip("]"):
            found.append(self.mask_parameter())
            if self.peek() != "]":
                self.take(",")
        self.leave()
        return found


class BareMaskReader(MaskReader):
    """A cursor that reads masks as they print by themselves, without indices: `causal & window(4)`."""

    def mask_atom(self, over: list[tuple[str, str]]) -> Mask:
        """Read one named mask and its parameters."""
        column = self.column()
        name = self.name("a mask")
        if name not in MASKS:
            self.fail(f'unknown mask "{name}"{nearest(name, MASKS)}', column)
        over.append(("i", "j"))
        if len(over) > _MAX_ATOMS:
            self.fail(f"a mask of more than {_MAX_ATOMS} parts", column)
        parameters: list[object] = []
        if self.skip("("):
            while not self.skip(")"):
                parameters.append(self.mask_parameter())
                if self.peek() != ")":
                    self.take(",")
        return self.made(name, parameters, (), column)


_SIGNS = {"and": "&", "or": "|", "not": "~"}
_WORDS = re.compile(r"\b(?:and|or|not)\b")


def parse_mask(text: str) -> Mask:
    """Read a mask as it prints by itself; `str` is the inverse.

    Raises AttometerError naming the column and what was expected.

    >>> print(parse_mask("causal & (window(4) | global(2))"))
    causal & (window(4) | global(2))
    """
    if len(text) > _MAX_TEXT:
        raise AttometerError(f"mask is {len(text)} characters long; the limit is {_MAX_TEXT}")
    # Python's words for the signs of the algebra.
    text = _WORDS.sub(lambda found: _SIGNS[found[0]], text)
    reader = BareMaskReader(1, text)
    mask = reader.mask_or([])
    reader.end()
    return mask
