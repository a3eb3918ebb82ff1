"""Strassen's seven products as data: which blocks each product adds up, and where its result goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Block: TypeAlias = tuple[int, int]
Signed: TypeAlias = tuple[tuple[int, Block], ...]


@dataclass(frozen=True)
class Product:
    """One product: (signed sum of blocks of A) times (signed sum of blocks of B), added with signs to blocks of C."""

    left: Signed
    right: Signed
    into: Signed


def _signed(text: str) -> Signed:
    """Read `+11-22` as ((1, (0, 0)), (-1, (1, 1)))."""
    parts = [text[k : k + 3] for k in range(0, len(text), 3)]
    return tuple((1 if part[0] == "+" else -1, (int(part[1]) - 1, int(part[2]) - 1)) for part in parts)


PRODUCTS: tuple[Product, ...] = tuple(
    Product(*map(_signed, row))
    for row in (
        ("+11+22", "+11+22", "+11+22"),
        ("+21+22", "+11", "+21-22"),
        ("+11", "+12-22", "+12+22"),
        ("+22", "+21-11", "+11+21"),
        ("+11+12", "+22", "-11+12"),
        ("+21-11", "+11+12", "+22"),
        ("+12-22", "+21+22", "+11"),
    )
)
"""Strassen 1969, Gaussian elimination is not optimal: seven products of halves instead of eight."""


@dataclass(frozen=True)
class StrassenPlan:
    """An s × s product: `levels` of halving, then blocks of side `base`, three of which fit into fast memory."""

    side: int
    levels: int

    @property
    def base(self) -> int:
        """Side of the blocks that are multiplied inside fast memory."""
        return self.side >> self.levels


def strassen_plan(side: int, M: int) -> StrassenPlan:
    """Return the fewest halvings after which three blocks fit into M words; the side is padded to a multiple of 2^levels.

    >>> strassen_plan(64, 768)
    StrassenPlan(side=64, levels=2)
    """
    levels = 0
    while 3 * (-(-side // (1 << levels))) ** 2 > M and (1 << levels) < side:
        levels += 1
    return StrassenPlan(-(-side // (1 << levels)) << levels, levels)


def first_uses() -> Iterator[tuple[Product, tuple[tuple[int, Block, bool], ...]]]:
    """Yield each product with its targets, and whether the target is written for the first time."""
    seen: set[Block] = set()
    for product in PRODUCTS:
        yield product, tuple((sign, block, block not in seen) for sign, block in product.into)
        seen |= {block for _, block in product.into}
