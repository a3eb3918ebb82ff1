"""Which links the messages of a rank take, and how long: inside a node, and between nodes."""

from collections.abc import Iterable
from dataclasses import dataclass

from attometer.count.placement.collectives import Message
from attometer.machine import Cluster


@dataclass(frozen=True)
class OnLinks:
    """Seconds on the links, and bytes that one rank sends inside its node and between nodes."""

    seconds: float = 0.0
    inside: float = 0.0
    between: float = 0.0

    def __add__(self, other: "OnLinks") -> "OnLinks":
        return OnLinks(self.seconds + other.seconds, self.inside + other.inside, self.between + other.between)

    def __mul__(self, times: float) -> "OnLinks":
        return OnLinks(times * self.seconds, times * self.inside, times * self.between)

    @property
    def sent(self) -> float:
        """All bytes."""
        return self.inside + self.between


def on_links(messages: Iterable[Message], cluster: Cluster) -> OnLinks:
    """Return what the messages of a rank take on the links of a cluster, one after the other.

    A group inside a node uses the node's link. A ring that spans nodes runs once for each of its g ranks in a node, so that
    each rank's network carries 1/g of what the ring sends (as NCCL's channels do), and no faster than the node's own link. In
    an all-to-all the g ranks of a node exchange their part on its link, the rest crosses the network.

    >>> from attometer.machine import cluster
    >>> two = cluster("16x-h100-sxm")
    >>> found = on_links([Message("all_gather", "w", 16, 16, 16e9)], two)
    >>> found.between / 1e9, round(found.seconds, 4)
    (1.875, 0.0375)
    """
    total = OnLinks()
    for message in messages:
        if message.ranks > 1:
            total += _one(message, cluster) * message.times
    return total


def _one(message: Message, cluster: Cluster) -> OnLinks:
    sent, reach = message.sent, min(message.reach, cluster.count)
    link = cluster.link(reach)
    bandwidth = link.bandwidth or 1.0
    latency = message.steps * link.latency
    if reach <= cluster.per_node or cluster.node.pod:
        return OnLinks(latency + sent / bandwidth, inside=sent)
    # Neighbours of a group stand `stride` ranks apart.
    stride = max(1, reach // message.ranks)
    together = min(message.ranks, max(1, cluster.per_node // stride))
    if together == 1 or message.kind == "send":
        return OnLinks(latency + sent / bandwidth, between=sent)
    own = cluster.link(2).bandwidth or 1.0
    if message.kind == "all_to_all":
        crossing = sent * (message.ranks - together) / (message.ranks - 1)
        return OnLinks(latency + max(crossing / bandwidth, (sent - crossing) / own), sent - crossing, crossing)
    crossing = sent / together
    return OnLinks(latency + max(crossing / bandwidth, sent / own), sent - crossing, crossing)
