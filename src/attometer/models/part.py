"""A part is a named piece of a layer: what it computes is a Program, and what it costs is counted from that Program."""

from dataclasses import dataclass, replace
from functools import lru_cache

from attometer.program import Program, parse


@dataclass(frozen=True)
class Routed:
    """A token uses `chosen` of `experts` sets of weights."""

    experts: int
    chosen: int


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
    routed: Routed | None = None
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


@lru_cache(maxsize=4096)
def program(text: str) -> Program:
    """Parse notation once per text: layers repeat."""
    return parse(text)
