"""A part is a named piece of a layer: a mechanism at the model's numbers, and what it costs is counted from its Program."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from attometer.mechanisms.stages import apart
from attometer.program import Program, parse, size
from attometer.sizes import Size


@dataclass(frozen=True)
class MoE:
    """A token uses `top_k` of `num_experts` sets of weights."""

    num_experts: int
    top_k: int


@dataclass(frozen=True)
class Part:
    """One piece of a layer.

    `program` has the model's sizes as numbers and `b` (batch), `n` (new tokens), `m` (keys), `s` (source tokens) as
    symbols; it is computed `copies` times with separate weights. `routed` says that the weights are those of all
    experts. `tied` says that the weights are another part's, read again here. `reference` is the form in which
    transformers executes the same mathematics where it differs in its matrix products. `idle` says that a plain forward
    pass has the weights and does not use them. `short` is a number of keys up to which another program runs.
    """

    name: str
    program: Program
    copies: int = 1
    routed: MoE | None = None
    tied: bool = False
    reference: Program | None = None
    idle: bool = False
    short: tuple[int, Program] | None = None

    def times(self, copies: int) -> "Part":
        """Return the part computed `copies` times, each with its own weights."""
        return replace(self, copies=self.copies * copies)

    def named(self, name: str) -> "Part":
        """Return the part under another name."""
        return replace(self, name=name)


def part(name: str, text: str, reference: str | None = None, /, **sizes: Size | str) -> Part:
    """Return a mechanism's text as a part: each of its sizes that is in `sizes` becomes that number or symbol.

    >>> print(part("q", "axis i: n, c: D\\nweight W[c,o]\\nY[b,i,o] = X[b,i,c] * W[c,o]", D=4, o=8).program)
    axis i: n, c: 4, o: 8
    weight W[c,o]
    Y[b,i,o] = X[b,i,c] * W[c,o]
    """
    return Part(name, at(text, **sizes), reference=None if reference is None else at(reference, **sizes))


def parts(axes: str, stages: Mapping[str, str], prefix: str = "", /, **sizes: Size | str) -> tuple[Part, ...]:
    """Return a mechanism in stages as one part for each."""
    return tuple(part(f"{prefix}{name}", text, **sizes) for name, text in apart(axes, stages))


def at(text: str, **sizes: Size | str) -> Program:
    """Return the program of a text with sizes put in; those it does not have change nothing."""
    return _at(text, tuple(sizes.items()))


# Layers repeat, and so do models.
@lru_cache(maxsize=4096)
def _at(text: str, sizes: tuple[tuple[str, Any], ...]) -> Program:
    return over(_parsed(text), **dict(sizes))


@lru_cache(maxsize=512)
def _parsed(text: str) -> Program:
    return parse(text)


def over(program: Program, **sizes: Size | str) -> Program:
    """Return a program with sizes replaced, as its tokens `n` by the source tokens `s`."""
    return program.substitute({k: size(v) if isinstance(v, str) else v for k, v in sizes.items()})
