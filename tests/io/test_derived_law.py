"""The law of derived nests: what is counted on them is what the scratchpad that runs them counts, and the values are right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy
from cascades import PROGRAMS as PLAIN
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from recurrent_cascades import PROGRAMS as RECURRENT

import attometer as am
from attometer.count.derive import derive
from attometer.count.derived import Derived, derived_of
from attometer.count.nest_search import Chosen, Search, Split, tile_of
from attometer.count.traffic.words import footprint, traffic
from attometer.count.work.schedule_work import work
from attometer.count.work.split_tradeoff import split_tradeoff
from attometer.mechanisms.subject import subject
from attometer.program import gradient
from attometer.program.expression import Along, Binary, Call, Expression, Number, Ref, walk
from attometer.program.expression_reader import read_expression
from attometer.program.printer import expression_text
from attometer.schedule.catalogue import schedule
from attometer.schedule.fused import Plan
from attometer.schedule.incremental import correction
from attometer.schedule.merging import Merge
from attometer.simulate import interpret
from attometer.simulate.scratchpad.two_level import TwoLevel
from index_maps import DECLARED, orders, places, read_by, some
from index_maps import SIZES as PLACED

PROGRAMS = PLAIN | RECURRENT


def arrays_of(program: am.Program, sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    numbers = {am.size(k): sympy.Integer(v) for k, v in sizes.items()}
    found = {t.name: rng.standard_normal([int(x.xreplace(numbers)) for x in t.extents]) for t in program.inputs}
    # Positions are whole numbers, some of them outside.
    positions = {r.tensor for s in program.statements for n in walk(s.expression) for r in _inside(n)} & found.keys()
    return found | {name: rng.integers(-1, 6, found[name].shape) for name in positions}


def _inside(node: Expression) -> list[Ref]:
    parts = [*node.indices] if isinstance(node, Ref) else []
    parts += node.parameters if isinstance(node, Along) else ()
    return [r for part in parts for r in walk(part) if isinstance(r, Ref)]


def check_law(found: Derived, program: am.Program, seed: int = 0) -> None:
    sizes, tiles = dict(found.sizes), dict(found.tiles)
    arrays = arrays_of(program, sizes, seed)
    done = TwoLevel(found.M).run(found.schedule, arrays, tiles, sizes=sizes)
    counted = traffic(found.schedule, {**_own(found), **tiles})
    assert {k: v for k, v in done.reads.items() if v} == {k: v for k, v in counted.reads.items() if v}
    assert {k: v for k, v in done.writes.items() if v} == {k: v for k, v in counted.writes.items() if v}
    assert done.words == found.words
    assert done.peak <= footprint(found.schedule, {**_own(found), **tiles}) == found.footprint <= found.M
    assert done.operations == work(found.schedule, {**_own(found), **tiles})
    if all(s.where is None for s in program.statements):
        assert done.peak == found.footprint
        assert done.depth == found.depth
    right = interpret(program, arrays, sizes)
    for name, ours in done.outputs.items():
        np.testing.assert_allclose(ours.reshape(right[name].shape), right[name], rtol=1e-9, atol=1e-11)


def _own(found: Derived) -> dict[str, int]:
    known = {s.name for s in found.schedule.symbols}
    return {k: v for k, v in found.sizes.items() if k in known}


def sizes_of(program: am.Program, draw: st.DrawFn) -> dict[str, int]:
    names = [s.name for s in program.symbols]
    sizes = {k: draw(st.integers(1, 5)) for k in names}
    for whole, part in (("h", "g"), ("T", "B"), ("n", "B")):
        if {whole, part} <= set(names):
            sizes[whole] = sizes[part] * draw(st.integers(1, 3))
    if "k" in sizes:
        sizes["k"] = min(sizes["k"], sizes.get("m", sizes.get("n", 1)))
    return sizes


@st.composite
def nests(draw: st.DrawFn, name: str) -> Derived:
    """Any nest of a program: any cut, any chunks, any plan of each phase, any tiles, not only the best."""
    program = am.parse(PROGRAMS[name])
    search = Search(
        program,
        10**6,
        sizes_of(program, draw),
        draw(st.sampled_from(["none", "images", "tables"])),
        draw(st.booleans()),
    )
    summed = sorted({axis for step in search.cascade.steps for axis in step.summed})
    search.split = draw(st.none() | st.builds(Split, st.sampled_from(summed), st.integers(1, 4))) if summed else None
    assume(not any(v.at and v.where for v in search.cascade.values))
    cut = frozenset(search.must | draw(st.sets(st.sampled_from(search.free))) if search.free else search.must)
    phases = []
    for target in search.cascade.stores:
        if target in cut:
            targets = frozenset({target})
            loads = search.loads(targets, cut)
            plans = list(search.plans(targets, loads))
            assume(plans)
            plan = draw(st.sampled_from(plans))
            along = search.arrange(targets, loads, plan.streams).along
            tiled = [axis for axis in (plan.row, plan.panel, *plan.streams) if axis and axis not in along]
            tiles = {tile_of("")(axis).name: draw(st.integers(1, search.extent[axis])) for axis in tiled}
            width = tiles.pop(tile_of("")(str(plan.stream)).name) if plan.split else 1
            run = search.split.run(search.extent[search.split.axis], width) if plan.split and search.split else 1
            phases.append(Chosen(plan, search.arrange(targets, loads, plan.streams), 0, 0, tiles, width, run))
    return derived_of(search, phases)


@pytest.mark.parametrize("name", PROGRAMS)
@settings(max_examples=8)
@given(data=st.data())
def test_simulated_equals_counted_on_every_nest(name: str, data: st.DataObject) -> None:
    check_law(data.draw(nests(name)), am.parse(PROGRAMS[name]), data.draw(st.integers(0, 99)))


@pytest.mark.parametrize("name", ["softmax", "shared heads", "differential", "linear", "swiglu", *RECURRENT])
@pytest.mark.parametrize("M", [40, 150])
def test_simulated_equals_counted_on_the_best_nest(name: str, M: int) -> None:
    program = am.parse(PROGRAMS[name])
    sizes = {s.name: size for s, size in zip(program.symbols, (3, 2, 2, 4, 5, 6), strict=False)}
    sizes |= {"k": 2, "B": 2, "n": 4} if {"k", "B"} & set(sizes) else {}
    sizes = {k: v for k, v in sizes.items() if k in {s.name for s in program.symbols}}
    check_law(derive(program, M, **sizes), program)


def test_an_extreme_of_rows_that_see_nothing_is_0_and_counts() -> None:
    program = am.parse(PROGRAMS["own and memory, unlike"])
    check_law(derive(program, 60, n=6, m=4, w=3, d=2), program)


def test_no_nest_has_a_product_under_a_mask() -> None:
    with pytest.raises(
        am.AttometerError, match=r'no nest is derived for "Y" = .*: it is 0 where its mask lets nothing in'
    ):
        derive(am.parse("axis i: n, j: m\nY[i] = prod[j](X[i,j])   where causal(i, j)"), 60)


def test_sums_of_sums_add_up_over_tiles_of_the_inner_one() -> None:
    program = am.parse(
        "H[i,k,f] = X[i,a] * G[k,a,f]\nV[i,k,c] = H[i,k,f] * U[k,f,c]\nY[i,c] = sum[k](P[i,k] * V[i,k,c])"
    )
    sizes = {"i": 24, "k": 4, "a": 8, "f": 16, "c": 8}
    found = derive(program, 400, **sizes)
    assert found.stored == ()  # V of all k and f at once would not fit
    check_law(found, program)
    # What is not linear in a sum needs all of it.
    program = am.parse("H[i,k,f] = X[i,a] * G[k,a,f]\nV[i,k,c] = H[i,k,f] * U[k,f,c]\nY[i,c] = sum[k](exp(V[i,k,c]))")
    found = derive(program, 400, **sizes)
    check_law(found, program)


@pytest.mark.parametrize(
    ("n", "m", "d", "e", "M"), [(4096, 4096, 64, 64, 98304), (512, 700, 64, 32, 1024), (96, 96, 8, 24, 300)]
)
def test_no_hand_written_nest_moves_fewer_words(n: int, m: int, d: int, e: int, M: int) -> None:
    found = derive(am.parse(PROGRAMS["softmax"]), M, n=n, m=m, d=d, e=e, h=1)
    # Those without a row maximum compute something else: exponentials that overflow.
    for name in (
        "naive",
        "naive_rows",
        "two_pass_rowmax",
        "two_pass_outer_rowmax",
        "flash1",
        "flash2",
        "flash2_sliced",
    ):
        hand = am.best_tiles(name, n=n, m=m, d=d, e=e, M=M)
        assert (found.words, found.footprint) <= (hand.words, M), name


@pytest.mark.parametrize(
    ("n", "m", "d", "e", "M"),
    [(1, 65536, 64, 64, 98304), (1, 4096, 128, 128, 24576), (4, 10000, 64, 32, 16384), (1, 50, 3, 5, 100)],
)
def test_split_attention_is_found_in_the_text(n: int, m: int, d: int, e: int, M: int) -> None:
    text = am.parse(PROGRAMS["softmax"])
    for hand in split_tradeoff(n=n, m=m, d=d, e=e, M=M)[1:]:
        found = derive(text, M, splits=hand.splits, n=n, m=m, d=d, e=e, h=1)
        assert found.words <= hand.words
        assert found.depth < hand.depth
        assert found.work <= work(schedule("split_kv"), {"n": n, "m": m, "d": d, "e": e, **hand.tiles})
        assert found.merge is not None
        assert found.merge.associative


@pytest.mark.parametrize("mask", ["", "   where causal(i, j)", "   where causal(i, j) & window(i, j, 3)"])
@pytest.mark.parametrize("splits", [2, 3, 5])
def test_chunks_of_any_mask_merge_to_the_same_result(mask: str, splits: int) -> None:
    program = am.parse(PROGRAMS["softmax"].replace("/ sqrt(d)", f"/ sqrt(d){mask}"))
    assert (mask == "") == all(s.where is None for s in program.statements)
    check_law(derive(program, 60, splits={"j": splits}, n=3, m=7, d=2, e=2, h=1), program)


def test_processors_ask_for_as_few_chunks_as_let_the_work_bind() -> None:
    decode = am.mechanism("decode").program
    few, some, many = (derive(decode, 98304, processors=p, m=65536, d=64, b=1, h=1) for p in (100, 16384, 10**6))
    assert few.merge is None
    assert few.depth * 100 <= few.work
    assert some.schedule.notes[1].startswith("4 chunks of j at once")
    assert some.depth * 16384 <= some.work < derive(decode, 98304, splits=2, m=65536, d=64, b=1, h=1).depth * 16384
    assert many.notes[-1].startswith("no number of chunks makes depth as little as work / 1,000,000")
    assert many.depth == min(derive(decode, 98304, splits=2**k, m=65536, d=64, b=1, h=1).depth for k in range(1, 8))


def test_a_correction_that_does_not_compose_is_not_associative() -> None:
    def merge(new: Expression) -> Merge:
        return Merge((("O", "sum", (("m", Call("exp", (Binary("-", Ref("old", ()), new),))),)),))

    assert merge(Ref("new", ())).associative
    assert not merge(Binary("*", Number(2), Ref("new", ()))).associative


def test_flash_attention_2_is_found_in_the_text() -> None:
    found = derive(am.mechanism("softmax").program, 98304, n=65536, d=64, b=1, h=1)
    assert (found.stored, found.passes, found.forced) == ((), (1,), ())
    assert "O[b,h,i,e] *= exp(old P.max - P.max)" in str(found)
    assert found.words == 2 * 65536 * 64 + -(-65536 // found.tiles["B_i"]) * 65536 * 128


def test_sums_over_rows_and_over_columns_of_one_gradient_never_store_it() -> None:
    text = Path(__file__).parents[2] / "examples" / "forgetting.att"
    found = derive(gradient(subject(str(text)).program), 98304, n=4096, d=64, b=1, h=1)
    assert found.stored == ("C", "P.max", "P.sum", "DP", "dC.sum", "dC.sum2")
    assert "dC.sum+dC.sum2+dQ along j" in found.schedule.title
    assert found.words == 10_164_377


def test_a_chunk_of_the_delta_rule_never_leaves_fast_memory() -> None:
    text = subject(str(Path(__file__).parents[2] / "examples" / "delta_rule_chunked.att")).program
    found = derive(text, 98304, n=4096, d=64, e=64, h=1, B=64)
    assert (found.stored, found.passes) == ((), (1,))
    assert found.words == 4 * 4096 * 64 + 4096  # every input is read once, the result written once


def test_the_kernels_of_the_backward_pass_are_found_in_the_text_of_the_gradient() -> None:
    text = (
        "axis i: n, j: n\ninput Q[i,d], K[j,d], V[j,e]\nS[i,j] = Q[i,d] * K[j,d] / sqrt(d)\nP[i,j] = softmax[j](S)\n"
        "O[i,e] = P[i,j] * V[j,e]"
    )
    found = derive(gradient(am.parse(text)), 98304, n=4096, d=64, e=64)
    # Statistics of rows in one phase, dQ in the second, dK with dV in the third: scores never leave fast memory.
    assert found.stored == ("P.max", "P.sum", "DP")
    assert "dK.product+dV along i" in found.schedule.title or "dK+dV along i" in found.schedule.title
    # The backward schedules take O and the log-sum-exp from a forward pass, which the text computes itself.
    forward, backward = (
        am.best_tiles(name, n=4096, d=64, M=98304).words for name in ("flash2", "flash_backward_two_kernels")
    )
    assert found.words <= forward + backward


@pytest.mark.parametrize(
    ("term", "factor"),
    [
        ("exp(S[] - 1e30 * less(a[], b[]) - m[])", "exp(old[] - new[])"),
        ("relu(S[]) * V[] / m[]", "old[] / new[]"),
        ("exp(S[]) * V[] - equal(S[] - 1e30 * less(a[], b[]), M[]) * m[] / (N[] * R[])", None),
        ("equal(S[], m[])", None),
        ("relu(S[] - m[])", None),
        ("relu(exp(S[] - m[]) - exp(0 - m[])) * V[]", "exp(old[] - new[])"),  # relu and abs keep positive factors
        ("abs(exp(S[] - m[]) - exp(0 - m[]))", "exp(old[] - new[])"),
        ("relu(S[] * m[])", None),
    ],
)
def test_a_factor_corrects_a_term_or_numbers_show_that_none_does(term: str, factor: str | None) -> None:
    found = correction(read_expression(term), "m", lambda name: None)
    assert (found and expression_text(found)) == factor


def test_a_rectified_softmax_takes_one_pass() -> None:
    text = """
    axis i: n, j: n
    input Q[i,d], K[j,d], V[j,e]
    S[i,j] = Q[i,d] * K[j,d] / sqrt(d)   where causal(i, j)
    m[i] = max[j](S)
    E[i,j] = exp(S[i,j] - m[i]) - exp(0 - m[i])
    P[i,j] = relu(E) / (sum[j](abs(E[i,j])) + 0.000001)
    O[i,e] = P[i,j] * V[j,e]
    """  # Softpick, arXiv:2504.20966
    found = derive(am.parse(text), 98304, n=4096, d=64, e=64)
    assert (found.passes, found.stored) == ((1,), ())
    flash = derive(am.mechanism("softmax", mask="causal"), 98304, n=4096, d=64, b=1, h=1)
    assert found.words == flash.words


@given(places, places, orders, some, st.sampled_from(["square({})", "exp({})", "{}"]), st.sampled_from([24, 60]))
@settings(max_examples=60)
def test_reads_at_any_places_are_right(
    first: list[str], other: list[str], own: list[str], kept: set[str], bent: str, M: int
) -> None:
    made, over = read_by(first)[: len(other)], read_by(other)
    text = (
        f"{DECLARED}\ninput X[{','.join(own[: len(first)])}], W[{over[0]}]\n"
        f"T[{','.join(made)}] = {bent.format('X[' + ', '.join(first) + ']')}\n"
        f"O[{','.join(['k', *(i for i in over if i in kept)])}] = V[k] * T[{', '.join(other[: len(made)])}] * W[{over[0]}]\ninput V[k]"
    )
    try:
        program = am.parse(text)
        sizes = {s.name: (PLACED | {"k": 2})[s.name] for s in program.symbols}
        found = derive(program, M, **sizes)
    except am.AttometerError:  # an axis read by an index of another size
        assume(False)
    check_law(found, program)


def test_what_no_factor_corrects_takes_another_pass_and_is_named() -> None:
    text = am.parse(PROGRAMS["double softmax"])
    found = derive(text, 600, n=64, m=64, d=4, e=4)
    assert found.passes == (2,)
    assert found.forced == (("P.sum", "R.max"),)
    assert "R.max waits for P.sum: no factor corrects it" in str(found)


@pytest.mark.parametrize(
    ("text", "M", "sizes", "said"),
    [
        ("Y[i] = X[i] * 2", 0, {}, "M must be"),
        ("Y[i] = X[i] * 2", 9, {"k": 1}, 'unknown size "k"'),
        ("Y[i] = sum[j](X[i,j])", 1, {"i": 4, "j": 4}, "no nest of this program fits into M = 1 words at i = 4, j = 4"),
        ("input X[i]\nT[i] = argsort[i](X)", 99, {}, "its positions stand along the axis that it sorts"),
        (
            "F[t] = F[t-1] + X[t]\nL[t] = L[t+1] + F[t]\ninput X[t]",
            1,
            {},
            "no nest of this program fits into M = 1 words",
        ),
        ("Y[i] = X[i] * 2", 9, {"splits": 2}, "no partial results along any axis merge within M = 9 words"),
        ("F[t] = F[t-1] + X[t]\ninput X[t]", 9, {"splits": {"t": 2}}, 'unknown summed axis "t"'),
        ("Y[i] = sum[j](X[i,j])", 9, {"splits": 2, "processors": 3}, "give one of them"),
        ("Y[i] = sum[j](X[i,j])", 9, {"splits": {"i": 2, "j": 2}}, "splits cuts one axis, got i, j"),
        ("Y[i] = sum[j](X[i,j])", 9, {"splits": 5, "j": 4}, "j has 4 places, which are not 5 chunks"),
    ],
)
def test_refusals_name_what_is_refused(text: str, M: int, sizes: dict[str, Any], said: str) -> None:
    with pytest.raises(am.AttometerError) as error:
        derive(am.parse(text), M, **sizes)
    assert said in str(error.value)


@pytest.mark.parametrize("name", ["rnn", "gru", pytest.param("lstm", marks=pytest.mark.slow)])
def test_weights_that_do_not_fit_are_read_at_every_step(name: str) -> None:
    program = am.mechanism(name).program
    found = derive(program, 2000, n=9, d=64, b=1)
    assert "weights of a recurrence" in {b.name for b in found.bounds.bounds}
    assert all(b.words <= found.words for b in found.bounds.bounds)
    assert found.ratio < 4
    check_law(derive(program, 40, n=4, d=5, b=2), program)


def test_own_keys_and_a_memory_share_one_pass_and_one_accumulator() -> None:
    n, w, d, e = 512, 300, 16, 8
    found = derive(am.parse(PROGRAMS["own and memory"]), 1024, n=n, w=w, d=d, e=e)
    assert (found.stored, found.passes, found.tiles["B_e"]) == ((), (1,), e)
    rows = found.tiles["B_i"]
    ends = [min(n, begin + rows) for begin in range(0, n, rows)]  # a tile of queries reads the keys up to its last one
    assert found.words == n * (d + e) + sum(end + w for end in ends) * (d + e)
    # Two accumulators of the output, one for each normaliser, would leave room for a third fewer queries.
    assert rows > 1024 // (d + 2 * e + 4)


def test_words_that_a_loop_does_not_change_are_loaded_outside_of_it() -> None:
    search = Search(am.parse("Y[i,k] = X[i,d] * W[k,d]"), 10**6, {"i": 3, "k": 4, "d": 5})
    targets, loads = frozenset({"Y"}), {"X", "W"}
    plan = Plan(targets, ("i",))
    found = derived_of(search, [Chosen(plan, search.arrange(targets, loads), 0, 0, {})])
    assert found.traffic.reads == {"X": 3 * 5, "W": 3 * 4 * 5}  # a word of X once for all k
    check_law(found, found.program)
