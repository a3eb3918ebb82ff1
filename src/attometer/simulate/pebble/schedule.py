"""A schedule of attention as an order of computations on `attention_dag`, so that its moves can be refereed."""

from collections.abc import Iterator, Mapping
from itertools import product

from attometer.errors import AttometerError
from attometer.schedule.nest import Compute, Schedule
from attometer.simulate.pebble.attention import AttentionRow
from attometer.simulate.pebble.dag import Dag, attention_dag
from attometer.simulate.scratchpad.nest_walk import Place, Walk, walk

# Steps that make another graph: weights divided before the second product, partial results merged.
_OTHER_GRAPHS = {"normalise", "online_normalised", "merge"}


def schedule_order(schedule: Schedule, sizes: Mapping[str, int]) -> tuple[Dag, tuple[int, ...]]:
    """Return the graph of attention at `sizes` and the order in which `schedule` computes it.

    Args:
        schedule: a forward schedule that keeps one accumulator per output and divides at the end: `flash2`,
            `flash2_sliced`, `two_pass`, `two_pass_outer`.
        sizes: n, m, d, e and the tiles, by name.

    Returns:
        A Dag and an order for `compile_moves`; scores that the schedule computes again come again. The maximum, which the
        graph leaves out, is left out.

    Raises:
        AttometerError: the schedule divides, merges or normalises before the end, or runs backward.

    >>> from attometer.schedule.flash import flash2
    >>> from attometer.simulate.pebble.compile import compile_moves
    >>> from attometer.simulate.pebble.referee import referee
    >>> dag, order = schedule_order(flash2(), {"n": 4, "m": 4, "d": 2, "e": 2, "B_r": 2, "B_c": 1, "B_d": 2, "B_e": 2})
    >>> print(referee(dag, compile_moves(dag, 15, order), M=15))
    48 words (40 loads, 8 stores), 84 computes (0 repeated), peak 15
    """
    nest = walk(schedule, sizes)
    steps = [(step, place) for step, place in nest.steps() if isinstance(step, Compute)]
    if schedule.backward or any(step.kernel in _OTHER_GRAPHS for step, _ in steps):
        raise AttometerError(
            f"schedule {schedule.name} does not compute attention with one accumulator per output and one division at the "
            "end; choose flash2, flash2_sliced, two_pass or two_pass_outer"
        )
    n, m, d, e = (nest.extents[axis] for axis in "ijcx")
    rows = [AttentionRow(n, m, d, e, i) for i in range(n)]
    return attention_dag(n, m, d, e), tuple(
        vertex for step, place in steps for vertex in _vertices(nest, step, place, rows)
    )


def _vertices(nest: Walk, step: Compute, place: Place, rows: list[AttentionRow]) -> Iterator[int]:
    """Yield the vertices that one step computes; a row sum follows the exponential that it adds."""
    spans = {axis: range(*place.spans[axis]) for axis in "ijcx"}
    out = step.out[0].axes
    if step.kernel == "contract" and out == ("i", "j"):
        for j, i, c in product(spans["j"], spans["i"], spans["c"]):
            yield rows[i].product(j, c)
            if c == nest.extents["c"] - 1 and j:
                yield rows[i].total(j)
    elif step.kernel == "contract" and out == ("i", "x"):
        for j, i, x in product(spans["j"], spans["i"], spans["x"]):
            yield rows[i].accumulator(j, x)
    elif step.kernel == "divide":
        yield from (rows[i].accumulator(nest.extents["j"], x) for i, x in product(spans["i"], spans["x"]))
