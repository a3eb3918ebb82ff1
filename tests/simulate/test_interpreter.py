"""The reference interpreter against plain NumPy, one form of operation at a time, and its words when inputs are wrong."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.program import parse
from attometer.program.expression import FUNCTIONS
from attometer.simulate.functions import FUNCTIONS as IMPLEMENTED
from attometer.simulate.interpreter import interpret

rng = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape)


def close(one: np.ndarray, other: np.ndarray) -> bool:
    return np.shape(one) == np.shape(other) and float(np.max(np.abs(np.asarray(one) - other), initial=0.0)) < 1e-12


def run(text: str, sizes: dict[str, int] | None = None, **arrays: object) -> dict[str, np.ndarray]:
    return interpret(parse(text), arrays, sizes)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 5)] * 4))
def test_matrix_products_of_any_sizes(shape: tuple[int, int, int, int]) -> None:
    b, i, j, k = shape
    A, B = normal(b, i, j), normal(b, j, k)
    assert close(run("Y[b,i,k] = A[b,i,j] * B[b,j,k]", A=A, B=B)["Y"], A @ B)
    assert close(run("Y[k,b,i] = A[b,i,j] * B[b,j,k]", A=A, B=B)["Y"], np.transpose(A @ B, (2, 0, 1)))
    assert close(run("axis k: k\nY[i] = A[b,i,j] * B[b,j,k]", A=A, B=B)["Y"], np.einsum("bij,bjk->i", A, B))


def test_sums_maps_and_broadcasting() -> None:
    X, w = normal(4, 5), normal(5)
    assert close(run("Y[i] = X[i,j] * w[j] + 1", X=X, w=w)["Y"], X @ w + 1)
    assert close(run("Y[j,i] = (X[i,j] - w[j]) / 2", X=X, w=w)["Y"], ((X - w) / 2).T)
    assert close(run("axis i: i, j: j\nY = X[i,j]", X=X)["Y"], np.asarray(X.sum()))
    assert close(run("Y[i] = -X[i,j] + 3 * X[i,j]", X=X)["Y"], 2 * X.sum(1))
    assert close(run("axis i: n\ninput s\nY[i] = pos(i) * s", s=np.array(2.0), sizes={"n": 4})["Y"], 2.0 * np.arange(4))
    assert close(run("axis j: m\nY[i,j] = X[i,j] / sqrt(m)", X=X)["Y"], X / np.sqrt(5))


@pytest.mark.parametrize(
    ("name", "function"), [("sum", np.sum), ("max", np.max), ("min", np.min), ("prod", np.prod), ("mean", np.mean)]
)
def test_reductions(name: str, function) -> None:
    X = normal(3, 4, 5)
    assert close(run(f"Y[i,k] = {name}[j](X[i,j,k])", X=X)["Y"], function(X, axis=1))
    assert close(run(f"Y[i,k] = 1 + {name}[j](X[i,j,k] * X[i,j,k])", X=X)["Y"], 1 + function(X * X, axis=1))


def test_composites() -> None:
    X, g = normal(3, 6) * 5, normal(6)
    powers = np.exp(X - X.max(1, keepdims=True))
    assert close(run("Y[i,j] = softmax[j](X[i,j])", X=X)["Y"], powers / powers.sum(1, keepdims=True))
    assert close(run("Y[i] = logsumexp[j](X[i,j])", X=X)["Y"], np.log(np.exp(X).sum(1)))
    assert close(
        run("Y[i,j] = rmsnorm[j](X[i,j]) * g[j]", X=X, g=g)["Y"], X / np.sqrt((X**2).mean(1, keepdims=True) + 1e-6) * g
    )
    centred = X - X.mean(1, keepdims=True)
    assert close(
        run("Y[i,j] = layernorm[j](X[i,j])", X=X)["Y"], centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-6)
    )


def test_softmax_does_not_overflow() -> None:
    found = run("Y[j] = softmax[j](X[j])", X=[1000.0, 1000.0, -1000.0])["Y"]
    assert close(found, np.array([0.5, 0.5, 0.0]))


# SciPy's special functions are not at hand here: each value is written from its definition.
BY_HAND = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    "relu": lambda x: max(x, 0.0),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "rsqrt": lambda x: 1 / math.sqrt(x),
    "square": lambda x: x * x,
    "sign": lambda x: math.copysign(1.0, x),
    "abs": abs,
    "maximum": max,
    "minimum": min,
    "pow": pow,
    "less": lambda x, y: float(x < y),
    "equal": lambda x, y: float(x == y),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_element_wise_functions(name: str) -> None:
    X, Z = np.abs(normal(6)) + 0.1, np.abs(normal(6)) + 0.1
    Z[0] = X[0]
    function = BY_HAND.get(name, getattr(math, name, None))
    if FUNCTIONS[name] == 1:
        assert close(run(f"Y[i] = {name}(X[i])", X=X)["Y"], np.array([function(x) for x in X]))
    else:
        assert close(
            run(f"Y[i] = {name}(X[i], Z[i])", X=X, Z=Z)["Y"],
            np.array([function(x, z) for x, z in zip(X, Z, strict=True)]),
        )


def test_every_function_of_the_notation_is_implemented() -> None:
    assert set(IMPLEMENTED) == set(FUNCTIONS)


def test_gathers_and_sorts() -> None:
    X, V = normal(5), normal(5, 3)
    order = run("axis r: i\nI[r] = argsort[i](X[i])", X=X)["I"]
    assert order.tolist() == np.argsort(X, kind="stable").tolist()
    assert order.dtype == np.int64
    best = run("axis r: 2\ninput X[i], V[i,d]\nI[r] = topk[i, 2](X[i])\nY[r,d] = V[I[r], d]", X=X, V=V)
    assert best["I"].tolist() == np.argsort(-X, kind="stable")[:2].tolist()
    assert close(best["Y"], V[best["I"]])
    places = np.array([[0, 4], [2, 2]])
    batched = run("input V[i,d], I[b,r]\nY[b,r,d] = V[I[b,r], d]", V=V, I=places)["Y"]
    assert close(batched, V[places])


def test_sorting_is_stable() -> None:
    tied = [1.0, 0.0, 1.0, 0.0]
    assert run("axis r: i\nI[r] = argsort[i](X[i])", X=tied)["I"].tolist() == [1, 3, 0, 2]
    assert run("axis r: 3\nI[r] = topk[i, 3](X[i])", X=tied)["I"].tolist() == [0, 2, 1]


def test_index_maps() -> None:
    K = normal(2, 5)
    shared = run("axis h: g * r\nY[h,j] = K[h // r, j]", sizes={"r": 3}, K=K)["Y"]
    assert close(shared, np.repeat(K, 3, axis=0))
    X = normal(6)
    assert close(
        run("axis c: n / B, t: B\ninput X[n]\nY[c,t] = X[c * B + t]", sizes={"B": 2}, X=X)["Y"], X.reshape(3, 2)
    )
    assert close(run("axis i: n\ninput X[i]\nY[i] = X[i % 2]", X=X)["Y"], X[[0, 1] * 3])
    assert close(run("axis i: n\nY[i] = X[i] - X[i - 1]", X=X)["Y"], X - np.concatenate([[0], X[:-1]]))
    assert close(run("axis i: n\ninput X[i]\nY[i] = X[i + 1]", X=X)["Y"], np.concatenate([X[1:], [0]]))


def test_recurrences_start_from_zero() -> None:
    A, U = normal(3, 3) / 2, normal(4, 3)
    found = run("axis x: D, y: D\nH[t,x] = tanh(A[x,y] * H[t-1,y] + U[t,x])", A=A, U=U)["H"]
    state, expected = np.zeros(3), []
    for u in U:
        state = np.tanh(A @ state + u)
        expected.append(state)
    assert close(found, np.array(expected))


def test_scans_equal_the_loop() -> None:
    a, X = normal(6, 2), normal(6, 2)
    summed = run("Z[t,x] = Z[t-1,x] + X[t,x]   associative", X=X)["Z"]
    assert close(summed, np.cumsum(X, axis=0))
    decayed = "Z[t,x] = a[t,x] * Z[t-1,x] + X[t,x]"
    assert close(run(decayed + "   associative", a=a, X=X)["Z"], run(decayed, a=a, X=X)["Z"])
    largest = "Z[t,x] = maximum(Z[t-1,x], X[t,x])"
    assert close(run(largest + "   associative", X=X)["Z"], run(largest, X=X)["Z"])


def softmax_under(seen: np.ndarray, Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> np.ndarray:
    scores = np.where(seen, Q @ K.T, -np.inf)
    powers = np.where(seen, np.exp(scores - np.max(scores, axis=1, keepdims=True, initial=-1e300)), 0.0)
    total = powers.sum(1, keepdims=True)
    return np.divide(powers, total, out=np.zeros_like(powers), where=total > 0) @ V


MASKS = ["causal(i, j)", "window(i, j, 2)", "causal(i, j) & ~prefix(i, j, 2)", "block(i, j, 2, [[0, 1], [0, 0]])"]


@pytest.mark.parametrize("where", MASKS)
@pytest.mark.parametrize(("n", "m"), [(4, 4), (3, 6), (6, 3)])
def test_masked_attention(where: str, n: int, m: int) -> None:
    Q, K, V = normal(n, 3), normal(m, 3), normal(m, 2)
    program = parse(
        f"axis i: n, j: m\nS[i,j] = Q[i,d] * K[j,d]   where {where}\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]"
    )
    found = interpret(program, {"Q": Q, "K": K, "V": V})
    seen = program.statements[0].where.mask.matrix(n, m)
    assert close(found["S"], np.where(seen, Q @ K.T, 0.0))
    assert close(found["O"], softmax_under(seen, Q, K, V))
    # A row that sees nothing is zero, not NaN.
    assert (found["O"][~seen.any(axis=1)] == 0).all()
    assert np.isfinite(found["O"]).all()


def test_inputs_may_be_lists_and_integers_stay_integers() -> None:
    found = run("Y[i] = 2 * X[i]", X=[1, 2, 3])["Y"]
    assert found.tolist() == [2, 4, 6]
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("text", "arrays", "sizes", "words"),
    [
        ("Y[i] = X[i]", {}, {}, 'input "X"[i] is missing'),
        ("Y[i] = X[i]", {"X": [1.0], "Z": [1.0]}, {}, 'unknown input "Z"; known: X'),
        ("Y[i] = X[i]", {"X": [[1.0]]}, {}, 'input "X" needs 1 axes [i], got shape (1, 1)'),
        ("Y[i] = A[i,j] * B[j]", {"A": np.ones((2, 3)), "B": np.ones(4)}, {}, 'input "B" has 4 along axis j, which is 3 elsewhere'),
        ("axis i: 2 * n\nY[i] = X[i]", {"X": [1.0, 2.0]}, {"n": 3}, 'input "X" needs shape [2*n] = (6,), got (2,)'),
        ("axis i: n\nY[i] = pos(i)", {}, {}, "size n is told by no input's shape; pass sizes={...}"),
        ("Y[i] = X[i]", {"X": [1.0]}, {"w": 3}, 'unknown size "w"; known: i'),
        ("Y[i] = X[i]", {"X": [1.0]}, {"i": -3}, "size i must be a positive integer, got -3"),
        ("axis c: n / 2\nZ[c] = X[c]", {"X": [1.0, 2.0]}, {"n": 5},
         'axis "c" has the size n/2 at n = 5; a size is a positive whole number'),
        ("axis r: k\nI[r] = topk[i, k](X[i])", {"X": [1.0, 2.0]}, {"k": 3},
         '"I" keeps k of the i entries along "i" at i = 2, k = 3; there are not that many'),
        ("Y[i] = X[i]", {"X": ["a"]}, {}, 'input "X" must hold numbers, got <U1'),
        ("Y[i] = X[i]", {"X": [[1.0], [1.0, 2.0]]}, {}, 'input "X" must be an array of numbers'),
        ("Y[i] = X[i]", {"X": [1j]}, {}, 'input "X" must hold numbers, got complex128'),
    ],
)  # fmt: skip
def test_wrong_inputs_are_named(text: str, arrays: dict, sizes: dict, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        interpret(parse(text), arrays, sizes)
    assert str(error.value) == words
