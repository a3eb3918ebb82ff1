"""Degrees of parallelism that a question leaves open: which follow from those given, and what was filled in, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from attometer.errors import positive_int, unknown
from attometer.machine import Cluster
from attometer.plan.placement_search import Found
from attometer.plan.placement_time import Candidate
from attometer.schedule.placement import Placement

SHARED = ("tp", "pp", "dp")
"""The degrees that share the devices among them, where positions are not shared."""
ALIKE = 1.03
"""Placements that take up to so many times as long as the fastest one are as good, and the one with fewest degrees is taken."""
Pair = tuple[Candidate, int | None]
"""A placement that was found, and its largest context."""
_UNSAID = ("sp", "zero", "interleave")
_DEFAULTS = {field.name: field.default for field in fields(Placement)}
_BEST = {
    "fits": "the most room to spare",
    "latency": "the least time of a pass",
    "throughput": "the most tokens per second",
    "context": "the longest sequences",
}


@dataclass(frozen=True)
class Filled:
    """The degrees that were given, those that were filled in beside them, and why these."""

    given: Mapping[str, Any]
    degrees: Mapping[str, Any]
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return both and the reason as plain values for JSON."""
        return {"given": dict(self.given), "degrees": dict(self.degrees), "why": self.why}

    def __str__(self) -> str:
        given = f"given {_said(self.given)}; " if self.given else ""
        return f"{given}filled in {_said(self.degrees)}: {self.why}"


def _said(degrees: Mapping[str, Any]) -> str:
    return " ".join(name if value is True else f"{name} {value}" for name, value in degrees.items())


def settled(given: Mapping[str, Any], devices: Cluster, layered: bool = False) -> Placement | None:
    """Return the placement of the degrees given, where the devices leave no choice; None where there is one to search.

    One of tp, pp and dp that is missing takes the devices that are left over. Replicas that divide what they hold (`zero`)
    take them first, and stages where an engine is `layered`: then nothing else is meant to share.

    Raises AttometerError for a degree that there is not, or that is not a positive whole number.

    >>> from attometer.machine import cluster
    >>> two_nodes = cluster("16x-h100-sxm")
    >>> str(settled({"tp": 4, "pp": 2}, two_nodes)), settled({"ep": 8}, two_nodes)
    ('tp 4 pp 2 dp 2', None)
    """
    for name, value in given.items():
        if name not in _DEFAULTS:
            raise unknown("degree of parallelism", str(name), list(_DEFAULTS))
        if type(_DEFAULTS[name]) is int and name != "zero":
            positive_int(name, value)
    known: dict[str, Any] = dict(given)
    Placement(zero=known.get("zero", 0), cp_method=known.get("cp_method", "ring"))
    used = 1
    for name in (*SHARED, "cp"):
        used *= known.get(name, 1)
    left, rest = divmod(devices.count, used)
    missing = [name for name in SHARED if name not in known]
    if layered:
        missing = missing[missing.index("pp") :][:1] if "pp" in missing else missing[:1]
    elif known.get("zero") and "dp" in missing:
        missing = ["dp"]
    if rest or left == 1 or not missing:
        return Placement(**known)
    return Placement(**known | {missing[0]: left}) if len(missing) == 1 else None


def simplest_first(held: list[Pair]) -> list[Pair]:
    """Return placements, best first, with what a person would type before what is hardly faster.

    How states are divided and stages are cut in pieces is no degree more.
    """

    def degrees(pair: Pair) -> int:
        place = pair[0].placement
        return sum(value != _DEFAULTS[name] for name, value in place.to_dict().items() if name not in _UNSAID)

    close = [pair for pair in held if pair[0].seconds <= ALIKE * held[0][0].seconds]
    simplest = min(close, key=degrees)
    return [simplest, *(pair for pair in held if pair is not simplest)]


def filled_in(given: Mapping[str, Any] | None, place: Placement, found: Found | None, layered: bool) -> Filled | None:
    """Return which degrees of a placement were not given, and why they are these; None where there is none."""
    if given is None or place.devices == 1:
        return None
    derived = {"expert_tp": place.tp // place.ep if place.tp % place.ep == 0 else 1}
    plain = _DEFAULTS | derived
    degrees = {name: value for name, value in place.to_dict().items() if name not in given and value != plain[name]}
    if not degrees:
        return None
    if found is not None:
        first = found.best[0]
        best = _BEST[found.goal] if first.fits else "none fits, the nearest"
        if any(each.seconds < first.seconds for each in found.best):
            best += f", or fewer degrees within {ALIKE - 1:.0%} of that,"
        why = f"{best} of {found.legal:,} legal placements"
    elif given:
        why = "the devices that are left"
    else:
        why = "whole layers on each device" if layered else "ranks over a node, stages over nodes"
    return Filled(given, degrees, why)
