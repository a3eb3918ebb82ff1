"""Work and depth of each primitive operation: what it costs, and when its result is ready."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy
from sympy import Add, Integer, Mul

from attometer.count.work.dominance import largest
from attometer.count.work.elementwise import height, heights
from attometer.count.work.elementwise import scalars as per_point
from attometer.count.work.exclusive import readers
from attometer.errors import AttometerError
from attometer.program.expression import Ref, walk
from attometer.program.indices import is_shift
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Sort, space
from attometer.program.recurrences import refs_of
from attometer.sizes import clog2, scan_depth, scan_work

Depths = Mapping[str, sympy.Expr]
ZERO = Integer(0)


@dataclass(frozen=True)
class Points:
    """An operation's iteration space: its points, the results they fold into, and the longest fold."""

    points: sympy.Expr
    results: sympy.Expr
    fold: sympy.Expr


def points_of(operation: Einsum | Map | Reduce) -> Points:
    """Return how many points an operation visits, into how many results, with at most how many per result."""
    extents = dict(operation.extents)
    kept = operation.output.indices
    points = space(extents, operation.where)
    if isinstance(operation, Map):
        return Points(points, points, Integer(1))
    summed = {i: extents[i] for i in extents if i not in kept}
    held = {i: extents[i] for i in kept}
    where = operation.where
    if where is None or {where.query, where.key} <= set(kept):
        return Points(points, space(held, where), Mul(*summed.values()))
    if where.query in kept and where.key in summed:
        n, m = extents[where.query], extents[where.key]
        rest = Mul(*(e for i, e in held.items() if i != where.query))
        others = Mul(*(e for i, e in summed.items() if i != where.key))
        return Points(points, where.mask.rows(n, m) * rest, where.mask.longest_row(n, m) * others)
    if {where.query, where.key} <= set(summed):
        n, m = extents[where.query], extents[where.key]
        others = Mul(*(e for i, e in summed.items() if i not in (where.query, where.key)))
        return Points(points, Mul(*held.values()), where.mask.pairs(n, m) * others)
    raise AttometerError(
        f'"{operation.output.name}" sums a masked tensor over its query index "{where.query}"; only sums over keys are counted'
    )


Histogram = dict[str, sympy.Expr]
"""How many scalar operations of each kind; the kind is preceded by where it comes from: `product.mul`, `softmax.exp`."""


def scalars(operation: Operation) -> Histogram:
    """Return how many scalar operations of each kind an operation takes in all; they add up to its work."""
    match operation:
        case Einsum():
            p = points_of(operation)
            return {"product.mul": p.points, "product.add": p.points - p.results}
        case Map(expression=expression):
            points = points_of(operation).points
            return _from(operation, {kind: number * points for kind, number in per_point(expression).items()})
        case Reduce(kind=kind):
            p = points_of(operation)
            return _from(operation, {_FOLDS[kind]: p.points - p.results})
        case Sort():
            levels = clog2(dict(operation.extents)[operation.along])
            rest = Mul(*(e for i, e in operation.extents if i != operation.along))
            return {"compare": rest * 2**levels * levels * (levels + 1) / 4}
        case Scan(axis=axis, kind=kind, decay=decay):
            rest = Mul(*(e for i, e in operation.extents if i != axis))
            joins = scan_work(dict(operation.extents)[axis]) * rest
            # Joining (a, x) and (b, y) gives (a b, b x + y).
            return {_FOLDS[kind]: joins} if decay is None else {"mul": 2 * joins, "add": joins}
        case Recurrence(steps=steps):
            return together(map(scalars, steps))


_FOLDS = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


def _from(operation: Map | Reduce, found: Histogram) -> Histogram:
    origin = operation.origin
    return found if origin is None else {f"{origin.composite}.{kind}": number for kind, number in found.items()}


def together(histograms: Iterable[Mapping[str, sympy.Expr]]) -> Histogram:
    """Return the histogram of operations taken together.

    >>> together([{"add": Integer(1)}, {"add": Integer(2), "exp": Integer(1)}])
    {'add': 3, 'exp': 1}
    """
    terms: dict[str, list[sympy.Expr]] = {}
    for histogram in histograms:
        for kind, number in histogram.items():
            terms.setdefault(kind, []).append(number)
    return {kind: Add(*numbers) for kind, numbers in terms.items()}


def copies(operation: Operation, axis: str | None = None) -> sympy.Expr:
    """Return the copies that exclusive reads need: one for every further reader of an entry (EREW)."""
    match operation:
        case Recurrence(axis=own, steps=steps):
            return Add(*(copies(step, own) for step in steps))
        case Sort() | Scan():
            return ZERO
    points = points_of(operation).points
    return Add(*(points - points / readers(operation, ref, axis) for ref in refs_of(operation)))


def own_depth(operation: Operation) -> sympy.Expr:
    """Return the operation's own levels, as if all its operands were ready at once."""
    return ready(operation, {}, exclusive=False)[operation.output.name]


def ready(operation: Operation, depths: Depths, exclusive: bool) -> dict[str, sympy.Expr]:
    """Return when each tensor the operation makes is ready, given when its operands are."""
    if isinstance(operation, Recurrence):
        return _recurrence(operation, depths, exclusive)
    if isinstance(operation, Scan):
        # Whoever reads the step before (a chunk's carried state) does not wait for the last one.
        shorter = dict(operation.extents) | {operation.axis: dict(operation.extents)[operation.axis] - 1}
        before = _after(replace(operation, extents=tuple(shorter.items())), depths, exclusive)
        return {operation.output.name: _after(operation, depths, exclusive), _step_before(operation): before}
    return {operation.output.name: _after(operation, depths, exclusive)}


