"""`devices`: how many of each kind of device a question takes at least."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.machine import Cluster, Machine
from attometer.models import Model
from attometer.models import model as read
from attometer.plan.asking import Asked, answer, asked_of
from attometer.plan.result import Plan
from attometer.plan.verdict import gigabytes
from attometer.view.numbers import Cell, seconds
from attometer.view.report import Block, Report
from attometer.view.table import Table


@dataclass(frozen=True)
class Devices(Report):
    """How many of each kind of device suffice, with the plan on so many (None where no number that was tried does).

    Attributes:
        asked: the question on one device of each kind.
        plans: the plan on the fewest of each kind.
    """

    asked: tuple[Asked, ...]
    plans: tuple[Plan | None, ...]

    @property
    def counts(self) -> dict[str, int | None]:
        """The fewest devices by machine."""
        return {
            a.devices.machine.id: None if p is None else _count(p) for a, p in zip(self.asked, self.plans, strict=True)
        }

    @property
    def headline(self) -> str:
        """One sentence: how many of which."""
        here = self.asked[0].here
        o, first = here.options, next((p for p in self.plans if p is not None), None)
        named = [
            f"{'more than were tried' if p is None else _count(p)} × {a.devices.machine.name}"
            for a, p in zip(self.asked, self.plans, strict=True)
        ]
        stored = first.weights_said if first is not None else here.formats.name
        how = f" under {first.served}" if first is not None and first.served is not None else ""
        return (
            f"{here.model.name} in {stored} at {o.context:,} tokens, batch {o.batch}, {o.mode}{how} takes at least "
            f"{', or '.join(named)}."
        )

    def page(self) -> Iterable[Block]:
        """Return the sentence, and a row for each kind of device."""
        columns = (
            "machine",
            "at least",
            "placement",
            "needs GB each",
            "usable GB each",
            "largest context",
            "a pass",
            "of all the memory",
        )
        rows = tuple(_row(a, p) for a, p in zip(self.asked, self.plans, strict=True))
        yield self.headline
        yield Table("", columns, rows, ("a pass: datasheet rates with links and waiting, even routing; an estimate",))

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and the plans as plain values for JSON."""
        plans = {
            a.devices.machine.id: None if p is None else p.to_dict()
            for a, p in zip(self.asked, self.plans, strict=True)
        }
        return {"headline": self.headline, "counts": self.counts, "plans": plans}


def devices(subject: str | Path | Model, on: Iterable[str | Machine | Cluster], **question: Any) -> Devices:
    """Return how many of each kind of device a model takes at least.

    Args:
        subject: a shipped model's name, a file, a folder, or a Model.
        on: kinds of device.
        question: the arguments of `plan`: context, batch, mode, formats, engine, recipe.

    Raises AttometerError as `plan` does, and where no machine is given.

    >>> devices("llama-3.1-70b", ["h100-sxm", "h200-sxm"], context=8192, mode="decode").counts
    {'h100-sxm': 2, 'h200-sxm': 1}
    """
    model = subject if isinstance(subject, Model) else read(subject)
    empty = dict.fromkeys(("context", "batch", "engine", "recipe", "micro_batch", "placement", "what_if", "goal"))
    asked = tuple(asked_of(model, each, **{**empty, **question}) for each in on)
    if not asked:
        raise AttometerError("devices needs at least one machine")
    return Devices(asked, tuple(_fewest(each) for each in asked))


def _fewest(asked: Asked) -> Plan | None:
    """Return the plan on the fewest devices of the kind, one at first."""
    first = answer(replace(asked, devices=asked.devices.of(1), degrees=None, given=None), fewest=True)
    if first.fits:
        return first
    if first.fewest is None:
        return None
    many = asked.devices.of(first.fewest)
    return answer(replace(asked, devices=many, degrees=None, given=None, goal="fits"))


def _count(made: Plan) -> int:
    return 1 if made.at is None else made.at.devices.count


def _row(asked: Asked, made: Plan | None) -> tuple[Any, ...]:
    name = asked.devices.machine.name
    if made is None:
        return name, "none tried", "", "", "", "", "", ""
    room, taken = made.planner.room, made.seconds if made.at is None else made.at.timed.seconds
    whole = _count(made) * room
    return (
        name,
        _count(made),
        "" if made.at is None else str(made.at.placement),
        Cell(made.needed, f"{made.needed / 1e9:,.2f}"),
        Cell(room, f"{room / 1e9:,.2f}"),
        made.largest_context,
        Cell(taken, seconds(taken)),
        Cell(whole, gigabytes(whole)),
    )
