"""The law of schedules: what the walk of the loop nest derives is what the executed nest counted, for every schedule."""

from dataclasses import dataclass

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from attometer import masks
from attometer.count.traffic.words import footprint, traffic
from attometer.count.work.schedule_work import depth, work
from attometer.errors import AttometerError
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.simulate.scratchpad.two_level import TwoLevel, stack_heads
from attometer.sizes import size

FORWARD = [name for name in SCHEDULES if not schedule(name).backward]
BACKWARD = [name for name in SCHEDULES if schedule(name).backward]
MASKS = [
    None,
    masks.causal(),
    masks.window(2),
    masks.causal() | masks.prefix(2),
    masks.causal() & (masks.window(2) | masks.strided(3)),
    masks.global_(1) | masks.band(1, 0),
    masks.random(2, 3),
    masks.document([2, 3, 1]),
]


@dataclass(frozen=True)
class Case:
    n: int
    m: int
    d: int
    e: int
    copies: int
    stack: int
    mask: masks.Mask | None
    seed: int


cases = st.builds(
    Case,
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(1, 3),
    st.sampled_from(MASKS),
    st.integers(0, 1000),
)


def tiles_for(name: str, case: Case, draw: st.DrawFn) -> dict[str, int]:
    extent = {"i": case.n * case.stack, "j": case.m, "c": case.d, "x": case.e}
    longest = max(extent.values())
    clipped = schedule(name).clipped
    return {s.name: draw(st.integers(1, longest if clipped else extent[axis])) for s, axis in schedule(name).tiles}


def inputs(case: Case, dtype: type = np.float64) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(case.seed)
    rows = case.n * case.stack
    shapes = {"Q": (rows, case.d), "K": (case.m, case.d), "V": (case.m, case.e), "dO": (rows, case.e)}
    return {k: rng.standard_normal((case.copies, *shape)).astype(dtype) for k, shape in shapes.items()}


def reference(case: Case, dtype: type = np.float64) -> dict[str, NDArray[np.float64]]:
    """Softmax attention and its gradients, whole matrices, plain NumPy."""
    x = inputs(case, dtype)
    allowed = np.ones((case.n, case.m), bool) if case.mask is None else case.mask.matrix(case.n, case.m)
    allowed = np.repeat(allowed, case.stack, axis=0)
    scores = np.where(allowed, x["Q"] @ x["K"].swapaxes(1, 2) / dtype(np.sqrt(case.d)), -np.inf)
    top = np.where(allowed.any(1), scores.max(-1), 0)[..., None]
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    P = weights / np.where(total > 0, total, 1)
    O = P @ x["V"]  # noqa: E741
    L = np.where(allowed.any(1), (top + np.log(np.where(total > 0, total, 1)))[..., 0], -np.inf)
    dP = x["dO"] @ x["V"].swapaxes(1, 2)
    dS = P * (dP - (x["dO"] * O).sum(-1, keepdims=True)) / dtype(np.sqrt(case.d))
    gradients = {"dQ": dS @ x["K"], "dK": dS.swapaxes(1, 2) @ x["Q"], "dV": P.swapaxes(1, 2) @ x["dO"]}
    return {"O": O, "L": L, **gradients}


def check_law(name: str, case: Case, tiles: dict[str, int]) -> None:
    chosen = schedule(name)
    exact = reference(case)
    arrays = {k: v for k, v in {**inputs(case), "O": exact["O"], "L": exact["L"]}.items() if _is_input(name, k)}
    sizes = {"n": case.n, "m": case.m, "d": case.d, "e": case.e, **tiles}
    need = footprint(chosen, sizes, case.stack)
    done = TwoLevel(need).run(chosen, arrays, tiles, case.mask, case.stack)
    moved = traffic(chosen, sizes, case.mask, case.copies, case.stack)
    assert {k: v for k, v in done.reads.items() if v} == {k: v for k, v in moved.reads.items() if v}
    assert {k: v for k, v in done.writes.items() if v} == {k: v for k, v in moved.writes.items() if v}
    assert done.words == moved.words
    assert done.operations == work(chosen, sizes, case.mask, case.copies, case.stack)
    if case.mask is None:
        assert done.depth == depth(chosen, sizes, case.stack)
        alone = TwoLevel(need, serial=True).run(chosen, arrays, tiles, None, case.stack)
        assert alone.depth == depth(chosen, sizes, case.stack, case.copies, serial=True)
        assert done.peak == need
    rough = reference(case, np.float32)
    for output in [k for k in ("O", "L", "dQ", "dK", "dV") if k in done.outputs]:
        ours, right = done.outputs[output], exact[output]
        assert np.array_equal(np.isfinite(ours), np.isfinite(right)), output
        finite = np.isfinite(right)
        # Float64 tiles must be closer to the float64 reference than float32 arithmetic is.
        allowed = np.abs(rough[output][finite] - right[finite]).max(initial=0) + 1e-12
        assert np.abs(ours[finite] - right[finite]).max(initial=0) <= allowed, output


