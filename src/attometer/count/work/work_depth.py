"""Work and depth of each primitive operation: what it costs, and when its result is ready."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import sympy
from sympy import Add, Integer, Min, Mul

from attometer.count.work.dominance import largest
from attometer.count.work.elementwise import height, heights, outer_products
from attometer.count.work.elementwise import scalars as per_point
from attometer.count.work.exclusive import readers
from attometer.count.work.history import history_walk, most_levels
from attometer.count.work.walks import longest_walk
from attometer.program.expression import Binary, Expression, Name, Number, Ref, refs_in
from attometer.program.indices import step_of
from attometer.program.operations import Einsum, Map, Operation, Recurrence, Reduce, Scan, Scatter, Sort, Tensor, space
from attometer.program.recurrences import earlier_places, refs_of
from attometer.sizes import clog2, scan_depth, scan_work, size

ZERO = Integer(0)
Simple: TypeAlias = Einsum | Map | Reduce | Sort | Scatter | Scan
"""An operation that is no recurrence of others."""


@dataclass(frozen=True)
class Known:
    """When each tensor is ready, the tensors themselves, and whether their entries are read by one reader at a time."""

    depths: Mapping[str, sympy.Expr] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    exclusive: bool = False


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
    n, m = extents[where.query], extents[where.key]
    if where.key in kept:
        rest = Mul(*(e for i, e in held.items() if i != where.key))
        others = Mul(*(e for i, e in summed.items() if i != where.query))
        return Points(points, where.mask.columns(n, m) * rest, where.mask.longest_column(n, m) * others)
    others = Mul(*(e for i, e in summed.items() if i not in (where.query, where.key)))
    return Points(points, Mul(*held.values()), where.mask.pairs(n, m) * others)


Histogram = dict[str, sympy.Expr]
"""How many scalar operations of each kind; the kind is preceded by where it comes from: `product.mul`, `softmax.exp`."""


def scalars(operation: Operation) -> Histogram:
    """Return how many scalar operations of each kind an operation takes in all; they add up to its work."""
    match operation:
        case Einsum():
            p = points_of(operation)
            return {"product.mul": p.points, "product.add": p.points - p.results}
        case Map(expression=expression):
            points, each = points_of(operation).points, dict(per_point(expression))
            outer = 0 if operation.origin else outer_products(expression)
            # A product of two tensors that have no index alone in common is a matrix product over one term.
            each |= {"mul": each["mul"] - outer, "outer.mul": outer} if outer else {}
            return _from(operation, {kind: number * points for kind, number in each.items() if number})
        case Reduce(kind=kind):
            p = points_of(operation)
            return _from(operation, {_FOLDS[kind]: p.points - p.results})
        case Scatter():
            return scalars(operation.together)
        case Sort():
            levels = clog2(dict(operation.extents)[operation.along])
            rest = Mul(*(e for i, e in operation.extents if i != operation.along))
            if operation.tournament and operation.keep is not None:
                # The largest of all, then each next along the way of the last one (Knuth, volume 3, section 5.2.3).
                return {"compare": rest * (2**levels - 1 + (operation.keep - 1) * levels)}
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
        case Sort() | Scan() | Scatter():
            return ZERO
    points = points_of(operation).points
    return Add(*(points - points / readers(operation, ref, axis) for ref in refs_of(operation)))


def own_depth(operation: Operation) -> sympy.Expr:
    """Return the operation's own levels, as if all its operands were ready at once."""
    return ready(operation, Known())[operation.output.name]


def ready(operation: Operation, known: Known) -> dict[str, sympy.Expr]:
    """Return when each tensor the operation makes is ready, given when its operands are."""
    if isinstance(operation, Recurrence):
        return _recurrence(operation, known)
    if isinstance(operation, Scan):
        # Whoever reads the step before (a chunk's carried state) does not wait for the last one.
        shorter = dict(operation.extents) | {operation.axis: dict(operation.extents)[operation.axis] - 1}
        before = _after(replace(operation, extents=tuple(shorter.items())), known)
        return {
            operation.output.name: _after(operation, known),
            _step_before(operation.output, operation.axis, operation.step): before,
        }
    return {operation.output.name: _after(operation, known)}


def _step_before(tensor: Tensor, axis: str, step: int) -> str:
    return f"{tensor.name}[{tensor.indices.index(axis)}]{-step:+d}"


