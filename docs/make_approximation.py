"""Measure how far approximate and sparse mechanisms are from softmax attention; rewrite the table of docs/approximation.md.

Every number is |O - softmax attention| / |softmax attention| in the Frobenius norm: the mean over seeds ± the standard
deviation between them. Run `python docs/make_approximation.py`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from attometer.mechanisms import mechanism
from attometer.simulate.interpreter import interpret
from attometer.view.files import write_atomically

N, D, SEEDS = 256, 32, 8
Arrays = dict[str, Any]
Parameters = dict[str, int]


def gaussian(scale: float) -> Callable[[np.random.Generator], Arrays]:
    """Return a draw of independent queries and keys of standard deviation `scale`."""
    return lambda rng: {name: scale * rng.standard_normal((1, 1, N, D)) for name in "QK"}


def clusters(rng: np.random.Generator) -> Arrays:
    """Draw 16 clusters of 16 tokens in random order; a query's own cluster holds nearly all of its attention."""
    centres = rng.standard_normal((16, D))
    centres *= np.sqrt(8 * np.sqrt(D)) / np.linalg.norm(centres, axis=1, keepdims=True)
    return {
        name: centres[rng.permutation(N) % 16][None, None] + 0.1 * rng.standard_normal((1, 1, N, D)) for name in "QK"
    }


def local(rng: np.random.Generator) -> Arrays:
    """Draw queries and keys as waves of position with random frequencies: scores fall with distance."""
    phases = np.outer(np.arange(N), rng.normal(0, 0.1, D // 2))
    waves = 1.5 * np.concatenate([np.cos(phases), np.sin(phases)], axis=1)[None, None]
    return {"Q": waves, "K": waves}


INPUTS = {"gaussian 0.3": gaussian(0.3), "gaussian 1": gaussian(1.0), "clusters": clusters, "local": local}


def nothing(drawn: Arrays, parameters: Parameters) -> Arrays:
    """Choose no further input: the mechanism draws them."""
    return {}


def indexer_of_attention(drawn: Arrays, parameters: Parameters) -> Arrays:
    """Return an indexer that ranks keys by their attention score: one head, the same queries and keys."""
    return {"X": drawn["Q"], "Y": drawn["K"][:, 0], "W": np.ones((1, N, 1))}


def averaging(drawn: Arrays, parameters: Parameters) -> Arrays:
    """Return Linformer projections that average groups of n/k neighbours."""
    k = parameters["k"]
    groups = np.kron(np.eye(k), np.full((1, N // k), k / N))
    return {"E": groups, "F": groups}


def _each(key: str, *values: int, **others: int) -> list[Parameters]:
    return [{key: value, **others} for value in values]


# Title, mechanism, parameters, whether it stands in for causal attention, and inputs that are chosen.
ROWS: list[tuple[str, str, list[Parameters], bool, Callable[[Arrays, Parameters], Arrays]]] = [
    ("performer", "performer", _each("f", 16, 64, 256, 1024), False, nothing),
    ("linear", "linear", [{}], False, nothing),
    ("polynomial", "polynomial", [{}], False, nothing),
    ("linformer, random projections", "linformer", _each("k", 16, 64, 256), False, nothing),
    ("linformer, averages of neighbours", "linformer", _each("k", 16, 64, 256), False, averaging),
    ("hyperattention", "hyperattention", _each("l", 16, 64, 256, B=32), False, nothing),
    ("hyperattention", "hyperattention", _each("l", 64, B=128), False, nothing),
    ("topk, indexed by the scores", "topk", _each("k", 4, 16, 64, x=1, y=D), True, indexer_of_attention),
    ("topk, random indexer", "topk", _each("k", 4, 16, 64, x=1, y=D), True, nothing),
    ("sliding_window", "sliding_window", _each("w", 16, 64, 128), True, nothing),
    ("sparse_transformer_strided", "sparse_transformer_strided", _each("l", 16), True, nothing),
    ("sparse_transformer_fixed", "sparse_transformer_fixed", _each("l", 16, c=4), True, nothing),
    ("longformer", "longformer", _each("w", 16, 64, 128, t=4), False, nothing),
    ("bigbird", "bigbird", _each("r", 4, 16, 64, w=16, t=4), False, nothing),
]


def error(name: str, parameters: Parameters, causal: bool, chosen: Arrays, rng: np.random.Generator) -> float:
    """Return the relative error of a mechanism on `chosen` inputs against softmax attention, causal or not."""
    made = mechanism(name, **parameters)
    sizes = made.sizes(b=1, h=1, n=N, d=D)
    inputs = {**made.draw(sizes, rng), **chosen}
    wanted = interpret(mechanism("softmax", causal=causal).program, {k: inputs[k] for k in "QKV"})["O"]
    got = interpret(made.program, inputs, sizes)["O"]
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def errors(name: str, parameters: Parameters, causal: bool, kind: str, chosen: Callable[..., Arrays]) -> list[float]:
    """Return the error of each seed on one kind of input."""
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        drawn = INPUTS[kind](rng)
        found.append(error(name, parameters, causal, {**drawn, **chosen(drawn, parameters)}, rng))
    return found


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| mechanism | parameters | {' | '.join(INPUTS)} |"
    yield "|" + "---|" * (len(INPUTS) + 2)
    for title, name, choices, causal, chosen in ROWS:
        for parameters in choices:
            cells = [cell(errors(name, parameters, causal, kind, chosen)) for kind in INPUTS]
            shown = ", ".join(f"{k} = {v}" for k, v in parameters.items() if k not in "xy")
            yield f"| {title} | {shown} | {' | '.join(cells)} |"


def cell(found: list[float]) -> str:
    """Return mean ± standard deviation."""
    mean, spread = float(np.mean(found)), float(np.std(found, ddof=1))
    return "0" if mean < 1e-12 else f"{mean:.2g} ± {spread:.1g}"


if __name__ == "__main__":
    page = Path(__file__).parent / "approximation.md"
    table = "<!-- table -->\n" + "\n".join(rows()) + "\n<!-- end of table -->"
    text = re.sub(r"<!-- table -->.*<!-- end of table -->", lambda _: table, page.read_text("utf-8"), flags=re.DOTALL)
    write_atomically(page, text)
