"""When the steps of a recurrence over all earlier places are ready: exact, place by place."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from attometer.count.work.elementwise import height, heights
from attometer.count.work.walks import Bound, at_integers
from attometer.masks.counts import substitute, symbols
from attometer.program.expression import Name, Ref, walk
from attometer.program.indices import step_of
from attometer.program.operations import Einsum, Map, Recurrence, Reduce
from attometer.program.recurrences import refs_of
from attometer.sizes import clog2

Ints = NDArray[np.int64]


def history_walk(
    q: str, operation: Recurrence, arrivals: Mapping[str, sympy.Expr], levels: sympy.Expr, length: sympy.Expr
) -> sympy.Expr:
    """Return when `q` is ready after `length` steps, as a function that evaluates at integers.

    Args:
        q: the tensor.
        operation: the recurrence, some step of which reads all earlier places under a strict mask.
        arrivals: when what its steps read from outside is ready.
        levels: levels that no step exceeds, for the order of growth.
        length: steps.
    """
    sizes = {s for step in operation.steps for _, e in step.extents for s in e.free_symbols}
    sizes |= {s for step in operation.steps if step.where is not None for s in symbols(step.where.mask)}
    free = sorted(sizes | {s for e in arrivals.values() for s in e.free_symbols}, key=str)
    return _history(q, operation, tuple(arrivals.items()), levels, tuple(free))(length, *free)


@lru_cache(maxsize=1024)
def _history(
    q: str,
    operation: Recurrence,
    arrivals: tuple[tuple[str, sympy.Expr], ...],
    levels: sympy.Expr,
    free: tuple[sympy.Symbol, ...],
) -> Any:
    def levels_at(length: int, bound: Bound) -> int:
        ready = {name: int(e.xreplace(bound)) for name, e in arrivals}
        return int(_Places(operation, ready, bound).ready(length)[q].max())

    return at_integers("history", q, hash((q, operation, arrivals)), free, levels_at, lambda length: length * levels)


class _Places:
    """When each tensor of the steps is ready at each place of the axis: sums are balanced trees over terms in order."""

    def __init__(self, operation: Recurrence, arrivals: dict[str, int], bound: Bound) -> None:
        self.operation, self.arrivals, self.bound = operation, arrivals, bound
        self.length = self.number(operation.length)
        self.held = {step.output.name: np.zeros(self.length, np.int64) for step in operation.steps}

    def number(self, size: sympy.Expr) -> int:
        return int(size.xreplace(self.bound))

    def ready(self, steps: int) -> dict[str, Ints]:
        places = range(self.length) if self.operation.step > 0 else range(self.length - 1, -1, -1)
        for at in places[:steps]:
            for step in self.operation.steps:
                self.held[step.output.name][at] = self.step(step, at)
        return self.held

    def step(self, step: Einsum | Map | Reduce, at: int) -> int:
        if isinstance(step, Map):
            found = [
                int(np.max(self.arrival(inner, step, at))) + levels
                for ref, levels in heights(step.expression)
                for inner in walk(ref)
                if isinstance(inner, Ref)
            ]
            return max([height(step.expression), *found])
        extents = dict(step.extents)
        summed = [i for i in extents if i in step.summed]
        refs = refs_of(step)
        # Along other indices all terms are ready at once: one size 1 for each that does not tell them apart.
        terms = np.max(np.broadcast_arrays(*(self.arrival(ref, step, at, summed) for ref in refs)), axis=0)
        terms = np.broadcast_to(terms, [self.number(extents[i]) for i in summed])
        seen = self.seen(step, at, summed)
        leaves = terms[np.broadcast_to(seen, terms.shape)] if seen is not None else terms.ravel()
        return tree(leaves + (1 if isinstance(step, Einsum) else 0))

    def seen(self, step: Einsum | Reduce, at: int, summed: list[str]) -> NDArray[np.bool_] | None:
        """Return which terms the mask allows: those of the longest row where another index than the axis tells."""
        where, axis = step.where, self.operation.axis
        if where is None or not {where.query, where.key} & {*summed}:
            return None
        n, m = (self.number(dict(step.extents)[i]) for i in (where.query, where.key))
        mask = substitute(where.mask, {s: sympy.sympify(v) for s, v in self.bound.items()})
        if where.query == axis:
            row = mask.allows(np.full(m, at), np.arange(m), n, m)
        elif where.key == axis:
            row = mask.allows(np.arange(n), np.full(n, at), n, m)
        else:
            matrix = mask.matrix(n, m)
            if {where.query, where.key} <= {*summed}:
                matrix = matrix if summed.index(where.query) < summed.index(where.key) else matrix.T
                return _at(matrix, [summed.index(where.query), summed.index(where.key)], len(summed))
            rows = matrix if where.key in summed else matrix.T
            row = rows[int(rows.sum(axis=1).argmax())]
        along = summed.index(where.key if where.key in summed else where.query)
        return row.reshape([-1 if k == along else 1 for k in range(len(summed))])

    def arrival(self, ref: Ref, step: Einsum | Map | Reduce, at: int, summed: list[str] | None = None) -> Ints:
        """Return when what `ref` reads is ready, an axis for each summed index."""
        one = [1] * len(summed or ())
        if ref.tensor not in self.held:
            return np.full(one, self.arrivals.get(ref.tensor, 0))
        held = self.held[ref.tensor]
        own = next(s for s in self.operation.steps if s.output.name == ref.tensor).output.indices
        part = ref.indices[own.index(self.operation.axis)]
        look = step_of(part)
        if look is not None:
            place = at + look[1]
            return np.full(one, held[place] if 0 <= place < self.length else 0)
        if part == Name(self.operation.axis):
            return np.full(one, held[at])
        assert isinstance(part, Name)
        if summed is None or part.name not in summed:
            # The entries of a row are read one by one; the last is what the row waits for.
            return np.full(one, held.max())
        return held.reshape([-1 if i == part.name else 1 for i in summed])


def _at(matrix: NDArray[np.bool_], places: list[int], number: int) -> NDArray[np.bool_]:
    first, last = sorted(places)
    return matrix.reshape(
        [matrix.shape[0] if k == first else matrix.shape[1] if k == last else 1 for k in range(number)]
    )


def tree(leaves: Ints) -> int:
    """Return the depth of a sum of terms that are ready at `leaves`, combined in pairs, level by level; 0 of none.

    >>> tree(np.array([0, 0, 0, 5])), tree(np.array([0, 0, 5]))
    (7, 6)
    """
    while len(leaves) > 1:
        even = len(leaves) // 2 * 2
        pairs = np.maximum(leaves[:even:2], leaves[1:even:2]) + 1
        leaves = np.concatenate([pairs, leaves[even:]])
    return int(leaves[0]) if len(leaves) else 0


def most_levels(operation: Recurrence) -> sympy.Expr:
    """Return levels that no step of `operation` exceeds."""
    total: list[sympy.Expr] = []
    for step in operation.steps:
        if isinstance(step, Map):
            total.append(sympy.Integer(height(step.expression)))
        else:
            total.append(1 + clog2(sympy.Mul(*(e for i, e in step.extents if i in step.summed))))
    return sympy.Add(*total)
