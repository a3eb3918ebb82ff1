"""Functions along several indices: reductions one after the other, composites over all at once."""

import numpy as np
import pytest

from attometer.count import count
from attometer.errors import AttometerError
from attometer.program import Program, gradient, parse
from attometer.simulate.graph.dag import graph
from attometer.simulate.interpreter import interpret

X = np.random.default_rng(0).standard_normal((2, 3, 4))
RIGHT = {
    "sum": X.sum((1, 2)), "max": X.max((1, 2)), "min": X.min((1, 2)), "prod": X.prod((1, 2)), "mean": X.mean((1, 2)),
    "logsumexp": np.log(np.exp(X).sum((1, 2))),
}  # fmt: skip
CENTRED = X - X.mean((1, 2), keepdims=True)
STAYING = {
    "softmax": np.exp(X) / np.exp(X).sum((1, 2), keepdims=True),
    "rmsnorm": X / np.sqrt((X**2).mean((1, 2), keepdims=True) + 1e-6),
    "layernorm": CENTRED / np.sqrt((CENTRED**2).mean((1, 2), keepdims=True) + 1e-6),
}
SIZES = {"i": 2, "j": 3, "k": 4}


@pytest.mark.parametrize("function", RIGHT)
def test_along_two_indices(function: str) -> None:
    program = parse(f"input X[i,j,k]\nY[i] = {function}[j,k](X)")
    assert parse(str(program)) == program
    np.testing.assert_allclose(interpret(program, {"X": X}, {"i": 2, "j": 3, "k": 4})["Y"], RIGHT[function], rtol=1e-12)


@pytest.mark.parametrize("function", [*STAYING, "logsumexp"])
def test_a_composite_over_two_indices_is_joint_and_keeps_the_law(function: str) -> None:
    left = "Y[i]" if function == "logsumexp" else "Y[i,j,k]"
    program = parse(f"input X[i,j,k]\n{left} = {function}[j, k](X)")
    assert parse(str(program)) == program
    right = (RIGHT | STAYING)[function]
    np.testing.assert_allclose(interpret(program, {"X": X}, SIZES)["Y"], right, rtol=1e-12)
    counted, unrolled = count(program).at(**SIZES), graph(program, SIZES)
    assert (counted.work, counted.depth) == (unrolled.work, max(unrolled.depth))


def numerical(program: Program, arriving: np.ndarray) -> np.ndarray:
    """Return central differences of the sum of the result times what arrives at it."""
    found, step = np.zeros_like(X), 1e-5
    for place in np.ndindex(*X.shape):
        ends = []
        for sign in (1, -1):
            moved = X.copy()
            moved[place] += sign * step
            ends.append((interpret(program, {"X": moved}, SIZES)["Y"] * arriving).sum())
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


@pytest.mark.parametrize("function", [*STAYING, "logsumexp"])
def test_the_gradient_of_a_joint_composite(function: str) -> None:
    left = "Y[i]" if function == "logsumexp" else "Y[i,j,k]"
    program = parse(f"input X[i,j,k]\n{left} = {function}[j, k](X)")
    arriving = np.random.default_rng(1).standard_normal((2,) if function == "logsumexp" else X.shape)
    grads = interpret(gradient(program), {"X": X, "dY": arriving}, SIZES)["dX"]
    np.testing.assert_allclose(grads, numerical(program, arriving), atol=1e-8)


def test_a_joint_softmax_under_a_mask_is_over_its_pairs() -> None:
    program = parse("axis i: n, j: n\ninput X[i,j]\nS[i,j] = X * 2   where causal(i, j)\nY[i,j] = softmax[i, j](S)")
    values = np.random.default_rng(2).standard_normal((3, 3))
    right = np.where(np.tri(3), np.exp(2 * values), 0)
    np.testing.assert_allclose(interpret(program, {"X": values}, {"n": 3})["Y"], right / right.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("P[i,j] = softmax[j,j](X[i,j])", "softmax takes one index in brackets, got 2"),
        ("Y[i,j] = argsort[j,k](X[i,j,k])", "argsort takes one index in brackets, got 2"),
        ("Y[i] = sum[j,3](X[i,j])", "sum takes one index in brackets, got 2"),
    ],
)
def test_what_takes_one_index_says_so(text: str, said: str) -> None:
    with pytest.raises(AttometerError) as error:
        parse(text)
    assert said in str(error.value)
