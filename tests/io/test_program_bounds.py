"""Lower bounds of any Program: below every exact optimum and every counted nest, and as strong as those found by hand."""

from itertools import product

import numpy as np
import pytest
from cascades import PROGRAMS
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Integer

import attometer as am
from attometer.count.bounds.attention import CLASSES, attention_sizes, best_bound
from attometer.count.bounds.covers import Cover, Projection
from attometer.count.bounds.places import shifted
from attometer.count.bounds.program import _most, bounds
from attometer.count.derive import derive
from attometer.schedule.nest import Image
from attometer.simulate import solve
from attometer.simulate.pebble.moves import transfers
from attometer.simulate.pebble.orders import improved_moves
from attometer.simulate.pebble.program import program_dag

MATMUL = "C[i,j] = A[i,k] * B[k,j]"
CHAIN = "S[i,j] = A[i,k] * B[k,j]\nO[i,e] = S[i,j] * C[j,e]"
SHARED = "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = exp(S)\nO[i,d] = P[i,j] * K[j,d]"
SOFTMAX = (
    "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = exp(S)\nZ[i] = sum[j](P)\nO[i,e] = P[i,j] * V[j,e]\nY[i,e] = O[i,e] / Z[i]"
)
PROJECTIONS = "input X[i,c], W[c,a], U[c,a]\nQ[i,a] = X[i,c] * W[c,a]\nK[i,a] = X[i,c] * U[c,a]"
APART = "input X[i,c], W[c,a], Y[i,c], U[c,a]\nQ[i,a] = X[i,c] * W[c,a]\nK[i,a] = Y[i,c] * U[c,a]"
RNN = "axis t: n, x: d, y: d\ninput X[t,x], W[x,y]\nH[t,x] = tanh(H[t - 1, y] * W[x,y] + X[t,x])"
SHIFTED = "axis i: n, t: n + u - 1, c: d\ninput X[t,c], W[u,c]\nS[i,c] = X[i + u, c] * W[u,c]"
ROUTED = "input X[i,c], R[c,x], G[x,c,f], U[x,f,c]\nN[i,x] = X[i,c] * R[c,x]\nT[i,k] = topk[x, k](N)\n"
ROUTED += "H[i,k,f] = X[i,c] * G[T[i,k], c, f]\nY[i,c] = sum[k,f](H[i,k,f] * U[T[i,k], f, c])"
BLOCKS = "input Q[i,d], K[j,d], I[i,c]\nT[i,k] = topk[c, k](I)\nA[i,k,t] = Q[i,d] * K[T[i,k] * B + t, d]"
TRIANGULAR = "axis t: n, s: n\ninput A[t,s], B[t,d]\nX[t,d] = B[t,d] - A[t,s] * X[s,d]   where strict(t, s)"


@pytest.mark.parametrize(
    ("text", "sizes", "rooms"),
    [
        (MATMUL, {"i": 3, "j": 3, "k": 1}, (3, 4)),
        (MATMUL, {"i": 4, "j": 4, "k": 1}, (3, 4, 5, 6)),
        (MATMUL, {"i": 2, "j": 3, "k": 2}, (3, 4)),
        (CHAIN, {"i": 3, "j": 2, "k": 1, "e": 1}, (3, 4)),
        (SHARED, {"i": 2, "j": 2, "d": 1}, (3, 4, 5)),
        (SOFTMAX, {"i": 1, "j": 3, "d": 1, "e": 2}, (4, 5)),
        (TRIANGULAR, {"n": 3, "d": 2}, (3, 4, 5)),
        (PROJECTIONS, {"i": 3, "c": 1, "a": 1}, (3, 4, 5)),
        (PROJECTIONS, {"i": 3, "c": 1, "a": 2}, (3, 4, 6)),
        (PROJECTIONS, {"i": 2, "c": 2, "a": 1}, (3, 4)),
        (APART, {"i": 3, "c": 1, "a": 1}, (3, 4)),
        (RNN, {"n": 3, "d": 2}, (4, 5)),
        (SHIFTED, {"n": 3, "u": 2, "d": 1}, (3, 4, 5)),
    ],
)
def test_no_bound_is_above_an_exact_optimum(text: str, sizes: dict[str, int], rooms: tuple[int, ...]) -> None:
    program = am.parse(text)
    dag = program_dag(program, sizes)
    for M in rooms:
        optimum = solve(dag, M, seconds=30)
        # An unfinished search still has moves that reach the end: no bound may be above their cost.
        for bound in bounds(program, M, **sizes).bounds:
            assert bound.holds_for == "accumulator" or bound.words <= optimum.cost, (bound, M)