def _arrival(ref: Ref, operation: Simple, known: Known) -> sympy.Expr:
    """Return when what `ref` reads is ready: at once where every place it reads is outside of the tensor."""
    looks = ((k, look) for k, part in enumerate(ref.indices) if (look := step_of(part)))
    for k, (_, way) in looks:
        if (key := f"{ref.tensor}[{k}]{way:+d}") in known.depths:
            return known.depths[key]
    when = known.depths.get(ref.tensor, ZERO)
    if when == 0 or ref.tensor not in known.tensors:
        return when
    extents = dict(operation.extents)
    places = zip(ref.indices, known.tensors[ref.tensor].extents, strict=True)
    return Mul(when, *(_some(extent, extents, part) for part, extent in places))


def elsewhere(part: Expression) -> bool:
    """Return whether `part` misses places of an axis: it is beside an index, fixed, or where data say."""
    match part:
        case Number() | Ref() | Binary(op="+" | "-", right=Number()):
            return True
    return False


def _some(extent: sympy.Expr, extents: Mapping[str, sympy.Expr], part: Expression) -> sympy.Expr:
    """Return 1 where `part` names some place of an axis, and 0 where it names none: it looks further than the axis reaches."""
    match part:
        case Number(value=place):
            left = extent - place
        case Binary(op="+", right=Number(value=by)):
            left = extent - by
        case Binary(op="-", left=Name(name=index), right=Number(value=by)):
            left = extents[index] - by
        case _:
            return Integer(1)
    return sympy.Min(1, sympy.Max(0, left))


def _after(operation: Simple, known: Known) -> sympy.Expr:
    arrivals = [_arrival(ref, operation, known) + levels for ref, levels in _levels(operation, known.exclusive)]
    return largest(*arrivals, _from_positions(operation))


def _from_positions(operation: Simple) -> sympy.Expr:
    """Return the levels of what is computed from positions, which are ready at once."""
    return Integer(height(operation.expression)) if isinstance(operation, Map) else ZERO


def _levels(operation: Simple, exclusive: bool, axis: str | None = None) -> list[tuple[Ref, sympy.Expr]]:
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
        case Scatter():
            own = clog2(points_of(operation.together).fold)
            return [(ref, own) for ref in refs_of(operation)]
        case Sort(operand=operand):
            levels = clog2(dict(operation.extents)[operation.along])
            all_of = levels * (levels + 1) / 2 if not operation.tournament else levels * (operation.keep or ZERO)
            return [(ref, all_of) for ref in with_positions((operand,))]
        case Scan(term=term, decay=decay):
            own = (1 if decay is None else 2) * scan_depth(dict(operation.extents)[operation.axis])
            return [(term, own)] if decay is None else [(term, own), (decay, own)]


def with_positions(refs: tuple[Ref, ...]) -> list[Ref]:
    """Return `refs` and the tensors that say where they are read: a gather costs nothing, but waits for its position."""
    return [inner for ref in refs for inner in refs_in(ref)]


def _spread(operation: Einsum | Map | Reduce, ref: Ref, exclusive: bool, axis: str | None) -> sympy.Expr:
    return clog2(readers(operation, ref, axis)) if exclusive else ZERO


def _recurrence(operation: Recurrence, known: Known) -> dict[str, sympy.Expr]:
    """When each tensor is ready after all steps; and, under `_step_before`, when all but the last are done."""
    length = size("steps")
    walks = _walks_over_all(operation, known, length) or _walks(operation, known, length)
    names = [step.output.name for step in operation.steps]
    found = {q: walks[q].xreplace({length: operation.length}) for q in names}
    before = {q: walks[q].xreplace({length: operation.length - 1}) for q in names}
    # One step has none before it.
    some = Min(1, operation.length - 1)
    return found | {
        _step_before(s.output, operation.axis, operation.step): some * before[s.output.name] for s in operation.steps
    }


def _walks(operation: Recurrence, known: Known, length: sympy.Symbol) -> dict[str, sympy.Expr]:
    entry, paths = _one_step(operation, known)
    try:
        walks = {q: _longest_walk(q, entry, paths, length) for q in entry}
        _check_walks(entry, paths, walks, length)
    except _NoClosedForm:
        walks = {q: longest_walk(q, entry, paths, length) for q in entry}
    return walks


def _walks_over_all(operation: Recurrence, known: Known, length: sympy.Symbol) -> dict[str, sympy.Expr]:
    """Return the same for a recurrence whose steps read all earlier places (never exclusively: masks refuse that); nothing for others."""
    if not earlier_places(operation):
        return {}
    names = [step.output.name for step in operation.steps]
    outside = dict[str, sympy.Expr]()
    for step in operation.steps:
        for r in refs_of(step):
            if r.tensor not in names:
                outside[r.tensor] = largest(outside.get(r.tensor, ZERO), _arrival(r, step, known))
    return {q: history_walk(q, operation, outside, most_levels(operation), length) for q in names}


