"""How many times the entries along an axis must be gone through, derived from the cascade of operations.

A value that depends on a whole reduction over the axis cannot be used along it before the reduction has seen every
entry: its use starts another pass. Source: Nayak et al., FuseMax (MICRO 2024), section 3.
"""

from attometer.errors import unknown
from attometer.program.indices import indices_of
from attometer.program.operations import steps_of
from attometer.program.program import Program
from attometer.program.recurrences import refs_of


def passes(program: Program, axis: str) -> int:
    """Return the number of passes over `axis`: 3 for softmax attention over its keys (maximum, sum, quotient).

    Raises AttometerError when no operation runs over `axis`.

    >>> from attometer.program import parse
    >>> passes(parse("P[i,j] = softmax[j](S[i,j])" + chr(10) + "O[i,e] = P[i,j] * V[j,e]"), "j")
    3
    """
    steps = steps_of(program.operations)
    axes = {index for step in steps for index, _ in step.extents}
    if axis not in axes:
        raise unknown("axis", axis, axes)
    within: dict[str, int] = {}  # the pass in which a tensor is gone through along the axis
    after: dict[str, int] = {}  # the pass at whose end a tensor without the axis is known
    for step in steps:
        arrivals = [0]
        for ref in refs_of(step):
            ended = after.get(ref.tensor, 0)
            along = axis in indices_of(ref) or axis in step.output.indices
            arrivals.append(max(within.get(ref.tensor, 0), ended + 1) if along else ended)
        known = within if axis in step.output.indices else after
        known[step.output.name] = max(arrivals)
    return max(*within.values(), *after.values(), 1)
