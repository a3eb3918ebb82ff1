"""Several plans of one question in one table: models, machines, or both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from attometer.errors import AttometerError
from attometer.plan.options import MOST_TOKENS
from attometer.plan.result import Plan
from attometer.plan.text import WIDTH, wrapped
from attometer.view.numbers import Cell, seconds
from attometer.view.report import Block, Report
from attometer.view.table import Table


@dataclass(frozen=True)
class SideBySide(Report):
    """Plans that answer one question for several models or machines.

    Attributes:
        plans: one for each pair.
    """

    plans: tuple[Plan, ...]

    def page(self) -> Iterable[Block]:
        """Return a table with a row for each plan, then the sentences."""
        columns = ("model", "weights", "on", "fits", "needs GB", "usable GB", "largest context", "at least", "bound by")
        yield Table("", columns, tuple(_row(each) for each in self.plans))
        yield wrapped(*(each.headline for each in self.plans), width=WIDTH)

    def to_dict(self, explain: bool = False) -> dict[str, Any]:
        """Return every plan as plain values for JSON, with `explain` also where each number comes from."""
        return {"plans": [each.to_dict(explain) for each in self.plans]}


def side_by_side(plans: Sequence[Plan]) -> SideBySide:
    """Return plans as one table.

    Raises AttometerError when there are none.

    >>> from attometer.plan import plan
    >>> both = side_by_side([plan("gpt2", "l4"), plan("gpt2", "a10")])
    >>> [each.fits for each in both.plans]
    [True, True]
    """
    if not plans:
        raise AttometerError("side_by_side needs at least one plan")
    return SideBySide(tuple(plans))


def _row(each: Plan) -> tuple[Any, ...]:
    need, room, most = each.needed, each.planner.room, each.largest_context
    return (
        each.model.name,
        each.planner.formats.name,
        each.devices,
        "yes" if each.fits else "no",
        Cell(need, f"{need / 1e9:,.2f}"),
        Cell(room, f"{room / 1e9:,.2f}"),
        Cell(most, "any" if most >= MOST_TOKENS else f"{most:,}"),
        Cell(each.seconds, seconds(each.seconds)),
        each.time.binds,
    )
