"""The parallel random-access machine of the work-depth model."""

from dataclasses import dataclass

from attometer.errors import positive_int


@dataclass(frozen=True)
class PRAM:
    """`processors` unit-cost processors over one shared memory; None means as many as the program can use.

    Concurrent reads are free (CREW). Source: Blelloch, Programming parallel algorithms, CACM 1996.

    >>> PRAM(4)
    PRAM(processors=4)
    """

    processors: int | None = None

    def __post_init__(self) -> None:
        if self.processors is not None:
            positive_int("processors", self.processors)
