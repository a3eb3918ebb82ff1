"""The coefficients by which tiles are compared, against the walk over the nest that they stand for."""

import pytest
import sympy
from cascades import PROGRAMS

import attometer as am
from attometer.count.nest_search import Search, tile_of
from attometer.count.traffic.phase_tiles import PhaseTiles
from attometer.count.traffic.walk import Problem
from attometer.count.traffic.words import held, moved
from attometer.schedule.fused import Phase


@pytest.mark.parametrize(
    "name", ["softmax", "causal", "differential", "talking heads", "swiglu", "chunks", "own and memory"]
)
def test_the_coefficients_of_a_phase_are_what_the_walk_over_it_counts(name: str) -> None:
    program = am.parse(PROGRAMS[name])
    sizes = {s.name: k for s, k in zip(program.symbols, (6, 3, 5, 7, 4, 3), strict=False)}
    sizes |= {"T": 8, "B": 4} if "T" in sizes else {}
    search = Search(program, 10**6, sizes)
    compared = 0
    for target in search.must:
        loads = search.loads(frozenset({target}), frozenset(search.must))
        for plan in search.plans(frozenset({target}), loads):
            if not plan.tiled:
                continue
            passes = search.arrange(plan.targets, loads, plan.streams)
            loop = Phase(passes, plan, tile_of("")).loops()[0]
            axes = [a for a in (plan.row, plan.panel, *plan.streams) if a]
            nest = search._schedule((loop,), tuple((tile_of("")(a), a) for a in axes))
            free = {
                tile_of("")(a).name: search.extent[a] for a in axes[: 1 + bool(plan.panel)] if a not in plan.streams
            }
            tiles = PhaseTiles(nest, (loop,), sizes, free, 10**6)
            chosen = dict.fromkeys(free, 2)
            where = Problem({**sizes, **dict.fromkeys(nest.tile_names, 1), **chosen}, None, 1, masked=False)
            assert int(tiles.need(chosen)) == held(nest, (loop,), where)
            assert int(tiles.words(chosen, masked=False)) == moved(nest, (loop,), where).words
            bare = Phase(passes, plan, tile_of(""), steps=False).loops()[0]
            assert held(nest, (bare,), where) == held(nest, (loop,), where)
            assert sympy.sympify(moved(nest, (bare,), where).words) == moved(nest, (loop,), where).words
            compared += 1
    assert compared
