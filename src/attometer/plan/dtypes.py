"""Bits per element of the data types that weights and caches are stored in, scales included."""

from fractions import Fraction

from attometer.errors import unknown

BITS: dict[str, Fraction] = {
    "fp32": Fraction(32),
    "bf16": Fraction(16),
    "fp16": Fraction(16),
    "fp8": Fraction(8),
    "int8": Fraction(8),
    "int4": Fraction(4),
    "nvfp4": Fraction(4) + Fraction(8, 16),  # one FP8 scale per 16 elements (NVIDIA Blackwell format)
    "mxfp4": Fraction(4) + Fraction(8, 32),  # one E8M0 scale per 32 elements (OCP Microscaling 1.0)
}
"""Bits per element by name; NVFP4 and MXFP4 with their block scales."""

_ALIASES = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float": "fp32",
    "float8_e4m3fn": "fp8",
    "fp4": "nvfp4",
}


def dtype(name: str) -> str:
    """Return the short name of a data type.

    Raises AttometerError naming the nearest one.

    >>> dtype("bfloat16")
    'bf16'
    """
    short = _ALIASES.get(name.lower().removeprefix("torch."), name.lower().removeprefix("torch."))
    if short not in BITS:
        raise unknown("data type", name, BITS)
    return short


def stored(elements: int, name: str) -> int:
    """Return the bytes of `elements` elements of a data type, rounded up.

    >>> stored(3, "int4")
    2
    """
    return int(-(-elements * BITS[dtype(name)] // 8))
