"""Symmetries of a computation graph: states that differ by one of them cost the same and are searched once."""

from itertools import islice
from typing import Any, TypeAlias

from attometer.simulate.pebble_dag import Dag

Permutation: TypeAlias = tuple[int, ...]

CHUNK = 6
"""Bits of a mask that one table look-up permutes."""


def automorphisms(dag: Dag, limit: int) -> list[Permutation]:
    """Return up to `limit` renumberings of the vertices that keep edges, inputs and outputs, the identity first.

    Any subset serves: a state is replaced by the least of its images, which is a state of the same cost. Without NetworkX
    there is the identity alone.

    >>> from attometer.simulate.pebble_dag import matmul_dag
    >>> len(automorphisms(matmul_dag(2, 2, 1), 100)), automorphisms(matmul_dag(1, 1, 1), 9)
    (8, [(0, 1, 2), (1, 0, 2)])
    """
    identity = tuple(range(len(dag)))
    try:
        from networkx.algorithms.isomorphism import DiGraphMatcher
    except ImportError:
        return [identity]
    graph = _coloured(dag)
    matcher = DiGraphMatcher(graph, graph, node_match=lambda one, other: one["colour"] == other["colour"])
    found = (tuple(match[vertex] for vertex in identity) for match in islice(matcher.isomorphisms_iter(), limit))
    return [identity, *(images for images in found if images != identity)]


def _coloured(dag: Dag) -> Any:
    """Return the graph with colours by which most vertices that no symmetry exchanges differ: refined by neighbours."""
    from networkx import DiGraph

    colours = [hash((vertex in dag.inputs, vertex in dag.outputs)) for vertex in range(len(dag))]
    for _ in range(len(dag)):
        refined = [
            hash(
                (
                    colours[vertex],
                    tuple(sorted(colours[parent] for parent in dag.parents[vertex])),
                    tuple(sorted(colours[child] for child in dag.children[vertex])),
                )
            )
            for vertex in range(len(dag))
        ]
        if len(set(refined)) == len(set(colours)):
            break
        colours = refined
    graph = DiGraph()
    for vertex, operands in enumerate(dag.parents):
        graph.add_node(vertex, colour=colours[vertex])
        graph.add_edges_from((parent, vertex) for parent in operands)
    return graph


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


def image_tables(permutations: list[Permutation], size: int) -> list[int]:
    """Return, for each permutation and each chunk of a mask, the images of all 2^CHUNK patterns, one after another."""
    chunks = -(-size // CHUNK)
    padded = tuple(range(size, chunks * CHUNK))
    return [
        image(pattern << chunk * CHUNK, permutation + padded)
        for permutation in permutations
        for chunk in range(chunks)
        for pattern in range(1 << CHUNK)
    ]
