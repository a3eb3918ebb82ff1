"""The description of one accelerator or CPU."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from attometer.errors import AttometerError, printable, unknown
from attometer.machine.figure import UNITS, Figure
from attometer.view.printed import Printed

_DTYPES = {
    "float64": "fp64",
    "float32": "fp32",
    "tensorfloat32": "tf32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float8": "fp8",
    "float4": "fp4",
}


def _of(measures: str) -> AfterValidator:
    return AfterValidator(_checker(measures))


def _checker(measures: str) -> Callable[[Figure], Figure]:
    def check(figure: Figure) -> Figure:
        if figure.measures != measures:
            units = ", ".join(name for name, (kind, _) in UNITS.items() if kind == measures)
            raise ValueError(f'unit "{figure.unit}" is not a unit of {measures}; use one of {units}')
        return figure

    return check


Rate = Annotated[Figure, _of("rate")]
Bytes = Annotated[Figure, _of("bytes")]
Bandwidth = Annotated[Figure, _of("bandwidth")]
Frequency = Annotated[Figure, _of("frequency")]
Power = Annotated[Figure, _of("power")]
Number = Annotated[Figure, _of("number")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Peak(_Frozen):
    """Dense peak rates by data type; a multiply-accumulate is two operations. None is unknown."""

    fp64: Rate | None = None
    fp32: Rate | None = None
    tf32: Rate | None = None
    fp16: Rate | None = None
    bf16: Rate | None = None
    fp8: Rate | None = None
    int8: Rate | None = None
    int4: Rate | None = None
    fp4: Rate | None = None


class Memory(_Frozen):
    """The levels of memory: main memory, last-level caches, shared memory per multiprocessor. None is unknown.

    `capacity` is what is printed on the box, `usable` what the driver hands to an engine, `fresh` how fast the system hands
    out pages that a process has not touched. Where the memory comes in several sizes `shares` says for those of up to so
    many GB how many GiB of each GB that is.
    """

    type: str | None = None
    shares: tuple[tuple[int, float], ...] | None = None
    capacity: Bytes | None = None
    usable: Bytes | None = None
    bandwidth: Bandwidth | None = None
    llc: Bytes | None = None
    l2: Bytes | None = None
    shared_memory: Bytes | None = None
    fresh: Bandwidth | None = None


class Chip(_Frozen):
    """Multiprocessors (or cores), their clock, the link to other chips per direction, and power. None is unknown."""

    multiprocessors: Number | None = None
    clock: Frequency | None = None
    link: Bandwidth | None = None
    power: Power | None = None


class Machine(_Frozen, Printed):
    """An accelerator or CPU: what its makers say of it, each figure with its source.

    A figure that is not known is absent, never zero: the properties below raise when it is asked for.

    >>> from attometer.machine import machine
    >>> h100 = machine("h100-sxm")
    >>> h100.memory_bytes, h100.peak_rate("bf16"), h100.memory.bandwidth.unit
    (80000000000, 989000000000000, 'GB/s')
    """

    id: str
    name: str
    vendor: str
    kind: str
    architecture: str | None = None
    compute_capability: str | None = None
    aliases: tuple[str, ...] = ()
    note: str | None = None
    of: str | None = None
    peak: Peak = Peak()
    memory: Memory = Memory()
    chip: Chip = Chip()

    @property
    def chip_id(self) -> str:
        """The machine of the catalogue that this is, whatever the size of its memory."""
        return self.of or self.id

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """Yield every known figure with its path, as in `("memory.capacity", Figure(...))`."""
        for group in ("peak", "memory", "chip"):
            for field, value in getattr(self, group):
                if isinstance(value, Figure):
                    yield f"{group}.{field}", value

    def amount(self, path: str) -> int | float:
        """Return the figure at `path` in base units.

        Raises AttometerError when the machine does not state it.
        """
        group, _, field = path.partition(".")
        figure = getattr(getattr(self, group, None), field, None)
        if not isinstance(figure, Figure):
            if self.kind == "cpu" and path == "memory.capacity":
                raise AttometerError(f'"{self.id}" has what memory is built in: say how much, as in "{self.id} 64GB"')
            known = ", ".join(name for name, _ in self.figures())
            raise AttometerError(f'"{self.id}" does not state {path}; known: {known or "nothing"}')
        return figure.amount

    def peak_rate(self, dtype: str) -> int | float:
        """Return the dense peak rate in operations per second (two per multiply-accumulate) for a data type.

        `dtype` is a name as in `bf16` or `bfloat16`. Raises AttometerError when the machine states no rate for it;
        no other type stands in for it.
        """
        name = _DTYPES.get(dtype.lower(), dtype.lower())
        if name not in Peak.model_fields:
            raise unknown("data type", dtype, Peak.model_fields)
        figure = getattr(self.peak, name)
        if figure is None:
            rates = ", ".join(field for field, value in self.peak if value is not None)
            raise AttometerError(f'"{self.id}" states no peak rate for "{name}"; known: {rates or "none"}')
        return self.amount(f"peak.{name}")

    @property
    def memory_bytes(self) -> int:
        """Main memory in bytes, as the vendor counts it (a GB is 10^9 bytes)."""
        return int(self.amount("memory.capacity"))

    @property
    def usable_bytes(self) -> int:
        """Bytes that the driver hands to an engine; the printed capacity where no figure says it."""
        return int(self.amount("memory.usable" if self.memory.usable is not None else "memory.capacity"))

    @property
    def bandwidth(self) -> int | float:
        """Main-memory bandwidth in bytes per second."""
        return self.amount("memory.bandwidth")

    @property
    def link_bandwidth(self) -> int | float:
        """Bandwidth of the link to other chips, in bytes per second and per direction."""
        return self.amount("chip.link")

    @property
    def l2_bytes(self) -> int:
        """Level-two cache in bytes."""
        return int(self.amount("memory.l2"))

    @property
    def shared_memory_bytes(self) -> int:
        """Shared memory (scratchpad) of one multiprocessor in bytes."""
        return int(self.amount("memory.shared_memory"))

    @property
    def multiprocessors(self) -> int:
        """Number of multiprocessors, compute units or cores."""
        return int(self.amount("chip.multiprocessors"))

    def explain(self, path: str) -> str:
        """Return a figure with its unit, how it is known, and its source, as in `explain("memory.bandwidth")`.

        Raises AttometerError when the machine does not state it.
        """
        self.amount(path)
        figure = dict(self.figures())[path]
        return printable(f"{self.id}: {path} = {figure}\nsource: {figure.source}")

    def to_dict(self) -> dict[str, Any]:
        """Return the known figures and facts as plain values for JSON."""
        return self.model_dump(exclude_none=True, mode="json")

    def __str__(self) -> str:
        figures = list(self.figures())
        sources = list(dict.fromkeys(figure.source for _, figure in figures))
        lines = "\n".join(
            [
                f"{self.id}: {self.name} ({self.vendor} {self.kind}); dense rates, GB = 10^9 bytes, GiB = 2^30 bytes",
                *(f"  {path:<22} {figure} [{1 + sources.index(figure.source)}]" for path, figure in figures),
                *([f"  note: {self.note}"] if self.note else []),
                *(f"  [{number}] {source}" for number, source in enumerate(sources, 1)),
            ]
        )
        return printable(lines)
