"""Sparse attention against softmax over a pattern that is written out pair by pair."""

import itertools
from typing import Any

import numpy as np
import pytest
from plain import drawn, head, heads, pattern, softmax_rows, worst

from attometer.masks import random

N = 12
PATTERNS: list[tuple[str, dict[str, Any], Any]] = [
    ("sliding_window", {"w": 4}, lambda i, j: 0 <= i - j < 4),
    ("sliding_window", {"w": 1}, lambda i, j: i == j),
    ("sliding_window", {"w": 50}, lambda i, j: j <= i),
    ("longformer", {"w": 4, "t": 2}, lambda i, j: abs(i - j) <= 2 or i < 2 or j < 2),
    ("sparse_transformer_strided", {"l": 3}, lambda i, j: j <= i and (i - j < 3 or (i - j) % 3 == 0)),
    ("sparse_transformer_fixed", {"l": 4, "c": 1}, lambda i, j: j <= i and (i // 4 == j // 4 or j % 4 == 3)),
    ("sparse_transformer_fixed", {"l": 4, "c": 2}, lambda i, j: j <= i and (i // 4 == j // 4 or j % 4 >= 2)),
]


@pytest.mark.parametrize(("name", "parameters", "sees"), PATTERNS)
def test_pattern(name: str, parameters: dict[str, Any], sees: Any) -> None:
    _, x, out = drawn(name, **parameters)
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"], pattern(N, sees))) < 1e-12


def test_bigbird_sees_window_globals_and_its_random_keys() -> None:
    _, x, out = drawn("bigbird", w=2, t=1, r=2, seed=5)
    chosen = random(2, 5).matrix(N)
    seen = pattern(N, lambda i, j: abs(i - j) <= 1 or i < 1 or j < 1 or chosen[i, j])
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"], seen)) < 1e-12


@pytest.mark.parametrize("k", [1, 3, 12])
def test_topk_attends_to_the_indexer_s_best_earlier_keys(k: int) -> None:
    _, x, out = drawn("topk", k=k)
    for b in range(2):
        ranks = np.zeros((N, N))
        for t in range(N):
            for s in range(N):
                ranks[t, s] = sum(x["W"][b, t, a] * max(x["X"][b, a, t] @ x["Y"][b, s], 0) for a in range(2))
        for i in range(N):
            best = sorted(range(i + 1), key=lambda j: -ranks[i, j])[:k]
            for h in range(4):
                scores = x["Q"][b, h, i] @ x["K"][b, h, best].T / np.sqrt(6)
                assert worst(out["O"][b, h, i], softmax_rows(scores) @ x["V"][b, h, best]) < 1e-12


def test_topk_of_everything_is_causal_attention() -> None:
    _, x, out = drawn("topk", k=N)
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"], pattern(N, lambda i, j: j <= i))) < 1e-12


def _bucket(vector: Any, planes: Any) -> float:
    """Return the place of a hash in Gray-code order, most significant bit first."""
    place, bit = 0.0, 0
    for k, plane in enumerate(planes):
        bit ^= int(plane @ vector > 0)
        place += bit * 0.5**k
    return place


@pytest.mark.parametrize(("block", "planes"), [(4, 3), (12, 3), (2, 1), (1, 5)])
def test_hyperattention(block: int, planes: int) -> None:
    _, x, out = drawn("hyperattention", sizes={"l": 5}, B=block, p=planes)
    for b in range(2):
        for h in range(4):
            queries = sorted(range(N), key=lambda i: _bucket(x["Q"][b, h, i], x["R"]))
            keys = sorted(range(N), key=lambda j: _bucket(x["K"][b, h, j], x["R"]))
            for place, i in enumerate(queries):
                own = place // block
                weight = np.zeros(N)
                for j in keys[own * block : (own + 1) * block]:
                    weight[j] += 1
                for sampled in x["I"][b, h]:
                    weight[keys[sampled]] += (sampled // block != own) * N / 5
                powers = weight * np.exp(x["K"][b, h] @ x["Q"][b, h, i] / np.sqrt(6))
                assert worst(out["O"][b, h, i], powers @ x["V"][b, h] / powers.sum()) < 1e-12


def test_hyperattention_with_one_block_is_exact() -> None:
    _, x, out = drawn("hyperattention", B=N)
    assert worst(out["O"], heads(x["Q"], x["K"], x["V"])) < 1e-12


def test_gray_code_neighbours_differ_in_one_bit() -> None:
    codes = sorted(
        ([int(bit) for bit in f"{word:04b}"] for word in range(16)),
        key=lambda bits: _bucket(np.ones(1), np.array([[1.0 if bit else -1.0] for bit in bits])),
    )
    assert all(sum(a != b for a, b in zip(one, two, strict=True)) == 1 for one, two in itertools.pairwise(codes))


def test_linformer() -> None:
    _, x, out = drawn("linformer", k=3)
    for b in range(2):
        for h in range(4):
            assert worst(out["O"][b, h], head(x["Q"][b, h], x["E"] @ x["K"][b, h], x["F"] @ x["V"][b, h])) < 1e-12
