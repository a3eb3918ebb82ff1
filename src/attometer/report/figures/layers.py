"""A model's layers as a figure needs them: its attention, and its matrix products by component, as functions of n."""

from dataclasses import dataclass

import sympy

from attometer.count import count
from attometer.count.model_cost import flops, pieces
from attometer.errors import AttometerError
from attometer.models import Model
from attometer.models.part import Part
from attometer.program import size

CORE = ("attention", "cross attention", "index scores", "scan", "delta rule")
FEED_FORWARD = ("up", "gate", "down", "act", "experts", "shared", "router")
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
    found: dict[Part, int] = {}
    for layers, part in pieces(model):
        if part.name == "attention":
            found[part] = found.get(part, 0) + layers
    return tuple((layers, part) for part, layers in found.items())


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
    for stack in model.layers:
        for part in stack.layer.parts:
            spent = stack.count * part.copies * count(part.program, causal=causal).flops("flop")
            terms[component(part.name)].append(one_sequence(spent))
    return {name: sympy.expand(sympy.Add(*found)) for name, found in terms.items()}


def component(name: str) -> str:
    """Return the component that a part of this name belongs to.

    >>> component("experts up"), component("kv down"), component("attention")
    ('feed-forward', 'projections', 'attention core')
    """
    if name in CORE:
        return COMPONENTS[0]
    return COMPONENTS[2] if name.split()[0] in FEED_FORWARD else COMPONENTS[1]


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