@given(st.data())
@settings(max_examples=60)
def test_no_division_of_the_words_allows_more_products(data: st.DataObject) -> None:
    """Whatever part of X words each kind has, the covers together allow no more points than the bound says."""
    kinds = st.sampled_from("ABCDEFG")
    covers = []
    for _ in range(data.draw(st.integers(1, 4))):
        names = data.draw(st.lists(kinds, min_size=3, max_size=3))
        kept = data.draw(st.sampled_from([("ik", "kj", "ij"), ("i", "j", "ij"), ("ik", "kj", "i")]))
        extents = data.draw(st.sampled_from([(8, 8, 8), (1000, 1000, 4), (50, 3, 1000)]))
        lengths = tuple(zip("ijk", extents, strict=True))
        covers.append(Cover(lengths, tuple(Projection(v, frozenset(a)) for v, a in zip(names, kept, strict=True))))
    M, X = 64, 192.0
    parts = {v: data.draw(st.floats(0, 1)) for v in "ABCDEFG"}
    used = {p.variable for c in covers for p in c.projections}
    whole = sum(parts[v] for v in used)
    if whole == 0:
        return
    words = {v: np.array([X * parts[v] / whole]) for v in used}
    points = sum(float(c.at(words, [*c.vertices, c.best(3.0 * M)])[0]) for c in covers)
    assert points <= _most(covers, M, X, "divided") * (1 + 1e-6)
    assert points <= _most(covers, M, X, "together") * (1 + 1e-6)


def test_projections_of_one_input_are_bounded_together() -> None:
    sizes = {"n": 4096, "d": 4096, "h": 1, "b": 1}
    found = bounds(am.mechanism("projections").program, 98304, **sizes)
    one, three, four = (
        next(b.words for b in found.bounds if b.name == f"{name}, one accumulator each")
        for name in ("Q", "Q, K, V", "all products")
    )
    assert three == pytest.approx(3 * one, rel=1e-3)
    assert four == pytest.approx(4 * one, rel=1e-3)
    assert four <= derive(am.mechanism("projections").program, 98304, **sizes).words <= 1.2 * four


@pytest.mark.parametrize(("n", "d", "M"), [(9, 3, 6), (13, 3, 7), (9, 4, 8)])
def test_no_order_of_a_recurrence_reads_its_weights_less_often(n: int, d: int, M: int) -> None:
    program = am.parse(RNN)
    bound = next(b for b in bounds(program, M, n=n, d=d).bounds if b.name == "weights of a recurrence")
    assert bound.words == 2 * n * d + (n - 1) // 2 * (d * d - M)
    dag = program_dag(program, {"n": n, "d": d})
    assert transfers(improved_moves(dag, M, "place", tries=20)) >= bound.words


