"""How many devices of a kind it takes at least."""

from collections.abc import Iterator
from dataclasses import replace

from attometer.errors import AttometerError
from attometer.machine import Cluster
from attometer.plan.placement_search import devices_needed
from attometer.plan.planner import Planner
from attometer.plan.serving import EngineOptions, serve
from attometer.plan.spread import first_legal, load_of

MOST = 1024
"""Devices beyond this are not tried."""


def counts(per_node: int) -> Iterator[int]:
    """Yield the numbers of devices that people rent: powers of two and whole nodes.

    >>> list(counts(8))[:6]
    [1, 2, 4, 8, 16, 24]
    """
    count = 1
    while count < per_node:
        yield count
        count *= 2
    yield from range(per_node, 8 * per_node + 1, per_node)
    count = 16 * per_node
    while count <= MOST:
        yield count
        count *= 2


def fewest_devices(planner: Planner, devices: Cluster, engine: EngineOptions | None = None) -> int | None:
    """Return the fewest devices on which the question fits, by the placements that are tried first; None beyond `MOST`, or
    where nothing says how such devices are linked.

    >>> from attometer.machine import cluster
    >>> from attometer.plan import planner
    >>> asked = planner("llama-3.1-70b", "h100-sxm", mode="decode").with_options(context=8192)
    >>> fewest_devices(asked, cluster("h100-sxm"))
    2
    """
    if engine is None:
        try:
            found = devices_needed(planner.model, devices, load=load_of(planner))
        except AttometerError:
            return None
        return None if found is None else found.placement.devices
    # Each device holds its share of the weights at least.
    least = -(-planner.weights_bytes // planner.room)
    for count in counts(devices.per_node):
        if count < least:
            continue
        try:
            at = first_legal(
                planner, replace(devices, groups=((devices.machine, count),)), engine.name if engine else None
            )
        except AttometerError:
            continue
        if serve(at, engine).fits:
            return count
    return None
