"""Approximate mechanisms: what theory says of their error, checked with statistical bounds on random inputs.

Bounds on means are five standard errors wide: a right implementation fails one in about two million draws.
"""

from typing import Any

import numpy as np
import pytest
from plain import head, relative
from tests.docs.scripts import DOCS, script

from attometer.mechanisms import MECHANISMS, mechanism
from attometer.simulate.interpreter import interpret

N, D = 64, 16


def run(name: str, inputs: dict[str, Any], seed: int = 0, **parameters: Any) -> dict[str, Any]:
    """Return what a mechanism computes from `inputs`, the others drawn: one batch, one head."""
    made = mechanism(name, **parameters)
    sizes = made.sizes(b=1, h=1, n=N, d=D)
    return interpret(made.program, {**made.draw(sizes, np.random.default_rng(seed)), **inputs}, sizes)


def drawn(scale: float, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: s * rng.standard_normal((1, 1, N, D)) for name, s in (("Q", scale), ("K", scale), ("V", 1.0))}


def wanted(x: dict[str, Any], seen: Any = None) -> Any:
    return head(x["Q"][0, 0], x["K"][0, 0], x["V"][0, 0], seen)


CAUSAL = np.tril(np.ones((N, N), dtype=bool))


def mean_error(name: str, scale: float, seeds: int, **parameters: Any) -> float:
    errors = []
    for seed in range(seeds):
        x = drawn(scale, seed)
        errors.append(relative(run(name, x, seed, **parameters)["O"][0, 0], wanted(x)))
    return float(np.mean(errors))


def test_performer_kernel_is_unbiased() -> None:
    """Choromanski et al. 2020, Lemma 1: the expectation of F · G is exp(q · k / √d)."""
    x = drawn(0.7)
    exact = np.exp(x["Q"][0, 0] @ x["K"][0, 0].T / np.sqrt(D))
    kernels = []
    for seed in range(100):
        out = run("performer", x, seed, f=D)
        kernels.append(out["F"][0, 0] @ out["G"][0, 0].T)
    mean, deviation = np.mean(kernels, axis=0), np.std(kernels, axis=0, ddof=1)
    standard = np.abs(mean - exact) / (deviation / np.sqrt(len(kernels)))
    # 4096 dependent entries: their typical deviation is one standard error, and none is far out.
    assert np.sqrt(np.mean(standard**2)) < 2
    assert abs(np.mean(mean / exact) - 1) < 0.05


def test_orthogonal_features_vary_less_than_independent_ones() -> None:
    """Choromanski et al. 2020, Theorem 2."""
    x = drawn(0.7)
    exact = np.exp(x["Q"][0, 0] @ x["K"][0, 0].T / np.sqrt(D))

    def squared_error(independent: bool) -> float:
        found = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            more = {"W": rng.standard_normal((D, D))} if independent else {}
            out = run("performer", {**x, **more}, seed, f=D)
            found.append(np.mean((out["F"][0, 0] @ out["G"][0, 0].T - exact) ** 2))
        return float(np.mean(found))

    assert squared_error(independent=False) < squared_error(independent=True)


def test_performer_error_falls_as_one_over_the_root_of_its_features() -> None:
    few, many = (mean_error("performer", 0.3, 12, f=f) for f in (32, 512))
    assert 3 < few / many < 5.5  # √16 = 4
    assert many < 0.05


def test_performer_does_not_help_at_large_scale() -> None:
    assert mean_error("performer", 1.5, 4, f=512) > 0.5


def test_linear_attention_is_near_softmax_only_for_small_scores() -> None:
    small, large = (mean_error("linear", scale, 4) for scale in (0.05, 1.5))
    assert small < 0.02
    assert large > 0.5


