"""Kernel attention: the linear forms equal the quadratic one, and every form equals the others."""

from typing import Any

import numpy as np
import pytest
from plain import drawn, pattern, worst

from attometer.mechanisms import mechanism
from attometer.simulate.interpreter import interpret


def _features(x: Any) -> Any:
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def _quadratic(x: Any, seen: Any, features: Any = _features) -> Any:
    weights = np.einsum("bhid,bhjd->bhij", features(x["Q"]), features(x["K"])) * seen
    return np.einsum("bhij,bhje->bhie", weights / weights.sum(axis=-1, keepdims=True), x["V"])


def test_linear_is_the_quadratic_form() -> None:
    _, x, out = drawn("linear", e=9)
    assert worst(out["O"], _quadratic(x, np.ones((12, 12)))) < 1e-12


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("linear_causal", {}),
        ("linear_causal", {"associative": True}),
        *(("linear_chunked", {"B": size}) for size in (1, 2, 3, 12)),
    ],
)
def test_causal_forms_agree(name: str, parameters: dict[str, Any]) -> None:
    _, x, out = drawn(name, **parameters)
    assert worst(out["O"], _quadratic(x, pattern(12, lambda i, j: j <= i))) < 1e-12


def test_chunked_is_recurrent() -> None:
    _, x, out = drawn("linear_chunked", sizes={"n": 32}, B=8, e=5)
    assert worst(out["O"], interpret(mechanism("linear_causal", e=5).program, x)["O"]) < 1e-12


def test_performer_is_kernel_attention_with_its_features() -> None:
    _, x, out = drawn("performer")

    def features(y: Any) -> Any:
        scaled = y / 6**0.25
        return np.exp(scaled @ x["W"].T - (scaled**2).sum(-1, keepdims=True) / 2) / np.sqrt(8)

    assert worst(out["F"], features(x["Q"])) < 1e-12
    assert worst(out["O"], _quadratic(x, np.ones((12, 12)), features)) < 1e-12


def test_performer_draws_orthogonal_rows() -> None:
    rows = mechanism("performer").draw({"b": 1, "h": 1, "n": 2, "d": 8, "f": 20}, np.random.default_rng(0))["W"]
    assert rows.shape == (20, 8)
    for start in (0, 8, 16):
        gram = rows[start : start + 8] @ rows[start : start + 8].T
        assert worst(gram, np.diag(np.diag(gram))) < 1e-12


def test_polynomial_is_attention_with_the_taylor_polynomial_of_exp() -> None:
    rng = np.random.default_rng(3)
    q, k, v = (rng.standard_normal((1, 2, 5, 3)) for _ in "qkv")
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(3)
    weights = 1 + scores + scores**2 / 2
    expected = weights @ v / weights.sum(-1, keepdims=True)
    found = interpret(mechanism("polynomial").program, {"Q": q, "K": k, "V": v}, {"n": 5, "d": 3, "b": 1, "h": 2})
    np.testing.assert_allclose(found["O"], expected, rtol=1e-12)
