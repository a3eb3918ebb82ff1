"""A sum under a mask runs over the pairs the mask allows, whether or not its operand has the other index."""

import numpy as np
import pytest

from attometer.count import count
from attometer.errors import AttometerError
from attometer.program import gradient, parse, size
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


TWO = """
axis i: n, j: n
input S[i,j], T[i,j]
A[i,j] = S[i,j] * 2   where causal(i, j)
B[i,j] = T[i,j] * 3   where window(i, j, 2)
"""


@pytest.mark.parametrize(
    "text", ["C[i,j] = A + B", "C[i,j] = A - B", "C[i,j] = exp(maximum(A, B))", "C[i] = sum[j](A + B)"]
)
def test_tensors_of_different_pairs_are_not_joined_in_silence(text: str) -> None:
    with pytest.raises(AttometerError) as error:
        parse(TWO + text)
    said = str(error.value)
    assert 'statement "C": joins "A", which has the pairs causal(i, j), with "B", which has window(i, j, 2)' in said
    # What it proposes can be written.
    given = said.partition("write ")[2].partition(" for the pairs")[0]
    assert parse(TWO + f"D[i,j] = A + B {given}").tensors["D"].where is not None


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("C[i,j] = A + B   where causal(i, j) & window(i, j, 2)", [[5, 0, 0], [5, 5, 0], [0, 5, 5]]),
        ("C[i,j] = A[i + 0, j] + B[i + 0, j]", [[5, 0, 0], [5, 5, 0], [2, 5, 5]]),
        ("C[i,j] = A * B", [[6, 0, 0], [6, 6, 0], [0, 6, 6]]),
        ("U[i,j] = A * B\nV[i,j] = B * A\nC[i,j] = U + V", [[12, 0, 0], [12, 12, 0], [0, 12, 12]]),
        ("C[i,j] = A + S", [[3, 0, 0], [3, 3, 0], [3, 3, 3]]),
    ],
)
def test_the_text_says_which_pairs_a_sum_has(text: str, right: list[list[int]]) -> None:
    program = parse(TWO + text)
    ones = np.ones((3, 3))
    found = interpret(program, {"S": ones, "T": ones}, {"n": 3})["C"]
    assert found.tolist() == right
    grads = gradient(program, of="C", to=["S"])
    back = interpret(grads, {t.name: ones for t in grads.inputs}, {"n": 3})["dS"]
    # Every entry is linear in S, so that a step of 1 is exact.
    moved = [
        [(interpret(program, {"S": ones + step(i, j), "T": ones}, {"n": 3})["C"] - found).sum() for j in range(3)]
        for i in range(3)
    ]
    np.testing.assert_allclose(back, moved, atol=1e-12)


def step(i: int, j: int) -> np.ndarray:
    found = np.zeros((3, 3))
    found[i, j] = 1
    return found