def test_weights_that_fit_or_a_state_that_is_not_mixed_are_read_once() -> None:
    def named(text: str, M: int) -> set[str]:
        program = am.parse(text)
        at = {s.name: {"n": 99, "d": 12}.get(s.name, 7) for s in program.symbols}
        return {b.name for b in bounds(program, M, **at).bounds}

    assert "weights of a recurrence" in named(RNN, 100)
    assert "weights of a recurrence" not in named(RNN, 144)
    diagonal = "axis t: n, x: d, y: d\ninput X[t,x], W[x,y]\nH[t,x] = H[t - 1, x] + X[t,y] * W[x,y]"
    assert "weights of a recurrence" not in named(diagonal, 100)
    steps = "axis t: n, x: d, y: d\ninput X[t,x], W[t,x,y]\nH[t,x] = tanh(H[t - 1, y] * W[t,x,y] + X[t,x])"
    assert "weights of a recurrence" not in named(steps, 100)


def test_every_class_of_bounds_is_positive_at_a_size_with_an_exact_optimum() -> None:
    found = {b.name: b.words for b in bounds(am.parse(MATMUL), 4, i=4, j=4, k=1).bounds}
    assert found == {"compulsory": 24, "C, any tree": 4, "C, one accumulator each": 19}


QUICK = ("softmax", "causal", "linear", "swiglu")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PROGRAMS])
@pytest.mark.parametrize("M", [90, 700])
def test_no_derived_nest_is_below_a_bound(name: str, M: int) -> None:
    program = am.parse(PROGRAMS[name])
    given = {"n": 40, "m": 48, "d": 6, "e": 5, "h": 4, "g": 2, "w": 9, "T": 60, "B": 12}
    sizes = {s.name: given.get(s.name, 24) for s in program.symbols}
    try:
        found = derive(program, M, **sizes)
    except am.AttometerError as error:
        pytest.skip(str(error))
    for bound in found.bounds.bounds:
        assert bound.words <= found.words, bound


@pytest.mark.parametrize(("n", "d", "e", "M"), [(4096, 64, 64, 1024), (65536, 64, 64, 4096), (65536, 64, 64, 98304),
                                                (8192, 128, 128, 100_000), (4096, 64, 256, 30_000), (4096, 96, 32, 9000)])  # fmt: skip
def test_bounds_of_softmax_are_as_strong_as_those_by_hand(n: int, d: int, e: int, M: int) -> None:
    found = bounds(am.parse(PROGRAMS["softmax"]), M, n=n, m=n, d=d, e=e, h=1)
    sizes = attention_sizes(n, d, M, e=e)
    for algorithm in CLASSES:
        if algorithm != "explicit":
            assert found.best(algorithm).words >= 0.9 * best_bound(sizes, algorithm)[1], algorithm
    for name in ("flash2", "flash2_sliced", "two_pass_outer", "naive"):
        assert found.best("accumulator").words <= am.best_tiles(name, n=n, d=d, e=e, M=M).words


def test_what_is_read_in_two_places_is_charged_once() -> None:
    sizes = {"n": 1000, "m": 1000, "d": 64}
    found = bounds(am.parse(PROGRAMS["keys as values"]), 10**6, **sizes)
    assert found.best("any").words == 192_000 == derive(am.parse(PROGRAMS["keys as values"]), 10**6, **sizes).words


def test_what_is_mixed_over_heads_needs_all_of_them() -> None:
    # U[h,i,j] needs the scores of every head at (i, j), so that whole rows of Q and K of all heads are read or kept.
    sizes = {"n": 4096, "m": 4096, "d": 64, "e": 64, "h": 8}
    mixed = bounds(am.parse(PROGRAMS["talking heads"]), 98304, **sizes).best("accumulator")
    apart = bounds(am.parse(PROGRAMS["softmax"]), 98304, **sizes).best("accumulator")
    assert mixed.words > 2 * apart.words


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from((-3, -2, -1, 1, 2, 4))), min_size=1, max_size=3),
    st.integers(-9, 9),
    st.integers(1, 40),
)
def test_words_at_a_shift_are_those_that_are_read(terms: list[tuple[int, int]], offset: int, extent: int) -> None:
    names = {f"i{k}": length for k, (length, _) in enumerate(terms)}
    places = {sum(p) + offset for p in product(*([c * x for x in range(length)] for length, c in terms))}
    read = len(places & set(range(extent)))
    image = Image(tuple((name, c) for name, (_, c) in zip(names, terms, strict=True)), Integer(offset), Integer(extent))
    words = shifted(("p",), {"p": image}, names, {})
    assert words <= read
    if any(abs(c) == 1 for _, c in terms):
        assert words == read or any(abs(c) > 1 for _, c in terms)


