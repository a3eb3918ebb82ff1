"""Reductions along several indices are those along one after the other; a softmax says what to write."""

import numpy as np
import pytest

from attometer.errors import AttometerError
from attometer.program import gradient, parse
from attometer.simulate.interpreter import interpret

X = np.random.default_rng(0).standard_normal((2, 3, 4))
RIGHT = {
    "sum": X.sum((1, 2)), "max": X.max((1, 2)), "min": X.min((1, 2)), "prod": X.prod((1, 2)), "mean": X.mean((1, 2)),
    "logsumexp": np.log(np.exp(X).sum((1, 2))),
}  # fmt: skip


@pytest.mark.parametrize("function", RIGHT)
def test_along_two_indices(function: str) -> None:
    program = parse(f"input X[i,j,k]\nY[i] = {function}[j,k](X)")
    assert parse(str(program)) == program
    np.testing.assert_allclose(interpret(program, {"X": X}, {"i": 2, "j": 3, "k": 4})["Y"], RIGHT[function], rtol=1e-12)


def test_a_joint_softmax_and_its_gradient() -> None:
    program = parse(
        "input X[i,j,k]\nM[i] = max[j,k](X)\nE[i,j,k] = exp(X[i,j,k] - M[i])\nZ[i] = sum[j,k](E)\nP[i,j,k] = E[i,j,k] / Z[i]"
    )
    sizes = {"i": 2, "j": 3, "k": 4}
    right = np.exp(X) / np.exp(X).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(interpret(program, {"X": X}, sizes)["P"], right, rtol=1e-12)
    arriving = np.random.default_rng(1).standard_normal(X.shape)
    slopes = interpret(gradient(program), {"X": X, "dP": arriving}, sizes)["dX"]
    expected = right * (arriving - (right * arriving).sum((1, 2), keepdims=True))
    np.testing.assert_allclose(slopes, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("P[i,j,k] = softmax[j,k](X[i,j,k])", "softmax runs along one index, got 2; write M = max[j,k](X)"),
        ("Y[i,j] = argsort[j,k](X[i,j,k])", "argsort takes one index in brackets, got 2"),
        ("Y[i] = sum[j,3](X[i,j])", "sum takes one index in brackets, got 2"),
    ],
)
def test_what_takes_one_index_says_so(text: str, said: str) -> None:
    with pytest.raises(AttometerError) as error:
        parse(text)
    assert said in str(error.value)
