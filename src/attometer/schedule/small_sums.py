"""Sums that would make a nest hold scores whole, as sums that do not: over one long axis at a time, under their own axes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import sympy

from attometer.program.expression import Name, Ref, Where, factors_of
from attometer.schedule.cascade import Cascade, Step, Value

ONE = "one"
"""An axis of one place, along which a nest of a single number runs."""


def with_an_axis(cascade: Cascade) -> Cascade:
    """Return the cascade with every single number that it computes over an axis of one place."""
    alone = {s.name for s in cascade.steps if not s.axes}
    if not alone:
        return cascade
    steps = tuple(replace(s, axes=(ONE,)) if s.name in alone else s for s in cascade.steps)
    values = tuple(replace(v, axes=(ONE,)) if v.name in alone else v for v in cascade.values)
    return replace(cascade, axes=(*cascade.axes, (ONE, sympy.Integer(1))), steps=steps, values=values)


def with_small_sums(cascade: Cascade, extent: Mapping[str, int], long: int) -> Cascade:
    """Return the cascade with every sum over several axes longer than `long` taken one after another.

    A sum of a value under other axis names, `dS[j,i]` for `dS[i,j]`, becomes the sum of the value itself, read under those.
    """
    values = {v.name: v for v in cascade.values}
    made = {s.name: s for s in cascade.steps}
    steps = []
    for step in cascade.steps:
        own = _products(_own_axes(step, values, cascade), made, cascade)
        steps += list(_apart(own, values, cascade, extent, long))
    read = {r for s in steps for r in s.reads}
    kept = tuple(v for v in values.values() if v.name == v.of or v.name in read)
    return replace(cascade, steps=tuple(steps), values=kept)


def _own_axes(step: Step, values: dict[str, Value], cascade: Cascade) -> Step:
    """Return a reduction that reads nothing but one value under other axis names as a reduction of the value itself."""
    one = step.expression
    held = values[one.tensor] if isinstance(one, Ref) else None
    result, read = step.name in cascade.outputs, any(step.name in s.reads for s in cascade.steps)
    if step.kind == "set" or held is None or held.of == held.name or (result and read):
        return step
    own = values[held.of]
    to = dict(zip(held.axes, own.axes, strict=True)) if len(held.axes) == len(own.axes) else {}
    if set(to) != {*step.axes, *step.summed}:
        return step
    where = step.where
    moved = Where(where.mask, to[where.query], to[where.key]) if where else None
    name = step.name if result else f"{step.name}'s"
    axes = tuple(to[a] for a in step.axes)
    values[name] = Value(name, axes, name)
    if not result:
        values[step.name] = replace(values[step.name], of=name)
    return Step(
        name, axes, step.kind, Ref(own.name, tuple(map(Name, own.axes))), tuple(to[a] for a in step.summed), moved
    )


def _products(step: Step, made: Mapping[str, Step], cascade: Cascade) -> Step:
    """Return a sum of entries that are products as the sum of the products, whose entries then need not be held."""
    one = step.expression
    entry = made.get(one.tensor) if isinstance(one, Ref) and step.kind == "sum" else None
    if entry is None or entry.kind != "set" or entry.name in cascade.outputs or len(factors_of(entry.expression)) < 2:
        return step
    if not all(isinstance(f, Ref) for _, f in factors_of(entry.expression)):
        return step
    return replace(step, expression=entry.expression, where=step.where or entry.where)


def _apart(
    step: Step, values: dict[str, Value], cascade: Cascade, extent: Mapping[str, int], long: int
) -> Iterator[Step]:
    """Yield a sum over several long axes as one over the last of them, and one over the rest."""
    over = [a for a in step.summed if extent[a] > long]
    if step.kind != "sum" or len(over) < 2:
        yield step
        return
    rest = set(step.summed) - {over[-1]}
    axes = tuple(a for a, _ in cascade.axes if a in step.axes or a in rest)
    name = f"{step.name}'{over[-1]}"
    values[name] = Value(name, axes, name)
    yield Step(name, axes, "sum", step.expression, (over[-1],), step.where)
    yield Step(
        step.name, step.axes, "sum", Ref(name, tuple(map(Name, axes))), tuple(a for a in step.summed if a in rest), None
    )
