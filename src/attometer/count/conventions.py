"""Counting conventions are data: sources count differently, and each way is a table of weights with its reasons."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import sympy
from sympy import Add, Integer

from attometer.count.work.elementwise import SCALARS
from attometer.errors import AttometerError, unknown
from attometer.program.expression import COMPOSITES, FUNCTIONS

Weight: TypeAlias = int | float | sympy.Expr


@dataclass(frozen=True)
class Row:
    """One operation's counts.

    Attributes:
        name: the tensor it makes.
        kind: einsum, map, reduce, sort, scan or recurrence.
        label: what it computes.
        scalars: its scalar operations by kind: `add`, `exp`, `softmax.max` in a softmax, `product.mul` in a matrix product.
        levels: its own depth, operands ready at once.
        entries: entries it writes.
    """

    name: str
    kind: str
    label: str
    scalars: Mapping[str, sympy.Expr] = field(hash=False)
    levels: sympy.Expr
    entries: sympy.Expr

    @cached_property
    def work(self) -> sympy.Expr:
        """Scalar operations, every one counted as 1."""
        return Add(*self.scalars.values())

    @property
    def macs(self) -> sympy.Expr:
        """Multiply-accumulates, of matrix products only."""
        return self.scalars.get("product.mul", Integer(0))

    def scaled(self, factor: sympy.Expr) -> "Row":
        """Return the row of the operation done `factor` times, one after the other."""
        scalars = {kind: factor * number for kind, number in self.scalars.items()}
        return replace(self, scalars=scalars, levels=factor * self.levels, entries=factor * self.entries)

    def xreplace(self, rule: Mapping[sympy.Expr, sympy.Expr]) -> "Row":
        """Return the row with sizes replaced."""
        scalars = {kind: number.xreplace(rule) for kind, number in self.scalars.items()}
        return replace(self, scalars=scalars, levels=self.levels.xreplace(rule), entries=self.entries.xreplace(rule))


@dataclass(frozen=True)
class Convention:
    """How scalar operations are weighed, and why some source weighs them so.

    Attributes:
        name: what it is called.
        reason: why it counts so.
        weights: what one scalar operation counts, by its kind. `softmax.exp` comes before `softmax.*`, that before
            `exp`, and that before `*`, which stands for every other; what nothing names counts 0.

    Raises AttometerError when a weight names no scalar operation or is not a number.

    >>> from attometer.count import count
    >>> from attometer.program import parse
    >>> cycles = Convention("cycles", "an exponential takes 16 cycles on the special function unit", {"exp": 16, "*": 1})
    >>> count(parse("P[j] = softmax[j](S[j])")).flops(cycles)
    20*j - 2
    """

    name: str
    reason: str
    weights: Mapping[str, Weight] = field(hash=False)

    def __post_init__(self) -> None:
        for kind, weight in self.weights.items():
            if kind not in KINDS:
                raise unknown("scalar operation", str(kind), KINDS)
            if isinstance(weight, bool) or not isinstance(weight, int | float | sympy.Expr):
                raise AttometerError(f'the weight of "{kind}" must be a number, got {type(weight).__name__}')
        object.__setattr__(self, "weights", dict(self.weights))

    def weight(self, kind: str) -> Weight:
        """Return what one scalar operation of a kind counts.

        >>> [CONVENTIONS["article"].weight(kind) for kind in ("product.mul", "softmax.exp", "exp")]
        [1, 3, 0]
        """
        origin, _, function = kind.rpartition(".")
        return next((self.weights[k] for k in (kind, f"{origin}.*", function, "*") if k in self.weights), 0)

    def of(self, row: Row) -> sympy.Expr:
        """Return what one operation counts."""
        return Add(*(self.weight(kind) * number for kind, number in row.scalars.items()))


_FUNCTIONS = sorted({*(SCALARS.get(f, f) for f in FUNCTIONS), *SCALARS.values(), "neg", "compare"})
KINDS: tuple[str, ...] = (
    *("*", *_FUNCTIONS, "copy", "load", "store", "product.*", "product.mul", "product.add", "outer.mul"),
    *(f"{composite}.{function}" for composite in COMPOSITES for function in ("*", *_FUNCTIONS)),
)
"""What a weight can be given to."""

CONVENTIONS: dict[str, Convention] = {
    c.name: c
    for c in (
        Convention(
            "unit", "every scalar operation is 1, a sum of k is k-1: the work of the work-depth model", {"*": 1}
        ),
        Convention(
            "flop",
            "2 per multiply-accumulate of matrix products only: what torch's FLOP counter prints",
            {"product.mul": 2},
        ),
        # A matrix product's unit work is 2 MACs less one addition per result; hardware does the full fused 2.
        Convention(
            "flop_all",
            "2 per multiply-accumulate, 1 per other scalar operation",
            {"product.mul": 2, "product.add": 0, "*": 1},
        ),
        Convention(
            "flop_outer",
            "flop, and 2 per entry of an outer product: a recurrent state and the parallel form on one scale",
            {"product.mul": 2, "outer.mul": 2},
        ),
        Convention("mac", "multiply-accumulates of matrix products only: what fvcore calls flops", {"product.mul": 1}),
        # A score is an exponential of a softmax or logsumexp, or one written out and divided by its own sum.
        Convention(
            "article",
            "multiplications of matrix products plus 3 per attention score (exponential, sum, division), as M. Brenndoerfer (2025) counts",
            {"product.mul": 1, "softmax.exp": 3, "logsumexp.exp": 3},
        ),
    )
}
"""Conventions by name."""


def convention(chosen: str | Convention | Mapping[str, Weight]) -> Convention:
    """Return the convention of that name, or one of your own as it is; a table of weights becomes one.

    Raises AttometerError when the name or a kind of operation is unknown.

    >>> convention("flop").reason
    "2 per multiply-accumulate of matrix products only: what torch's FLOP counter prints"
    >>> convention({"exp": 1}).name
    'own'
    """
    if isinstance(chosen, Convention):
        return chosen
    if isinstance(chosen, Mapping):
        return Convention("own", "weights given by the caller", chosen)
    if chosen not in CONVENTIONS:
        raise unknown("convention", str(chosen), CONVENTIONS)
    return CONVENTIONS[chosen]
