"""Nests that keep what a recurrence carries where chunks begin: counted as executed, whatever the chunks and the loops."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_derived_law import check_law

import attometer as am
from attometer.count.derive import derive
from attometer.count.derived import derived_of
from attometer.count.nest_search import Chosen, Search, tile_of
from attometer.schedule.fused import Plan

TEXTS = {
    "linear": "axis t: n\nS[t,d,e] = A[t,d] * S[t - 1, d, e] + K[t,d] * V[t,e]\nO[t,e] = Q[t,d] * S[t,d,e]",
    "delta": (
        "axis t: n\nR[t,e] = K[t,d] * S[t - 1, d, e]\n"
        "S[t,d,e] = A[t] * S[t - 1, d, e] + K[t,d] * (V[t,e] - R[t,e])\nO[t,e] = Q[t,d] * S[t,d,e]"
    ),
    "mixed": "axis t: n, x: d, y: d\nH[t,x] = tanh(W[x,y] * H[t - 1, y] + X[t,x])",
    "two states": (
        "axis t: n\nC[t,d] = sigmoid(F[t,d]) * C[t - 1, d] + X[t,d] * H[t - 1, d]\nH[t,d] = tanh(C[t,d]) * sigmoid(X[t,d])"
    ),
    "backward": "axis t: n\nS[t,d] = A[t,d] * S[t + 1, d] + X[t,d]\nO[d] = sum[t](exp(S[t,d]) * Q[t,d])",
    "gated": (
        "axis t: n\nD[t,d] = softplus(X[t,d])\nZ[t,d,e] = exp(D[t,d] * A[d,e])\n"
        "S[t,d,e] = Z[t,d,e] * S[t - 1, d, e] + D[t,d] * K[t,e]\nO[t,d] = Q[t,e] * S[t,d,e]"
    ),
    "scan": "axis t: n\nS[b,t,d] = A[b,t] * S[b, t - 1, d] + X[b,t,d]   associative\nO[b,t] = S[b,t,d] * W[d]",
}


def _pairs(search: Search) -> list[tuple[frozenset[str], list[tuple[set[str], list[Plan]]]]]:
    """Every recurrence that can be kept, with what each of both phases loads, and all plans for it."""
    found = []
    for cycle in dict.fromkeys(s.cycle for s in search.cascade.steps if s.cycle):
        kept = frozenset(s.name for s in search.cascade.steps if s.cycle == cycle) & search.cascade.carried
        made = (kept, frozenset(search.must))
        loads = [search.arrange(each, search.must - each, (), kept).loads() for each in made]
        plans = [list(search.plans(each, read, kept)) for each, read in zip(made, loads, strict=True)]
        if kept and not kept & search.must and all(plans):
            found.append((kept, list(zip(loads, plans, strict=True))))
    return found


@pytest.mark.parametrize("name", TEXTS)
@settings(max_examples=12)
@given(data=st.data())
def test_simulated_equals_counted_in_any_chunks(name: str, data: st.DataObject) -> None:
    program = am.gradient(am.parse(TEXTS[name]))
    sizes = {s.name: data.draw(st.integers(1, 7 if s.name == "n" else 3)) for s in program.symbols}
    search = Search(program, 10**6, sizes)
    pairs = _pairs(search)
    assert pairs
    kept, both = data.draw(st.sampled_from(pairs))
    length = data.draw(st.integers(1, sizes["n"]))
    phases = []
    for loads, plans in both:
        plan = data.draw(st.sampled_from(plans))
        tiles = {tile_of("")(a).name: data.draw(st.integers(1, search.extent[a])) for a in (plan.row, plan.panel) if a}
        phases.append(Chosen(plan, search.arrange(plan.targets, loads, plan.streams, kept), 0, 0, tiles, length))
    check_law(derived_of(search, phases), program)


@pytest.mark.parametrize(("name", "M"), [("linear", 400), ("delta", 500), ("scan", 60)])
def test_a_gradient_keeps_states_of_chunks_where_that_moves_less(name: str, M: int) -> None:
    program = am.gradient(am.parse(TEXTS[name]))
    sizes = {s.name: {"n": 40, "b": 2}.get(s.name, 8) for s in program.symbols}
    found = derive(program, M, **sizes)
    assert any("at the first of every" in note for note in found.notes)
    states = 40 * 8 * (8 if name != "scan" else 2)
    assert found.words < 2 * states + found.bounds.best("any").words
    check_law(found, program)
