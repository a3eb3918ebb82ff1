"""The Programs of the less common parts compute what their papers say: interpreted in float64 against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attometer.models.blocks import Heads, attention
from attometer.models.readers.deepseek import Indexer
from attometer.models.readers.deepseek_v4 import HCA, SLIDING, Compressed, _core
from attometer.models.readers.ssm import convolution, delta_rule, mamba2_scan, mamba_scan
from attometer.program import Program
from attometer.simulate import interpret

B, N = 2, 6


def draw(rng: np.random.Generator, p: Program, sizes: dict[str, int], **given: Any) -> dict[str, Any]:
    """Draw every input of `p` that is not given."""
    arrays = {}
    for tensor in p.inputs:
        shape = [int(e.xreplace({s: sizes[str(s)] for s in e.free_symbols})) for e in tensor.extents]
        arrays[tensor.name] = given.get(tensor.name, rng.standard_normal(shape))
    return arrays


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng()


def test_a_sink_is_one_more_logit(rng: np.random.Generator) -> None:
    sizes = {"b": B, "n": N, "m": N}
    p = attention(Heads(4, 2, 3, 3), sinks=True).program
    x = draw(rng, p, sizes)
    scores = np.einsum("bhid,bhjd->bhij", x["Q"], np.repeat(x["K"], 2, axis=1)) / np.sqrt(3)
    scores = np.where(np.tri(N, dtype=bool), scores, -np.inf)
    sink = np.broadcast_to(x["z"][None, :, None, None], (B, 4, N, 1))
    weights = softmax(np.concatenate([scores, sink], axis=-1))[..., :-1]
    want = np.einsum("bhij,bhje->bhie", weights, np.repeat(x["V"], 2, axis=1))
    np.testing.assert_allclose(interpret(p, x, sizes)["O"], want, rtol=1e-10, atol=1e-12)


def test_delta_rule_corrects_what_the_state_predicts(rng: np.random.Generator) -> None:
    sizes = {"b": B, "n": N}
    p = delta_rule(3, 4, 5).program
    x = draw(rng, p, sizes)
    state, out = np.zeros((B, 3, 4, 5)), []
    for i in range(N):
        k, v, g, beta = x["K"][:, :, i], x["V"][:, :, i], x["A"][:, :, i, None], x["B"][:, :, i, None]
        state = state * g[..., None]
        error = beta * (v - np.einsum("bhk,bhke->bhe", k, state))
        state = state + k[..., None] * error[..., None, :]
        out.append(np.einsum("bhk,bhke->bhe", x["Q"][:, :, i], state))
    np.testing.assert_allclose(interpret(p, x, sizes)["O"], np.stack(out, 2), rtol=1e-9, atol=1e-12)


def test_delta_rule_with_a_decay_per_channel(rng: np.random.Generator) -> None:
    sizes = {"b": B, "n": N}
    p = delta_rule(2, 3, 3, per_channel=True).program
    x = draw(rng, p, sizes)
    state, out = np.zeros((B, 2, 3, 3)), []
    for i in range(N):
        k = x["K"][:, :, i]
        state = state * x["A"][:, :, i][..., None]
        error = x["B"][:, :, i, None] * (x["V"][:, :, i] - np.einsum("bhk,bhke->bhe", k, state))
        state = state + k[..., None] * error[..., None, :]
        out.append(np.einsum("bhk,bhke->bhe", x["Q"][:, :, i], state))
    np.testing.assert_allclose(interpret(p, x, sizes)["O"], np.stack(out, 2), rtol=1e-9, atol=1e-12)


def test_selective_scan(rng: np.random.Generator) -> None:
    sizes = {"b": B, "n": N}
    p = mamba_scan(4, 3).program
    # A state that decays, as trained ones do; a growing one would make the comparison depend on rounding.
    x = draw(rng, p, sizes, a=-rng.random((4, 3)), T=rng.random((B, N, 4)))
    state, out = np.zeros((B, 4, 3)), []
    for i in range(N):
        step, u = x["T"][:, i], x["X"][:, i]
        state = np.exp(step[..., None] * x["a"]) * state + (step * u)[..., None] * x["W"][:, i, None]
        out.append(np.einsum("bcs,bs->bc", state, x["R"][:, i]) + x["z"] * u)
    np.testing.assert_allclose(interpret(p, x, sizes)["Y"], np.stack(out, 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_state_space_dual(rng: np.random.Generator, groups: int) -> None:
    sizes = {"b": B, "n": N}
    p = mamba2_scan(4, 3, groups, 2, 4).program
    x = draw(rng, p, sizes, a=-rng.random(4))
    keys, queries = (np.repeat(x[name], 4 // groups, axis=1) for name in "WR")
    state, out = np.zeros((B, 4, 3, 2)), []
    for i in range(N):
        step = np.log1p(np.exp(x["T"][:, :, i] + x["f"]))
        moved = step[..., None, None] * x["X"][:, :, i][..., None] * keys[:, :, i][:, :, None]
        state = np.exp(step * x["a"])[..., None, None] * state + moved
        out.append(np.einsum("bhps,bhs->bhp", state, queries[:, :, i]) + x["z"][:, None] * x["X"][:, :, i])
    np.testing.assert_allclose(interpret(p, x, sizes)["Y"], np.stack(out, 2), rtol=1e-9, atol=1e-12)


def test_short_convolution(rng: np.random.Generator) -> None:
    sizes = {"b": B, "n": N}
    p = convolution(3, 4, True).program
    x = draw(rng, p, sizes)
    total = sum(x["X"][:, u : u + N] * x["W"][:, u] for u in range(4)) + x["B"]
    np.testing.assert_allclose(interpret(p, x, sizes)["Y"], total / (1 + np.exp(-total)), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [SLIDING, HCA])
def test_window_compressed_keys_and_sink_share_one_softmax(rng: np.random.Generator, kind: str) -> None:
    sizes = {"b": B, "n": N, "m": N}
    p = _core(Compressed(8, 3, 4, 2, 1, 2, 3, Indexer(1, 2, 2)), kind, 2).program
    x = draw(rng, p, sizes)
    near = np.tri(N, dtype=bool) & ~np.tri(N, k=-3, dtype=bool)
    parts = [np.where(near, np.einsum("bhid,bjd->bhij", x["Q"], x["K"]) / 2, -np.inf)]
    values = [x["K"]]
    if kind == HCA:
        parts.append(np.einsum("bhid,btd->bhit", x["Q"], x["C"]) / 2)
        values.append(x["C"])
    sink = np.broadcast_to(x["z"][None, :, None, None], (B, 3, N, 1))
    weights = softmax(np.concatenate([*parts, sink], axis=-1))[..., :-1]
    want = np.einsum("bhij,bjd->bhid", weights, np.concatenate(values, axis=1))
    np.testing.assert_allclose(interpret(p, x, sizes)["O"], want, rtol=1e-9, atol=1e-12)
