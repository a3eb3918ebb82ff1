"""What a plan holds and takes: bytes by kind, and time by type of layer."""

from dataclasses import dataclass

from attometer.price import Roofline


@dataclass(frozen=True)
class MemoryFootprint:
    """Bytes on the device, by kind."""

    weights: int
    kv: int
    state: int
    activations: int
    gradients: int = 0
    optimizer: int = 0
    draft: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())

    @property
    def largest(self) -> str:
        """The kind that takes most."""
        return max(vars(self), key=vars(self).__getitem__)


@dataclass(frozen=True)
class LayerTime:
    """One type of layer (or embedding, or head): how many there are and what they take together."""

    kind: str
    layers: int
    parameters: int
    kv_bytes: int
    flops: int
    bytes_moved: int
    time: Roofline
