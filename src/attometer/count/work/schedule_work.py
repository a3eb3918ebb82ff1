"""Work and depth of a schedule, recomputation included, derived by walking its loop nest; exact on ragged sizes."""

from collections.abc import Iterable, Mapping

import sympy

from attometer.count.traffic.walk import Number, Place, Problem, least, problem, total, walk
from attometer.masks.catalogue import Mask
from attometer.schedule.nest import Compute, Loop, Node, Schedule
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
        each * place.times(axes)
        for node, place in walk(schedule.phases, where)
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
