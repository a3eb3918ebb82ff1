"""Work and depth that the literature states in closed form, and the small identities they rest on."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count import count
from attometer.program import parse, size
from attometer.simulate.graph.dag import graph
from attometer.sizes import clog2, scan_depth, scan_work

n, m, k, d, e, b, h = map(size, "nmkdebh")

PROJECTED = (
    "axis i: n, j: n, c: d, f: d\nweight Wq[c,f], Wk[c,f], Wv[c,f]\nQ[i,f] = X[i,c] * Wq[c,f]\nK[i,f] = X[i,c] * Wk[c,f]\n"
    "V[i,f] = X[i,c] * Wv[c,f]\nS[i,j] = Q[i,f] * K[j,f] / sqrt(d)\nP[i,j] = softmax[j](S)\nO[i,f] = P[i,j] * V[j,f]"
)

# Blelloch, Programming parallel algorithms, CACM 39(3), 1996; JáJá, An Introduction to Parallel Algorithms, 1992.
TABLE = [
    ("element-wise map", "axis i: n\nY[i] = exp(X[i])", n, sympy.Integer(1)),
    ("sum (JáJá, section 1.3: balanced tree)", "axis i: n\nY = sum[i](X[i])", n - 1, clog2(n)),
    ("maximum", "axis i: n\nY = max[i](X[i])", n - 1, clog2(n)),
    ("dot product", "axis i: n\nY = A[i] * B[i]", 2 * n - 1, 1 + clog2(n)),
    ("matrix product (JáJá, algorithm 1.4)", "axis i: m, j: k, l: n\nY[i,l] = A[i,j] * B[j,l]", m * n * (2 * k - 1), 1 + clog2(k)),
    ("softmax of a row", "axis j: n\nP[j] = softmax[j](S[j])", 5 * n - 2, 2 * clog2(n) + 3),
    ("softmax of m rows", "axis i: m, j: n\nP[i,j] = softmax[j](S[i,j])", m * (5 * n - 2), 2 * clog2(n) + 3),
    ("prefix sums (Ladner and Fischer 1980)", "axis t: n\nZ[t] = Z[t-1] + X[t]   associative", scan_work(n), scan_depth(n)),
    ("the same sums one after another", "axis t: n\nZ[t] = Z[t-1] + X[t]", n, n),
    ("bitonic sort (Batcher 1968)", "axis i: n, r: n\nI[r] = argsort[i](X[i])",
     2 ** clog2(n) * clog2(n) * (clog2(n) + 1) / 4, clog2(n) * (clog2(n) + 1) / 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "work", "depth"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_closed_forms_of_the_literature(text: str, work: sympy.Expr, depth: sympy.Expr) -> None:
    cost = count(parse(text))
    assert sympy.expand(cost.work - work) == 0
    assert sympy.expand(cost.depth - depth) == 0


def test_attention_with_projections_loads_and_stores() -> None:
    cost = count(parse(PROJECTED), loads=True)
    depth = 2 * clog2(d) + 3 * clog2(n) + 9
    work = (
        n * d + 3 * d**2 + 3 * n * d * (2 * d - 1)  # load X and the weights; three projections
        + n**2 * (2 * d - 1) + n**2  # scores, scaled
        + n * (5 * n - 2) + n * d * (2 * n - 1) + n * d  # softmax, weighted values, store
    )  # fmt: skip
    assert sympy.expand(cost.depth - depth) == 0
    assert sympy.expand(cost.work - work) == 0


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6))
def test_attention_with_projections_on_the_graph(rows: int, width: int) -> None:
    built = graph(parse(PROJECTED), {"n": rows, "d": width}, memory=True)
    logs = 2 * (width - 1).bit_length() + 3 * (rows - 1).bit_length()
    assert built.span == logs + 9


def test_serial_adds_the_rows_up() -> None:
    # Doan (2025, Attention is logarithmic, actually) adds the operations' depths; three projections then cost three times.
    program = parse(PROJECTED)
    cost = count(program, serial=True)
    own = 3 * (1 + clog2(d)) + (1 + clog2(d)) + 1 + (2 * clog2(n) + 3) + (1 + clog2(n))
    assert sympy.expand(cost.depth - own) == 0
    assert sympy.expand(cost.depth - sympy.Add(*(row.levels for row in cost.rows))) == 0
    # One after the other: four inputs are loaded, one output is stored.
    assert sympy.expand(count(program, serial=True, loads=True).depth - own - 5) == 0
    assert cost.work == count(program).work


def test_recurrences_are_linear_in_the_length_and_scans_logarithmic() -> None:
    rnn = count(parse("axis t: n, x: D, y: D\nH[t,x] = tanh(A[x,y] * H[t-1,y] + U[t,x])"))
    assert sympy.expand(rnn.depth - n * (clog2(size("D")) + 3)) == 0
    assert str(count(parse("axis t: n\nZ[t] = Z[t-1] + X[t]   associative")).order(of="depth")) == "O(log(n))"


def test_exclusive_reads_add_a_broadcast() -> None:
    # Broadcasting to k readers takes ⌈log2 k⌉ levels on an EREW PRAM (JáJá, section 1.4).
    product = count(parse("Y[i,o] = A[i,j] * B[j,o]"), model="EREW")
    i, j, o = map(size, "ijo")
    assert sympy.expand(product.work - (i * o * (2 * j - 1) + i * j * (o - 1) + j * o * (i - 1))) == 0
    assert product.at(i=8, j=4, o=2).depth == 1 + 2 + 3


def test_integer_logarithms_are_exact_at_powers_of_two_and_beside_them() -> None:
    for power in range(1, 70):
        assert clog2(sympy.Integer(2**power)) == power
        assert clog2(sympy.Integer(2**power + 1)) == power + 1
    assert [int(clog2(sympy.Integer(x))) for x in range(1, 10)] == [0, 1, 2, 2, 3, 3, 3, 3, 4]


def online(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Join two partial softmaxes (m, l, o): the largest score, the sum of exponentials, the weighted values."""
    largest = max(one[0], other[0])
    left, right = np.exp(one[0] - largest), np.exp(other[0] - largest)
    return np.concatenate([[largest], left * one[1:] + right * other[1:]])


scores = st.lists(st.floats(-30, 30), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(scores, st.integers(0, 2**32 - 1), st.data())
def test_online_softmax_combines_in_any_order(found: list[float], seed: int, data: st.DataObject) -> None:
    # Milakov and Gimelshein 2018: the combine is associative and commutative, so keys may be split and joined as a tree.
    values = np.random.default_rng(seed).normal(size=(len(found), 3))
    parts = [np.concatenate([[s, 1.0], v]) for s, v in zip(found, values, strict=True)]
    while len(parts) > 1:
        joined = online(*(parts.pop(data.draw(st.integers(0, len(parts) - 1))) for _ in range(2)))
        parts.append(joined)
    weights = np.exp(np.array(found) - max(found))
    assert np.abs(parts[0][2:] / parts[0][1] - weights @ values / weights.sum()).max() < 1e-12
