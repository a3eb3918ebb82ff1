"""A figure of a machine: a value with its unit, its source and how it is known."""

from decimal import Decimal
from math import inf
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from attometer.errors import nearest

#: unit → (what it measures, how many base units it is). GB is decimal and GiB binary, always.
UNITS: dict[str, tuple[str, int]] = {
    "FLOP/s": ("rate", 1),
    "GFLOP/s": ("rate", 10**9),
    "TFLOP/s": ("rate", 10**12),
    "PFLOP/s": ("rate", 10**15),
    "GOP/s": ("rate", 10**9),
    "TOP/s": ("rate", 10**12),
    "B": ("bytes", 1),
    "KB": ("bytes", 10**3),
    "MB": ("bytes", 10**6),
    "GB": ("bytes", 10**9),
    "TB": ("bytes", 10**12),
    "KiB": ("bytes", 2**10),
    "MiB": ("bytes", 2**20),
    "GiB": ("bytes", 2**30),
    "TiB": ("bytes", 2**40),
    "B/s": ("bandwidth", 1),
    "MB/s": ("bandwidth", 10**6),
    "GB/s": ("bandwidth", 10**9),
    "TB/s": ("bandwidth", 10**12),
    "MiB/s": ("bandwidth", 2**20),
    "GiB/s": ("bandwidth", 2**30),
    "Hz": ("frequency", 1),
    "MHz": ("frequency", 10**6),
    "GHz": ("frequency", 10**9),
    "W": ("power", 1),
    "units": ("number", 1),
}

LEAST, MOST = 1e-12, 1e15
"""No machine has a figure outside of these, in any unit; beyond them times and bytes would overflow."""

Status = Literal["datasheet", "measured", "derived"]


class Figure(BaseModel):
    """A value as its source prints it, with the unit, the source and the status.

    `status` is `datasheet` (a vendor's or a public table's claim), `measured` (on the machine itself) or `derived`
    (computed from other figures, as the source says). `amount` is the value in base units.

    >>> memory = Figure(value=80, unit="GB", source="NVIDIA H100 datasheet", status="datasheet")
    >>> memory.amount, str(memory)
    (80000000000, '80 GB (datasheet)')
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int | float
    unit: str
    source: str = Field(min_length=1)
    status: Status
    note: str | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _positive(cls, value: Any) -> int | float:
        # zero is refused: an unknown figure is left out, never written as 0
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < inf:
            raise ValueError("a positive finite number is needed (leave an unknown figure out)")
        if not LEAST <= value <= MOST:
            raise ValueError(f"a number from {LEAST:g} to {MOST:g} is needed: no machine is that slow or large")
        return value

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str) -> str:
        if unit not in UNITS:
            raise ValueError(f'unknown unit "{unit}"{nearest(unit, UNITS)}')
        return unit

    @property
    def measures(self) -> str:
        """What the unit measures: rate, bytes, bandwidth, frequency, power or number."""
        return UNITS[self.unit][0]

    @property
    def amount(self) -> int | float:
        """The value in base units (FLOP/s, bytes, bytes/s, Hz, W); an int where it is whole."""
        # through the decimal text, so that 1.2 TFLOP/s is exactly 1200000000000
        exact = Decimal(str(self.value)) * UNITS[self.unit][1]
        return int(exact) if exact == exact.to_integral_value() else float(exact)

    def __str__(self) -> str:
        doubt = f"; {self.note}" if self.note else ""
        return f"{self.value:,} {self.unit} ({self.status}{doubt})"
