"""Softmax attention and its relatives against plain NumPy, to 1e-12."""

import numpy as np
import pytest
from plain import drawn, head, heads, pattern, softmax_rows, worst

from attometer.mechanisms import mechanism
from attometer.program import document
from attometer.simulate.interpreter import interpret

CAUSAL = pattern(12, lambda i, j: j <= i)


@pytest.mark.parametrize(("causally", "seen"), [(False, None), (True, CAUSAL)])
def test_softmax(causally: bool, seen: object) -> None:
    _, x, out = drawn("softmax", causal=causally)
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"], seen)) < 1e-12


def test_softmax_with_a_mask() -> None:
    _, x, out = drawn("softmax", mask=document([5, 7]), causal=True)
    seen = pattern(12, lambda i, j: j <= i and (i < 5) == (j < 5))
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"], seen)) < 1e-12


def test_cross_attention_with_wider_values() -> None:
    _, x, out = drawn("cross_attention", sizes={"n": 3, "m": 9}, e=11)
    assert out["O"].shape == (2, 4, 3, 11)
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"])) < 1e-12


def test_mqa_shares_one_key_value_head() -> None:
    _, x, out = drawn("mqa", causal=True)
    assert x["K"].shape == (2, 12, 6)
    assert worst(out["O"], heads(x["Q"], x["K"][:, None], x["V"][:, None], CAUSAL)) < 1e-12


@pytest.mark.parametrize("g", [1, 2, 4])
def test_gqa(g: int) -> None:
    _, x, out = drawn("gqa", g=g, causal=True)
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"], CAUSAL)) < 1e-12


def test_gqa_with_a_head_each_is_multi_head() -> None:
    _, x, out = drawn("gqa", g=4)
    assert worst(out["O"], interpret(mechanism("softmax").program, x)["O"]) < 1e-12


@pytest.mark.parametrize("g", [None, 2])
def test_decode_is_the_last_row_of_causal(g: int | None) -> None:
    _, x, out = drawn("decode", **({} if g is None else {"g": g}))
    rng = np.random.default_rng(3)
    queries = np.concatenate([rng.standard_normal((2, 4, 11, 6)), x["Q"]], axis=2)
    name, chosen = ("softmax", {}) if g is None else ("gqa", {"g": g})
    whole = interpret(mechanism(name, causal=True, **chosen).program, {"Q": queries, "K": x["K"], "V": x["V"]})
    assert worst(out["O"], whole["O"][:, :, -1:]) < 1e-12


@pytest.mark.parametrize("name", ["mla", "mla_absorbed"])
def test_mla(name: str) -> None:
    _, x, out = drawn(name, causal=True)
    for b in range(2):
        for h in range(4):
            keys = np.concatenate([x["C"][b] @ x["U"][:, h], x["T"][b]], axis=1)
            queries = np.concatenate([x["Q"][b, h], x["R"][b, h]], axis=1)
            expected = head(queries, keys, x["C"][b] @ x["W"][:, h], CAUSAL)
            assert worst(out["O"][b, h], expected) < 1e-12


def test_mla_absorbed_is_mla() -> None:
    _, x, out = drawn("mla")
    assert worst(out["O"], interpret(mechanism("mla_absorbed").program, x)["O"]) < 1e-12


def test_attention_layer() -> None:
    _, x, out = drawn("attention_layer")
    for b in range(2):
        expected = head(x["X"][b] @ x["Wq"], x["X"][b] @ x["Wk"], x["X"][b] @ x["Wv"])
        assert worst(out["O"][b], expected) < 1e-12


@pytest.mark.parametrize("causally", [False, True])
def test_alibi(causally: bool) -> None:
    _, x, out = drawn("alibi", causal=causally)
    distance = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    for b in range(2):
        for h in range(4):
            scores = x["Q"][b, h] @ x["K"][b, h].T / np.sqrt(6) - 2.0 ** (-2 * (h + 1)) * distance
            weights = softmax_rows(np.where(CAUSAL, scores, -np.inf) if causally else scores)
            assert worst(out["O"][b, h], weights @ x["V"][b, h]) < 1e-12


def _rotated(x: object) -> object:
    """Return x [b, h, n, d] with pair k of position i turned by i * 10000^(-2k/d), as complex numbers."""
    pairs = np.asarray(x)[..., 0::2] + 1j * np.asarray(x)[..., 1::2]
    width = np.shape(x)[-1]
    turns = np.exp(1j * np.outer(np.arange(np.shape(x)[2]), 10000.0 ** (-2 * np.arange(width // 2) / width)))
    turned = pairs * turns
    return np.stack([turned.real, turned.imag], axis=-1).reshape(np.shape(x))


@pytest.mark.parametrize("causally", [False, True])
def test_rope(causally: bool) -> None:
    _, x, out = drawn("rope", causal=causally)
    expected = heads(_rotated(x["Q"]), _rotated(x["K"]), x["V"], CAUSAL if causally else None)
    assert worst(out["O"], expected) < 1e-12


def test_sinusoidal() -> None:
    _, x, out = drawn("sinusoidal")
    added = np.empty((12, 10))
    for i in range(12):
        for c in range(10):
            angle = i / 10000 ** (2 * (c // 2) / 10)
            added[i, c] = np.cos(angle) if c % 2 else np.sin(angle)
    assert worst(out["Y"], x["X"] + added) < 1e-12
