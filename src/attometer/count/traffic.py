"""Traffic, footprint, work and depth of a schedule, derived by walking its loop nest; exact on ragged sizes.

The same walk serves SymPy sizes, integers and NumPy arrays of tile sizes. A transfer inside a loop over an axis
that its tensor has moves each word of that axis once in all; a loop over any other axis repeats it once per tile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any, TypeAlias

import numpy as np
import sympy

from attometer.count.visits import PairFloor, visited
from attometer.errors import AttometerError
from attometer.program.masks import Mask
from attometer.program.sizes import clog2, size
from attometer.schedule.nest import Compute, Free, Load, Loop, New, Node, Schedule, Store, Tile

Number: TypeAlias = Any
"""A SymPy expression, an int, or an int64 array over candidate tiles."""


@dataclass(frozen=True)
class Traffic:
    """Words moved per tensor: `reads` into fast memory and `writes` out of it; `footprint` words held, where known."""

    reads: Mapping[str, Number]
    writes: Mapping[str, Number]
    footprint: Number = None

    @property
    def read(self) -> Number:
        """Words moved into fast memory."""
        return total(self.reads.values())

    @property
    def written(self) -> Number:
        """Words moved out of fast memory."""
        return total(self.writes.values())

    @property
    def words(self) -> Number:
        """Words moved both ways."""
        return total([*self.reads.values(), *self.writes.values()])

    def at(self, **sizes: int) -> "Traffic":
        """Return the traffic with sizes and tiles replaced by numbers; those left out stay symbols.

        >>> from attometer.schedule.catalogue import schedule
        >>> traffic(schedule("flash2")).at(n=8, m=8, d=2, e=2, B_r=4).words
        104
        """
        known = {s.name for w in (*self.reads.values(), *self.writes.values()) for s in sympy.sympify(w).free_symbols}
        extra = sorted(set(sizes) - known)
        if extra:
            raise AttometerError(
                f'the traffic has no size "{extra[0]}"; it has {", ".join(sorted(known)) or "none left"}'
            )
        bound = {size(name): sympy.sympify(value) for name, value in sizes.items()}

        def fixed(words: Number) -> Number:
            return None if words is None else sympy.sympify(words).xreplace(bound).doit()

        reads, writes = ({k: fixed(v) for k, v in side.items()} for side in (self.reads, self.writes))
        return Traffic(reads, writes, fixed(self.footprint))

    def to_dict(self) -> dict[str, Any]:
        """Return the words per tensor as text, with totals."""
        rows = {"reads": self.reads, "writes": self.writes}
        named = {side: {name: str(words) for name, words in moves.items()} for side, moves in rows.items()}
        return {**named, "words": str(self.words), "footprint": str(self.footprint)}

    def __str__(self) -> str:
        rows = [f"read  {name}: {words}" for name, words in self.reads.items()]
        rows += [f"write {name}: {words}" for name, words in self.writes.items()]
        rows.append(f"total: {self.words} words")
        return "\n".join(rows if self.footprint is None else [*rows, f"holds: {self.footprint} words"])


@dataclass(frozen=True)
class Problem:
    """The sizes that a schedule is walked with: `values` by symbol name, the mask, the query heads per key head."""

    values: Mapping[str, Number]
    mask: Mask | PairFloor | None = None
    stack: Number = 1

    def of(self, expression: sympy.Expr) -> Number:
        """Return the value of a size: a symbol, an integer, or a product of them."""
        if expression.is_Integer:
            return int(expression)
        if expression.is_Symbol:
            return self.values.get(expression.name, expression)
        return reduce(mul, (self.of(factor) for factor in expression.args))

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


class _Place:
    """Where a node stands: the loops around it, outermost first, and the pair of tiles that a mask may skip."""

    def __init__(self, schedule: Schedule, problem: Problem, loops: tuple[Loop, ...] = ()) -> None:
        self.schedule, self.problem, self.loops = schedule, problem, loops
        self.innermost = {loop.axis: loop for loop in loops}
        self.grain = self._grain()

    def inside(self, loop: Loop) -> "_Place":
        return _Place(self.schedule, self.problem, (*self.loops, loop))

    def _grain(self) -> dict[str, Loop] | None:
        """The loops that fix the tile pair of the last masked loop."""
        if self.problem.mask is None:
            return None
        found, seen = None, dict[str, Loop]()
        for loop in self.loops:
            seen[loop.axis] = loop
            if loop.partner:
                found = {loop.axis: loop, loop.partner: seen[loop.partner]}
        return found

    def size(self, axis: str) -> Number:
        return self.problem.axis(self.schedule, axis)

    def times(self, axes: Iterable[str]) -> Number:
        """Sum over all iterations of the extents along `axes`."""
        named, factors = set(axes), []
        if self.grain:
            factors.append(self._visited(named))
        for axis in dict(self.schedule.axes):
            if self.grain and axis in self.grain:
                continue
            if axis in named:
                factors.append(self.size(axis))
            elif axis in self.innermost:
                factors.append(ceil_div(self.size(axis), self.problem.of(self.innermost[axis].length)))
        return reduce(mul, factors, 1)

    def _visited(self, named: set[str]) -> Number:
        assert self.grain is not None
        assert self.problem.mask is not None
        lengths = {axis: self.problem.of(loop.length) for axis, loop in self.grain.items()}
        # A loop word by word inside the tile repeats its body once per row or column of the tile.
        extent = {axis: axis in named or self.innermost[axis] is not loop for axis, loop in self.grain.items()}
        n, m = self.problem.of(size("n")), self.problem.of(size("m"))
        mask, stack = self.problem.mask, self.problem.stack
        return visited(mask, n, m, lengths["i"], lengths["j"], stack, extent["i"], extent["j"])

    def words(self, tile: Tile) -> Number:
        """Fast-memory words of a full tile."""
        return reduce(mul, (self._extent(axis) for axis in tile.axes), 1)

    def _extent(self, axis: str) -> Number:
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
    known = {s.name for _, axis in schedule.axes for s in axis.free_symbols} - {"z"} | set(schedule.tile_names)
    given = dict(sizes or {})
    extra = sorted(set(given) - known)
    if extra:
        raise AttometerError(f'schedule "{schedule.name}" has no size "{extra[0]}"; it has {", ".join(sorted(known))}')
    return Problem({**given, "z": copies}, mask, stack)


def _walk(body: Iterable[Node], place: _Place) -> Iterable[tuple[Node, _Place]]:
    for node in body:
        if isinstance(node, Loop):
            yield from _walk(node.body, place.inside(node))
        else:
            yield node, place


def traffic(
    schedule: Schedule,
    sizes: Mapping[str, Number] | None = None,
    mask: Mask | None = None,
    copies: Number = 1,
    stack: Number = 1,
) -> Traffic:
    """Return the words that a schedule moves, per tensor.

    `copies` independent problems (batch × key/value heads) of `stack` query heads each; sizes left out stay symbols.

    >>> from attometer.schedule.catalogue import schedule
    >>> traffic(schedule("flash2")).words
    d*m*ceiling(n/B_r) + d*n + e*m*ceiling(n/B_r) + e*n + n
    """
    return moved(schedule, schedule.phases, problem(schedule, sizes, mask, copies, stack))


def moved(schedule: Schedule, phases: Iterable[Node], problem: Problem) -> Traffic:
    """Return the words that some phases of a schedule move."""
    where = _Place(schedule, problem)
    reads: dict[str, list[Number]] = {}
    writes: dict[str, list[Number]] = {}
    for node, place in _walk(phases, where):
        if isinstance(node, Load):
            reads.setdefault(node.tile.name, []).append(place.times(node.tile.axes))
        elif isinstance(node, Store):
            writes.setdefault(node.tensor, []).append(place.times(node.tile.axes))
    return Traffic({k: total(v) for k, v in reads.items()}, {k: total(v) for k, v in writes.items()})


def footprint(schedule: Schedule, sizes: Mapping[str, Number] | None = None, stack: Number = 1) -> Number:
    """Return the fast-memory words that a schedule needs: the most that its tiles occupy at once.

    >>> from attometer.schedule.catalogue import schedule
    >>> footprint(schedule("flash1"))
    B_c*B_r + B_c*d + B_c*e + B_r*d + B_r*e + 2*B_r
    """
    return held(schedule, schedule.phases, problem(schedule, sizes, stack=stack))


def held(schedule: Schedule, phases: Iterable[Node], problem: Problem) -> Number:
    """Return the fast-memory words that some phases of a schedule need."""
    return greatest([peak for phase in phases for peak in _peaks((phase,), _Place(schedule, problem), [])])


def _peaks(body: Iterable[Node], place: _Place, outside: list[Number]) -> list[Number]:
    """Words in use wherever something is about to be dropped; the largest is among them."""
    live: dict[str, Number] = {}
    peaks = []
    for node in body:
        if isinstance(node, Loop):
            peaks += _peaks(node.body, place.inside(node), [*outside, *live.values()])
        elif isinstance(node, Free):
            peaks.append(total([*outside, *live.values()]))
            del live[node.tile.name]
        elif isinstance(node, Load | New):
            live[node.tile.name] = place.words(node.tile)
    peaks.append(total([*outside, *live.values()]))
    return peaks


def greatest(values: list[Number]) -> Number:
    """Return the largest of several exact numbers, dropping symbolic ones that are never larger than another."""
    if not any(isinstance(v, sympy.Basic) for v in values):
        return reduce(np.maximum, values) if any(isinstance(v, np.ndarray) for v in values) else max(values)
    kept: list[sympy.Expr] = []
    for value in dict.fromkeys(sympy.expand(v) for v in values):
        if not any((other - value).is_nonnegative for other in kept):
            kept = [other for other in kept if not (value - other).is_nonnegative] + [value]
    return sympy.Max(*kept)


def work(
    schedule: Schedule,
    sizes: Mapping[str, Number] | None = None,
    mask: Mask | None = None,
    copies: Number = 1,
    stack: Number = 1,
) -> Number:
    """Return the scalar operations that a schedule performs, recomputation included, each counted as one.

    >>> from attometer.schedule.catalogue import schedule
    >>> work(schedule("flash2_sliced")).coeff(schedule("flash2_sliced").size_of("c"))
    2*m*n*ceiling(e/B_e)
    """
    where = _Place(schedule, problem(schedule, sizes, mask, copies, stack))
    terms = [
        each * place.times(axes)
        for node, place in _walk(schedule.phases, where)
        if isinstance(node, Compute)
        for each, axes in node.work
    ]
    return total(terms)


def depth(schedule: Schedule, sizes: Mapping[str, Number] | None = None, stack: Number = 1) -> Number:
    """Return the longest chain of scalar operations: parallel loops overlap, others follow one another; no mask.

    A reduction over k terms inside one step is a balanced tree, ⌈log2 k⌉ deep; transfers take no depth.

    >>> from attometer.schedule.catalogue import schedule
    >>> depth(schedule("flash2"), {"n": 8, "m": 8, "d": 4, "e": 4, "B_r": 2, "B_c": 4, "B_d": 4, "B_e": 4})
    37
    """
    where = problem(schedule, sizes, stack=stack)
    lengths = {axis: where.axis(schedule, axis) for axis, _ in schedule.axes}
    return total(_depth((phase,), schedule, where, lengths) for phase in schedule.phases)


def _depth(body: Iterable[Node], schedule: Schedule, where: Problem, lengths: dict[str, Number]) -> Number:
    terms = []
    for node in body:
        if isinstance(node, Compute):
            constant, reduced = node.depth
            terms += [constant, *(_log(lengths[axis]) for axis in reduced)]
        elif isinstance(node, Loop):
            terms.append(_loop_depth(node, schedule, where, lengths))
    return total(terms)


def _loop_depth(loop: Loop, schedule: Schedule, where: Problem, lengths: dict[str, Number]) -> Number:
    whole, length = lengths[loop.axis], where.of(loop.length)
    if schedule.clipped or loop.length.is_Mul:  # several tiles together may be longer than the axis
        length = least(length, whole)
    full = _depth(loop.body, schedule, where, {**lengths, loop.axis: length})
    if loop.parallel:
        return full
    if isinstance(whole, sympy.Basic) or isinstance(length, sympy.Basic):
        count = sympy.floor(whole / sympy.sympify(length))
        ragged = sympy.ceiling(whole / sympy.sympify(length)) - count
        rest = whole - count * length
    else:
        count, rest = divmod(whole, length)
        ragged = int(rest > 0)
    if ragged == 0:
        return count * full
    return count * full + ragged * _depth(loop.body, schedule, where, {**lengths, loop.axis: rest})


def _log(k: Number) -> Number:
    return (k - 1).bit_length() if isinstance(k, int) else clog2(k)
