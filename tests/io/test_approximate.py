"""Schedules of mechanisms that replace the score matrix: the law, the mechanism itself as reference, best tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import attometer as am
from attometer.count.traffic.tile_search import best_tiles
from attometer.count.traffic.words import footprint, traffic
from attometer.count.work.schedule_work import depth, work
from attometer.errors import AttometerError
from attometer.schedule.catalogue import APPROXIMATE, schedule
from attometer.simulate.scratchpad.two_level import TwoLevel

Array = NDArray[np.float64]


def inputs(name: str, s: dict[str, int], copies: int, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    shapes = {"Q": (copies, s["n"], s["d"]), "K": (copies, s["n"], s["d"]), "V": (copies, s["n"], s["e"])}
    shapes |= {"linformer": {"E": (s.get("k", 1), s["n"]), "F": (s.get("k", 1), s["n"])},
               "performer": {"W": (s.get("f", 1), s["d"])}}.get(name, {})  # fmt: skip
    return {k: rng.standard_normal(shape) for k, shape in shapes.items()}


def reference(name: str, arrays: dict[str, Array], s: dict[str, int]) -> Array:
    heads = {k: v[None] if v.ndim == 3 else v for k, v in arrays.items()}
    sizes = {**s, "b": 1, "h": len(arrays["Q"])}
    return am.interpret(am.mechanism(name, e=am.size("e")).program, heads, sizes)["O"][0]


@pytest.mark.parametrize("name", APPROXIMATE)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), n=st.integers(1, 6), d=st.integers(1, 4), e=st.integers(1, 4), other=st.integers(1, 5),
       copies=st.integers(1, 2))  # fmt: skip
def test_simulated_equals_derived(
    name: str, data: st.DataObject, n: int, d: int, e: int, other: int, copies: int
) -> None:
    chosen = schedule(name)
    extra = {"linformer": {"k": other}, "performer": {"f": other}}.get(name, {})
    extent = {"i": n, "y": n, "j": extra.get("k", n), "c": d, "x": e, "f": other}
    tiles = {t.name: data.draw(st.integers(1, extent[axis])) for t, axis in chosen.tiles}
    sizes = {"n": n, "m": n, "d": d, "e": e, **extra}
    both = {**sizes, **tiles}
    arrays = inputs(name, {**sizes}, copies, 5)
    need = footprint(chosen, both)
    done = TwoLevel(need).run(chosen, arrays, tiles)
    moved = traffic(chosen, both, copies=copies)
    assert (dict(done.reads), dict(done.writes)) == (dict(moved.reads), dict(moved.writes))
    assert done.operations == work(chosen, both, copies=copies)
    assert (done.depth, done.peak) == (depth(chosen, both), need)
    right = reference(name, arrays, {"n": n, "d": d, "e": e, **extra})
    np.testing.assert_allclose(done.outputs["O"], right, rtol=1e-9, atol=1e-9 * np.abs(right).max())


def test_linear_in_length() -> None:
    for name, extra in (("linear", {}), ("linformer", {"k": 256}), ("performer", {"f": 256})):
        one, two = (best_tiles(name, n=n, d=64, M=98304, **extra).words for n in (1 << 15, 1 << 16))
        assert two / one == pytest.approx(2, rel=0.15)


def test_linear_attention_with_room_for_its_state_reads_everything_once() -> None:
    n, d = 1 << 12, 64
    best = best_tiles("linear", n=n, d=d, M=d * d + 4 * d)
    assert best.words == 4 * n * d + 2 * (d * d + d)


def test_too_little_memory_is_named() -> None:
    with pytest.raises(
        AttometerError,
        match=r'schedule "performer" needs at least 259 words of fast memory at d = 64, e = 64; M = 100$',
    ):
        best_tiles("performer", n=64, d=64, M=100, f=8)
