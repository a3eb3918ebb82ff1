"""What a part costs, once for each text and all of its sizes: a page holds formulas of texts, and of models only sizes."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from attometer.count.formulas import Compiled, Graph
from attometer.count.part_cost import PartCost
from attometer.count.weights import weight_elements
from attometer.models.part import Part
from attometer.program import Program, parse
from attometer.view.numbers import formula

SERVED = ("flops", "moved", "cached", "live")
TRAINED = ("saved", "outputs", "backward_flops", "backward_moved", "frozen_flops", "frozen_moved")
HELD = ("live", "saved")
TOKENS = ("b", "n", "m", "s")
"""Sizes that every formula takes first: sequences, new tokens, keys, source tokens."""
_FEW = 4
"""Numbers up to this stay numbers in a text, since it may compute with them (pairs that are turned, streams that are mixed) …"""
_COUNTED = frozenset("ghkx")
"""… but of heads, groups, chosen experts and experts any number is a size."""
_WINDOW = re.compile(r"(window|chunked)\(i, j, (\d+)\)")


@lru_cache(maxsize=4096)
def abstracted(program: Program) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return the text of a program with names for the numbers of its axes and of its window, and these numbers by name.

    >>> from attometer.models.blocks import linear
    >>> abstracted(linear("up", 8, 16).program)
    ('axis i: n, c: c, o: o\\nweight W[c,o]\\nY[b,i,o] = X[b,i,c] * W[c,o]', (('c', 8), ('o', 16)))
    """
    sizes: dict[str, int] = {}
    first, *rest = str(program).split("\n")

    def named(found: re.Match[str]) -> str:
        axis, extent = found[1], int(found[2])
        if extent <= _FEW and axis not in _COUNTED:
            return found[0]
        name = f"{axis}_" if axis in TOKENS else axis
        sizes[name] = extent
        return f"{axis}: {name}"

    first = re.sub(r"(\w+): (\d+)(?=,|$)", named, first)
    body = "\n".join(rest)
    windows = {found[2] for found in _WINDOW.finditer(body)}
    if len(windows) == 1 and "w" not in sizes:
        sizes["w"] = int(windows.pop())
        body = _WINDOW.sub(r"\1(i, j, w)", body)
    return f"{first}\n{body}", tuple(sizes.items())


class Pairs:
    """Numbers the texts at sizes that a model has, as they are met."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, tuple[tuple[str, int], ...]], int] = {}

    def number(self, program: Program) -> int:
        """Return the number of a program's text at its sizes."""
        return self._found.setdefault(abstracted(program), len(self._found))

    def data(self) -> list[list[Any]]:
        """Return each text with the names of its sizes and their values."""
        return [[text, [name for name, _ in sizes], [value for _, value in sizes]] for text, sizes in self._found]


Text: TypeAlias = tuple[str, tuple[str, ...]]
"""A text, and the names of its sizes."""


def numbered(models: Iterable[dict[str, Any]]) -> list[Text]:
    """Put the numbers of texts into the models' pairs, and return the texts."""
    found: dict[Text, int] = {}
    for one in models:
        one["texts"] = [
            [found.setdefault((text, tuple(names)), len(found)), sizes] for text, names, sizes in one["texts"]
        ]
    return list(found)


@lru_cache(maxsize=512)
def text_data(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the formulas of one text: JavaScript of `TOKENS` and its sizes in their order, and its FLOPs in words.

    `served` and `trained` give the quantities of those names, `full` FLOPs where a mask's whole square is counted,
    `naive` what is held where scores go through memory, `weights` the
    elements of matrices and of the rest, of the sizes alone.
    """
    program = parse(text)
    part = Part("part", program)
    cost, full = PartCost(part, program), PartCost(part, program, causal="full")
    order = (*TOKENS, *names)

    def script(one: PartCost, quantities: Iterable[str]) -> str:
        graph = Graph()
        outputs = {name: graph.rounded_up(getattr(one, name), {}) for name in quantities}
        return Compiled(graph, outputs, order).javascript("f", listed=True)

    graph = Graph()
    weights = dict(zip(("matrices", "rest"), map(graph.exact, weight_elements(program)), strict=True))
    found = {"sizes": list(names), "served": script(cost, SERVED), "trained": script(cost, TRAINED)}
    found["weights"] = Compiled(graph, weights, names).javascript("f", listed=True)
    if full.flops != cost.flops:
        found["full"] = script(full, ("flops",))
    naive = PartCost(part, program, schedule="naive")
    if (naive.live, naive.saved) != (cost.live, cost.saved):
        found["naive"] = script(naive, HELD)
    return found | {"formula": formula(cost.flops)}
