"""Reads masks of the notation: `causal(i, j) & (window(i, j, w) | global(i, j, g))`."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce

import sympy

from attometer.errors import AttometerError, nearest
from attometer.masks import MASKS, Mask
from attometer.program.comparisons import FLIPPED, Comparison, Pair, both, looks_back
from attometer.program.expression import Along, Expression, Ref, Where, walk
from attometer.program.expression_reader import ExpressionReader
from attometer.program.indices import index_names
from attometer.program.size_expressions import to_size
from attometer.sizes import size

_MAX_ATOMS = 200
_MAX_TEXT = 20_000


class MaskReader(ExpressionReader):
    """A cursor that reads masks."""

    sizes: Mapping[str, sympy.Expr] = {}
    """Sizes of declared axes."""
    pair: Pair | None = None
    """What comparisons are over."""

    def where(self, left: tuple[str, ...] = (), expression: Expression | None = None) -> Where:
        """Read a mask; comparisons are over the two indices of the statement that stand in them."""
        pair = self.compared(left, expression)
        if pair is None:
            return self.mask()
        # With as many queries as keys a relation may be read from either side: as one that looks back, if it is.
        sides = [pair, replace(pair, query=pair.key, key=pair.query)]
        start, found, errors = self.at, list[tuple[Where, int]](), list[AttometerError]()
        for side in sides[: 1 if self.named() or pair.ahead != 0 else 2]:
            self.at, self.pair = start, side
            try:
                found.append((self.mask(), self.at))
            except AttometerError as error:
                errors.append(error)
        if not found:
            raise errors[0]
        where, self.at = next((one for one in found if looks_back(one[0].mask)), found[0])
        return where

    def named(self) -> list[tuple[str, str]]:
        """Return the pairs of the named masks of this line."""
        texts = [text for _, text, _ in self.tokens]
        at = [k for k, text in enumerate(texts[:-4]) if text in MASKS and texts[k + 1] == "("]
        return [(texts[k + 2], texts[k + 4]) for k in at]

    def compared(self, left: tuple[str, ...], expression: Expression | None) -> Pair | None:
        """Return the pair of indices that the comparisons to come are over, if any comes: of named masks, else query first."""
        texts = [text for _, text, _ in self.tokens[self.at :]]
        if not FLIPPED.keys() & {*texts}:
            return None
        nodes = [] if expression is None else [*walk(expression)]
        along = [i for n in nodes if isinstance(n, Along) for i in n.runs]
        read = [i for n in nodes if isinstance(n, Ref) for part in n.indices for i in index_names(part)]
        own = [i for i in dict.fromkeys((*left, *along, *read, *self.sizes)) if i in texts]
        own = [*self.named()[0]] if self.named() else own
        if len(own) != 2:
            told = f"two indices of the statement, got {', '.join(own) or 'none'}"
            self.fail(f"a mask is over {told}; a condition on the key alone is prefix(i, j, p)")
        return Pair(own[0], own[1], lambda name: self.sizes.get(name, size(name)))

    def mask(self) -> Where:
        """Read parts of which all are over one pair."""
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
            left = both(left, self.mask_not(over)) if self.pair else left & self.mask_not(over)
        return left

    def mask_not(self, over: list[tuple[str, str]]) -> Mask:
        """Read one mask, negated or in parentheses."""
        self.enter("mask")
        if self.compares():
            found = self.comparisons(over)
        elif self.skip("~"):
            found = ~self.mask_not(over)
        elif self.skip("("):
            found = self.mask_or(over)
            self.take(")")
        else:
            found = self.mask_atom(over)
        self.leave()
        return found

    def compares(self) -> bool:
        """Return whether a comparison comes next, not a named mask or one in parentheses."""
        if self.pair is None:
            return False
        depth, at = 0, 0
        while (token := self.peek(at)) and (depth or token not in ("&", "|", ")")):
            if not depth and token in FLIPPED:
                return True
            depth += (token in ("(", "[")) - (token in (")", "]"))
            at += 1
        return False

    def comparisons(self, over: list[tuple[str, str]]) -> Mask:
        """Read `a <= b`, or several in a row, `0 <= i - j < w`."""
        pair, column = self.pair, self.column()
        assert pair is not None
        over.append((pair.query, pair.key))
        left, found = self.sum(), list[Mask]()
        while self.peek() in FLIPPED:
            op, right = self.next(), self.sum()
            try:
                found.append(pair.mask(Comparison(op, left, right)))
            except AttometerError as error:
                self.fail(str(error), column)
            left = right
        return reduce(both, found)

    def mask_atom(self, over: list[tuple[str, str]]) -> Mask:
        """Read one named mask; `over` collects its pair of indices."""
        column = self.column()
        name = self.name("a mask")
        if name not in MASKS:
            self.fail(f'unknown mask "{name}"{nearest(name, MASKS, also=_MEANT)}', column)
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
            self.fail(f'unknown mask "{name}"{nearest(name, MASKS, also=_MEANT)}', column)
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


_MEANT = {
    **dict.fromkeys(("sliding", "sliding_window", "local", "swa"), "window"),
    **dict.fromkeys(("lower_triangular", "tril", "autoregressive"), "causal"),
    "dilated": "strided",
}
"""What people call a mask."""
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
