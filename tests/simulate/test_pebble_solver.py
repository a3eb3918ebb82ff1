"""The exact solver against a brute-force game, and the laws that optima obey."""

import math

import pytest
from brute_force import optimum
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.simulate import Dag, attention_dag, compile_moves, matmul_dag, referee, solve
from attometer.simulate.pebble.symmetry import automorphisms


@st.composite
def small_dags(draw: st.DrawFn) -> Dag:
    sources = draw(st.integers(1, 3))
    size = draw(st.integers(sources + 1, 7))
    parents = [()] * sources + [
        tuple(sorted(draw(st.sets(st.integers(0, v - 1), min_size=1, max_size=min(3, v)))))
        for v in range(sources, size)
    ]
    outputs = draw(st.sets(st.integers(sources, size - 1), min_size=1, max_size=3))
    return Dag(tuple(parents), tuple(range(sources)), tuple(sorted(outputs)))


@settings(max_examples=60, deadline=None)
@given(small_dags(), st.sampled_from(["place", "slide"]), st.booleans(), st.integers(0, 2))
def test_the_optimum_is_that_of_the_game_played_move_by_move(dag: Dag, rule: str, recompute: bool, spare: int) -> None:
    M = dag.smallest_memory(rule) + spare
    pebbling = solve(dag, M, rule, recompute)
    assert pebbling.optimal
    assert pebbling.cost == optimum(dag, M, rule, recompute) == referee(dag, pebbling.moves, M, rule, recompute).cost


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(small_dags(), st.sampled_from(["place", "slide"]), st.booleans(), st.integers(0, 2))
def test_the_optimum_is_that_of_the_game_on_many_graphs(dag: Dag, rule: str, recompute: bool, spare: int) -> None:
    M = dag.smallest_memory(rule) + spare
    assert solve(dag, M, rule, recompute).cost == optimum(dag, M, rule, recompute)


@settings(max_examples=60, deadline=None)
@given(small_dags(), st.integers(0, 3))
def test_laws_of_optima(dag: Dag, spare: int) -> None:
    M = dag.smallest_memory() + spare
    best = solve(dag, M).cost
    assert dag.compulsory <= best <= solve(dag, M, recompute=False).cost
    assert solve(dag, M + 1).cost <= best
    assert solve(dag, M + 1, rule="slide").cost <= best
    assert best <= referee(dag, compile_moves(dag, M), M).cost
    assert solve(dag, len(dag) + 1).cost == dag.compulsory


@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 2, 2), (2, 2, 3)])
def test_sliding_saves_exactly_one_word_in_chains_of_two_or_more(sizes: tuple[int, int, int]) -> None:
    dag = matmul_dag(*sizes)
    for M in range(4, 8):
        assert solve(dag, M, "slide").cost == solve(dag, M + 1).cost


def test_sliding_saves_more_than_nothing_but_less_than_a_word_for_outer_products() -> None:
    dag = matmul_dag(3, 3, 1)
    assert [solve(dag, M, "slide").cost for M in (3, 4)] == [17, 16]
    assert [solve(dag, M).cost for M in (4, 5)] == [17, 15]


@pytest.mark.parametrize(("m", "M", "best"), [(3, 3, 19), (3, 4, 17), (3, 5, 15), (4, 4, 27), (4, 5, 26)])
def test_outer_products_beat_the_published_formula_for_matrix_products(m: int, M: int, best: int) -> None:
    # Kwasniewski et al. 2019, theorem 1, prints 2mnk/√M + mn for any pebbling; it fails below k = 2√M.
    assert solve(matmul_dag(m, m, 1), M).cost == best < 2 * m * m / math.sqrt(M) + m * m


@pytest.mark.parametrize(
    ("sizes", "M"),
    [((1, 2, 1, 3), 5), ((1, 2, 2, 2), 4), ((1, 2, 1, 3), 4), ((1, 2, 2, 3), 4), ((1, 2, 2, 3), 5), ((1, 3, 1, 3), 6)],
)
def test_recomputation_saves_words_in_attention(sizes: tuple[int, int, int, int], M: int) -> None:
    dag = attention_dag(*sizes)
    once, again = solve(dag, M, recompute=False), solve(dag, M)
    assert again.cost < once.cost
    assert referee(dag, again.moves, M).recomputes > 0 == referee(dag, once.moves, M, recompute=False).recomputes


def test_a_limit_leaves_a_certified_lower_bound_and_legal_moves() -> None:
    dag = attention_dag(2, 2, 1, 1)
    pebbling = solve(dag, 4, seconds=0)
    assert not pebbling.optimal
    assert dag.compulsory <= pebbling.lower_bound < 16 <= pebbling.cost == referee(dag, pebbling.moves, 4).cost
    assert "between" in str(pebbling)
    few = solve(attention_dag(2, 2, 2, 2), 6, states=16_000)
    assert few.lower_bound < 22 <= few.cost
    assert not few.optimal


def test_vertices_that_reach_no_output_are_left_out() -> None:
    dag = Dag(((), (), (0, 1), (1,), (0, 2)), (0, 1), (4,))
    pebbling = solve(dag, 3)
    assert pebbling.cost == 3
    assert 3 not in {move.vertex for move in pebbling.moves}


def test_a_result_as_plain_values() -> None:
    answer = solve(matmul_dag(1, 1, 1), 3).to_dict()
    assert (answer["cost"], answer["optimal"], answer["moves"][:3]) == (3, True, ["load 0", "load 1", "compute 2"])


def test_a_memory_too_small_names_the_smallest_feasible_one() -> None:
    with pytest.raises(
        AttometerError,
        match=r'M=3 is too small for any pebbling: vertex 9 .* the smallest feasible M is 4 with rule="place"',
    ):
        solve(matmul_dag(2, 2, 2), 3)
    with pytest.raises(AttometerError, match=r'the smallest feasible M is 3 with rule="slide"'):
        solve(matmul_dag(2, 2, 2), 2, rule="slide")


def test_a_graph_too_large_names_the_limit_and_offers_bounds() -> None:
    with pytest.raises(
        AttometerError, match=r"dag has 120 vertices .* takes at most 62.* at least 56 words .* one that moves \d+"
    ):
        solve(matmul_dag(4, 4, 5), 8)


def test_an_unknown_rule_suggests_the_nearest() -> None:
    with pytest.raises(AttometerError, match=r'unknown pebble rule "slid"; did you mean "slide"\?'):
        solve(matmul_dag(1, 1, 1), 3, rule="slid")


def test_symmetries_keep_edges_inputs_and_outputs() -> None:
    for dag, count in (
        (matmul_dag(3, 3, 2), 72),
        (matmul_dag(3, 2, 2), 12),
        (attention_dag(2, 2, 1, 2), 4),
        (matmul_dag(4, 4, 1), 128),
    ):
        found = automorphisms(dag, 128)
        assert len(set(found)) == len(found) == count
        for images in found:
            assert sorted(images) == list(range(len(dag)))
            assert {images[vertex] for vertex in dag.inputs} == set(dag.inputs)
            assert {images[vertex] for vertex in dag.outputs} == set(dag.outputs)
            for vertex, operands in enumerate(dag.parents):
                assert {images[parent] for parent in operands} == set(dag.parents[images[vertex]])
