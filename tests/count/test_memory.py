"""Entries held, against tensors allocated and freed one by one."""

import numpy as np
import pytest
import sympy
from law_programs import PROGRAMS, mechanism_sizes, small_sizes

from attometer.count import count
from attometer.count.memory.footprint import memory
from attometer.masks.counts import substitute
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import Program, parse, size
from attometer.program.operations import Recurrence, Tensor
from attometer.program.recurrences import refs_of


def entries(tensor: Tensor, sizes: dict[str, int], dense: bool) -> int:
    """Count the places of a tensor one by one: all, or those that its mask allows."""
    numbers = {size(k): sympy.Integer(v) for k, v in sizes.items()}
    shape = [int(e.xreplace(numbers)) for e in tensor.extents]
    held = np.ones(shape, dtype=bool)
    if tensor.where is not None and not dense:
        at = [tensor.indices.index(tensor.where.query), tensor.indices.index(tensor.where.key)]
        seen = substitute(tensor.where.mask, numbers).matrix(shape[at[0]], shape[at[1]])
        for place in np.argwhere(held):
            held[tuple(place)] = seen[place[at[0]], place[at[1]]]
    return int(held.sum())


def most_alive(program: Program, sizes: dict[str, int], dense: bool = False) -> int:
    """Allocate and free tensor by tensor, and return the most entries that were there at once."""
    readers: dict[str, int] = {}
    for operation in program.operations:
        for name in {ref.tensor for ref in refs_of(operation)}:
            readers[name] = readers.get(name, 0) + 1
    kept = {t.name for t in (*program.inputs, *program.outputs)}
    heap = {t.name: entries(t, sizes, dense) for t in program.inputs}
    most = 0
    for operation in program.operations:
        for step in operation.steps if isinstance(operation, Recurrence) else (operation,):
            heap[step.output.name] = entries(step.output, sizes, dense)
        most = max(most, sum(heap.values()))
        for name in {ref.tensor for ref in refs_of(operation)}:
            readers[name] -= 1
        for name in [n for n in heap if readers.get(n, 0) == 0 and n not in kept]:
            del heap[name]
    return most


@pytest.mark.parametrize("name", PROGRAMS)
def test_peak_is_what_was_alive(name: str) -> None:
    program = PROGRAMS[name]
    pairs, dense = count(program), count(program, storage="dense")
    for sizes in small_sizes(program, limit=8):
        assert pairs.at(**sizes).peak == most_alive(program, sizes), sizes
        assert dense.at(**sizes).peak == most_alive(program, sizes, dense=True), sizes


@pytest.mark.parametrize("name", MECHANISMS)
def test_peak_of_the_catalogue(name: str) -> None:
    made = mechanism(name)
    counted = count(made)
    for sizes in mechanism_sizes(made, limit=2):
        assert counted.at(**sizes).peak == most_alive(made.program, sizes), sizes


def test_parts_of_the_memory_of_attention() -> None:
    n, d, e = map(size, "nde")
    program = parse(
        "axis i: n, j: n\nweight Wo[e,f]\ninput Q[i,d]\ncache K[j,d], V[j,e]\nS[i,j] = Q[i,d] * K[j,d] / sqrt(d)   where causal(i, j)\n"
        "P[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]\nY[i,f] = O[i,e] * Wo[e,f]"
    )
    pairs, dense = memory(program), memory(program, storage="dense")
    assert sympy.expand(pairs.matrices - n * (n + 1) / 2) == 0
    assert dense.matrices == n**2
    assert (pairs.weights, pairs.cache, pairs.inputs) == (e * size("f"), n * d + n * e, n * d)
    assert pairs.outputs == n * size("f")
    assert pairs.checkpointed == pairs.inputs + pairs.cache
    assert sympy.expand(dense.saved - (2 * n * d + 2 * n * e + n**2)) == 0  # Q, K, V, P and O; weights are kept anyway