def _step_before(operation: Scan) -> str:
    return f"{operation.output.name}[{operation.axis}-1]"


def _arrival(ref: Ref, depths: Depths) -> sympy.Expr:
    shifted = next((f"{ref.tensor}[{i}-1]" for part in ref.indices if (i := is_shift(part))), "")
    return depths.get(shifted, depths.get(ref.tensor, ZERO))


def _after(operation: Operation, depths: Depths, exclusive: bool) -> sympy.Expr:
    arrivals = [_arrival(ref, depths) + levels for ref, levels in _levels(operation, exclusive)]
    # Positions are ready at once, but what is computed from them takes its levels too.
    own = Integer(height(operation.expression)) if isinstance(operation, Map) else ZERO
    return largest(*arrivals, own)


def _levels(operation: Operation, exclusive: bool, axis: str | None = None) -> list[tuple[Ref, sympy.Expr]]:
    """Return each operand with the levels between it and the result; `axis` is that of the recurrence it is a step of."""
    match operation:
        case Einsum(operands=operands):
            own = 1 + clog2(points_of(operation).fold)
            return [(ref, own + _spread(operation, ref, exclusive, axis)) for ref in with_positions(operands)]
        case Reduce(operand=operand):
            own = clog2(points_of(operation).fold)
            return [(ref, own + _spread(operation, ref, exclusive, axis)) for ref in with_positions((operand,))]
        case Map(expression=expression):
            found = [(inner, h) for ref, h in heights(expression) for inner in with_positions((ref,))]
            return [(ref, h + _spread(operation, ref, exclusive, axis)) for ref, h in found]
        case Sort(operand=operand):
            levels = clog2(dict(operation.extents)[operation.along])
            return [(ref, levels * (levels + 1) / 2) for ref in with_positions((operand,))]
        case Scan(term=term, decay=decay):
            own = (1 if decay is None else 2) * scan_depth(dict(operation.extents)[operation.axis])
            return [(term, own)] if decay is None else [(term, own), (decay, own)]
    raise AttometerError(f"{type(operation).__name__} has no levels of its own")


def with_positions(refs: tuple[Ref, ...]) -> list[Ref]:
    """Return `refs` and the tensors that say where they are read: a gather costs nothing, but waits for its position."""
    return [inner for ref in refs for inner in walk(ref) if isinstance(inner, Ref)]


def _spread(operation: Einsum | Map | Reduce, ref: Ref, exclusive: bool, axis: str | None) -> sympy.Expr:
    return clog2(readers(operation, ref, axis)) if exclusive else ZERO


def _recurrence(operation: Recurrence, depths: Depths, exclusive: bool) -> dict[str, sympy.Expr]:
    """Longest path through `length` steps: into the heaviest cycle, around it, and out again."""
    names = [s.output.name for s in operation.steps]
    carried = sorted({r.tensor for s in operation.steps for r in refs_of(s) if r.tensor in names and _back(r)})
    entry, paths = _one_step(operation, depths, exclusive)
    length = operation.length
    cycle = {q: paths[q][q] for q in carried if q in paths[q]}
    if not cycle:
        raise AttometerError(f'recurrence "{operation.label}" carries no tensor of its own; its depth is not derived')
    heaviest = largest(*cycle.values())
    best = next((q for q in cycle if cycle[q] == heaviest), None)
    if best is None:
        raise AttometerError(f'recurrence "{operation.label}" has no single heaviest cycle; its depth is not derived')
    into = largest(entry[best], cycle[best], *(paths[best][p] for p in carried if p in paths[best]))
    return {
        q: largest(entry[q], into + (length - 1) * heaviest)
        if q == best
        else largest(entry[q], into + (length - 2) * heaviest + paths[q][best])
        if best in paths[q]
        else entry[q]
        for q in names
    }


def _back(ref: Ref) -> bool:
    return any(is_shift(p) for p in ref.indices)


def _one_step(
    operation: Recurrence, depths: Depths, exclusive: bool
) -> tuple[dict[str, sympy.Expr], dict[str, dict[str, sympy.Expr]]]:
    """Return, per tensor of a step, the longest path from outside and from each tensor of the step before."""
    entry: dict[str, sympy.Expr] = {}
    paths: dict[str, dict[str, sympy.Expr]] = {}
    for step in operation.steps:
        arrivals: list[sympy.Expr] = [ZERO]
        found: dict[str, list[sympy.Expr]] = {}
        for ref, levels in _levels(step, exclusive, operation.axis):
            if _back(ref):
                found.setdefault(ref.tensor, []).append(levels)
                arrivals.append(levels)
            elif ref.tensor in entry:
                arrivals.append(entry[ref.tensor] + levels)
                for source, path in paths[ref.tensor].items():
                    found.setdefault(source, []).append(path + levels)
            else:
                arrivals.append(depths.get(ref.tensor, ZERO) + levels)
        entry[step.output.name] = largest(*arrivals)
        paths[step.output.name] = {source: largest(*lengths) for source, lengths in found.items()}
    return entry, paths
