"""Work and depth of a schedule, recomputation included, derived by walking its loop nest; exact on ragged sizes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy

from attometer.count.traffic.walk import Number, Place, Problem, ceil_div, greatest, least, problem, total, walk
from attometer.masks import Mask
from attometer.schedule.nest import Compute, Loop, Node, Schedule, uses
from attometer.sizes import clog2


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
    where = Place(schedule, problem(schedule, sizes, mask, copies, stack))
    terms = [
        _number(each, place.problem) * place.times(axes)
        for node, place in walk(schedule.phases, where)
        if isinstance(node, Compute)
        for each, axes in node.work
    ]
    return total(terms)


@dataclass(frozen=True)
class _Chain:
    """What the depth of a nest depends on: its sizes, the lengths that the current loops leave, and what overlaps."""

    schedule: Schedule
    where: Problem
    lengths: Mapping[str, Number]
    serial: bool
    tree: bool

    def inside(self, axis: str, length: Number) -> "_Chain":
        return replace(self, lengths={**self.lengths, axis: length})


def depth(
    schedule: Schedule,
    sizes: Mapping[str, Number] | None = None,
    stack: Number = 1,
    copies: Number = 1,
    *,
    serial: bool = False,
    tree: bool = False,
) -> Number:
    """Return the longest chain of scalar operations: parallel loops overlap, iterations of others follow one another; no mask.

    Steps of one body that do not wait for one another overlap, too. A reduction over k terms inside one step is a
    balanced tree, ⌈log2 k⌉ deep; transfers take no depth. With `serial`
    there is one fast memory, in which the tiles of parallel loops follow one another too. With `tree` partial results
    are merged pairwise, each pair in a fast memory of its own, instead of one after another: the merge is associative.

    >>> from attometer.schedule.catalogue import schedule
    >>> depth(schedule("flash2"), {"n": 8, "m": 8, "d": 4, "e": 4, "B_r": 2, "B_c": 4, "B_d": 4, "B_e": 4})
    36
    """
    where = problem(schedule, sizes, None, copies, stack)
    chain = _Chain(schedule, where, {axis: where.axis(schedule, axis) for axis, _ in schedule.axes}, serial, tree)
    return total(_depth((phase,), chain) for phase in schedule.phases)


def _depth(body: Iterable[Node], chain: _Chain) -> Number:
    """The longest chain through a body: a node begins when all that it needs is ready."""
    ready, ends = dict[str, Number](), list[Number]()
    for node in body:
        needs, makes = uses(node, chain.schedule)
        begun = greatest(_distinct(ready[name] for name in needs if name in ready))
        end = late = begun
        if isinstance(node, Compute):
            constant, reduced = node.depth
            end = total([begun, _number(constant, chain.where), *(_log(chain.lengths[axis]) for axis in reduced)])
            late = total([end, node.late])
        elif isinstance(node, Loop):
            end = total([begun, _loop_depth(node, chain)])
        ready |= {name: late if delayed else end for name, delayed in makes.items()}
        ends += [end, late] if any(makes.values()) else [end]
    return greatest(_distinct(ends))


def _distinct(values: Iterable[Number]) -> list[Number]:
    return list(dict.fromkeys(values)) or [0]


def _loop_depth(loop: Loop, chain: _Chain) -> Number:
    whole, length = chain.lengths[loop.axis], chain.where.of(loop.length)
    if chain.schedule.clipped or loop.length.is_Mul:  # several tiles together may be longer than the axis
        length = least(length, whole)
    full = _depth(loop.body, chain.inside(loop.axis, length))
    if loop.parallel and not chain.serial:
        return full
    if chain.tree and _merges(loop):
        return _log(ceil_div(whole, length)) * full
    if isinstance(whole, sympy.Basic) or isinstance(length, sympy.Basic):
        count = sympy.floor(whole / sympy.sympify(length))
        ragged = sympy.ceiling(whole / sympy.sympify(length)) - count
        rest = whole - count * length
    else:
        count, rest = divmod(whole, length)
        ragged = int(rest > 0)
    if ragged == 0:
        return count * full
    return count * full + ragged * _depth(loop.body, chain.inside(loop.axis, rest))


def _number(value: int | sympy.Expr, where: Problem) -> Number:
    return where.of(value) if isinstance(value, sympy.Basic) else value


def _merges(loop: Loop) -> bool:
    return all(node.kernel == "merge" for node in loop.body if isinstance(node, Compute))


def _log(k: Number) -> Number:
    return (k - 1).bit_length() if isinstance(k, int) else clog2(k)
