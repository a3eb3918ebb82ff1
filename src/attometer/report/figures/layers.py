"""A model's layers as a figure needs them: its attention, and its matrix products by component, as functions of n."""

from dataclasses import dataclass

import sympy

from attometer.count.model_cost import flops, model_cost
from attometer.count.part_cost import PartCost
from attometer.errors import AttometerError
from attometer.models import Model
from attometer.models.part import Part
from attometer.program import size

CORE = ("attention", "recurrence")
FEED_FORWARD = ("feed-forward", "experts", "shared experts", "router")
COMPONENTS = ("attention core", "projections", "feed-forward")
TOKENS = size("n")


@dataclass(frozen=True)
class Width:
    """The width of a model's attention: query heads, key/value heads, and the width of a head."""

    h: int
    g: int
    d: int


def attention(model: Model) -> tuple[tuple[int, Part], ...]:
    """Return the attention parts of a model, each with the number of layers that have it.

    >>> from attometer.models import model
    >>> [layers for layers, part in attention(model("gpt2"))]
    [12]
    """
    layers: dict[Part, int] = {}
    for times, cost in model_cost(model).parts():
        if cost.name == "attention":
            layers[cost.part] = layers.get(cost.part, 0) + times
    return tuple((times, part) for part, times in layers.items())


def width(model: Model) -> Width:
    """Return the heads of a model's first attention layer; AttometerError when it has none.

    >>> from attometer.models import model
    >>> width(model("llama-3.1-8b"))
    Width(h=32, g=8, d=128)
    """
    for _, part in attention(model):
        sizes = {axis: int(extent) for axis, extent in part.program.axes if extent.is_Integer}
        if {"h", "d"} <= set(sizes):
            return Width(sizes["h"], sizes.get("g", sizes["h"]), sizes["d"])
    raise AttometerError(f'model "{model.name}" has no attention to draw; its layers are {", ".join(model.kinds())}')


def components(model: Model, causal: str = "full") -> dict[str, sympy.Expr]:
    """Return the FLOPs of the layers by component, as expressions in n; embedding and head are left out.

    >>> from attometer.models import model
    >>> components(model("gpt2"))["attention core"]
    36864*n**2
    """
    terms: dict[str, list[sympy.Expr]] = {name: [] for name in COMPONENTS}
    for row in model_cost(model, causal=causal).layers:
        for part in row.parts:
            terms[component(part)].append(one_sequence(row.layers * part.flops))
    return {name: sympy.expand(sympy.Add(*parts)) for name, parts in terms.items()}


def component(part: PartCost) -> str:
    """Return the component that a part of a layer belongs to, by its kind."""
    if part.kind in CORE or part.name == "index scores":
        return COMPONENTS[0]
    return COMPONENTS[2] if part.kind in FEED_FORWARD else COMPONENTS[1]


def one_sequence(expression: sympy.Expr) -> sympy.Expr:
    """Bind batch to 1, and keys and source tokens to n."""
    return expression.xreplace({size("b"): sympy.Integer(1), size("m"): TOKENS, size("s"): TOKENS})


def whole(model: Model, causal: str) -> sympy.Expr:
    """Return the FLOPs of one forward pass as an expression in n: all layers, embedding and head."""
    return sympy.sympify(flops(model, causal=causal))


def at(expression: sympy.Expr, n: int) -> int:
    """Return an expression in n at a length."""
    return int(expression.xreplace({TOKENS: sympy.Integer(n)}))


def lengths(first: int, last: int) -> list[int]:
    """Return the powers of two from `first` to `last`.

    >>> lengths(4, 32)
    [4, 8, 16, 32]
    """
    return [2**k for k in range(first.bit_length() - 1, last.bit_length())]


def smooth(first: int, last: int, steps: int = 8) -> list[int]:
    """Return lengths from `first` to `last`, `steps` to each doubling, for curves without corners.

    >>> smooth(64, 128, 4)
    [64, 76, 91, 108, 128]
    """
    doublings = steps * (last.bit_length() - first.bit_length())
    return [round(first * (last / first) ** (k / doublings)) for k in range(doublings + 1)]
