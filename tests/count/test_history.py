"""Recurrences over all earlier places: triangular systems, the chunked delta rule, their law, gradients and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count import count
from attometer.count.derive import derive
from attometer.count.paths.path_length import path_length
from attometer.errors import AttometerError
from attometer.program import Program, gradient, parse
from attometer.simulate.graph.dag import graph
from attometer.simulate.interpreter import interpret

SYSTEM = "axis t: n, s: n\ninput A[t,s], B[t,d]\nX[t,d] = B[t,d] - A[t,s] * X[s,d]   where strict(t, s)"
TEXTS = {
    "system": SYSTEM,
    "upper": SYSTEM.replace("A[t,s]", "A[s,t]").replace("strict(t, s)", "strict(s, t)"),
    "in a window": SYSTEM + " & window(t, s, 3)",
    "and the step before": SYSTEM.replace("   where", " + X[t-1,d]   where"),
    "not linear": SYSTEM.replace("B[t,d] - A[t,s] * X[s,d]", "tanh(B[t,d] - A[t,s] * X[s,d])"),
    "of two statements": "axis t: n, s: n, f: d\ninput A[t,s], B[t,d], W[d,f]\n"
    "X[t,d] = B[t,d] - A[t,s] * Z[s,d]   where strict(t, s)\nZ[t,f] = tanh(X[t,d] * W[d,f])",
    "scores of its own results": "axis t: n, s: n, f: d\ninput B[t,d]\n"
    "X[t,d] = B[t,d] + exp(B[t,f] * X[s,f]) * X[s,d]   where strict(t, s)",
    "softmax": "axis t: n, s: n\ninput A[t,s], B[t,d]\nX[t,d] = B[t,d] + softmax[s](A[t,s]) * X[s,d]   where strict(t, s)",
    "the largest": "axis t: n, s: n\ninput B[t]\nX[t] = B[t] + max[s](X[s])   where strict(t, s)",
    "two summed": "axis t: n, s: n, y: 3\ninput A[t,s,y], B[t]\nX[t,y] = B[t] + A[t,s,y] * X[s,y]   where strict(t, s)\n"
    "Y[t] = A[t,s,y] * X[s,y]   where causal(t, s)",
}


def arrays(program: Program, sizes: dict[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    rng, numbers = np.random.default_rng(seed), {s: sizes[str(s)] for s in program.symbols}
    return {t.name: rng.normal(size=[int(e.xreplace(numbers)) for e in t.extents]) / 2 for t in program.inputs}


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=12, deadline=None)
@given(n=st.integers(1, 11), d=st.integers(1, 3))
def test_work_and_depth_are_those_of_the_graph(name: str, n: int, d: int) -> None:
    program = parse(TEXTS[name])
    assert parse(str(program)) == program
    sizes = {str(s): {"n": n, "d": d}[str(s)] for s in program.symbols}
    counted, built = count(program).at(**sizes), graph(program, sizes)
    assert counted.work == built.work
    # Rows that are ready one after the other count as ready with the last of them.
    late = n if name in ("two summed", "scores of its own results", "softmax") else 0
    assert 0 <= counted.depth - built.span <= late


@pytest.mark.parametrize(("name", "lower"), [("system", True), ("upper", False)])
def test_a_triangular_system_is_solved(name: str, lower: bool) -> None:
    program, sizes = parse(TEXTS[name]), {"n": 7, "d": 2}
    given_ = arrays(program, sizes)
    matrix = np.eye(7) + (np.tril(given_["A"], -1) if lower else np.tril(given_["A"], -1).T)
    np.testing.assert_allclose(interpret(program, given_, sizes)["X"], np.linalg.solve(matrix, given_["B"]), rtol=1e-9)
    # A row of t terms is t products and t - 1 sums, and one difference; the first row is a copy with nothing taken off.
    assert count(program).at(n=7, d=2).work == 2 * (21 + 15 + 7)


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "the largest"])
def test_gradients_are_central_differences(name: str) -> None:
    program, sizes = parse(TEXTS[name]), {"n": 5, "d": 2}
    sizes = {str(s): sizes[str(s)] for s in program.symbols}
    made = gradient(program)
    assert parse(str(made)) == made
    given_ = arrays(program, sizes)
    base = interpret(program, given_, sizes)
    at = {t.name: np.random.default_rng(1).normal(size=base[t.name].shape) for t in program.outputs}
    read = given_ | {f"d{name}": value for name, value in at.items()}
    found = interpret(made, {t.name: read[t.name] for t in made.inputs}, sizes)
    for leaf in made.outputs:
        own, step = leaf.name[1:], 1e-5
        for place in np.ndindex(*given_[own].shape):
            ends = []
            for sign in (1, -1):
                moved = {k: v.copy() for k, v in given_.items()}
                moved[own][place] += sign * step
                ends.append(sum((interpret(program, moved, sizes)[k] * v).sum() for k, v in at.items()))
            assert abs((ends[0] - ends[1]) / (2 * step) - found[leaf.name][place]) < 1e-8
    own_sizes = {str(s): sizes[str(s)] for s in made.symbols}
    assert count(made).at(**own_sizes).work == graph(made, own_sizes).work


def test_every_place_is_one_hop_from_every_earlier_one() -> None:
    found = path_length(parse(SYSTEM), 8)
    assert (found.longest, found.mean) == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SYSTEM.replace("strict", "causal"), "or all earlier places [s] where strict(t, s)"),
        (SYSTEM.partition("   where")[0], "or all earlier places [s] where strict(t, s)"),
        (
            SYSTEM
            + "\nY[t,d] = Z[s,d] * A[t,s]   where strict(t, s)\nZ[t,d] = Y[t,d] + A[t,s] * Y[s,d]   where strict(s, t)",
            "must look back along one index",
        ),
    ],
)
def test_a_place_that_is_not_known_to_be_earlier_is_refused(text: str, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        parse(text)
    assert words in str(error.value)


def test_what_does_not_take_it_says_so() -> None:
    with pytest.raises(AttometerError, match=r"^no nest of this program fits into M = 4096 words"):
        derive(parse(SYSTEM), M=4096)  # all earlier places stay at hand
    with pytest.raises(
        AttometerError, match="the gradient of a max over all earlier places of a recurrence is not formed"
    ):
        gradient(parse(TEXTS["the largest"]))
    with pytest.raises(AttometerError, match="are counted only without one"):
        count(parse(SYSTEM), model="EREW").depth  # noqa: B018
