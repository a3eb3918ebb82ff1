"""A model's parts are the catalogue's mechanisms at numbers: work, depth and memory are equal, and right by hand."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

import pytest
from family_configs import FAMILIES

from attometer.count import count
from attometer.mechanisms import mechanism
from attometer.models import from_values, model, part
from attometer.models.layer import Layer
from attometer.program import Program, parse, size, window
from attometer.simulate import graph
from attometer.sizes import clog2

N = 64
PREFILL, DECODE = "parts", "decode"


def layer(name: str, kind: str, parts: tuple[str, ...]) -> Layer:
    """Return the first layer of a kind that has `parts`."""
    layers = [stack.layer for stack in model(name).layers if stack.kind == kind]
    return next(one for one in layers if set(parts) <= {p.name for p in (*one.parts, *one.decode)})


def program_of(name: str, kind: str, parts: tuple[str, ...], phase: str = PREFILL) -> Program:
    """Return the parts called `parts` as one program: what one leaves is what a later one reads."""
    found = {p.name: p.program for p in getattr(layer(name, kind, parts), phase)}
    return reduce(add, (found[p] for p in parts))


def numbers(program: Program, **sizes: int) -> tuple[int, ...]:
    """Return work, depth and the entries read, learned, left and alive at once."""
    known = {str(s) for s in program.symbols}
    at = count(program).at(**{k: v for k, v in {"b": 1, "n": N, "m": N, **sizes}.items() if k in known})
    return at.work, at.depth, at.inputs + at.cache, at.weights, at.outputs, at.peak


EXPERTS = ("router", "experts up", "experts act", "experts down", "experts sum")
# A shipped model, a kind of layer, its parts; the mechanism of the catalogue, its parameters, and its other sizes.
SAME: list[tuple[str, str, tuple[str, ...], str, dict[str, Any], dict[str, int]]] = [
    ("gpt2", "full", ("attention",), "softmax", {"causal": True}, {"h": 12, "d": 64}),
    ("bert-base", "encoder", ("attention",), "softmax", {}, {"h": 12, "d": 64}),
    ("llama-3.1-8b", "full", ("attention",), "gqa", {"g": 8, "causal": True}, {"h": 32, "d": 128}),
    ("mistral-7b", "sliding", ("attention",), "gqa", {"g": 8, "mask": window(4096)}, {"h": 32, "d": 128}),
    ("gpt-oss-20b", "full", ("attention",), "attention_sinks", {"causal": True}, {"h": 64, "d": 64}),
    ("bloom-176b", "full", ("attention",), "alibi", {"causal": True}, {"h": 112, "d": 128}),
    ("t5-base", "cross", ("attention",), "relative_bias", {"causal": True}, {"h": 12, "d": 64}),
    ("deepseek-v3", "mla", ("kv expand", "attention"), "mla", {"causal": True, "e": 128}, {"h": 128, "d": 128}),
    ("mamba-2.8b", "ssm", ("scan",), "mamba", {}, {"D": 5120}),
    ("nemotron-h-56b", "ssm", ("scan",), "mamba2", {"s": 256, "g": 8}, {"h": 256, "d": 64}),
    ("mamba-2.8b", "ssm", ("conv",), "short_convolution", {"bias": True}, {"D": 5120}),
    ("qwen3.5-397b-a17b", "linear", ("delta rule",), "gated_delta", {"e": 128}, {"h": 64, "d": 128}),
    ("llama-3.1-8b", "full", ("q", "k", "v", "out"), "projections", {"g": 8, "D": 4096}, {"h": 32, "d": 128}),
    ("llama-3.1-8b", "full", ("gate", "up", "act", "down"), "gated_ffn", {"F": 14336}, {"D": 4096}),
    ("gpt2", "full", ("up", "act", "down"), "ffn", {}, {"D": 768}),
    ("nemotron-h-56b", "feed-forward", ("up", "act", "down"), "ffn", {"F": 32768, "function": "relu2", "bias": False}, {"D": 8192}),
    ("gemma-2-2b", "full", ("gate", "up", "act", "down"), "gated_ffn", {"F": 9216, "function": "gelu"}, {"D": 2304}),
    ("qwen3-30b-a3b", "full", EXPERTS, "moe", {"E": 128, "k": 8, "F": 768}, {"D": 2048}),
    ("deepseek-v3", "mla", EXPERTS, "moe", {"E": 256, "k": 8, "F": 2048, "routing": "sigmoid"}, {"D": 7168}),
    ("mixtral-8x7b", "full", EXPERTS, "moe", {}, {"D": 4096}),
    ("llama-3.1-8b", "full", ("norm",), "rmsnorm", {}, {"D": 4096}),
    ("gpt2", "full", ("norm",), "layernorm", {}, {"D": 768}),
    ("qwen3-8b", "full", ("norm q",), "head_norm", {}, {"h": 32, "d": 128}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "parts", "of", "parameters", "sizes"), SAME)
def test_a_part_is_the_mechanism_at_numbers(
    name: str, kind: str, parts: tuple[str, ...], of: str, parameters: dict[str, Any], sizes: dict[str, int]
) -> None:
    made = mechanism(of, **parameters)
    own = made.sizes(**{k: v for k, v in {"b": 1, "n": N, **sizes}.items() if size(k) in made.program.symbols})
    assert numbers(program_of(name, kind, parts)) == numbers(made.program, **own)


def test_absorbed_decoding_is_the_catalogue_s() -> None:
    parts = program_of("deepseek-v3", "mla", ("q absorb", "attention", "o absorb"), DECODE)
    made = mechanism("mla_absorbed", causal=True, m="m", c=512, r=64, e=128).program
    assert numbers(parts, n=1, m=100) == numbers(made, n=1, m=100, h=128, d=128)


# By hand, at b = 1, h = 8, n = 64, d = e = 16. A softmax row of k pairs is k - 1 maxima, k differences, k powers, k - 1
# additions, k divisions; P pairs in n rows make 5P - 2n of them. A sum of k products is 2k - 1.
H, D, G, C, R, W = 8, 16, 4, 32, 8, 10
P = N * (N + 1) // 2
SOFTMAX, VALUES = 5 * P - 2 * N, D * (2 * P - N)
IN_WINDOW = W * N - W * (W - 1) // 2
ROTARY_PART = 2 * R - 1 + 1
HAND = [
    ("gqa", {"g": G, "causal": True}, H * (P * (2 * D - 1) + P + SOFTMAX + VALUES)),
    # Slopes are 8 scalar operations a head (a shift, a product, a quotient, a power for each); the bias 3 a pair.
    ("alibi", {"causal": True}, H * (P * (2 * D - 1) + 4 * P + SOFTMAX + VALUES) + 4 * H),
    ("sliding_window", {"w": W}, H * (IN_WINDOW * 2 * D + 5 * IN_WINDOW - 2 * N + D * (2 * IN_WINDOW - N))),
    ("mla", {"causal": True, "c": C, "r": R},
     H * (2 * N * D * (2 * C - 1) + P * (2 * D - 1 + ROTARY_PART + 1) + SOFTMAX + VALUES)),
    # 3,485,952: a second text of it once lacked the scale, P h = 16,640.
    ("mla_absorbed", {"causal": True, "c": C, "r": R},
     H * (N * C * (2 * D - 1) + P * (2 * C - 1 + ROTARY_PART + 1) + SOFTMAX + C * (2 * P - N) + N * D * (2 * C - 1))),
    # Step and bias, softplus; rate and power; step times input; state: decay, write, add; read; skip.
    ("mamba2", {"s": 5, "g": 2}, H * N * (2 + 2 + D + 3 * 5 * D + D * (2 * 5 - 1) + 2 * D)),
    # Read the state, correct, decay and write it, read again.
    ("gated_delta", {}, H * N * (D * (2 * D - 1) + 3 * D + 3 * D * D + D * (2 * D - 1))),
    ("gated_ffn", {"F": 24}, N * (2 * 24 * (2 * D - 1) + 2 * 24 + D * (2 * 24 - 1))),
    # Squares, their sum, the mean, ε, the root; each entry over it, times its scale.
    ("rmsnorm", {}, N * (D + D - 1 + 3 + 2 * D)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameters", "work"), HAND)
def test_work_by_hand(name: str, parameters: dict[str, Any], work: int) -> None:
    program = mechanism(name, **parameters).program
    assert numbers(program, h=H, d=D, D=D)[0] == work


def test_depth_and_memory_by_hand() -> None:
    program = mechanism("gqa", g=G, causal=True).program
    _, depth, read, learned, left, _ = numbers(program, h=H, d=D)
    rows = int(clog2(size("n")).xreplace({size("n"): N}))
    # Product, sum, scale; maximum, difference, power, sum, quotient; product, sum.
    assert depth == (1 + 4 + 1) + (rows + 1 + 1 + rows + 1) + (1 + rows)
    assert (read, learned, left) == (N * D * (H + 2 * G), 0, N * D * H)


SMALL = {
    "b": 1, "n": 6, "m": 6, "s": 2, "h": 2, "g": 1, "d": 2, "e": 2, "c": 2, "r": 2, "D": 2, "F": 3, "E": 3, "k": 2,
    "G": 2, "V": 3, "p": 2, "u": 2, "w": 2, "x": 1, "y": 2, "B": 3, "f": 2, "t": 2, "o": 2,
}  # fmt: skip


def texts() -> list[str]:
    """Return every text that a part of any family is made of."""
    found: dict[str, None] = {}

    def recorded(text: str) -> Program:
        found[text] = None
        return parse(text)

    with pytest.MonkeyPatch.context() as patch:
        part._at.cache_clear()
        patch.setattr(part, "_parsed", recorded)
        for values in FAMILIES.values():
            from_values(values)
    part._at.cache_clear()
    return list(found)


@pytest.mark.parametrize("text", texts())
def test_the_law_holds_for_every_text_of_every_family(text: str) -> None:
    program = parse(text)
    sizes = {str(s): SMALL[str(s)] for s in program.symbols}
    at, built = count(program).at(**sizes), graph(program, sizes)
    assert (at.work, at.depth) == (built.work, built.span)


def test_scales_and_caps_are_those_of_transformers() -> None:
    neo = from_values(FAMILIES["gpt_neo"]).layers[0].layer.parts
    unscaled = [p.program for p in neo if p.name == "attention"] + [
        program_of("t5-base", "cross", ("cross attention",))
    ]
    assert all("sqrt" not in str(program) for program in unscaled)
    assert "50 * tanh(" in str(program_of("gemma-2-2b", "full", ("attention",)))
    assert "30 * tanh(" in str(model("gemma-2-2b").head[-1].program)
