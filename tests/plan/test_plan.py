"""The plan: exact bytes, the boundary of the largest context, levers that do what they say, and what it refuses."""

import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attometer as am
from attometer.count.model_cost import cache, flops
from attometer.errors import AttometerError
from attometer.formats import FORMATS, storage, stored_bytes
from attometer.plan import plan, planner
from attometer.plan.what_if import changed, with_heads, with_window

LLAMA = am.model("llama-3.1-8b")
H100 = am.machine("h100-sxm")


def test_llama_at_131072_tokens_on_an_h100() -> None:
    made = plan("llama-3.1-8b", "h100-sxm", context=131072)
    assert made.parameters == 8_030_261_248
    assert made.memory.weights == 2 * 8_030_261_248
    assert made.memory.kv == 17_179_869_184
    assert made.fits
    assert made.memory.total == made.memory.weights + made.memory.kv + made.memory.activations
    assert sum(share.parameters for share in made.layers) == made.parameters
    assert sum(share.kv_bytes for share in made.layers) == made.memory.kv


def test_flops_of_the_shares_are_the_models() -> None:
    made = plan(LLAMA, H100, context=2048)
    assert made.time.flops == flops(LLAMA, n=2048, logits="last")


def test_decode_flops_grow_with_the_context() -> None:
    # Llama-3-8B, one token at context 8192: 19.3043 GFLOP, by hand: 2 FLOPs per weight used and per cached pair.
    made = plan(LLAMA, H100, context=8192, mode="decode")
    assert made.time.flops == 19_304_284_160
    assert made.time.binds == "memory"


@pytest.mark.parametrize("mode", ["prefill", "decode", "train"])
@pytest.mark.parametrize("name", ["llama-3.1-8b", "gemma-2-2b", "gpt2"])
def test_the_largest_context_is_the_boundary(name: str, mode: str) -> None:
    asked = planner(name, "rtx-4090", mode=mode)
    most = asked.largest_context()
    if most:
        assert asked.total(most) <= asked.room
    assert asked.total(most + 1) > asked.room


@given(st.integers(1, 200_000), st.integers(1, 64), st.sampled_from(["bf16", "fp8", "int8"]))
@settings(max_examples=30)
def test_cache_bytes_are_elements_times_bits(context: int, batch: int, kv: str) -> None:
    made = planner(LLAMA, H100, kv_dtype=kv, mode="decode").memory(context, batch)
    assert made.kv == cache(LLAMA).at(context, batch) * storage(kv).bits / 8


@given(st.integers(1, 10**12), st.sampled_from(sorted(FORMATS)))
def test_stored_bytes_round_up_by_less_than_one(elements: int, name: str) -> None:
    exact = Fraction(elements) * storage(name).bits / 8
    assert exact <= stored_bytes(elements, storage(name)) < exact + 1


def test_naive_attention_holds_the_scores_and_flash_does_not() -> None:
    naive = plan(LLAMA, H100, context=8192, schedule="naive")
    flash = plan(LLAMA, H100, context=8192)
    scores = 2 * 32 * 8192 * 8192
    assert naive.memory.activations >= scores
    assert flash.memory.activations < scores
    assert naive.time.bytes_moved - flash.time.bytes_moved > 32 * scores
    assert naive.levers[0].name == "flash attention" or naive.levers[0].seconds_saved > 0
    assert "flash attention" in [lever.name for lever in naive.levers]


def test_a_lever_saves_exactly_what_planning_again_saves() -> None:
    before = plan(LLAMA, H100, context=131072, mode="decode", batch=4)
    levers = {lever.name: lever for lever in before.levers}
    after = plan(LLAMA, H100, context=131072, mode="decode", batch=4, kv_dtype="fp8")
    assert levers["KV cache in fp8"].bytes_saved == before.memory.total - after.memory.total
    assert levers["KV cache in fp8"].fits == after.fits


def test_levers_that_make_it_fit_come_first() -> None:
    made = plan(LLAMA, H100, context=131072, mode="decode", batch=5)
    assert not made.fits
    fits = [lever.fits for lever in made.levers]
    assert fits == sorted(fits, reverse=True)


def test_checkpointing_holds_less_and_computes_once_more() -> None:
    whole = plan(LLAMA, H100, context=4096, mode="train")
    again = plan(LLAMA, H100, context=4096, mode="train", checkpoint=True)
    assert again.memory.activations < whole.memory.activations
    # The head runs once: it stands after the layers.
    assert again.time.flops - whole.time.flops == flops(LLAMA, n=4096) - 2 * 4096 * 4096 * 128256


