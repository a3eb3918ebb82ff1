"""What a recurrence that mixes its state reads again: weights that do not fit are read for every other step.

Let E(t) be the products of the weights with the state before step t, and τ(t) the time at which the first of them is
computed. One of E(t + 2) needs an entry of the state after t + 1, which needs the whole state after t, which needs all of
E(t). So all of E(t) is first computed between τ(t) and τ(t + 2), in any order of summation and whatever is computed again,
and at τ(t) at most M of the weights are at hand. The times of every other step do not overlap.
"""

import math
from collections.abc import Iterator, Mapping

from attometer.program.expression import Binary, Ref
from attometer.schedule.cascade import Cascade, Step

Weights = dict[str, frozenset[str]]


def read_again(found: Cascade, live: Mapping[str, Step], extents: Mapping[str, int], M: int) -> tuple[int, int]:
    """Return the words of weights that recurrences read at least, and how many of these any algorithm reads once.

    >>> from attometer.program import parse
    >>> from attometer.schedule.reading import cascade
    >>> steps = cascade(parse("axis x: d, y: d\\nH[t,x] = tanh(H[t-1,y] * W[x,y] + X[t,x])\\ninput X[t,x], W[x,y]"))
    >>> read_again(steps, {s.name: s for s in steps.steps}, {"t": 101, "x": 40, "y": 40}, 600)
    (50000, 1600)
    """
    best = (0, 0)
    for name in sorted(found.carried & live.keys()):
        state = live[name]
        if state.along is None or not _ends(found, live, state):
            continue
        weights: dict[frozenset[str], Weights] = {}
        for product in _below(live, state):
            for chains, of, axes in _mixed(found, product, state):
                weights.setdefault(chains, {})[of] = axes
        for chains, each in weights.items():
            words = sum(math.prod(extents[a] for a in axes - chains) for axes in each.values())
            apart = math.prod(extents[a] for a in chains)
            again = apart * ((extents[state.along] - 1) // 2) * max(0, words - M)
            best = max(best, (again, apart * words))
    return best


def _below(live: Mapping[str, Step], state: Step) -> Iterator[Step]:
    """Yield the sums on which an entry of the state depends, element by element."""
    todo, seen = [state.name], set[str]()
    while todo:
        step = live.get(todo.pop())
        if step is None or step.name in seen or step.axes != state.axes or step.where is not None:
            continue
        seen.add(step.name)
        if step.kind == "set":
            todo += step.reads
        elif step.kind == "sum":
            yield step


def _mixed(found: Cascade, product: Step, state: Step) -> Iterator[tuple[frozenset[str], str, frozenset[str]]]:
    """Yield the weights of a product with all of the state before: the axes that keep states apart, their name and axes."""
    match product.expression:
        case Binary(op="*", left=Ref(tensor=one), right=Ref(tensor=other)):
            for weight, read in ((one, other), (other, one)):
                value, seen = found.value(weight), found.value(read)
                if value.of not in found.inputs or value.at or state.along in value.axes:
                    continue
                kept = {a for a, b in zip(state.axes, seen.axes, strict=False) if a == b} - {state.along}
                whole = {*seen.axes} - kept - {state.along} == {*product.summed}
                if whole and len(seen.axes) == len(state.axes) and _before(found, read, state):
                    yield frozenset({*value.axes} & kept), value.of, frozenset(value.axes)


def _before(found: Cascade, name: str, state: Step) -> bool:
    """Whether each entry of a value depends on the entry of the state at its place, a step before."""
    step = found.step(name)
    if step is None or step.where is not None:
        return False
    if step.kind == "before":
        return step.reads[0] == state.name
    same = [r for r in step.reads if found.value(r).axes == step.axes]
    return step.kind == "set" and any(_before(found, r, state) for r in same)


def _ends(found: Cascade, live: Mapping[str, Step], state: Step) -> bool:
    """Whether some result has an entry for each step, which depends on the state after it."""
    todo, seen = [name for name in found.outputs if name in live], set[str]()
    while todo:
        step = live.get(todo.pop())
        if step is None or step.name in seen or state.along not in step.axes or step.kind == "before":
            continue
        seen.add(step.name)
        todo += [r for r in step.reads if not found.value(r).at]
    return state.name in seen
