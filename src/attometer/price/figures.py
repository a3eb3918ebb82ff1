"""The figures of a machine that prices read, and the precisions that rows and engines name."""

import re
from functools import lru_cache

from attometer.errors import AttometerError
from attometer.machine import Machine, machine

#: pattern of a precision's name → bits of activations, bits of weights, the peak rate that binds; first match holds
_PRECISIONS = (
    (r"w4a8", 8, 4, "fp8"),
    (r"w4a16|int4|awq|gptq|q4|4-?bit|nf4", 16, 4, "bf16"),
    (r"nvfp4|mxfp4|fp4", 4, 4, "fp4"),
    (r"int8_wo|int8 weight|q8|w8a16", 16, 8, "bf16"),
    (r"mxfp8|fp8|float8|f8", 8, 8, "fp8"),
    (r"int8|w8a8|^sq", 8, 8, "int8"),
    (r"tf32", 32, 32, "tf32"),
    (r"float32|fp32|^f32", 32, 32, "fp32"),
    (r"", 16, 16, "bf16"),
)

#: when a machine states no rate for a type, the work runs at the first of these that it states
_INSTEAD = {
    "fp4": ("fp8", "bf16", "fp16", "fp32"),
    "fp8": ("bf16", "fp16", "fp32"),
    "int8": ("fp8", "bf16", "fp16", "fp32"),
    "bf16": ("fp16", "tf32", "fp32"),
    "tf32": ("fp32", "bf16", "fp16"),
    "fp32": ("tf32", "bf16", "fp16"),
}

#: row spellings of machines → catalogue
_NAMES = ((r"-(\d+)g\b", r"-\1gb"), (r"-330w$", ""), (r"^arc-pro", "arc-pro"))

_PCIE = 32e9  # bytes/s per direction, PCIe 4.0 x16
_CLOCK = 1.9e9  # Hz, of a GPU whose file states none


@lru_cache(maxsize=512)
def precision(text: str) -> tuple[int, int, str]:
    """Return bits of activations, bits of weights and the rate's name for a precision as engines write it.

    >>> precision("fp8_block"), precision("w4a16_mxfp4"), precision("bfloat16")
    ((8, 8, 'fp8'), (16, 4, 'bf16'), (16, 16, 'bf16'))
    """
    return next((a, w, rate) for pattern, a, w, rate in _PRECISIONS if re.search(pattern, text.lower()))


def shots(family: str) -> float:
    """Say whether a family of collectives reduces small messages in one or two shots: engines' own all-reduce, not NCCL.

    >>> shots("vllm 0.24 vllm_custom_graph|all_reduce|bfloat16|"), shots("trtllm 1.3 nccl|all_gather|half|")
    (1.0, 0.0)
    """
    return float(bool(re.search(r"custom\w*\|all_reduce|trtllm\|all_reduce", family)))


def rate(where: Machine, name: str) -> float:
    """Return the peak rate in FLOP/s for a type, or for the type that runs in its place.

    >>> rate(machine("a100-80gb-sxm"), "fp8") == machine("a100-80gb-sxm").peak_rate("bf16")
    True
    """
    stated = next((each for each in (name, *_INSTEAD[name]) if getattr(where.peak, each) is not None), None)
    if stated is None:
        raise AttometerError(f'"{where.id}" states no peak rate that could price this work')
    return float(where.peak_rate(stated))


@lru_cache(maxsize=256)
def known(name: str) -> Machine | None:
    """Return the machine of a row's name for it, or None when the catalogue lacks it."""
    text = name.strip().lower()
    for pattern, spelled in _NAMES:
        text = re.sub(pattern, spelled, text)
    try:
        return machine(text)
    except AttometerError:
        return None


@lru_cache(maxsize=256)
def is_priceable(name: str) -> bool:
    """Say whether a row's machine is known with a bandwidth and a rate."""
    found = known(name)
    return found is not None and found.memory.bandwidth is not None and any(rate for _, rate in found.peak)


@lru_cache(maxsize=256)
def cell_name(name: str) -> str:
    """Return the catalogue's id for a row's machine, with its power cap where it states one.

    >>> cell_name("A100-80G-SXM"), cell_name("A100-80G-SXM-330W")
    ('a100-80gb-sxm', 'a100-80gb-sxm-330w')
    """
    found = known(name)
    identity = found.id if found else name.lower()
    return identity + ("-330w" if name.lower().endswith("-330w") else "")


def figures(where: Machine, rate_name: str) -> dict[str, float]:
    """Return peak (FLOP/s), bandwidth, link (bytes/s), cache (bytes) and units (multiprocessors) of a machine, and ratios.

    Further `wires` (bytes/s between all multiprocessors and the cache), `draw` (the same of one), `exponentials` (per
    second), and whether the switch between devices `adds`. On a GPU they are 64 bytes and 16 functions per multiprocessor
    and clock (CUDA C++ Programming Guide, arithmetic instructions; AMD CDNA 3 ISA).

    A missing cache is none, a missing count of multiprocessors is one: no waves are priced on it. A machine without a
    link of its own talks over PCIe. Raises AttometerError without bandwidth or a peak rate.
    """
    # machines are asked for once a row: a table by id, since the hash of a whole machine costs more than the figures
    found = _FOUND.get((where.id, rate_name))
    if found is None or found[0] is not where:
        found = _FOUND[where.id, rate_name] = (where, _read(where, rate_name))
    return found[1]


_FOUND: dict[tuple[str, str], tuple[Machine, dict[str, float]]] = {}


def _read(where: Machine, rate_name: str) -> dict[str, float]:
    stated = dict(where.figures())
    cache = max((float(stated[key].amount) for key in ("memory.l2", "memory.llc") if key in stated), default=0.0)
    units = float(where.multiprocessors) if "chip.multiprocessors" in stated else 1.0
    clock = float(stated["chip.clock"].amount) if "chip.clock" in stated else _CLOCK
    peak, bandwidth = rate(where, rate_name), float(where.bandwidth)
    ticks = units * clock if where.kind == "gpu" and units > 1 else bandwidth / 8
    return {
        "peak": peak,
        "bandwidth": bandwidth,
        "wires": 64 * ticks,
        "draw": 64 * ticks / units,
        "exponentials": 16 * ticks,
        "link": float(where.link_bandwidth) if "chip.link" in stated else _PCIE,
        # NVSwitch adds what passes it (NVLink SHARP); on Blackwell NCCL to 2.29 was not seen to let it
        "adds": float((where.architecture or "") == "Hopper" and "HBM" in (where.memory.type or "")),
        "cache": cache,
        # attention stays in 16 bits where products are narrower: by how much these are faster
        "narrow": max(1.0, peak / rate(where, "bf16")),
        "units": units,
        # a TPU runs one compiled program: its operations are not launched one by one
        "launched": 0.1 if where.vendor == "Google" else 1.0,
    }
