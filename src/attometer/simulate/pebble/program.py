"""The pebble game's graph of any Program at small sizes: one vertex for each scalar operation."""

from collections.abc import Mapping
from itertools import product

from attometer.errors import AttometerError
from attometer.program.operations import Tensor
from attometer.program.program import Program
from attometer.simulate.graph.dag import graph
from attometer.simulate.pebble.dag import Dag
from attometer.sizes import size


def program_dag(program: Program, sizes: Mapping[str, int]) -> Dag:
    """Return the computation graph of `program` at `sizes` as a Dag: products, balanced summation trees, and every map.

    Args:
        program: what is computed.
        sizes: an integer for every size symbol.

    Returns:
        A Dag whose inputs are the entries of the input tensors and whose outputs those of the output tensors.

    Raises:
        AttometerError: a size is missing, or an output entry is computed from nothing.

    >>> from attometer.program import parse
    >>> dag = program_dag(parse("Y[i] = A[i,j] * X[j]"), {"i": 1, "j": 2})
    >>> len(dag), dag.compulsory, dag.labels
    (7, 5, ('A[0,0]', 'A[0,1]', 'X[0]', 'X[1]', 'v4', 'v5', 'Y[0]'))
    """
    whole, bare = graph(program, sizes, memory=True), graph(program, sizes)
    entries = [label for tensor in program.inputs for label in _labels(tensor, sizes)]
    end = len(entries) + len(bare.parents)
    outputs = [parents[0] if parents else -1 for parents in whole.parents[end:]]
    if -1 in outputs:
        raise AttometerError("an output of the program is computed from no input; it has no place in the pebble game")
    labels = [*entries, *(f"v{vertex}" for vertex in range(len(entries), end))]
    names = [label for tensor in program.outputs for label in _labels(tensor, sizes)]
    # Masked outputs have fewer vertices than entries; they keep their numbers.
    for vertex, name in zip(outputs, names if len(names) == len(outputs) else (), strict=False):
        labels[vertex] = name
    parents = tuple(tuple(dict.fromkeys(operands)) for operands in whole.parents[:end])
    return Dag(parents, tuple(range(len(entries))), tuple(dict.fromkeys(outputs)), tuple(labels))


def _labels(tensor: Tensor, sizes: Mapping[str, int]) -> list[str]:
    values = {size(name): value for name, value in sizes.items()}
    ranges = (range(int(extent.xreplace(values))) for extent in tensor.extents)
    return [f"{tensor.name}[{','.join(map(str, place))}]" for place in product(*ranges)]
