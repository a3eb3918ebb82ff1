"""The time that a machine's peaks allow for a cost, and which of its limits binds."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache, reduce
from math import inf
from typing import Any

from attometer.errors import AttometerError, unknown
from attometer.machine import Figure, Machine
from attometer.machine.hardware import Peak
from attometer.view.numbers import seconds as spelled
from attometer.view.report import Block, Report


@dataclass(frozen=True)
class Roofline(Report):
    """A lower bound on time: each resource at its peak, all three overlapped perfectly.

    Seconds are per resource; `seconds` is the largest of them for one operation, and the sum over the operations for
    operations in sequence. `basis` says where the peaks come from, as in `datasheet roofline`.
    """

    machine: str
    basis: str
    flops: int
    bytes_moved: int
    link_bytes: int
    compute_seconds: float
    memory_seconds: float
    link_seconds: float
    seconds: float

    @property
    def resources(self) -> dict[str, float]:
        """Seconds by resource: compute, memory, link."""
        return {"compute": self.compute_seconds, "memory": self.memory_seconds, "link": self.link_seconds}

    @property
    def binds(self) -> str:
        """The resource that takes longest: `compute`, `memory` or `link`."""
        return max(self.resources, key=self.resources.__getitem__)

    @property
    def slack(self) -> float:
        """How many times faster the binding resource must become before another one binds (infinite if none does)."""
        first, second, _ = sorted(self.resources.values(), reverse=True)
        return first / second if second else inf

    @property
    def intensity(self) -> float:
        """Operations per byte of main-memory traffic."""
        return self.flops / self.bytes_moved if self.bytes_moved else inf

    def then(self, other: "Roofline") -> "Roofline":
        """Return both in sequence: every figure is summed, times included.

        Raises AttometerError when the two are on different machines.
        """
        if (self.machine, self.basis) != (other.machine, other.basis):
            raise AttometerError(f'cannot add a roofline on "{other.machine}" to one on "{self.machine}"')
        numbers = {name: value + getattr(other, name) for name, value in vars(self).items() if name not in _NAMES}
        return Roofline(machine=self.machine, basis=self.basis, **numbers)

    def to_dict(self) -> dict[str, Any]:
        """Return every figure with what binds and the slack, as plain values (an infinite slack is None)."""
        return {**asdict(self), "binds": self.binds, "slack": self.slack if self.slack < inf else None}

    def explain(self, name: str) -> str:
        """Return where a resource's seconds come from.

        Raises AttometerError for a resource other than compute, memory and link.
        """
        amounts = {"compute": self.flops, "memory": self.bytes_moved, "link": self.link_bytes}
        if name not in amounts:
            raise unknown("resource", name, amounts)
        unit, taken = "operations" if name == "compute" else "bytes", self.resources[name]
        rate = f"{amounts[name] / taken:.6g} per second" if taken else "a rate that nothing asked for"
        return f"{name} = {amounts[name]:,} {unit} / {rate} = {taken:.6g} s ({self.basis} of {self.machine})"

    def page(self) -> list[Block]:
        """Return one sentence."""
        slack = f"{self.slack:.3g}x before the next limit" if self.slack < inf else "no other limit"
        return [
            f"{spelled(self.seconds)} on {self.machine} ({self.basis}, a lower bound): {self.binds} binds, {slack}; "
            + ", ".join(f"{name} {spelled(value)}" for name, value in self.resources.items() if value)
        ]


_NAMES = ("machine", "basis")


def roofline(flops: int, bytes_moved: int, machine: Machine, dtype: str = "bf16", link_bytes: int = 0) -> Roofline:
    """Price one operation: `flops` operations in `dtype`, `bytes_moved` to and from main memory, `link_bytes` to peers.

    A multiply-accumulate is two operations, as peak rates count it. Returns a Roofline. Raises AttometerError for a
    negative count and for a rate or bandwidth that the machine does not state. Source: Williams, Waterman, Patterson,
    Roofline: an insightful visual performance model, CACM 2009.

    >>> from attometer.machine import machine
    >>> print(roofline(flops=989 * 10**12, bytes_moved=335 * 10**9, machine=machine("h100-sxm")))
    1.00 s on h100-sxm (datasheet roofline, a lower bound): compute binds, 10x before the next limit; compute 1.00 s, memory 100 ms
    """
    counts = int(flops), int(bytes_moved), int(link_bytes)
    for name, value in zip(("flops", "bytes_moved", "link_bytes"), counts, strict=True):
        if value < 0:
            raise AttometerError(f"{name} must be at least 0, got {value}")
    # a resource that is not used is not asked for: a machine without a link still prices a program that needs none
    times = (
        counts[0] / machine.peak_rate(dtype) if counts[0] else 0.0,
        counts[1] / machine.bandwidth if counts[1] else 0.0,
        counts[2] / machine.link_bandwidth if counts[2] else 0.0,
    )
    return Roofline(
        machine.id, _basis(machine.peak, machine.memory.bandwidth, machine.chip.link), *counts, *times, max(times)
    )


def in_sequence(parts: Iterable[Roofline]) -> Roofline:
    """Return operations that run one after the other as one Roofline; `seconds` is the sum of theirs.

    Raises AttometerError when there are none or when they are on different machines.
    """
    listed = list(parts)
    if not listed:
        raise AttometerError("in_sequence needs at least one roofline")
    return reduce(Roofline.then, listed)


@lru_cache(maxsize=256)
def _basis(peak: Peak, *bandwidths: Figure | None) -> str:
    """Say what a roofline stands on: the statuses of the rates that it may use."""
    rates = [figure for figure in (*(figure for _, figure in peak), *bandwidths) if figure is not None]
    return f"{'/'.join(sorted({figure.status for figure in rates}))} roofline"
