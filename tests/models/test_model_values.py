"""Numbers worked out by hand or published, which the models must give exactly."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import sympy

from attometer.count.formulas.functions import distinct_experts
from attometer.count.model_cost import (
    active_parameters,
    by_kind,
    cache,
    flops,
    parameters,
    weights_read,
)
from attometer.count.part_cost import part_cost
from attometer.errors import AttometerError
from attometer.models import from_values, model
from attometer.models.part import Part
from attometer.program import parse, size

# Name, parameters, source. Exact totals: safetensors metadata of the released checkpoints, or the papers' tables.
PUBLISHED = [
    ("llama-3.1-8b", 8_030_261_248, "safetensors metadata"),
    ("llama-3.1-70b", 70_553_706_496, "safetensors metadata"),
    ("llama-3.1-405b", 405_853_388_800, "safetensors metadata"),
    ("llama-2-7b", 6_738_415_616, "safetensors metadata"),
    ("llama-2-13b", 13_015_864_320, "safetensors metadata"),
    ("llama-2-70b", 68_976_648_192, "safetensors metadata"),
    ("mistral-7b", 7_241_732_096, "safetensors metadata"),
    ("mixtral-8x7b", 46_702_792_704, "safetensors metadata"),
    ("qwen2-7b", 7_615_616_512, "safetensors metadata"),
    ("qwen2.5-0.5b", 494_032_768, "safetensors metadata"),
    ("qwen2.5-7b", 7_615_616_512, "safetensors metadata"),
    ("qwen3-8b", 8_190_735_360, "safetensors metadata"),
    ("qwen3-0.6b", 596_049_920, "safetensors metadata, the tied head once"),
    ("qwen3-32b", 32_762_123_264, "safetensors metadata"),
    ("qwen3-30b-a3b", 30_532_122_624, "safetensors metadata"),
    ("qwen3-235b-a22b", 235_093_634_560, "safetensors metadata"),
    ("gemma-2-2b", 2_614_341_888, "safetensors metadata"),
    ("gemma-2-9b", 9_241_705_984, "safetensors metadata"),
    ("gemma-2-27b", 27_227_128_320, "safetensors metadata"),
    ("gpt2", 124_439_808, "safetensors metadata"),
    ("gpt2-medium", 354_823_168, "safetensors metadata"),
    ("gpt2-large", 774_030_080, "safetensors metadata"),
    ("gpt2-xl", 1_557_611_200, "safetensors metadata"),
    ("phi-4", 14_659_507_200, "safetensors metadata"),
    ("gpt-oss-20b", 20_914_757_184, "safetensors metadata"),
    ("phi-2", 2_779_683_840, "Lightning-AI/litgpt tutorials, non-trainable parameters"),
    ("phi-3.5-mini", 3_821_079_552, "safetensors metadata"),
    ("tinyllama-1.1b", 1_100_048_384, "safetensors metadata"),
    ("bloom-176b", 176_247_271_424, "Le Scao et al. 2022, table 3"),
    ("gpt-oss-120b", 116_829_156_672, "safetensors metadata"),
    ("llama-3-8b", 8_030_261_248, "safetensors metadata"),
    ("llama-3-70b", 70_553_706_496, "safetensors metadata"),
    ("llama-3.2-1b", 1_235_814_400, "safetensors metadata"),
    ("codellama-34b", 33_743_970_304, "safetensors metadata"),
    ("smollm2-360m", 361_821_120, "safetensors metadata"),
    ("smollm2-1.7b", 1_711_376_384, "safetensors metadata"),
    ("mistral-nemo-12b", 12_247_782_400, "safetensors metadata"),
    ("mistral-small-24b", 23_572_403_200, "safetensors metadata"),
    ("mistral-large-123b", 122_610_069_504, "safetensors metadata"),
    ("qwen2.5-1.5b", 1_543_714_304, "safetensors metadata"),
    ("qwen2.5-14b", 14_770_033_664, "safetensors metadata"),
    ("qwen2.5-32b", 32_763_876_352, "safetensors metadata"),
    ("qwen2.5-72b", 72_706_203_648, "safetensors metadata"),
    ("qwen3-4b", 4_022_468_096, "safetensors metadata"),
    ("qwen3-14b", 14_768_307_200, "safetensors metadata"),
    ("qwen3-coder-480b-a35b", 480_154_875_392, "safetensors metadata"),
    ("phi-3-mini-4k", 3_821_079_552, "safetensors metadata"),
]


@pytest.mark.parametrize(("name", "total", "source"), PUBLISHED)
def test_published_parameter_counts(name: str, total: int, source: str) -> None:
    assert parameters(model(name)) == total, source


LLAMA_7B = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008}
# Families without a class in transformers: the totals of their released checkpoints stand for it.
CHECKPOINTS = [
    ("Qwen-7B", 7_721_324_544, {"model_type": "qwen", **LLAMA_7B, "intermediate_size": 22_016, "vocab_size": 151_936}),
    ("Baichuan2-7B", 7_505_973_248, {"model_type": "baichuan", **LLAMA_7B, "vocab_size": 125_696, "max_position_embeddings": 4096}),
    ("InternLM-7B", 7_321_948_160, {"model_type": "internlm", **LLAMA_7B, "vocab_size": 103_168}),
    (
        "InternLM2-7B",
        7_737_708_544,
        {"model_type": "internlm2", **LLAMA_7B, "intermediate_size": 14_336, "num_key_value_heads": 8, "vocab_size": 92_544},
    ),
    (
        "ChatGLM3-6B",
        6_243_584_000,
        {
            "model_type": "chatglm", "hidden_size": 4096, "num_layers": 28, "num_attention_heads": 32, "ffn_hidden_size": 13_696,
            "kv_channels": 128, "multi_query_attention": True, "multi_query_group_num": 2, "add_qkv_bias": True,
            "add_bias_linear": False, "padded_vocab_size": 65_024,
        },
    ),
    (
        "MiniCPM-2B",
        2_724_880_896,
        {
            "model_type": "minicpm", "hidden_size": 2304, "num_hidden_layers": 40, "num_attention_heads": 36,
            "intermediate_size": 5760, "vocab_size": 122_753,
        },
    ),
    (
        "DeepSeek-MoE-16B",
        16_375_728_128,
        {
            "model_type": "deepseek", "hidden_size": 2048, "num_hidden_layers": 28, "num_attention_heads": 16,
            "intermediate_size": 10_944, "moe_intermediate_size": 1408, "n_routed_experts": 64, "num_experts_per_tok": 6,
            "n_shared_experts": 2, "first_k_dense_replace": 1, "vocab_size": 102_400,
        },
    ),
    (
        "Orion-14B",
        14_498_703_360,
        {
            "model_type": "orion", "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40,
            "intermediate_size": 15_360, "vocab_size": 84_608,
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "total", "values"), CHECKPOINTS)
def test_checkpoints_of_families_that_transformers_does_not_have(
    name: str, total: int, values: dict[str, object]
) -> None:
    assert parameters(from_values(values)) == total, name


def test_deepseek_v3_has_671_billion_parameters_and_a_latent_cache() -> None:
    read = model("deepseek-v3")
    # 671,026,419,200 published, with 256 router biases in each of 58 layers, which transformers keeps as buffers.
    assert parameters(read) == 671_026_419_200 - 58 * 256
    assert cache(read).kv == 61 * (512 + 64) * size("m")
    assert cache(read).at(8192) * 2 == 8192 * 61 * 576 * 2


def test_llama_3_8b_forward() -> None:
    read = model("llama-3.1-8b")
    linear, head, attention = 2048 * 2 * 6_979_321_856, 2048 * 2 * 128_256 * 4096, 32 * 4 * 32 * 128 * 2048**2
    assert flops(read, n=2048, causal="full") == linear + head + attention == 32_938_104_193_024
    assert flops(read, n=8192, causal="full") == 158_140_695_838_720
    assert flops(read, n=2048) == linear + head + 32 * 4 * 32 * 128 * (2048 * 2049 // 2)


def test_llama_3_8b_decode() -> None:
    read = model("llama-3.1-8b")
    assert flops(read, n=1, m=8192) == 19_304_284_160
    assert flops(read, n=1, m=8192, phase="decode") == 19_304_284_160


def test_llama_3_8b_cache() -> None:
    assert cache(model("llama-3.1-8b")).at(131_072) * 2 == 17_179_869_184


def test_mixtral_runs_two_experts_of_eight() -> None:
    read = model("mixtral-8x7b")
    assert flops(read, n=2048, causal="full") == 54_417_235_640_320
    assert active_parameters(read) == 12_879_925_248


def test_gpt2_forward() -> None:
    assert flops(model("gpt2"), n=1024, causal="full") == 291_648_307_200


def test_last_logit_only() -> None:
    read = model("llama-3.1-8b")
    assert flops(read, n=2048) - flops(read, n=2048, logits="last") == 2047 * 2 * 4096 * 128_256


def test_a_window_caps_the_cache_and_the_work() -> None:
    rows = {row.kind: row for row in by_kind(model("gemma-2-2b"))}
    m = size("m")
    assert rows["sliding"].kv == 13 * 2 * 4 * 256 * sympy.Min(m, 4096)
    assert rows["full"].kv == 13 * 2 * 4 * 256 * m
    n = 16_384
    rows_of_window = 4096 * n - 4096 * 4095 // 2
    square = flops(model("gemma-2-2b"), n=n, causal="full") - flops(model("gemma-2-2b"), n=n)
    assert square == 13 * 4 * 8 * 256 * (2 * n * n - rows_of_window - n * (n + 1) // 2)


def test_kinds_add_up_to_the_model() -> None:
    for name in ("gemma-3-1b", "deepseek-v3", "nemotron-3-nano-30b-a3b", "t5-base"):
        read = model(name)
        rows = by_kind(read)
        assert sum(row.parameters for row in rows) == parameters(read)
        assert sum(row.layers for row in rows) - 2 == read.depth
        sizes = {size(k): sympy.Integer(64) for k in "nms"} | {size("b"): sympy.Integer(1)}
        total = sympy.Add(*(row.flops for row in rows)).xreplace(sizes)
        assert total == flops(read, n=64)


@pytest.mark.parametrize("tokens", [1, 2, 3, 8])
def test_distinct_experts_by_hand(tokens: int) -> None:
    exact = 8 * (1 - Fraction(6, 8) ** tokens)
    assert distinct_experts(8, 2, tokens) == pytest.approx(float(exact), rel=1e-12)


def test_weights_read_grow_from_the_active_to_all() -> None:
    read = model("mixtral-8x7b")
    table = 32_000 * 4096
    assert weights_read(read, 1) == active_parameters(read) - table + 4096
    assert weights_read(read, 100_000) == pytest.approx(parameters(read), rel=1e-9)


def test_a_table_is_what_is_only_looked_up_whatever_it_is_called() -> None:
    sizes = "axis i: n, v: 100, c: 8\ninput ids[b,i]\nweight E[v,c]\n"
    table = Part("table", parse(sizes + "Y[b,i,c] = E[ids[b,i],c] * 3"))
    product = Part("product", parse(sizes + "input X[b,i,c]\nY[b,i] = E[ids[b,i],c] * X[b,i,c]"))
    assert (part_cost(table).weights_read(5), part_cost(product).weights_read(5)) == (40, 800)


def test_state_of_recurrent_layers_does_not_grow() -> None:
    kept = cache(model("mamba-2.8b"))
    assert (kept.kv, kept.state) == (0, 64 * 5120 * (16 + 3))


def test_absorbed_decode_is_the_cheaper_form_of_latent_attention() -> None:
    read = model("deepseek-v3")
    heads, rank, rotated, plain, values = 128, 512, 64, 128, 128
    per_key = 61 * 2 * heads * (2 * rank + rotated)
    assert flops(read, n=1, m=8193, phase="decode") - flops(read, n=1, m=8192, phase="decode") == per_key
    expanded = 61 * (2 * heads * (plain + rotated + values) + 2 * rank * heads * (plain + values))
    assert flops(read, n=1, m=8193) - flops(read, n=1, m=8192) == expanded


def test_sparse_attention_stops_growing_at_its_top_k() -> None:
    read = model("glm-5")
    near, far = (
        flops(read, n=1, m=k + 1, phase="decode") - flops(read, n=1, m=k, phase="decode") for k in (1000, 100_000)
    )
    indexed = 78 * (2 * 32 * 128 + 2 * 32)
    assert (near > far, far) == (True, indexed)


def test_an_indexer_chooses_at_most_what_is_compressed() -> None:
    read = model("deepseek-v4-flash")
    layers, heads, d, keep, rate, index = 21, 64, 512, 512, 4, 64 * 128
    pair = 4 * heads * d
    # Up to 2,048 keys all compressed ones are chosen, and one more joins every 4 keys; beyond, 512 of them.
    few = flops(read, n=1, m=1024 + rate) - flops(read, n=1, m=1024)
    many = flops(read, n=1, m=8192 + rate) - flops(read, n=1, m=8192)
    assert (few, many) == (layers * (pair + 2 * index), layers * 2 * index)
    assert keep * rate == 2048


def test_encoder_decoder_has_two_lengths() -> None:
    read = model("t5-base")
    assert flops(read, n=4, m=4, s=100) > flops(read, n=4, m=4, s=50)
    assert cache(read).kv == 12 * 2 * 768 * size("m") + 12 * 2 * 768 * size("s")


def test_whisper_hears_thirty_seconds_whatever_is_said() -> None:
    # Radford et al. 2022 (arXiv:2212.04356): audio is padded to 30 s, 1,500 frames behind the convolutions.
    read = model("whisper-large-v3")
    width, frames, heard = 1280, 1500, [s for s in read.layers if s.kind == "encoder"]
    matrices = 4 * width * width + 2 * width * 4 * width
    each = 2 * frames * matrices + 4 * frames * frames * width
    layers = replace(read, layers=tuple(heard), embedding=(), head=())
    assert (read.context, flops(layers, n=448, m=448)) == (448, 32 * each)
    assert cache(read).kv == 32 * 2 * width * (size("m") + frames)


def test_unknown_options_are_named() -> None:
    with pytest.raises(AttometerError, match=r'unknown form "refrence"; did you mean "reference"\?'):
        flops(model("gpt2"), n=8, form="refrence")
    with pytest.raises(AttometerError, match=r'unknown phase "train"'):
        flops(model("gpt2"), n=8, phase="train")
    with pytest.raises(AttometerError, match=r"n must be a positive integer, got 0"):
        flops(model("gpt2"), n=0)


def test_full_reference_and_exact_program_agree_where_nothing_is_masked_or_chunked() -> None:
    read = model("bert-base")
    assert flops(read, n=32) == flops(read, n=32, causal="full", form="reference")


def test_head_dimension_may_differ_from_the_width_over_the_heads() -> None:
    small = from_values(
        {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "head_dim": 3, "num_hidden_layers": 1,
         "intermediate_size": 5, "vocab_size": 7}
    )  # fmt: skip
    assert parameters(small) == 7 * 8 * 2 + 8 * 3 + 4 * 8 * 6 + 3 * 8 * 5
