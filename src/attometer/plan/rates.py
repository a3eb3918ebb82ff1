"""Which peak rate the products of a part may run at: the fastest of the machine's that holds its stored operands."""

from collections.abc import Iterable

from attometer.errors import AttometerError
from attometer.formats import CACHE_ROWS, storage
from attometer.machine import Machine

# Types whose products can hold operands of each format's rate; what is stored narrow may always be widened first.
HOLDS: dict[str, tuple[str, ...]] = {
    "fp4": ("fp4", "int8", "fp8", "fp16", "bf16"),
    "int4": ("int4", "int8", "fp8", "fp16", "bf16"),
    "fp8": ("fp8", "fp16", "bf16"),
    "int8": ("int8", "fp16", "bf16"),
    "fp16": ("fp16", "bf16"),
    "bf16": ("bf16", "fp16"),
    "fp32": ("tf32", "fp32", "fp16", "bf16"),
    "fp64": ("fp64", "fp32"),
}
_LAST = ("fp32", "fp64")


def fastest(rates: Iterable[str], machine: Machine) -> str:
    """Return the data type of the fastest peak rate at which operands of these formats can be multiplied.

    Raises AttometerError when the machine states none that holds them.

    >>> from attometer.machine import machine
    >>> [fastest([r], machine("rtx-5090")) for r in ("int8", "fp4", "bf16")], fastest(["fp8"], machine("t4"))
    (['int8', 'fp4', 'bf16'], 'fp16')
    """
    wanted = list(dict.fromkeys(name for rate in sorted(rates) for name in HOLDS[rate]))
    stated = [name for name in wanted if getattr(machine.peak, name) is not None]
    stated = stated or [name for name in _LAST if getattr(machine.peak, name) is not None]
    if not stated:
        raise AttometerError(f'"{machine.id}" states no peak rate for bf16, fp16 or fp32')
    return max(stated, key=machine.peak_rate)


def cache_rate(kv: str, activations: str) -> str:
    """Return the rate that a cache's format names: that of activations where it is as wide as they are.

    >>> cache_rate("fp8", "bf16"), cache_rate("bf16", "bf16"), cache_rate("fp8_ds_mla", "bf16")
    ('fp8', 'bf16', 'fp8')
    """
    if kv in CACHE_ROWS:
        return "fp8" if kv.startswith("fp8") else "fp4"
    form = storage(kv)
    return form.rate if form.bits < storage(activations).bits else activations
