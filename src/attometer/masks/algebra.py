"""The algebra of masks: intersection, union and complement, on the methods of their parts alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from math import lcm
from operator import and_, or_
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Min

from attometer.masks.closed_forms import positive
from attometer.masks.intervals import Intervals, Ints, Rows, complement, intersect, total, unite
from attometer.masks.mask import Mask, Parameter, Predicate, Reach
from attometer.masks.periodic import has_table, keys_within, seen_runs

MANY, WIDE = 8, 16
"""A row of more intervals than this, and than one in so many keys, is told key by key where it meets another."""


@dataclass(frozen=True)
class _Parts(Mask):
    """A mask made of two or more."""

    parts: tuple[Mask, ...]

    @classmethod
    def of(cls, *masks: Mask) -> Mask:
        """Return the masks joined, nested ones flattened and repeats dropped."""
        parts = tuple(dict.fromkeys(p for mask in masks for p in (mask.parts if isinstance(mask, cls) else (mask,))))
        return cls(parts) if len(parts) > 1 else parts[0]

    def atoms(self) -> Iterator[Mask]:
        """Yield those of the parts."""
        for part in self.parts:
            yield from part.atoms()

    def mapped(self, change: Callable[[Mask], Mask]) -> Mask:
        """Change the parts."""
        return type(self)(tuple(part.mapped(change) for part in self.parts))

    def from_key(self, start: int, keys: int) -> Mask | None:
        """Move the parts."""
        moved = [part.from_key(start, keys) for part in self.parts]
        return type(self).of(*(part for part in moved if part is not None)) if any(moved) else None

    def spread(self, m: int) -> int:
        """Return the sum of the parts'."""
        return sum(part.spread(m) for part in self.parts)

    def period(self) -> int | None:
        """Return the least common multiple of the parts'."""
        periods = [part.period() for part in self.parts]
        return None if None in periods else lcm(*(p for p in periods if p is not None))

    def spans(self, rows: Rows) -> Intervals:
        """List single keys where that is shorter than to sort the parts' intervals."""
        wide = [part for part in self.parts if part.spread(rows.m) > max(MANY, rows.m // WIDE)]
        return seen_runs(self, rows) if len(wide) > 1 else self._listed(rows)

    def _listed(self, rows: Rows) -> Intervals:
        """Return the intervals from those of the parts."""
        raise NotImplementedError

    def _split(self, rows: Rows) -> tuple[list[Mask], Mask | None]:
        """Return the parts whose intervals a row lists, and one of many intervals that is asked how many keys it has in them.

        What repeats is one part: a table tells how many keys it has anywhere.
        """
        far = [part for part in self.parts if not part.contiguous]
        again = [part for part in far if part.period() is not None]
        if len(again) > 1 and has_table(joined := type(self)(tuple(again)), rows.n, rows.m):
            far = [*(part for part in far if part not in again), joined]
        widest = max(far, key=lambda part: part.spread(rows.m), default=None)
        return [*(p for p in self.parts if p.contiguous), *(p for p in far if p is not widest)], widest

    def _joined(self, sign: str, own: int, over: tuple[str, ...], level: int) -> str:
        text = f" {sign} ".join(part.text(over, own) for part in self.parts)
        return f"({text})" if level >= own else text


@dataclass(frozen=True)
class And(_Parts):
    """Pairs that every part allows."""

    @property
    def contiguous(self) -> bool:  # type: ignore[override]
        """Intervals meet in an interval."""
        return all(part.contiguous for part in self.parts)

    @property
    def sees_itself(self) -> bool:  # type: ignore[override]
        """Whether all parts do."""
        return all(part.sees_itself for part in self.parts)

    @property
    def reach(self) -> Reach | None:  # type: ignore[override]
        """Bands meet in a band."""
        reaches = [part.reach for part in self.parts]
        if any(reach is None for reach in reaches):
            return None
        return reduce(_narrower, (reach for reach in reaches if reach is not None))

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return the conjunction of the parts."""
        held = [part.predicate(n, m, array) for part in self.parts]
        return lambda i, j: reduce(and_, [part(i, j) for part in held])

    def _listed(self, rows: Rows) -> Intervals:
        """Cut to the parts of one interval first, so that the others list only what lies inside."""
        near, far = [p for p in self.parts if p.contiguous], [p for p in self.parts if not p.contiguous]
        within = reduce(intersect, (part.spans(rows) for part in near), (rows.low[None], rows.high[None]))
        inside = rows.between(within)
        return reduce(intersect, (part.spans(inside) for part in far), within)

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Ask the one part of many intervals how many keys it has inside the others."""
        if has_table(self, rows.n, rows.m):
            return keys_within(self, rows, within)
        near, far = self._split(rows)
        if sum(part.spread(rows.m) for part in near) > max(MANY, rows.m // WIDE):
            return super().seen(rows, within)
        inside = reduce(intersect, (part.spans(rows) for part in near), within)
        return far.seen(rows.between(inside), inside) if far is not None else total(inside)

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return that of the one part that is no band, inside the band of the others; nothing is seen by both p and ~p."""
        if any(Not(part) in self.parts for part in self.parts):
            return sympy.Integer(0)
        bands = [part.reach for part in self.parts if part.reach is not None]
        others = [part for part in self.parts if part.reach is None]
        if not bands or len(others) > 1:
            return None
        inside, part = reduce(_narrower, bands), (others or self.parts)[0]
        if n == m:
            return part.pairs_in_band(inside, n)
        # Without keys ahead a position sees the same keys among m as among its own number: all positions less the first m - n.
        whole = part.pairs_in_band(inside, m) if inside[1] == 0 else None
        before = None if whole is None else part.pairs_in_band(inside, positive(m - n))
        return None if whole is None or before is None else whole - before

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return 0 for a contradiction."""
        return sympy.Integer(0) if any(Not(part) in self.parts for part in self.parts) else None

    def longest_column_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return 0 for a contradiction."""
        return self.longest_row_formula(n, m)

    def back_in_two(self, causal: bool = False) -> bool:
        """Return whether it is one such part within causal attention."""
        others = [part for part in self.parts if part.reach != (None, 0)]
        return len(others) == 1 and others[0].back_in_two(causal or len(others) < len(self.parts))

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the least of the parts'."""
        return min((part.order(n, m) for part in self.parts), key=lambda e: (e.as_powers_dict().get(n, 0), str(e)))

    def keys_seen(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the least of the parts'."""
        return Min(*(part.keys_seen(n, m) for part in self.parts))

    def text(self, over: tuple[str, ...] = (), level: int = 0) -> str:
        """Return the parts joined by &."""
        return self._joined("&", 2, over, level)


@dataclass(frozen=True)
class Or(_Parts):
    """Pairs that some part allows."""

    @property
    def sees_itself(self) -> bool:  # type: ignore[override]
        """Whether some part does."""
        return any(part.sees_itself for part in self.parts)

    @property
    def hub(self) -> bool:  # type: ignore[override]
        """Whether some part has one."""
        return any(part.hub for part in self.parts)

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return the disjunction of the parts."""
        held = [part.predicate(n, m, array) for part in self.parts]
        return lambda i, j: reduce(or_, [part(i, j) for part in held])

    def _listed(self, rows: Rows) -> Intervals:
        """Unite the parts'."""
        return reduce(unite, (part.spans(rows) for part in self.parts))

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Ask the one part of many intervals how many keys it has outside the others."""
        if has_table(self, rows.n, rows.m):
            return keys_within(self, rows, within)
        near, far = self._split(rows)
        if sum(part.spread(rows.m) for part in near) > max(MANY, rows.m // WIDE):
            return super().seen(rows, within)
        if far is not None and not near:
            return far.seen(rows, within)
        covered = reduce(unite, (part.spans(rows) for part in near))
        found = total(intersect(covered, within))
        if far is not None:
            outside = intersect(complement(covered, rows.m), within)
            found = found + far.seen(rows.between(outside), outside)
        return found

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return that of two parts that know one another."""
        return _of_two(self.parts, lambda one, other: one.pairs_with(other, n)) if n == m else None

    def pairs_in_band(self, reach: Reach, n: sympy.Expr) -> sympy.Expr | None:
        """Return the causal pairs of two parts that know one another."""
        if reach != (None, 0):
            return None
        return _of_two(self.parts, lambda one, other: one.causal_pairs_with(other, n))

    def back_in_two(self, causal: bool = False) -> bool:
        """Return whether it is causal and made of two parts that complete one another."""
        return causal and bool(_of_two(self.parts, lambda one, other: one.back_in_two_with(other) or None))

    def longest_row_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return m where a part sees all keys of some row."""
        return m if any(part.longest_row_formula(n, m) == m for part in self.parts) else None

    def order(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr:
        """Return the sum of the parts'."""
        return sympy.Add(*(part.order(n, m) for part in self.parts))

    def text(self, over: tuple[str, ...] = (), level: int = 0) -> str:
        """Return the parts joined by |."""
        return self._joined("|", 1, over, level)


@dataclass(frozen=True)
class Not(Mask):
    """Pairs that the part forbids."""

    part: Mask

    def __invert__(self) -> Mask:
        return self.part

    def atoms(self) -> Iterator[Mask]:
        """Yield those of the part."""
        yield from self.part.atoms()

    def mapped(self, change: Callable[[Mask], Mask]) -> Mask:
        """Change the part."""
        return Not(self.part.mapped(change))

    def predicate(self, n: int, m: int, array: Callable[[NDArray[Any]], Any] = np.asarray) -> Predicate:
        """Return the negation of the part."""
        held = self.part.predicate(n, m, array)
        return lambda i, j: held(i, j) ^ True

    def period(self) -> int | None:
        """Return the part's."""
        return self.part.period()

    def spans(self, rows: Rows) -> Intervals:
        """Return what lies between the part's intervals."""
        start, end = complement(self.part.spans(rows), rows.m)
        return rows.clip(start, end)

    def spread(self, m: int) -> int:
        """Return one more than the part's."""
        return self.part.spread(m) + 1

    def seen(self, rows: Rows, within: Intervals) -> Ints:
        """Return all keys but the part's."""
        return total(within) - self.part.seen(rows, within)

    def pairs_formula(self, n: sympy.Expr, m: sympy.Expr) -> sympy.Expr | None:
        """Return all pairs but the part's."""
        found = self.part.pairs_formula(n, m)
        return None if found is None else n * m - found

    def text(self, over: tuple[str, ...] = (), level: int = 0) -> str:
        """Return ~ and the part."""
        return f"~{self.part.text(over, 2)}"


def _of_two(parts: tuple[Mask, ...], formula: Callable[[Mask, Mask], sympy.Expr | None]) -> sympy.Expr | None:
    if len(parts) != 2:
        return None
    found = (formula(one, other) for one, other in (parts, parts[::-1]))
    return next((f for f in found if f is not None), None)


def _narrower(one: Reach, other: Reach) -> Reach:
    return _least(one[0], other[0]), _least(one[1], other[1])


def _least(one: Parameter | None, other: Parameter | None) -> Parameter | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other) if isinstance(one, int) and isinstance(other, int) else Min(one, other)
