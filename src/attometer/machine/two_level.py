"""A machine with a small fast memory in front of a large slow one."""

from dataclasses import dataclass

from attometer.errors import AttometerError


@dataclass(frozen=True)
class TwoLevelMemory:
    """`words` of fast memory in each of `units`, with `processors` behind each; operands come from a slow memory.

    `words` is M, counted in matrix entries. `processors` None means that one tile can use as many as it likes; `units`
    None means that every independent tile has a fast memory of its own. Source: Hong and Kung, I/O complexity: the
    red-blue pebble game, STOC 1981 (one unit, I/O only).

    >>> TwoLevelMemory(words=1024)
    TwoLevelMemory(words=1024, processors=None, units=1)
    """

    words: int
    processors: int | None = None
    units: int | None = 1

    def __post_init__(self) -> None:
        if self.words < 1:
            raise AttometerError(f"words must be at least 1, got {self.words}")
        for name, value in (("processors", self.processors), ("units", self.units)):
            if value is not None and value < 1:
                raise AttometerError(f"{name} must be at least 1, got {value}; use None for unlimited")
