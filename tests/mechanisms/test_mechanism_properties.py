"""Properties that hold at any sizes: forms of one function agree, masks that hide nothing change nothing."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from plain import worst

from attometer.mechanisms import mechanism
from attometer.simulate.interpreter import interpret

FEW = settings(max_examples=25, deadline=None)
SMALL = st.integers(1, 6)


def result(name: str, inputs: dict[str, Any], **parameters: Any) -> Any:
    """Return the output O of a mechanism on `inputs`."""
    return interpret(mechanism(name, **parameters).program, inputs)["O"]


def attention_inputs(seed: int, b: int, h: int, g: int, n: int, d: int, e: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {"Q": (b, h, n, d), "K": (b, g, n, d), "V": (b, g, n, e)}
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


@FEW
@given(st.integers(0, 99), SMALL, SMALL, SMALL, st.integers(1, 12), SMALL, SMALL)
def test_decode_is_the_last_row_of_causal(seed: int, b: int, g: int, share: int, n: int, d: int, e: int) -> None:
    x = attention_inputs(seed, b, g * share, g, n, d, e)
    whole = result("gqa", x, g=g, causal=True, e=e)
    assert worst(result("decode", {**x, "Q": x["Q"][:, :, -1:]}, g=g, e=e), whole[:, :, -1:]) < 1e-12


@FEW
@given(st.integers(0, 99), SMALL, st.integers(1, 6), st.integers(1, 5), SMALL, SMALL)
def test_chunk_length_changes_nothing(seed: int, h: int, chunk: int, chunks: int, d: int, e: int) -> None:
    x = attention_inputs(seed, 1, h, h, chunk * chunks, d, e)
    recurrent = result("linear_causal", x, e=e)
    assert worst(result("linear_chunked", x, B=chunk, e=e), recurrent) < 1e-11
    assert worst(result("linear_causal", x, e=e, associative=True), recurrent) < 1e-11


@FEW
@given(st.integers(0, 99), st.integers(1, 10), st.integers(0, 5), SMALL)
def test_a_pattern_that_hides_nothing_is_attention(seed: int, n: int, more: int, d: int) -> None:
    x = attention_inputs(seed, 2, 2, 2, n, d, d)
    causal, full = result("softmax", x, causal=True), result("softmax", x)
    assert worst(result("sliding_window", x, w=n + more), causal) < 1e-12
    assert worst(result("sparse_transformer_strided", x, l=n + more), causal) < 1e-12
    assert worst(result("sparse_transformer_strided", x, l=1), causal) < 1e-12
    assert worst(result("longformer", x, w=2 * (n + more), t=1), full) < 1e-12
    assert worst(result("longformer", x, w=2, t=n), full) < 1e-12
    assert worst(result("bigbird", x, w=2, t=1, r=n + more), full) < 1e-12


@FEW
@given(st.integers(0, 99), st.integers(2, 10), SMALL)
def test_attention_without_positions_does_not_see_the_order_of_keys(seed: int, n: int, d: int) -> None:
    x = attention_inputs(seed, 1, 2, 2, n, d, d)
    order = np.random.default_rng(seed).permutation(n)
    mixed = {**x, "K": x["K"][:, :, order], "V": x["V"][:, :, order]}
    for name in ("softmax", "linear"):
        assert worst(result(name, mixed), result(name, x)) < 1e-12


@FEW
@given(st.integers(0, 99), st.integers(2, 8), st.integers(1, 4))
def test_rotary_scores_depend_on_distance_alone(seed: int, n: int, half: int) -> None:
    """The same query and key at every position: the score of a pair is a function of i - j."""
    rng = np.random.default_rng(seed)
    one = {name: np.tile(rng.standard_normal(2 * half), (1, 1, n, 1)) for name in "QK"}
    inputs = {**one, "V": rng.standard_normal((1, 1, n, 2 * half))}
    scores = interpret(mechanism("rope").program, inputs)["S"][0, 0]
    for i in range(1, n):
        assert worst(scores[i, 1:], scores[i - 1, :-1]) < 1e-12


@FEW
@given(st.integers(0, 99), st.integers(1, 8), SMALL, SMALL, SMALL, st.booleans())
def test_absorbing_the_projections_changes_nothing(seed: int, n: int, c: int, r: int, d: int, causal: bool) -> None:
    made = mechanism("mla", causal=causal)
    x = made.draw({"b": 1, "h": 2, "n": n, "c": c, "r": r, "d": d}, np.random.default_rng(seed))
    assert worst(result("mla", x, causal=causal), result("mla_absorbed", x, causal=causal)) < 1e-11
