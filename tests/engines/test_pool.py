"""What engines leave for the cache, against public logs. Sizes are GiB as the logs print them."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.count.weights import stored_weights
from attometer.engines import (
    NAMES,
    cache_layout,
    engine,
    largest_context,
    padding,
    pool,
    requests,
    rotary_tables,
    tokens,
)
from attometer.engines.engine import GIB
from attometer.engines.pool import graph_buffer, seen_whole
from attometer.errors import AttometerError
from attometer.formats import uniform
from attometer.models import from_values, model
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
    with pytest.raises(AttometerError, match=r"of 512 \+ 64; llama-3\.1-8b keeps keys and values"):
        cache_layout(model("llama-3.1-8b"), found, kv_format="fp8_ds_mla")


def test_heads_are_repeated_where_ranks_outnumber_them():
    found = engine("vllm")
    keys = model("qwen3-235b-a22b")
    per = [cache_layout(keys, found, Placement(tp=tp)).per_token for tp in (1, 2, 4, 8)]
    assert per == [94 * 4 * 256 * 2, 94 * 2 * 256 * 2, 94 * 256 * 2, 94 * 256 * 2]


def test_the_layout_of_the_reader_with_two_cards():
    # vllm-project/vllm#13061: 98,304 bytes per token and rank, 48 layers of 4 of 8 heads of 128
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
        pool(
            engine(name),
            model("llama-3.1-8b"),
            size * GIB,
            16 * 10**9,
            fraction=0.8,
            batched_tokens=2048,
            max_requests=64,
        )
        for size in (gib, gib + 1)
    )
    assert small.bytes < large.bytes
    assert "GiB seen" in str(small)
    assert small.to_dict()["cache"] == small.bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vlm", 'unknown engine "vlm"; did you mean "vllm"?'),
        ("", 'unknown engine ""; known: gpt-fast, llama.cpp, mlx, sglang, tensorrt-llm, torch, transformers, vllm'),
    ],
)
def test_engines_are_named(text, message):
    with pytest.raises(AttometerError) as error:
        engine(text)
    assert str(error.value) == message


def test_a_utilisation_is_a_share():
    with pytest.raises(AttometerError, match=r"utilisation must be above 0 and at most 1, got 92; 92 % is 0\.92$"):
        pool(engine("vllm"), model("llama-3.1-8b"), H200, 1, fraction=92)


def test_versions_are_ranges():
    asked = ("vllm@0.2.5", "vllm@0.6.3", "vllm 0.7", "vLLM 0.10.1", "vllm==0.16.0+cu128", "vllm:0.19.1rc2", "vllm")
    since = ["0", "0.5.4", "0.6.5", "0.8", "0.11", "0.18", "0.29"]
    assert [engine(text).version.since for text in asked] == since


def test_a_step_was_a_whole_prompt_before_chunks():
    old, new = engine("vllm@0.6.3").version, engine("vllm@0.9").version
    large, small = 80 * 2**30, 24 * 2**30
    steps = [v.step_tokens(v.scale(small), n) for v in (old, new) for n in (1000, 20_000, 40_000)]
    assert steps == [2048, 20_000, 512, 2048, 2048, 2048]
    assert [new.scale(large, name).tokens for name in ("h100-sxm", "a100-80gb-sxm")] == [8192, 2048]


def test_every_figure_has_a_source_or_a_fit():
    for name in NAMES:
        version = engine(name).version
        for stated in (version.fraction, version.block, version.runtime, version.sampler, *version.graphs):
            assert len(stated.provenance) > 8


def test_tokens_left_on_a_small_card():
    # LMCache/LMCache#3430: Qwen3-8B on 24 GB at 0.9764: 46,368 tokens in 6.37 GiB
    found, reader = engine("vllm@0.21"), model("qwen3-8b")
    left = pool(found, reader, 24_564 * 2**20, 2 * 8_190_735_360, fraction=0.9764)
    assert left.bytes / GIB == pytest.approx(6.37, rel=0.01)
    assert tokens(left.bytes, cache_layout(reader, found)) == pytest.approx(46_368, rel=0.01)


def test_experts_are_padded_and_the_context_does_not_fit():
    # vllm-project/vllm#33155: gpt-oss-120b takes 64.38 GiB; one H100 has no room for a request of 131,072 tokens
    found, reader = engine("vllm@0.13"), model("gpt-oss-120b")
    stored = stored_weights(reader, uniform("mxfp4")).total
    kernels = stored + padding(found, reader, uniform("mxfp4"))
    assert kernels / GIB == pytest.approx(64.38, rel=0.02)
    layout, taken = cache_layout(reader, found), int(64.38 * GIB)
    assert layout.request(131_072) > pool(found, reader, 81_559 * 2**20, taken, fraction=0.95).bytes
    assert pool(found, reader, 81_559 * 2**20, taken, fraction=0.90).bytes < 0


@pytest.mark.parametrize(("context", "gigabytes"), [(4096, 0.40), (8192, 0.48), (32768, 0.99), (131072, 3.00)])
def test_llamacpp_keeps_the_window_and_a_micro_batch(context, gigabytes):
    # 25 sliding layers × 8 heads × 256, 1,024 + 512 cells; 5 global layers × 2 heads × 512; f16
    layout = cache_layout(model("gemma-4-26b-a4b"), engine("llama.cpp"), step=512)
    assert layout.request(context) == 204_800 * 1536 + 20_480 * context
    assert layout.request(context) / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_llamacpp_s_compute_buffer():
    # XiongjieDai/GPU-Benchmarks-on-LLM-Inference: llama.cpp's own logs, MiB
    logged = [("llama-2-7b", 512, 73.69), ("llama-2-13b", 512, 78.19), ("llama-3.1-8b", 8192, 560.0)]
    for name, cells, size in logged:
        assert graph_buffer(model(name), cells, 512, False) / 2**20 == pytest.approx(size, rel=0.005)


def test_an_index_beside_latents_keeps_8_bits_and_a_scale():
    # vLLM on DeepSeek-V3.2: 61 × (656 + 132) bytes a token with the indexer, 61 × 656 without
    layout = cache_layout(model("glm-5"), engine("vllm"), kv_format="fp8_ds_mla")
    assert {each.growing for each in layout.layers} == {656 + 132}


def test_hybrid_layers_are_charged_by_groups_and_later_by_requests():
    # vllm-project/vllm#43308: the same pool, counted by groups of layers (0.20) and by whole requests (0.21)
    reader = model("gemma-4-26b-a4b")
    old, new = (tokens(50 * 10**9, cache_layout(reader, engine(f"vllm@{v}")), 262_144) for v in ("0.20", "0.21"))
    assert old == pytest.approx(50e9 / (30 * 8 * 256 * 2 * 2), rel=0.001)
    assert new > 5 * old


def test_states_are_as_wide_as_the_file_asks():
    # Qwen3.5: mamba_ssm_dtype float32; 64 heads × 128 × 128 states, 12,288 channels × 3 inputs in 16 bits
    layout = cache_layout(model("qwen3.5-397b-a17b"), engine("sglang"))
    assert {each.state for each in layout.layers if each.state} == {64 * 128 * 128 * 4 + 12_288 * 3 * 2}
    # jamba's file asks for nothing: SGLang keeps fp32, vLLM the model's 16 bits
    fp32, own = (cache_layout(model("jamba-v0.1"), engine(name)) for name in ("sglang", "vllm"))
    assert max(each.state for each in fp32.layers) > 1.5 * max(each.state for each in own.layers)


def test_sglang_s_static_fraction_goes_by_the_device():
    # sgl-project/sglang#10975: 512 MiB, 1.5 per chunked token, 2 per graph, 128 per rank, of 81,559 MiB
    found, reader = engine("sglang"), model("llama-3.1-8b")
    alone, eight = (pool(found, reader, 81_559 * 2**20, 0, Placement(tp=tp)).fraction for tp in (1, 8))
    assert alone == round(1 - (512 + 8192 * 1.5 + 2 * 256 + 128) / 81_559, 3)
    assert eight == round(1 - (512 + 8192 * 1.5 + 2 * 512 + 1024) / 81_559, 3)


@pytest.mark.parametrize("name", ["mamba-2.8b", "t5-base", "bert-base", "jamba-v0.1"])
def test_models_with_states_sources_or_no_cache_have_a_layout(name):
    layout = cache_layout(model(name), engine("vllm"))
    held = tokens(10 * GIB, layout, 512)
    assert held == 512 * requests(10 * GIB, layout, 512) or layout.per_token
    assert (held == 0) == (layout.request(512) == 0)


def test_experts_on_rocm_are_padded_where_rows_would_meet_in_one_bank():
    # ashishkamra/vllm-memory-estimator: 112.6113 GiB a rank on MI300X, 109.6068 on H200; rows of the down product have 768 bytes
    reader, four = model("qwen3-235b-a22b"), Placement(tp=4)
    extra = padding(engine("vllm@0.11", "rocm"), reader, uniform("bf16"), four) / 4
    assert extra == 94 * 128 * (2 * 1536 / 4) * 128 * 2
    assert 0.7 < extra / GIB / (112.6113 - 109.6068) < 1
    assert padding(engine("vllm@0.11"), reader, uniform("bf16"), four) == 0


def test_drafts_keep_states_of_their_own():
    # mitchross/talos-argocd-proxmox PR#1995: 302,921 tokens in 4.99 GiB a rank, three draft tokens, 16 of 64 layers with keys
    values = copy.deepcopy(dict(model("qwen3.5-397b-a17b").values))
    values["model_type"], text = "qwen3_5", values["text_config"]
    text |= {
        "model_type": "qwen3_5_text", "hidden_size": 5120, "intermediate_size": 17_408, "num_attention_heads": 24,
        "num_hidden_layers": 64, "num_key_value_heads": 4, "linear_num_value_heads": 48,
        "layer_types": [*["linear_attention"] * 3, "full_attention"] * 16,
    }  # fmt: skip
    reader = from_values(values, "hybrid")
    layout = cache_layout(reader, engine("vllm@0.26"), Placement(tp=2), "fp8", drafts=3)
    assert layout.per_token == 32 * 1024 / 2
    assert tokens(int(4.99 * GIB), layout, 262_144) == 302_921


def test_tables_of_positions_stand_beside_the_weights():
    # vllm-project/vllm#10517: "Loading model weights took 14.9888 GB", of 8,030,261,248 parameters in 16 bits and one table
    assert round((2 * 8_030_261_248 + rotary_tables(model("llama-3.1-8b"))) / GIB, 4) == 14.9888
    values = dict(model("qwen3-8b").values)
    plain = rotary_tables(from_values(values, "x.json"))
    assert plain == 2 * 40_960 * 128
    stretched = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
    several = {"rope_type": "default", "mrope_section": [24, 20, 20]}
    for scaling, positions in ((stretched, 131_072), (several, 4 * 40_960), ({"type": "linear", "factor": 2}, 81_920)):
        assert rotary_tables(from_values({**values, "rope_scaling": scaling}, "x.json")) == 2 * positions * 128
    assert rotary_tables(from_values({**values, "rope_scaling": {"type": "yarn", "factor": "4"}}, "x.json")) == plain
    # One table for layers with a window, one for the others, eight times as long.
    assert rotary_tables(model("gemma-3-27b")) == 2 * 128 * (131_072 + 8 * 131_072)


def test_prefixes_keep_states_twice_and_images_stand_whole_in_a_step():
    hybrid = model("qwen3.5-27b")
    held = [cache_layout(hybrid, engine(name)).request(8192) for name in ("vllm@0.26", "vllm@0.29")]
    layout = cache_layout(hybrid, engine("vllm@0.29"))
    growing = sum(each.layers for each in layout.layers if each.growing)
    # A report on vLLM 0.29.0: 11 pages of keys and 3 groups of 2 pages of states.
    assert held[1] * 14 == held[0] * 17
    assert held[1] == 17 * growing * 784 * 4096
    version = engine("vllm@0.25").version
    assert [version.step_tokens(version.scales[-1], 4096, family) for family in ("gemma4", "llama")] == [2496, 2048]
    assert [seen_whole(model(name)) for name in ("gemma-4-26b-a4b", "gemma-4-e4b", "llama-3.1-8b")] == [
        "gemma4",
        "",
        "",
    ]


def test_llama_cpp_knows_no_window_of_phi_and_mistral():
    for name in ("phi-3-mini-4k", "mistral-7b"):
        whole, window = (cache_layout(model(name), engine(e)) for e in ("llama.cpp", "vllm"))
        assert whole.per_token > 0
        assert all(each.window is None for each in whole.layers)
        assert whole.request(1024) == window.request(1024)
    assert cache_layout(model("gemma-3-27b"), engine("llama.cpp")).layers[0].window == 1024
