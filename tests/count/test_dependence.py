"""The dependence graph says what the executed program does: change one position, and see which results change."""

from typing import Any

import numpy as np
import pytest
import sympy

from attometer.count.paths.dependence import NEVER, POSITIONS, dependence
from attometer.mechanisms import MECHANISMS, Mechanism, mechanism
from attometer.program import size
from attometer.simulate.interpreter import interpret

N = 12
SIZES = {
    "b": 1, "h": 2, "n": N, "m": N, "d": 4, "w": 4, "g": 2, "l": 3, "c": 2, "r": 2, "k": 3, "f": 5, "B": 4,
    "p": 2, "x": 2, "y": 3, "s": 3, "D": 6, "F": 5, "E": 3, "t": 1, "u": 3, "V": 4,
}  # fmt: skip
DATA_CHOOSES = {"topk", "hyperattention"}
BETWEEN_POSITIONS = [
    name
    for name in MECHANISMS
    if any(size("n") in t.extents for t in mechanism(name).program.inputs if t.role != "weight")
    and any(size("n") in t.extents for t in mechanism(name).program.outputs)
]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in BETWEEN_POSITIONS if name not in ("bigbird", "tensor_product", "matmul")),
    ("bigbird", {"r": 2}),
    ("softmax", {"causal": True}),
    ("rope", {"causal": True}),
    ("mla", {"causal": True}),
    ("linear_causal", {"associative": True}),
    ("ssm", {"associative": True}),
]


def graph(made: Mechanism) -> Any:
    numbers = {s: sympy.Integer(SIZES[str(s)]) for s in made.program.symbols} | {size("n"): sympy.Integer(N)}
    return dependence(made.program, numbers) < NEVER


def executed(made: Mechanism) -> Any:
    """Return which output positions change, to the bit, when the inputs of one position change: [output, input]."""
    sizes = made.sizes(**{k: v for k, v in SIZES.items() if size(k) in made.program.symbols})
    arrays = made.draw(sizes, np.random.default_rng(0))
    output = next(t for t in made.program.outputs if any(e in POSITIONS for e in t.extents))
    axis = next(k for k, e in enumerate(output.extents) if e in POSITIONS)
    before = interpret(made.program, arrays, sizes)[output.name]
    changes = np.zeros((N, N), dtype=bool)
    for position in range(N):
        moved = dict(arrays)
        for tensor in made.program.inputs:
            at = [k for k, e in enumerate(tensor.extents) if e in POSITIONS][:1]
            if at and tensor.role != "weight":
                moved[tensor.name] = arrays[tensor.name].copy()
                place = (slice(None),) * at[0] + (position,)
                # Positions in a table become their neighbours, numbers a quarter more.
                whole = moved[tensor.name].dtype.kind == "i"
                moved[tensor.name][place] = (
                    1 - moved[tensor.name][place] % 2 if whole else 1.25 * moved[tensor.name][place]
                )
        after = interpret(made.program, moved, sizes)[output.name]
        other = tuple(k for k in range(after.ndim) if k != axis)
        changes[:, position] = np.any(after != before, axis=other)
    return changes


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_graph_is_what_execution_shows(name: str, parameters: dict[str, Any]) -> None:
    made = mechanism(name, **parameters)
    shown, said = executed(made), graph(made)
    assert not (shown & ~said).any()
    if name not in DATA_CHOOSES:
        assert np.array_equal(shown, said)


def test_graph_of_a_scrambled_layer_is_found_by_execution_to_be_wrong() -> None:
    """The comparison above can fail: a causal graph is not what full attention shows."""
    assert not np.array_equal(executed(mechanism("softmax")), graph(mechanism("softmax", causal=True)))
