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


@pytest.mark.parametrize(
    "step", ["A[t] * Z[t-1] + X[t]", "X[t] + Z[t-1] / A[t]", "Z[t-1] / A[t] * B[t] + X[t]", "-Z[t-1] + X[t]"]
)
def test_an_associative_recurrence_is_the_sequential_one(step: str) -> None:
    rng = np.random.default_rng(5)
    arrays = {name: rng.uniform(0.5, 2.0, 7) for name in "ABX" if name + "[" in step}
    text = f"axis t: n\nZ[t] = {step}"
    fast, slow = interpret(parse(text + "   associative"), arrays), interpret(parse(text), arrays)
    np.testing.assert_allclose(fast["Z"], slow["Z"])


@pytest.mark.parametrize(
    "step",
    [
        "tanh(Z[t-1]) + X[t]",
        "Z[t-1] * Z[t-1] + X[t]",
        "A[t] / Z[t-1] + X[t]",
        "maximum(A[t] * Z[t-1], X[t])",
        "Z[t-1] * X[t]",
    ],
)
def test_what_is_not_a_linear_recurrence_is_not_associative(step: str) -> None:
    with pytest.raises(AttometerError, match="associative needs the form"):
        parse(f"axis t: n\nZ[t] = {step}   associative")


def test_an_associative_recurrence_may_not_mix_entries() -> None:
    with pytest.raises(AttometerError, match="associative needs the form"):
        parse("axis t: n, x: d, y: d\nZ[t,x] = A[x,y] * Z[t-1,y] + X[t,x]   associative")
