"""What a plan holds and takes: bytes by kind, and time by type of layer."""

from dataclasses import dataclass

from attometer.errors import AttometerError
from attometer.machine import Machine
from attometer.plan.options import Options
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


def rate(options: Options, machine: Machine) -> str:
    """Return the data type whose peak rate products run at: the weights' own, or what the machine has to widen them to.

    >>> from attometer.machine import machine
    >>> rate(Options(context=1, weights="fp8"), machine("h100-sxm")), rate(Options(context=1, weights="fp8"), machine("t4"))
    ('fp8', 'fp16')
    """
    own = [options.weights] if options.weights in ("fp8", "fp16", "fp32") else []
    for name in (*own, options.activations, "bf16", "fp16", "fp32"):
        if getattr(machine.peak, name) is not None:
            return name
    raise AttometerError(f'"{machine.id}" states no peak rate for bf16, fp16 or fp32')
