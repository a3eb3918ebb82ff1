"""A sum under a mask runs over the pairs the mask allows, whether or not its operand has the other index."""

import numpy as np
import pytest

from attometer.count import count
from attometer.errors import AttometerError
from attometer.program import parse, size
from attometer.simulate.interpreter import interpret

A, B = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
SEEN = np.tril(np.ones((3, 3)))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("Y[i] = B[j]", SEEN @ B),
        ("Y[i] = sum[j](B[j])", SEEN @ B),
        ("Y[i] = A[i] * B[j]", A * (SEEN @ B)),
        ("Y[j] = A[i]", SEEN.T @ A),
        ("Y[i] = B[j] * B[j]", SEEN @ (B * B)),
        ("Y[i] = max[j](B[j])", np.maximum.accumulate(B)),
        ("Y = A[i] * B[j]", A @ SEEN @ B),
        ("Y[i,j] = softmax[j](B[j])", SEEN * np.exp(B) / (SEEN @ np.exp(B))[:, None]),
    ],
)
def test_masked_sum(statement: str, expected: object) -> None:
    program = parse(f"axis i: n, j: n\ninput A[i], B[j]\n{statement}   where causal(i, j)")
    result = interpret(program, {"A": A, "B": B})["Y"]
    assert np.allclose(result, np.asarray(expected), rtol=1e-14, atol=0)


def test_masked_sum_is_counted_by_its_pairs() -> None:
    cost = count(parse("axis i: n, j: n\nY[i] = B[j]   where causal(i, j)"))
    assert cost.work.subs(size("n"), 4) == 10 - 4


def test_a_sum_is_taken_where_all_uses_of_its_index_meet() -> None:
    rng = np.random.default_rng(3)
    A, B, c = rng.normal(size=(2, 3)), rng.normal(size=3), rng.normal(size=2)
    inside = interpret(parse("Y[i] = exp(A[i,j] * B[j]) / c[i]"), {"A": A, "B": B, "c": c})["Y"]
    np.testing.assert_allclose(inside, np.exp(A @ B) / c)
    around = interpret(parse("Y[i] = exp(A[i,j]) * B[j] / c[i]"), {"A": A, "B": B, "c": c})["Y"]
    np.testing.assert_allclose(around, np.exp(A) @ B / c)


def test_a_mean_along_a_masked_index_is_refused() -> None:
    with pytest.raises(AttometerError, match="takes a mean along j, where a mask leaves some out"):
        parse("axis i: n, j: n\nS[i,j] = X[i] * Z[j] where causal(i, j)\nM[i] = mean[j](S)")