class _NoClosedForm(Exception):
    """Walks return after several steps, or no one cycle is the heaviest for all sizes."""


def _longest_walk(
    q: str,
    entry: dict[str, sympy.Expr],
    paths: dict[str, dict[str, sympy.Expr]],
    length: sympy.Symbol,
) -> sympy.Expr:
    """Longest path to `q` through `length` steps: into the heaviest cycle, around it, and out again."""
    carried = sorted(_reaching(q, paths))
    if not carried:
        return entry[q]
    cycle = {p: paths[p][p] for p in carried if p in paths[p]}
    if not cycle and not any(paths[p] for p in carried):
        return largest(entry[q], *(entry[p] + paths[q][p] for p in carried))
    if not cycle:
        raise _NoClosedForm
    heaviest = largest(*cycle.values())
    best = next((p for p in cycle if cycle[p] == heaviest), None)
    if best is None:
        raise _NoClosedForm
    into = largest(entry[best], cycle[best], *(paths[best][p] for p in carried if p in paths[best]))
    # What is ready late elsewhere arrives with the second step.
    second = [entry[p] + paths[q][p] for p in carried if p in paths[q] and p != best]
    if q == best:
        late = [walk + (length - 2) * heaviest for walk in second]
        return _with_second(largest(entry[q], into + (length - 1) * heaviest), late, length)
    if best not in paths[q]:
        raise _NoClosedForm
    return _with_second(largest(entry[q], into + (length - 2) * heaviest + paths[q][best]), second, length)


def _with_second(longest: sympy.Expr, walks: list[sympy.Expr], length: sympy.Symbol) -> sympy.Expr:
    """Return the longest with walks that enter at the second step, if any of those can be the longest from there on."""
    after = {length: length + 1}
    known = largest(longest.xreplace(after))
    return largest(longest, *(w for w in walks if largest(known, w.xreplace(after)) != known))


def _check_walks(
    entry: dict[str, sympy.Expr],
    paths: dict[str, dict[str, sympy.Expr]],
    walks: dict[str, sympy.Expr],
    length: sympy.Symbol,
) -> None:
    """Raise _NoClosedForm where a walk over several steps is longer than one around the heaviest cycle of one step."""
    if len({source for found in paths.values() for source in found}) < 2:
        return
    for number in (1, 4, 9):
        longest = {q: _numbered(e, number) for q, e in entry.items()}
        level = dict(longest)
        for steps in range(2, 2 * len(paths) + 3):
            level = {
                q: max([longest[q], *(level[p] + _numbered(w, number) for p, w in paths[q].items())]) for q in entry
            }
            wrong = [q for q in walks if _numbered(walks[q].xreplace({length: Integer(steps)}), number) != level[q]]
            if wrong:
                raise _NoClosedForm


def _numbered(levels: sympy.Expr, number: int) -> int:
    return int(levels.xreplace({s: Integer(number) for s in levels.free_symbols}))


def _reaching(q: str, paths: dict[str, dict[str, sympy.Expr]]) -> set[str]:
    """Return the tensors of earlier steps that `q` depends on, itself among them if it does."""
    found, todo = set[str](), [q]
    while todo:
        for source in paths[todo.pop()]:
            if source not in found:
                found.add(source)
                todo.append(source)
    return found


def _one_step(operation: Recurrence, known: Known) -> tuple[dict[str, sympy.Expr], dict[str, dict[str, sympy.Expr]]]:
    """Return, per tensor of a step, the longest path from outside and from each tensor of the step before."""
    names = {step.output.name for step in operation.steps}
    entry: dict[str, sympy.Expr] = {}
    paths: dict[str, dict[str, sympy.Expr]] = {}
    for step in operation.steps:
        arrivals: list[sympy.Expr] = [_from_positions(step)]
        found: dict[str, list[sympy.Expr]] = {}
        for ref, levels in _levels(step, known.exclusive, operation.axis):
            if any(step_of(part) == (operation.axis, -operation.step) for part in ref.indices):
                # The first step finds nothing there.
                found.setdefault(ref.tensor, []).append(levels)
                arrivals.append(levels)
                if ref.tensor not in names:
                    entry[ref.tensor], paths[ref.tensor] = _arrival(ref, step, known), {}
            elif ref.tensor in entry:
                arrivals.append(entry[ref.tensor] + levels)
                for source, path in paths[ref.tensor].items():
                    found.setdefault(source, []).append(path + levels)
            else:
                arrivals.append(_arrival(ref, step, known) + levels)
        entry[step.output.name] = largest(*arrivals)
        paths[step.output.name] = {source: largest(*lengths) for source, lengths in found.items()}
    return entry, paths
