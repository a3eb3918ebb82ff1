"""Projections, norms, feed-forward layers and the essay's primitives against plain NumPy."""

import math
from typing import Any

import numpy as np
from plain import drawn, softmax_rows, worst

EPSILON = 1e-6


def _silu(x: Any) -> Any:
    return x / (1 + np.exp(-x))


def _gelu(x: Any) -> Any:
    return np.vectorize(lambda y: y * (1 + math.erf(y / math.sqrt(2))) / 2)(x)


def test_projections() -> None:
    _, x, out = drawn("projections", D=10, g=2, e=5)
    for h in range(4):
        assert worst(out["Q"][:, h], x["X"] @ x["Wq"][:, h]) < 1e-12
    for g in range(2):
        assert worst(out["K"][:, g], x["X"] @ x["Wk"][:, g]) < 1e-12
        assert worst(out["V"][:, g], x["X"] @ x["Wv"][:, g]) < 1e-12
    joined = x["A"].transpose(0, 2, 1, 3).reshape(2, 12, 20)
    assert worst(out["Y"], joined @ x["Wo"].reshape(20, 10)) < 1e-12


def test_projections_keep_the_width_by_default() -> None:
    made, _, out = drawn("projections")
    assert [str(e) for e in made.program.shape("Y")] == ["b", "n", "d*h"]
    assert out["Y"].shape == (2, 12, 24)


def test_norms() -> None:
    _, x, out = drawn("layernorm")
    centred = x["X"] - x["X"].mean(-1, keepdims=True)
    expected = centred / np.sqrt(x["X"].var(-1, keepdims=True) + EPSILON) * x["G"] + x["B"]
    assert worst(out["Y"], expected) < 1e-12
    _, x, out = drawn("rmsnorm")
    assert worst(out["Y"], x["X"] / np.sqrt((x["X"] ** 2).mean(-1, keepdims=True) + EPSILON) * x["G"]) < 1e-12


def test_feed_forward() -> None:
    _, x, out = drawn("ffn")
    assert x["W"].shape == (10, 40)
    assert worst(out["Y"], _gelu(x["X"] @ x["W"] + x["B"]) @ x["U"] + x["C"]) < 1e-12
    _, x, out = drawn("gated_ffn")
    assert worst(out["Y"], (_silu(x["X"] @ x["G"]) * (x["X"] @ x["W"])) @ x["U"]) < 1e-12


def test_moe_runs_the_experts_that_rank_first() -> None:
    _, x, out = drawn("moe", k=2)
    for b in range(2):
        for i in range(12):
            token = x["X"][b, i]
            logits = token @ x["R"]
            best = np.argsort(-logits)[:2]
            gates = softmax_rows(logits[best])
            expected = sum(
                g * (_silu(token @ x["G"][e]) * (token @ x["W"][e])) @ x["U"][e]
                for g, e in zip(gates, best, strict=True)
            )
            assert worst(out["Y"][b, i], expected) < 1e-12


def test_primitives() -> None:
    _, x, out = drawn("elementwise")
    assert worst(out["C"], x["A"] * x["B"]) == 0
    _, x, out = drawn("sum")
    assert out["C"].shape == ()
    assert worst(out["C"], x["A"].sum()) < 1e-12
    _, x, out = drawn("tensor_product")
    assert worst(out["C"], x["A"][:, :, None] * x["B"][None]) == 0
    _, x, out = drawn("matmul", k=5, m=3)
    assert worst(out["Y"], x["A"] @ x["B"]) < 1e-12
    _, x, out = drawn("softmax_row")
    assert worst(out["Y"], softmax_rows(x["X"])) < 1e-12
