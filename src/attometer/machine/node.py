"""How devices stand together: the links inside a node, the network between nodes, and the host beside each device."""

import tomllib
from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Link(_Frozen):
    """A way for bytes between devices, or between a device and its host.

    `bandwidth_gb_s` is 10^9 bytes per second, per device and direction (None: the machine's own `chip.link`);
    `latency_us` is one way.
    """

    kind: str
    bandwidth_gb_s: float | None = None
    latency_us: float
    source: str

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second, per device and direction."""
        return None if self.bandwidth_gb_s is None else self.bandwidth_gb_s * 1e9

    @property
    def latency(self) -> float:
        """Seconds, one way."""
        return self.latency_us * 1e-6


class HostMemory(_Frozen):
    """Memory of the host, for offload: its size in GiB and bandwidth in 10^9 bytes per second, for the whole node."""

    capacity_gib: float
    bandwidth_gb_s: float
    source: str

    @property
    def capacity(self) -> int:
        """Bytes."""
        return int(self.capacity_gib * 2**30)

    @property
    def bandwidth(self) -> float:
        """Bytes per second."""
        return self.bandwidth_gb_s * 1e9


class Node(_Frozen):
    """A kind of node: how many devices it holds, and the links at each level. What is not known is None.

    >>> from attometer.machine import node_of
    >>> node_of("h100-sxm").devices, node_of("h100-sxm").network.bandwidth
    (8, 50000000000.0)
    """

    name: str
    machines: tuple[str, ...]
    devices: int
    pod: bool = False
    link: Link | None = None
    network: Link | None = None
    host_link: Link | None = None
    host_memory: HostMemory | None = None

    @property
    def close(self) -> bool:
        """Whether a link of their own joins the devices, not the way to the host (some pairs have a bridge: not known here).

        >>> from attometer.machine import node_of
        >>> node_of("h100-sxm").close, node_of("rtx-3090").close
        (True, False)
        """
        return self.link is not None and not self.link.kind.startswith("PCIe")


@lru_cache(maxsize=1)
def nodes() -> tuple[Node, ...]:
    """Return the kinds of node, in the order of the file."""
    data = tomllib.loads((files("attometer") / "data" / "nodes.toml").read_text(encoding="utf-8"))
    sources = data["sources"]

    def sourced(entry: dict[str, object]) -> dict[str, object]:
        return {k: {**v, "source": sources[v["source"]]} if isinstance(v, dict) else v for k, v in entry.items()}

    return tuple(Node.model_validate(sourced(entry)) for entry in data["node"])


def node_of(machine: str) -> Node:
    """Return the kind of node that the machine with id `machine` stands in."""
    return next(node for node in nodes() if machine in node.machines or "*" in node.machines)