@pytest.mark.parametrize("k", [8, 16, 64])
def test_linformer_is_exact_when_keys_and_values_repeat(k: int) -> None:
    """Keys and values alike within n/k neighbours, projections that average them: softmax over k equals softmax over n."""
    rng = np.random.default_rng(1)
    x = drawn(1.0)
    for name in "KV":
        x[name] = np.repeat(rng.standard_normal((1, 1, k, D)), N // k, axis=2)
    groups = np.kron(np.eye(k), np.full((1, N // k), k / N))
    out = run("linformer", {**x, "E": groups, "F": groups}, k=k)
    assert relative(out["O"][0, 0], wanted(x)) < 1e-12


def test_linformer_error_falls_with_k_on_smooth_sequences() -> None:
    phases = np.outer(np.arange(N), np.linspace(0.01, 0.2, D // 2))
    waves = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)[None, None]
    x = {"Q": 2 * waves, "K": 2 * waves, "V": waves}
    errors = []
    for k in (4, 16, 64):
        groups = np.kron(np.eye(k), np.full((1, N // k), k / N))
        errors.append(relative(run("linformer", {**x, "E": groups, "F": groups}, k=k)["O"][0, 0], wanted(x)))
    assert errors[0] > 2 * errors[1]
    assert errors[1] > 1e-3
    assert errors[2] < 1e-12


def test_hyperattention_normaliser_is_unbiased() -> None:
    """The block's own keys count once, each of l sampled keys outside it n/l times: the sum is right on average."""
    x = drawn(1.0)
    draws = 400  # the same queries and keys in every head, each with its own samples
    made = mechanism("hyperattention", B=16, l=16, p=4)
    sizes = made.sizes(b=1, h=draws, n=N, d=D)
    same = {name: np.broadcast_to(array, (1, draws, N, D)) for name, array in x.items()}
    out = interpret(made.program, {**made.draw(sizes, np.random.default_rng(0)), **same}, sizes)
    rank = out["U"][0, 0]
    sums = (out["N"] * np.exp(out["M"]))[0][:, rank // 16, rank % 16]
    exact = np.exp(x["Q"][0, 0] @ x["K"][0, 0].T / np.sqrt(D)).sum(axis=1)
    standard = (np.mean(sums, axis=0) - exact) / (np.std(sums, axis=0, ddof=1) / np.sqrt(draws))
    assert np.abs(standard).max() < 5


def test_hyperattention_error_falls_as_one_over_the_root_of_its_samples() -> None:
    few, many = (mean_error("hyperattention", 0.5, 16, B=8, l=size) for size in (64, 1024))
    assert 3 < few / many < 5.5  # √16 = 4


def clusters(seed: int) -> dict[str, Any]:
    """Return four clusters of 16 tokens in shuffled order, nearly orthogonal to one another and far apart."""
    rng = np.random.default_rng(seed)
    centres = 8 * np.eye(4, D)[rng.permutation(4)]
    x = {name: centres[rng.permutation(N) % 4][None, None] + 0.01 * rng.standard_normal((1, 1, N, D)) for name in "QK"}
    return {**x, "V": rng.standard_normal((1, 1, N, D))}


def test_hyperattention_finds_clusters_that_hashing_separates() -> None:
    """With planes that tell the clusters apart, each block is a cluster and holds all of its queries' attention."""
    planes = np.zeros((2, D))
    planes[0, :4], planes[1, :4] = [1, 1, -1, -1], [1, -1, 1, -1]
    sorted_errors, unsorted_errors = [], []
    for seed in range(4):
        x = clusters(seed)
        sorted_errors.append(
            relative(run("hyperattention", {**x, "R": planes}, seed, B=16, l=8, p=2)["O"][0, 0], wanted(x))
        )
        blind = {**x, "R": np.zeros((2, D))}
        unsorted_errors.append(relative(run("hyperattention", blind, seed, B=16, l=8, p=2)["O"][0, 0], wanted(x)))
    assert max(sorted_errors) < 0.01
    assert min(unsorted_errors) > 0.3


def test_topk_error_falls_with_k_when_the_indexer_ranks_by_score() -> None:
    x = drawn(1.5)
    indexer = {"X": x["Q"], "Y": x["K"][:, 0], "W": np.ones((1, N, 1))}
    errors = [
        relative(run("topk", {**x, **indexer}, k=k, x=1, y=D)["O"][0, 0], wanted(x, CAUSAL)) for k in (1, 4, 16, 64)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.3
    assert errors[-1] < 1e-12


def test_a_good_indexer_beats_a_random_one() -> None:
    x = drawn(1.5)
    good = {"X": x["Q"], "Y": x["K"][:, 0], "W": np.ones((1, N, 1))}
    errors = [relative(run("topk", {**x, **more}, k=8, x=1, y=D)["O"][0, 0], wanted(x, CAUSAL)) for more in (good, {})]
    assert errors[0] < errors[1] / 2


def test_window_error_falls_with_the_window_where_attention_is_local() -> None:
    phases = np.outer(np.arange(N), np.linspace(0.05, 0.6, D // 2))
    waves = 2.5 * np.concatenate([np.cos(phases), np.sin(phases)], axis=1)[None, None]
    x = {"Q": waves, "K": waves, "V": drawn(1.0)["V"]}
    errors = [relative(run("sliding_window", x, w=w)["O"][0, 0], wanted(x, CAUSAL)) for w in (2, 8, 32, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] < 0.2
    assert errors[-1] < 1e-12


@pytest.mark.parametrize(
    ("name", "few", "many"),
    [
        ("longformer", {"w": 8, "t": 1}, {"w": 48, "t": 1}),
        ("bigbird", {"w": 4, "t": 1, "r": 4}, {"w": 4, "t": 1, "r": 48}),
    ],
)
def test_more_keys_less_error(name: str, few: dict[str, int], many: dict[str, int]) -> None:
    assert mean_error(name, 1.0, 4, **many) < mean_error(name, 1.0, 4, **few) / 1.5


@pytest.mark.parametrize(
    ("title", "parameters"),
    [("linear", ""), ("sliding_window", "w = 16"), ("linformer, averages of neighbours", "k = 64")],
)
def test_documented_table_is_what_the_script_measures(title: str, parameters: str) -> None:
    made = script("make_approximation")
    lines = [
        [c.strip() for c in line.split("|")[1:-1]]
        for line in (DOCS / "approximation.md").read_text().splitlines()
        if "|" in line
    ]
    written = next(cells[2:] for cells in lines if cells[:2] == [title, parameters])
    name, choices, causal, chosen = next(row[1:] for row in made.ROWS if row[0] == title)
    wanted = next(p for p in choices if ", ".join(f"{k} = {v}" for k, v in p.items()) == parameters)
    for kind, text in list(zip(made.INPUTS, written, strict=True))[1::2]:
        found = float(np.mean(made.errors(name, wanted, causal, kind, chosen)))
        # Two digits are written.
        assert abs(found - float(text.split(" ")[0])) <= 0.051 * found


def test_documented_table_has_every_row() -> None:
    rows = [line for line in (DOCS / "approximation.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + sum(len(choices) for _, _, choices, _, _ in script("make_approximation").ROWS)
    measured = {name for _, name, _, _, _ in script("make_approximation").ROWS}
    assert {name for name in MECHANISMS if mechanism(name).approximates} - measured == {
        "linear_causal",
        "linear_chunked",
    }