def test_prefill_in_chunks_computes_the_same_and_holds_less() -> None:
    whole = plan(LLAMA, H100, context=65536)
    pieces = plan(LLAMA, H100, context=65536, chunk=8192)
    assert pieces.time.flops == whole.time.flops
    assert pieces.memory.activations < whole.memory.activations
    assert pieces.time.bytes_moved > whole.time.bytes_moved


def test_window_and_heads_as_what_ifs() -> None:
    windowed = with_window(LLAMA, 4096)
    assert windowed is not None
    assert cache(windowed).at(131072) == cache(LLAMA).at(4096)
    halved = with_heads(LLAMA, 4)
    assert halved is not None
    assert 2 * cache(halved).at(1000) == cache(LLAMA).at(1000)
    assert with_heads(am.model("gpt2"), 2) is None
    made = plan(LLAMA, H100, context=131072, mode="decode", what_if={"window": 4096})
    assert made.memory.kv == cache(windowed).at(131072) * 2
    assert made.headline.startswith("llama-3.1-8b with window=4096 in bf16 fits")
    assert not any("window" in lever.name for lever in plan(LLAMA, H100, context=131072).levers)
    with pytest.raises(AttometerError, match='unknown what-if "windows"; did you mean "window"'):
        changed(LLAMA, {"windows": 4})
    with pytest.raises(AttometerError, match=r"gpt2 has no place for kv_heads=2"):
        changed(am.model("gpt2"), {"kv_heads": 2})


def test_experts_are_read_once_each() -> None:
    mixtral = am.model("mixtral-8x7b")
    one = plan(mixtral, "h200-sxm", context=1024, mode="decode")
    many = plan(mixtral, "h200-sxm", context=1024, mode="decode", batch=256)
    # One token reads two experts of eight, 256 tokens practically all: four times, not 256 times.
    assert 1 < (many.time.bytes_moved - many.memory.kv) / (one.time.bytes_moved - one.memory.kv) < 4


def test_sliding_layers_keep_their_window_only() -> None:
    gemma = am.model("gemma-2-2b")
    near, far = (plan(gemma, H100, context=n, mode="decode") for n in (8192, 16384))
    sliding = [next(s for s in p.layers if s.kind == "sliding") for p in (near, far)]
    assert sliding[0].kv_bytes == sliding[1].kv_bytes
    assert sliding[0].bytes_moved == sliding[1].bytes_moved


def test_command_prints_json_and_exits_by_fit(command: Callable[..., Any]) -> None:
    done = command("plan", "llama-3.1-8b", "--on", "h100-sxm", "--context", "131072", "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["parameters"], found["kv_bytes"], found["fits"]) == (
        0,
        8030261248,
        17179869184,
        True,
    )
    assert command("plan", "deepseek-v3", "--on", "t4", "--context", "100").returncode == 1


def test_command_checks_and_explains(command: Callable[..., Any]) -> None:
    checked = command("plan", "llama-3.1-8b", "--check")
    assert checked.returncode == 0
    assert "modelled" in checked.stdout
    explained = command("plan", "llama-3.1-8b", "--context", "1000", "--explain")
    assert "KV cache = batch × (32 × (2048*m) [full])" in explained.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["llama-3-1-8b"], 'unknown model "llama-3-1-8b"; did you mean "llama-3.1-8b"?'),
        (["llama-3.1-8b", "--on", "h1000"], 'unknown hardware "h1000"; did you mean'),
        (["llama-3.1-8b", "--context", "0"], "context must be a positive integer, got 0"),
        (["llama-3.1-8b", "--batch", "-1"], "batch must be a positive integer, got -1"),
        (["llama-3.1-8b", "--context", "9" * 30], "context must be at most"),
        (["llama-3.1-8b", "--mode", "prefil"], 'unknown mode "prefil"; did you mean "prefill"?'),
        (["llama-3.1-8b", "--kv-dtype", "bf17"], 'unknown data type "bf17"; did you mean "bf16"?'),
        (["llama-3.1-8b", "--schedule", "fast"], 'unknown schedule "fast"'),
        (["/nowhere/config.json"], "/nowhere/config.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(command: Callable[..., Any], arguments: list[str], message: str) -> None:
    done = command("plan", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
