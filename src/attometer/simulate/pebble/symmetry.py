"""Symmetries of a computation graph: states that differ by one of them cost the same and are searched once."""

from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

import numpy as np

from attometer.simulate.cache.traces import Words
from attometer.simulate.pebble.dag import Dag

Permutation: TypeAlias = tuple[int, ...]

CHUNK = 6
"""Bits of a mask that one table look-up permutes."""


def automorphisms(dag: Dag, limit: int) -> list[Permutation]:
    """Return up to `limit` renumberings of the vertices that keep edges, inputs and outputs, the identity first.

    Any subset serves: a state is replaced by the least of its images, which is a state of the same cost.

    >>> from attometer.simulate.pebble.dag import matmul_dag
    >>> len(automorphisms(matmul_dag(2, 2, 1), 100)), automorphisms(matmul_dag(1, 1, 1), 9)
    (8, [(0, 1, 2), (1, 0, 2)])
    """
    identity = tuple(range(len(dag)))
    found = islice(_matches(dag, _connected_order(dag), _colours(dag), {}), limit)
    return [identity, *(images for images in found if images != identity)][:limit]


def _colours(dag: Dag) -> list[int]:
    """Return a colour for each vertex, by which most vertices that no symmetry exchanges differ: refined by neighbours."""
    colours = [2 * (vertex in dag.inputs) + (vertex in dag.outputs) for vertex in range(len(dag))]
    while True:
        views = [
            (
                colours[vertex],
                *(tuple(sorted(colours[other] for other in near)) for near in (operands, dag.children[vertex])),
            )
            for vertex, operands in enumerate(dag.parents)
        ]
        numbers = {view: number for number, view in enumerate(sorted(set(views)))}
        if len(numbers) == len(set(colours)):
            return colours
        colours = [numbers[view] for view in views]


def _connected_order(dag: Dag) -> list[int]:
    """Return the vertices so that each is next to as many earlier ones as can be: few choices are left for its image."""
    order: list[int] = []
    near = [0] * len(dag)
    left = set(range(len(dag)))
    while left:
        vertex = max(left, key=lambda one: (near[one], one))
        order.append(vertex)
        left.remove(vertex)
        for other in (*dag.parents[vertex], *dag.children[vertex]):
            near[other] += 1
    return order


def _matches(dag: Dag, order: list[int], colours: list[int], images: dict[int, int]) -> Iterator[Permutation]:
    """Yield the renumberings that extend `images`; a vertex may go wherever its neighbours' images have an edge for it."""
    if len(images) == len(order):
        yield tuple(images[vertex] for vertex in range(len(order)))
        return
    vertex = order[len(images)]
    fitting = {other for other, colour in enumerate(colours) if colour == colours[vertex]} - set(images.values())
    for parent in dag.parents[vertex]:
        if parent in images:
            fitting &= set(dag.children[images[parent]])
    for child in dag.children[vertex]:
        if child in images:
            fitting &= set(dag.parents[images[child]])
    for other in sorted(fitting):
        yield from _matches(dag, order, colours, {**images, vertex: other})


def image(mask: int, permutation: Permutation) -> int:
    """Return the mask of the images of the vertices in `mask`.

    >>> image(0b011, (2, 1, 0))
    6
    """
    return sum(1 << permutation[vertex] for vertex in range(mask.bit_length()) if mask >> vertex & 1)


def inverse(permutation: Permutation) -> Permutation:
    """Return the permutation that undoes another.

    >>> inverse((2, 0, 1))
    (1, 2, 0)
    """
    back = [0] * len(permutation)
    for vertex, other in enumerate(permutation):
        back[other] = vertex
    return tuple(back)


def image_tables(permutations: list[Permutation], size: int) -> Words:
    """Return, for each permutation and each chunk of a mask, the images of all 2^CHUNK patterns, one after another."""
    chunks = -(-size // CHUNK)
    # Positions beyond the last vertex never occur in a mask.
    weights = np.zeros((len(permutations), chunks * CHUNK), np.int64)
    weights[:, :size] = np.left_shift(1, np.array(permutations, np.int64))
    patterns = np.arange(1 << CHUNK)[:, None] >> np.arange(CHUNK) & 1
    images: Words = np.einsum("gcb,pb->gcp", weights.reshape(len(permutations), chunks, CHUNK), patterns)
    return images.ravel()