def test_words_at_positions_are_at_least_those_of_one_row() -> None:
    sizes = {"i": 4096, "c": 64, "x": 32, "k": 8, "f": 64}
    found = {b.name: b.words for b in bounds(am.parse(ROUTED), 98304, **sizes).bounds}
    assert found["compulsory"] == 2 * 4096 * 64 + 64 * 32 + 2 * 8 * 64 * 64
    blocks = {"i": 64, "d": 16, "j": 256, "c": 32, "k": 4, "B": 8, "t": 8}
    assert bounds(am.parse(BLOCKS), 98304, **blocks).best("any").words == 64 * 16 + 64 * 32 + 4 * 8 * 16 + 64 * 4 * 8
    # Blocks that overlap may share words: nothing of K is charged.
    assert bounds(am.parse(BLOCKS), 98304, **blocks | {"t": 9}).best("any").words == 64 * 16 + 64 * 32 + 64 * 4 * 9


def test_products_at_positions_are_limited_as_those_at_plain_places() -> None:
    """Every row chooses all places: what is read through positions is then a plain operand, and as hard."""
    at = "H[i,k] = X[i,c] * G[T[i,k], c]"
    chosen = am.parse(f"input X[i,c], R[i,x], G[x,c]\nT[i,k] = topk[x, k](R)\n{at}")
    plain = am.parse("input X[i,c], G[x,c]\nH[i,x] = X[i,c] * G[x,c]")
    sizes = {"i": 600, "x": 500, "c": 400}
    one, other = (bounds(p, 900, **s).bounds for p, s in ((chosen, {**sizes, "k": 500}), (plain, sizes)))
    name = "H, one accumulator each"
    assert {b.name: b.words for b in one}[name] == {b.name: b.words for b in other}[name] > 3 * 600 * 500


@pytest.mark.parametrize("M", [60, 400])
@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        pytest.param(ROUTED, {"i": 24, "c": 6, "x": 8, "k": 3, "f": 5}, marks=pytest.mark.slow),
        (BLOCKS, {"i": 24, "d": 6, "j": 48, "c": 12, "k": 3, "B": 4, "t": 4}),
        (SHIFTED, {"n": 40, "u": 5, "d": 6}),
    ],
)
def test_no_nest_with_gathers_or_shifts_is_below_a_bound(text: str, sizes: dict[str, int], M: int) -> None:
    for program in (am.parse(text), am.gradient(am.parse(text))):
        found = derive(program, M, **sizes)
        assert all(bound.words <= found.words for bound in found.bounds.bounds)


def test_a_mask_charges_only_what_it_lets_see() -> None:
    text = "axis i: n, j: m\nS[i,j] = Q[i,d] * K[j,d] where window(i, j, 2)\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]"
    found = bounds(am.parse(text), 100, n=1, m=8, d=3, e=5)
    assert found.best("any").words == 3 + 2 * 3 + 2 * 5 + 5


@pytest.mark.parametrize(
    ("sizes", "said"),
    [({"i": 2}, "a bound needs numbers: j, k is missing"), ({"q": 2}, 'unknown size "q"'), ({"i": 0}, 'i must be')],
)  # fmt: skip
def test_bad_sizes_are_named(sizes: dict[str, int], said: str) -> None:
    with pytest.raises(am.AttometerError) as error:
        bounds(am.parse(MATMUL), 100, **sizes)
    assert said in str(error.value)
