"""The law: what counting says at the sizes is, exactly, what the graph built node by node measures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from law_programs import PROGRAMS, attention, mechanism_sizes, small_sizes, valid

from attometer.count import count
from attometer.errors import AttometerError
from attometer.mechanisms import MECHANISMS, mechanism
from attometer.program import Program, parse
from attometer.simulate.graph.dag import graph


def measured(program: Program, sizes: dict[str, int], loads: bool = False) -> tuple[int, int]:
    built = graph(program, sizes, memory=loads)
    return built.work, built.span


@pytest.mark.parametrize("name", PROGRAMS)
def test_work_and_depth_are_those_of_the_graph(name: str) -> None:
    program = PROGRAMS[name]
    counted, with_memory = count(program), count(program, loads=True)
    for sizes in small_sizes(program):
        at = counted.at(**sizes)
        assert (at.work, at.depth) == measured(program, sizes), sizes
        at = with_memory.at(**sizes)
        assert (at.work, at.depth) == measured(program, sizes, loads=True), sizes


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_catalogue_obeys_it(name: str) -> None:
    made = mechanism(name)
    counted, with_memory = count(made), count(made, loads=True)
    for sizes in mechanism_sizes(made):
        at = counted.at(**sizes)
        assert (at.work, at.depth) == measured(made.program, sizes), sizes
        at = with_memory.at(**sizes)
        assert (at.work, at.depth) == measured(made.program, sizes, loads=True), sizes


EXCLUSIVE = ("softmax, batch and heads", "cross", "grouped heads", "matrix product", "batched outer product", "sum", "reductions",
             "double sum", "long expression", "softmax", "logsumexp", "norms", "rnn", "rnn and readout", "lstm", "scan", "scan with decay",
             "linear attention", "linear attention, step by step", "shifted read", "chunks", "layer", "gated mlp")  # fmt: skip


@pytest.mark.parametrize("name", EXCLUSIVE)
def test_exclusive_reads_cost_their_copies(name: str) -> None:
    program = PROGRAMS[name]
    counted = count(program, model="EREW")
    for sizes in small_sizes(program, limit=20):
        built = graph(program, sizes, exclusive=True)
        at = counted.at(**sizes)
        assert (at.work, at.depth) == (built.work, built.span), sizes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("causal", '"S.product" reads "Q" under a mask: exclusive reads (EREW) are counted only without one'),
        ("sorted gather", '"Y" gathers "V": how many points read one entry is data (EREW)'),
    ],
)
def test_exclusive_reads_that_are_not_counted_are_refused(name: str, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        count(PROGRAMS[name], model="EREW")
    assert str(error.value) == words


def test_a_mask_without_a_pair_costs_nothing() -> None:
    nothing = parse(attention("causal(i, j) & ~causal(i, j)"))
    assert count(nothing).at(n=5, d=2).work == graph(nothing, {"n": 5, "d": 2, "e": 2}).work == 0


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PROGRAMS)), st.data())
def test_at_any_small_sizes(name: str, data: st.DataObject) -> None:
    program = PROGRAMS[name]
    sizes = {str(s): data.draw(st.integers(1, 6), label=str(s)) for s in program.symbols}
    if valid(program, sizes):
        at = count(program).at(**sizes)
        assert (at.work, at.depth) == measured(program, sizes)


@pytest.mark.parametrize("n", range(1, 40))
def test_entries_ready_at_different_times_make_the_depth_an_upper_bound(n: int) -> None:
    # The last prefixes of a scan are ready later than the first; a sum along them is counted as if all were last.
    program = parse("axis t: n\nZ[t] = Z[t-1] + U[t]   associative\nY = Z[t] * C[t]")
    work, span = measured(program, {"n": n})
    at = count(program).at(n=n)
    assert at.work == work
    assert 0 <= at.depth - span <= 1


RECURRENCES = {
    "read after, one step back": "A[t] = exp(exp(A[t-1])) + X[t]\nY[t] = A[t-1] * 2",
    "another index reads one step back": "axis t: n, s: n\nA[t] = exp(exp(A[t-1])) + X[t]\nY[s] = exp(A[s-1])",
    "last step that no one reads": "A[t] = X[t] + A[t-1] + exp(B[t-1])\nB[t] = A[t] * B[t-1]\nC[t] = exp(B[t-1])",
    "computed before, read one step back": "U[t] = exp(exp(exp(X[t])))\nA[t] = A[t-1] + U[t-1]",
    "statements out of order": "A[t] = exp(A[t-1] + C[t-1])\nB[t] = exp(C[t-1])\nC[t] = tanh(X[t])",
    "positions alone, stepped": "A[t] = --pos(t) + tanh(A[t+1])",
    "all earlier places, that no one reads": "axis t: n, s: n\noutput Y[k]\nA[t] = X[t] + W[t,s] * A[s]   where strict(t, s)\n"
    "Y[k] = exp(U[k])",
    "read two places further": "axis t: n\nA[t] = exp(exp(X[t]))\nY[t] = exp(A[t - 2] + X[t + 2])",
    "read in one place": "axis t: n\nA[t] = exp(exp(X[t]))\nY[k] = U[k] * A[2]",
    "a lighter cycle feeds a heavier one": "B[t] = B[t-1] + X[t] + exp(A[t-1] * 0)\nA[t] = exp(exp(A[t-1] + X[t]))",
}


@pytest.mark.parametrize("name", RECURRENCES)
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("loads", [False, True])
def test_the_law_on_recurrences_and_shifts(name: str, steps: int, loads: bool) -> None:
    program = parse(RECURRENCES[name])
    sizes = {str(s): steps for s in program.symbols}
    cost = count(program, loads=loads).at(**sizes)
    assert (cost.work, cost.depth) == measured(program, sizes, loads)


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 9])
def test_walks_that_return_after_several_steps_are_evaluated(steps: int) -> None:
    program = parse("A[t] = exp(exp(C[t-1])) + A[t-1]\nC[t] = exp(exp(exp(A[t-1])))")
    cost, built = count(program).at(t=steps), graph(program, {"t": steps})
    assert (cost.work, cost.depth) == (built.work, built.span)
    assert str(count(program).order("t")) == "O(t)"


@pytest.mark.parametrize("mask", ["causal(i, j)", "window(i, j, w)", "causal(i, j) & strided(i, j, 2)", "strict(i, j)"])
def test_sums_over_the_queries_of_a_mask(mask: str) -> None:
    # What the keys' and values' gradients of masked attention are made of.
    program = parse(f"axis i: n, j: m\nA[i,j] = X[i] * Z[j]   where {mask}\nB[j,e] = A[i,j] * Y[i,e]\nC[j] = max[i](A)")
    for n, m in ((2, 2), (4, 4), (3, 7), (7, 3), (5, 5)):
        sizes = {"n": n, "m": m, "e": 2, "w": 3}
        sizes = {str(s): sizes[str(s)] for s in program.symbols}
        cost = count(program).at(**sizes)
        assert (cost.work, cost.depth) == measured(program, sizes), sizes
