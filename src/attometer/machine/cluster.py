"""Several devices: how many of which, and the links between them."""

import re
import tomllib
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from attometer.errors import AttometerError, positive_int
from attometer.machine.catalogue import machine
from attometer.machine.hardware import Machine
from attometer.machine.node import Link, Node, node_of
from attometer.view.printed import Printed

# More devices than any installation holds; a larger number is a slip.
MOST_DEVICES = 1_000_000
_COUNTED = (
    re.compile(r"^(?P<count>\d[\d,_]*)(?:\s*[x×*][\s-]*|\s+)(?P<name>.*\S)$", re.IGNORECASE),
    re.compile(r"^(?P<name>.*\S)\s*(?::|(?<![a-z])[x×*]\s?)(?P<count>\d+)$", re.IGNORECASE),
)
# A slice as Google names it: v4-8, v5litepod-16, v6e-8.
_SLICE = re.compile(r"^(?:tpu[\s-]*)?(?P<name>v\d(?:e|p|litepod)?)-(?P<count>\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Cluster(Printed):
    """`groups` of like devices, in order: `((machine, count), ...)`, with `per_node` of them in a node.

    >>> nodes = cluster("16x H100")
    >>> nodes.count, nodes.per_node, nodes.nodes, nodes.id
    (16, 8, 2, '16x-h100-sxm')
    >>> print(cluster("2x rtx-3090 + 1x rtx-4090"))
    2 × GeForce RTX 3090 + 1 × GeForce RTX 4090
    """

    groups: tuple[tuple[Machine, int], ...]
    per_node: int

    @property
    def count(self) -> int:
        """Number of devices."""
        return sum(count for _, count in self.groups)

    @property
    def uniform(self) -> bool:
        """Whether all devices are of one kind."""
        return len(self.groups) == 1

    @property
    def machine(self) -> Machine:
        """The one kind of device. Raises AttometerError when there are several kinds."""
        if not self.uniform:
            raise AttometerError(f"{self} holds devices of unlike kinds; this needs all of one kind")
        return self.groups[0][0]

    @property
    def devices(self) -> tuple[Machine, ...]:
        """Every device, in order."""
        return tuple(device for device, count in self.groups for _ in range(count))

    @property
    def nodes(self) -> int:
        """Number of nodes, the last one perhaps not full."""
        return -(-self.count // self.per_node)

    @property
    def node(self) -> Node:
        """The kind of node that the first kind of device stands in."""
        return node_of(self.groups[0][0].chip_id)

    @property
    def usable_bytes(self) -> int:
        """Usable memory of all devices together, in bytes."""
        return sum(device.usable_bytes * count for device, count in self.groups)

    @property
    def id(self) -> str:
        """The text that names these devices: one device by its id, more as `8x-h100-sxm`."""
        if self.uniform and self.count == 1:
            return self.groups[0][0].id
        return " + ".join(f"{count}x-{device.id}" for device, count in self.groups)

    def link(self, devices: int) -> Link:
        """Return the link over which a group of `devices` neighbours talks: inside a node, or the network between nodes.

        Raises AttometerError when nothing says how they are linked.
        """
        inside = devices <= self.per_node
        found = self.node.link if inside or self.node.pod else self.node.network
        if found is None:
            raise AttometerError(
                f'nothing says how devices of "{self.id}" are linked {"in a node" if inside else "between nodes"}'
            )
        if found.bandwidth_gb_s is not None:
            return found
        # The slowest device of a mixed group sets the pace.
        pace = min(device.link_bandwidth for device, _ in self.groups)
        return found.model_copy(update={"bandwidth_gb_s": pace / 1e9})

    def of(self, count: int) -> "Cluster":
        """Return `count` devices of the same kind. Raises AttometerError when the kinds differ."""
        return replace(self, groups=((self.machine, count),))

    def to_dict(self) -> dict[str, Any]:
        """Return the groups and the node as plain values for JSON."""
        return {
            "id": self.id,
            "count": self.count,
            "per_node": self.per_node,
            "groups": [{"machine": device.id, "count": count} for device, count in self.groups],
            "usable_bytes": self.usable_bytes,
            "node": self.node.model_dump(exclude_none=True, mode="json", exclude={"machines"}),
        }

    def __str__(self) -> str:
        if self.uniform and self.count == 1:
            return self.groups[0][0].name
        return " + ".join(f"{count} × {device.name}" for device, count in self.groups)


def cluster(text: "str | Machine | Cluster", per_node: int | None = None) -> Cluster:
    """Return the devices that `text` names: `h100-sxm`, `8x-h100-sxm`, `8xH100`, `h100:8`, `2x rtx-3090 + 1x rtx-4090`.

    Args:
        text: one kind of device or several joined by `+`, each with a number before or after it; none means one.
        per_node: devices in one node; what the kind of node holds when not given.

    Raises:
        AttometerError: an unknown machine, a number of devices that is not at least 1 or is absurd.

    >>> cluster("h100-sxm:8").count, cluster("64x-h100-sxm").nodes, cluster("8x H100", per_node=4).nodes
    (8, 8, 2)
    """
    if isinstance(text, Cluster):
        return text if per_node is None else replace(text, per_node=per_node)
    listed = [(text, 1)] if isinstance(text, Machine) else _listed(str(text))
    groups = tuple((device, sum(n for _, n in same)) for device, same in groupby(listed, key=lambda pair: pair[0]))
    if sum(n for _, n in groups) > MOST_DEVICES:
        raise AttometerError(f'"{text}" asks for more than {MOST_DEVICES:,} devices')
    if per_node is not None:
        positive_int("per_node", per_node)
    return Cluster(groups, node_of(groups[0][0].chip_id).devices if per_node is None else per_node)


@lru_cache(maxsize=1)
def systems() -> dict[str, str]:
    """Return what is sold or rented as a whole, as the devices in it.

    >>> systems()["dgx h100"]
    '8x h100-sxm'
    """
    found: dict[str, str] = tomllib.loads((files("attometer") / "data" / "systems.toml").read_text(encoding="utf-8"))
    return found


def _listed(text: str) -> list[tuple[Machine, int]]:
    """Return the groups that a text joins by `+`, which a name may itself hold ("Ryzen AI Max+ 395")."""
    if "+" in text:
        try:
            return [_group(text.strip(), text)]
        except AttometerError:
            pass
    return [_group(part.strip(), text) for part in text.split("+")]


def _group(part: str, whole: str) -> tuple[Machine, int]:
    if not part:
        raise AttometerError(f'hardware "{whole}" has an empty part beside "+"')
    part = re.sub(r"^(cuda|gpu|mps|xpu):\d+$", r"\1", part, flags=re.I)  # a place of torch's, not a number of devices
    # Azure and SageMaker put a word before the names of their instances.
    rented = re.sub(r"^(standard_|ml\.)", "", part.lower())
    part = systems().get(" ".join(rented.replace("-", " ").split()), systems().get(rented, part))
    try:
        return machine(part), 1
    except AttometerError as error:
        # A name may itself begin or end like a number of devices ("RTX3090"), so the whole part is tried first.
        slice_of = _SLICE.match(part)
        if slice_of is not None:
            # Older names of slices count cores, two to a chip; v5e and v6e are named by chips.
            cores = slice_of["name"] not in ("v5e", "v5litepod", "v6e")
            name = slice_of["name"].replace("v5litepod", "v5e")
            return machine(f"tpu-{name}"), max(1, int(slice_of["count"]) // (2 if cores else 1))
        part = re.sub(
            r"^(dual|two|quad|four)\b",
            lambda word: "2x" if word[1].lower() in ("dual", "two") else "4x",
            part,
            flags=re.I,
        )
        for match in filter(None, (pattern.match(part) for pattern in _COUNTED)):
            count = int(re.sub("[,_]", "", match["count"]))
            if count < 1:
                raise AttometerError(f'"{part}" asks for {count} devices; at least 1 is needed') from None
            return machine(match["name"]), count
        raise error
