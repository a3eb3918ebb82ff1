"""What engines leave for the cache, against public logs. Sizes are GiB as the logs print them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.engines import NAMES, cache_layout, engine, largest_context, pool, requests, tokens
from attometer.engines.engine import GIB
from attometer.errors import AttometerError
from attometer.models import model
from attometer.schedule.placement import Placement

H200, B200, MI300X = 143_771 * 2**20, 183_359 * 2**20, 206_141_652_992

# ashishkamra/vllm-memory-estimator, test_data/validation_db.json: logs of vLLM on real servers
LOGS = [
    # model, device, tp, version, cache format, utilisation, weights, cache, tokens
    ("llama-3.1-70b", H200, 4, "0.11.2", "bf16", 0.92, 32.8894, 90.23, 1_182_608),
    ("llama-3.1-70b", H200, 4, "0.13.0", "fp8", 0.92, 16.9619, 106.15, 2_782_688),
    ("llama-3.1-70b", H200, 4, "0.18.0", "bf16", 0.92, 32.89, 91.57, 1_200_192),
    ("llama-3.1-70b", B200, 4, "0.18.0", "fp8", 0.92, 16.96, 142.94, 3_747_120),
    ("llama-3.1-70b", H200, 4, "0.20.0", "bf16", None, 32.89, 90.66, 1_188_336),
    ("llama-3.1-70b", MI300X, 1, "0.11.2", "bf16", 0.92, 131.6191, 39.07, 128_032),
    ("qwen3-235b-a22b", H200, 4, "0.11.2", "bf16", 0.92, 109.6068, 12.73, 284_080),
    ("qwen3-235b-a22b", MI300X, 4, "0.11.2", "bf16", 0.92, 112.6113, 56.83, 1_267_456),
    ("llama-4-maverick", H200, 8, "0.11.2", "bf16", 0.92, 93.7864, 26.15, 1_142_384),
    ("nemotron-3-nano-30b-a3b", H200, 1, "0.13.0", "fp8", 0.92, 30.5211, 93.13, 6_506_208),
    ("nemotron-3-nano-30b-a3b", H200, 1, "0.14.1", "fp8", 0.92, 30.52, 92.64, 6_472_800),
]


@pytest.mark.parametrize("log", LOGS)
def test_vllm_leaves_what_its_logs_say(log):
    name, device, tp, version, _, utilisation, weights, cache, _ = log
    found = engine(f"vllm {version}", "rocm" if device == MI300X else "cuda")
    left = pool(found, model(name), device, int(weights * GIB), Placement(tp=tp), utilisation)
    assert left.bytes / GIB == pytest.approx(cache, rel=0.02)


@pytest.mark.parametrize("log", LOGS)
def test_tokens_follow_from_the_pool(log):
    name, _, tp, version, kept, _, _, cache, expected = log
    layout = cache_layout(model(name), engine(f"vllm {version}"), Placement(tp=tp), kept)
    # the log rounds the cache to 0.01 GiB, and counts the pages of the rank that has fewest
    assert tokens(int(cache * GIB), layout) == pytest.approx(expected, rel=0.005 / cache + 4e-4)


def test_states_and_keys_share_pages_of_one_size():
    layout = cache_layout(model("nemotron-3-nano-30b-a3b"), engine("vllm@0.13"), kv_format="fp8")
    # 64 heads × 64 × 128 fp32 states and 3 × 6,144 bf16 inputs, over 512 bytes of keys and values a token
    assert layout.block == 4176
    assert layout.pages == (4176 * 512 * 6, 5)


def test_latents_are_kept_by_every_rank_and_may_have_a_layout_of_their_own():
    found = engine("vllm@0.18")
    latents = model("deepseek-v3")
    assert cache_layout(latents, found, Placement(tp=8)).per_token == 61 * 576 * 2
    assert cache_layout(latents, found, kv_format="fp8_ds_mla").per_token == 61 * 656
    with pytest.raises(AttometerError, match=r"llama-3\.1-8b keeps keys and values"):
        cache_layout(model("llama-3.1-8b"), found, kv_format="fp8_ds_mla")


def test_heads_are_repeated_where_ranks_outnumber_them():
    found = engine("vllm")
    keys = model("qwen3-235b-a22b")
    per = [cache_layout(keys, found, Placement(tp=tp)).per_token for tp in (1, 2, 4, 8)]
    assert per == [94 * 4 * 256 * 2, 94 * 2 * 256 * 2, 94 * 256 * 2, 94 * 256 * 2]


def test_the_layout_of_the_reader_with_two_cards():
    # vllm-project/vllm#13061: 98,304 bytes per token and rank, 48 layers of 4 of 8 heads of 128
    from attometer.models import from_values

    values = dict(model("qwen2.5-7b").values) | {
        "hidden_size": 5120, "intermediate_size": 13824, "num_attention_heads": 40, "num_hidden_layers": 48,
        "num_key_value_heads": 8, "vocab_size": 152064, "tie_word_embeddings": False,
    }  # fmt: skip
    values.pop("layer_types", None)
    layout = cache_layout(from_values(values, "distilled"), engine("vllm@0.7"), Placement(tp=2))
    assert layout.per_token == 98_304


def test_the_fraction_needed_gives_that_pool():
    left = pool(engine("vllm"), model("llama-3.1-8b"), H200, 16_060_522_496)
    needed = left.needed_fraction(20 * GIB)
    again = pool(engine("vllm"), model("llama-3.1-8b"), H200, 16_060_522_496, fraction=needed)
    assert again.bytes == pytest.approx(20 * GIB, abs=2)


@given(st.sampled_from(("llama-3.1-8b", "gemma-2-2b", "nemotron-3-nano-30b-a3b")), st.integers(2**28, 2**36))
def test_the_largest_context_fits_and_the_next_does_not(name, size):
    layout = cache_layout(model(name), engine("vllm"))
    longest = largest_context(size, layout)
    assert not longest or requests(size, layout, longest) >= 1
    assert longest == 1 << 24 or layout.request(longest + 1) > size


@given(st.sampled_from(NAMES), st.integers(8, 200))
def test_every_engine_leaves_more_on_a_larger_device(name, gib):
    small, large = (
        pool(engine(name), model("llama-3.1-8b"), size * GIB, 16 * 10**9, batched_tokens=2048, max_requests=64)
        for size in (gib, gib + 1)
    )
    assert small.bytes < large.bytes
    assert "GiB seen" in str(small)
    assert small.to_dict()["cache"] == small.bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vlm", 'unknown engine "vlm"; did you mean "vllm"?'),
        ("", 'unknown engine ""; known: llama.cpp, mlx, sglang, tensorrt-llm, transformers, vllm'),
    ],
)
def test_engines_are_named(text, message):
    with pytest.raises(AttometerError) as error:
        engine(text)
    assert str(error.value) == message


def test_a_utilisation_is_a_share():
    with pytest.raises(AttometerError, match="utilisation must be above 0 and at most 1, got 92"):
        pool(engine("vllm"), model("llama-3.1-8b"), H200, 1, fraction=92)


def test_versions_are_ranges():
    asked = ("vllm@0.6.3", "vLLM 0.10.1", "vllm==0.16.0+cu128", "vllm:0.19.1rc2", "vllm")
    assert [engine(text).version.since for text in asked] == ["0", "0", "0.11", "0.18", "0.21"]


def test_every_figure_has_a_source_or_a_fit():
    for name in NAMES:
        version = engine(name).version
        for stated in (version.fraction, version.block, version.runtime, version.sampler, version.graphs):
            assert len(stated.provenance) > 8