def _is_input(name: str, tensor: str) -> bool:
    declared = dict(schedule(name).tensors)
    return tensor in declared and declared[tensor].role == "input"


@pytest.mark.parametrize("name", FORWARD)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), case=cases)
def test_forward_simulated_equals_derived(name: str, data: st.DataObject, case: Case) -> None:
    check_law(name, case, data.draw(st.composite(lambda draw: tiles_for(name, case, draw))()))


@pytest.mark.parametrize("name", BACKWARD)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), case=cases)
def test_backward_simulated_equals_derived(name: str, data: st.DataObject, case: Case) -> None:
    check_law(name, case, data.draw(st.composite(lambda draw: tiles_for(name, case, draw))()))


@pytest.mark.parametrize("name", SCHEDULES)
def test_symbolic_expressions_evaluate_to_the_walk_on_integers(name: str) -> None:
    chosen = schedule(name)
    rng = np.random.default_rng(7)
    for mask in (None, masks.causal()):
        symbolic = traffic(chosen, None, mask).words, work(chosen, None, mask), footprint(chosen), depth(chosen)
        for _ in range(5):
            extent = dict(zip("ijcx", map(int, rng.integers(1, 40, 4)), strict=True))
            sizes = {"n": extent["i"], "m": extent["j"], "d": extent["c"], "e": extent["x"]}
            tiles = {s.name: int(rng.integers(1, extent[axis] + 1)) for s, axis in chosen.tiles}
            both = {**sizes, **tiles}
            values = {size(k): sympy.Integer(v) for k, v in both.items()}
            numbers = (
                traffic(chosen, both, mask).words,
                work(chosen, both, mask),
                footprint(chosen, both),
                depth(chosen, both),
            )
            assert tuple(int(expression.xreplace(values)) for expression in symbolic) == tuple(map(int, numbers))


@pytest.mark.parametrize("name", SCHEDULES)
def test_one_word_less_than_the_footprint_overflows(name: str) -> None:
    case = Case(6, 6, 3, 3, 1, 1, None, 1)
    tiles = {s.name: 2 if axis in "ij" else 1 for s, axis in schedule(name).tiles}
    exact = reference(case)
    arrays = {k: v for k, v in {**inputs(case), "O": exact["O"], "L": exact["L"]}.items() if _is_input(name, k)}
    need = footprint(schedule(name), {"n": 6, "m": 6, "d": 3, "e": 3, **tiles})
    assert TwoLevel(need).run(schedule(name), arrays, tiles).peak == need
    with pytest.raises(
        AttometerError, match=rf"fast memory of {need - 1} words overflows: (load|new) \w+\[.*needs \d+ words"
    ):
        TwoLevel(need - 1).run(schedule(name), arrays, tiles)


def test_stacked_heads_are_grouped_query_attention() -> None:
    rng = np.random.default_rng(3)
    q, k, v = rng.standard_normal((1, 4, 5, 3)), rng.standard_normal((1, 2, 5, 3)), rng.standard_normal((1, 2, 5, 2))
    arrays = {"Q": stack_heads(q, 2), "K": stack_heads(k, 2), "V": stack_heads(v, 2)}
    tiles = {"B_r": 3, "B_c": 2, "B_d": 1, "B_e": 1}
    done = TwoLevel(1000).run(schedule("flash2"), arrays, tiles, masks.causal(), 2)
    seen = np.tril(np.ones((5, 5), bool))
    for head in range(4):
        s = np.where(seen, q[0, head] @ k[0, head // 2].T / np.sqrt(3), -np.inf)
        w = np.exp(s - s.max(-1, keepdims=True))
        expected = w / w.sum(-1, keepdims=True) @ v[0, head // 2]
        np.testing.assert_allclose(done.outputs["O"][head // 2, head % 2 :: 2], expected, atol=1e-12)


def test_bad_runs_say_what_is_wrong() -> None:
    q = np.ones((1, 2, 1))
    good = {"Q": q, "K": q, "V": q}
    with pytest.raises(AttometerError, match='schedule "flash1" has tiles B_r, B_c; got B_r'):
        TwoLevel(9).run(schedule("flash1"), good, {"B_r": 1})
    with pytest.raises(AttometerError, match='schedule "flash1" takes Q, K, V; got Q'):
        TwoLevel(9).run(schedule("flash1"), {"Q": q}, {"B_r": 1, "B_c": 1})
    with pytest.raises(AttometerError, match="V has 2 along j, another input has 3"):
        TwoLevel(9).run(schedule("flash1"), {**good, "K": np.ones((1, 3, 1))}, {"B_r": 1, "B_c": 1})
    with pytest.raises(AttometerError, match='unknown schedule "flash3"; did you mean "flash2"'):
        schedule("flash3")
    with pytest.raises(AttometerError, match='schedule "flash1" has no size "B_x"; it has B_c, B_r, d, e, m, n'):
        traffic(schedule("flash1"), {"B_x": 3})
