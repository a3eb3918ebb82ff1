"""Counting conventions are data: sources count differently, and each way is a named row with its reasons."""

from collections.abc import Callable
from dataclasses import dataclass

import sympy

from attometer.errors import unknown


@dataclass(frozen=True)
class Row:
    """One operation's counts.

    Attributes:
        name: the tensor it makes.
        kind: einsum, map, reduce, sort, scan or recurrence.
        label: what it computes.
        work: scalar operations, every one counted as 1.
        levels: its own depth, operands ready at once.
        macs: multiply-accumulates, of matrix products only.
        exponentials: points at which a softmax takes an exponential.
        entries: entries it writes.
    """

    name: str
    kind: str
    label: str
    work: sympy.Expr
    levels: sympy.Expr
    macs: sympy.Expr
    exponentials: sympy.Expr
    entries: sympy.Expr


@dataclass(frozen=True)
class Convention:
    """How one operation's cost is counted, and why some source counts so."""

    name: str
    reason: str
    of: Callable[[Row], sympy.Expr]


def _flop_all(row: Row) -> sympy.Expr:
    # A matrix product's unit work is 2 MACs less one addition per result; hardware does the full fused 2.
    return 2 * row.macs if row.kind == "einsum" else row.work


CONVENTIONS: dict[str, Convention] = {
    c.name: c
    for c in (
        Convention(
            "unit", "every scalar operation is 1, a sum of k is k-1: the work of the work-depth model", lambda r: r.work
        ),
        Convention(
            "flop",
            "2 per multiply-accumulate of matrix products only: what torch's FLOP counter prints",
            lambda r: 2 * r.macs,
        ),
        Convention("flop_all", "2 per multiply-accumulate, 1 per other scalar operation", _flop_all),
        Convention("mac", "multiply-accumulates of matrix products only: what fvcore calls flops", lambda r: r.macs),
        Convention(
            "article",
            "multiplications of matrix products plus 3 per attention score (exponential, sum, division), as M. Brenndoerfer (2025) counts",
            lambda r: r.macs + 3 * r.exponentials,
        ),
    )
}
"""Conventions by name."""


def convention(name: str) -> Convention:
    """Return the convention called `name`, or say which there are.

    >>> convention("flop").reason
    "2 per multiply-accumulate of matrix products only: what torch's FLOP counter prints"
    """
    if name not in CONVENTIONS:
        raise unknown("convention", name, CONVENTIONS)
    return CONVENTIONS[name]
