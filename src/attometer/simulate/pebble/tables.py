"""Graphs and tables as the compiled search reads them: masks by vertex, and arrays that double when they are full."""

from typing import Any

import numpy as np

from attometer.simulate.compiled import COMPILED
from attometer.simulate.pebble.dag import Dag
from attometer.simulate.pebble.search import CEILING, Tables, rehash
from attometer.simulate.pebble.states import Problem
from attometer.simulate.pebble.symmetry import Permutation, image_tables


def _array(values: list[int], dtype: Any = np.int64) -> Any:
    """Return what the kernels index: an array when they are compiled, a list when they run as plain Python."""
    return np.array(values, dtype) if COMPILED else list(values)


def _mask(vertices: tuple[int, ...]) -> int:
    return sum(1 << vertex for vertex in vertices)


def problem_of(dag: Dag, M: int, rule: str, recompute: bool, symmetries: list[Permutation]) -> Problem:
    """Return the instance in the form of the search."""
    parents = [_mask(operands) for operands in dag.parents]
    above: list[int] = []
    for vertex, operands in enumerate(dag.parents):
        above.append(1 << vertex)
        for parent in operands:
            above[vertex] |= above[parent]
    funnel = [0] * len(dag)
    for origin in range(len(dag)):
        vertex = origin
        while len(dag.children[vertex]) == 1 and vertex not in dag.outputs:
            vertex = dag.children[vertex][0]
            funnel[vertex] |= 1 << origin
    return Problem(
        _array(parents),
        _array([_mask(uses) for uses in dag.children]),
        _array(above),
        _array(funnel),
        _array(image_tables(symmetries, len(dag)).tolist()),
        len(symmetries),
        len(dag),
        _mask(dag.inputs),
        _mask(dag.outputs) & ~_mask(dag.inputs),  # an output that is an input is in slow memory already
        _mask(tuple(v for v, operands in enumerate(dag.parents) if not operands and v not in dag.inputs)),
        M,
        rule == "slide",
        recompute,
    )


def empty_tables(capacity: int, ceiling: int) -> Tables:
    """Return tables for `capacity` records and total costs up to `ceiling`."""
    counters = [0] * 5
    counters[CEILING] = ceiling
    kinds = (np.int64, np.int64, np.int32, np.int32, np.int8, np.int64, np.int64, np.int32, np.int8)
    columns = [_array([0] * capacity, kind) for kind in kinds]
    slots, heads = _array([0] * (4 * capacity), np.int32), _array([0] * (ceiling + 1), np.int32)
    return Tables._make([*columns, slots, heads, _array(counters)])


def grown(tables: Tables) -> Tables:
    """Return the tables at twice the capacity, the hash rebuilt."""
    if isinstance(tables.slots, list):
        doubled = [column + [0] * len(column) for column in tables[:10]]
    else:
        doubled = [np.concatenate([column, np.zeros_like(column)]) for column in tables[:10]]
    bigger = Tables._make([*doubled, tables.heads, tables.counters])
    rehash(bigger)
    return bigger
