"""Walks the loop nest of a schedule: how often each node runs, how many words a tile has; exact on ragged sizes.

The same walk serves SymPy sizes, integers and NumPy arrays of tile sizes. A transfer inside a loop over an axis that
its tensor has moves each word of that axis once in all; a loop over any other axis repeats it once per tile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add, mul
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import sympy

from attometer.count.traffic.visits import PairFloor, visited
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.masks.counts import substitute
from attometer.schedule.nest import Free, Load, Loop, New, Node, Schedule, Tile, monomials
from attometer.sizes import size

Number: TypeAlias = Any
"""A SymPy expression, an int, or an int64 array over candidate tiles."""


@dataclass(frozen=True)
class Problem:
    """The sizes that a schedule is walked with: `values` by symbol name, the mask, the query heads per key head.

    Without `masked` the masks that loops bring along skip nothing.
    """

    values: Mapping[str, Number]
    mask: Mask | PairFloor | None = None
    stack: Number = 1
    masked: bool = True

    def of(self, expression: sympy.Expr) -> Number:
        """Return the value of a size."""
        if expression.is_Integer:
            return int(expression)
        if expression.is_Symbol:
            return self.values.get(expression.name, expression)
        if expression.is_Mul and all(factor.is_Symbol or factor.is_Integer for factor in expression.args):
            return reduce(mul, (self.of(factor) for factor in expression.args))
        value = expression.xreplace(self.numbers)
        return int(value) if value.is_Integer else value

    @cached_property
    def numbers(self) -> dict[sympy.Expr, sympy.Expr]:
        """The sizes that are whole numbers, by symbol."""
        return {size(name): sympy.Integer(v) for name, v in self.values.items() if isinstance(v, int | np.integer)}

    def mask_of(self, loop: Loop) -> "tuple[Mask | PairFloor, str, str] | None":
        """Return the mask that shortens a loop, with its axes of queries and keys; None where none does."""
        if loop.where is None:
            return (self.mask, "i", "j") if self.mask is not None else None
        return (substitute(loop.where.mask, self.numbers), loop.where.query, loop.where.key) if self.masked else None

    def axis(self, schedule: Schedule, axis: str) -> Number:
        """Return the size of an axis; the row axis holds `stack` rows per query."""
        value = self.of(schedule.size_of(axis))
        return value * self.stack if axis == "i" else value


def total(terms: Iterable[Number]) -> Number:
    """Add exact terms, as one SymPy sum when any is symbolic."""
    listed = list(terms)
    if any(isinstance(term, sympy.Basic) for term in listed):
        return sympy.Add(*listed)
    return sum(listed)


def ceil_div(a: Number, b: Number) -> Number:
    """Return ⌈a / b⌉, exact for any kind of number."""
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.ceiling(a / sympy.sympify(b))
    return -(-a // b)


def least(a: Number, b: Number) -> Number:
    """Return the smaller of two sizes."""
    if isinstance(a, sympy.Basic) or isinstance(b, sympy.Basic):
        return sympy.Min(a, b)
    return np.minimum(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else min(a, b)


class Place:
    """Where a node stands: the loops around it, outermost first, and the pair of tiles that a mask may skip."""

    def __init__(self, schedule: Schedule, problem: Problem, loops: tuple[Loop, ...] = ()) -> None:
        self.schedule, self.problem, self.loops = schedule, problem, loops
        self.innermost = {loop.axis: loop for loop in loops}
        self.mask: tuple[Mask | PairFloor, str, str] | None = None
        self.grain = self._grain()

    def inside(self, loop: Loop) -> "Place":
        """Return the place in the body of a loop that stands here."""
        return Place(self.schedule, self.problem, (*self.loops, loop))

    def _grain(self) -> dict[str, Loop] | None:
        """The loops that fix the tile pair of the last masked loop."""
        found, seen = None, dict[str, Loop]()
        for loop in self.loops:
            seen[loop.axis] = loop
            mask = self.problem.mask_of(loop)
            if loop.partner and mask:
                self.mask = mask
                found = {loop.axis: loop, loop.partner: seen[loop.partner]}
        return found

    def size(self, axis: str) -> Number:
        """Return the whole size of an axis."""
        return self.problem.axis(self.schedule, axis)

    def times(self, axes: Iterable[str]) -> Number:
        """Sum over all iterations of the extents along `axes`."""
        if not self.schedule.images:
            return self._times(set(axes))
        parts = [c * self._times(set(own)) for c, own in monomials(axes, self.schedule.images)]
        return reduce(add, parts)

    def _times(self, named: set[str]) -> Number:
        factors = []
        if self.grain:
            factors.append(self._visited(named))
        for axis in dict(self.schedule.axes):
            if (self.grain and axis in self.grain) or axis in self.schedule.images:
                continue
            if axis in named:
                factors.append(self.size(axis))
            elif axis in self.innermost:
                factors.append(ceil_div(self.size(axis), self.problem.of(self.innermost[axis].length)))
        return reduce(mul, factors, 1)

    def _visited(self, named: set[str]) -> Number:
        assert self.grain is not None
        assert self.mask is not None
        lengths = {axis: self.problem.of(loop.length) for axis, loop in self.grain.items()}
        # A loop word by word inside the tile repeats its body once per row or column of the tile.
        extent = {axis: axis in named or self.innermost[axis] is not loop for axis, loop in self.grain.items()}
        mask, i, j = self.mask
        n, m = (self.problem.of(self.schedule.size_of(axis)) for axis in (i, j))
        return visited(mask, n, m, lengths[i], lengths[j], self.problem.stack, extent[i], extent[j])

    def words(self, tile: Tile) -> Number:
        """Fast-memory words of a full tile."""
        return reduce(mul, (self._extent(axis) for axis in tile.axes), 1)

    def _extent(self, axis: str) -> Number:
        if axis in self.schedule.images:
            return self.schedule.images[axis].length(self._extent)
        if axis not in self.innermost:
            return self.size(axis)
        length = self.problem.of(self.innermost[axis].length)
        return least(length, self.size(axis)) if self.schedule.clipped else length


def problem(
    schedule: Schedule,
    sizes: Mapping[str, Number] | None = None,
    mask: Mask | None = None,
    copies: Number = 1,
    stack: Number = 1,
) -> Problem:
    """Return the sizes to walk with: by default symbols, one head, no mask.

    Raises AttometerError for a size or tile that the schedule does not have.
    """
    known = {s.name for s in schedule.symbols} - {schedule.copies} | set(schedule.tile_names)
    given = dict(sizes or {})
    extra = sorted(set(given) - known)
    if extra:
        raise AttometerError(f'schedule "{schedule.name}" has no size "{extra[0]}"; it has {", ".join(sorted(known))}')
    return Problem({**given, schedule.copies: copies} if schedule.copies else given, mask, stack)


class Within(Protocol):
    """What a walk knows about the loops around a node."""

    def inside(self, loop: Loop) -> Self:
        """Return what it knows in the body of a loop."""


At = TypeVar("At", bound=Within)


def walk(body: Iterable[Node], place: At) -> Iterator[tuple[Node, At]]:
    """Yield every node but the loops, with the place where it stands."""
    for node in body:
        if isinstance(node, Loop):
            yield from walk(node.body, place.inside(node))
        else:
            yield node, place


def peaks(
    body: Iterable[Node],
    place: At,
    words: Callable[[Tile, At], Number],
    add: Callable[[Iterable[Number]], Number],
    outside: tuple[Number, ...] = (),
) -> Iterator[Number]:
    """Yield the words in use wherever something is about to be dropped; the largest is among them."""
    live: dict[str, Number] = {}
    for node in body:
        if isinstance(node, Loop):
            yield from peaks(node.body, place.inside(node), words, add, (*outside, *live.values()))
        elif isinstance(node, Free):
            yield add((*outside, *live.values()))
            del live[node.tile.name]
        elif isinstance(node, Load | New):
            live[node.tile.name] = words(node.tile, place)
    yield add((*outside, *live.values()))


def greatest(values: list[Number]) -> Number:
    """Return the largest of several exact numbers, dropping symbolic ones that are never larger than another."""
    if not any(isinstance(v, sympy.Basic) for v in values):
        return reduce(np.maximum, values) if any(isinstance(v, np.ndarray) for v in values) else max(values)
    kept: list[sympy.Expr] = []
    for value in dict.fromkeys(sympy.expand(v) for v in values):
        if not any((other - value).is_nonnegative for other in kept):
            kept = [other for other in kept if not (value - other).is_nonnegative] + [value]
    return sympy.Max(*kept)
