"""Stored weights against the sizes of published checkpoints and of engines' logs; every form of file read or refused."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.count.weights import stored_weights
from attometer.errors import AttometerError
from attometer.formats import FORMATS, MIXES, from_quantization, mix, storage, stored_bytes, uniform
from attometer.formats.rules import rule
from attometer.models import from_values, model
from attometer.models.stored import weight_formats

LLAMA = {
    "6.74B": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 11008,
        "vocab_size": 32000,
    },
    "13.02B": {
        "hidden_size": 5120,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
        "intermediate_size": 13824,
        "vocab_size": 32000,
    },
    "32.53B": {
        "hidden_size": 6656,
        "num_hidden_layers": 60,
        "num_attention_heads": 52,
        "intermediate_size": 17920,
        "vocab_size": 32000,
    },
    "65.29B": {
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "intermediate_size": 22016,
        "vocab_size": 32000,
    },
    "8.03B": {
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14336,
        "vocab_size": 128256,
    },
}


# GiB as llama.cpp prints them when it loads the file (logs of public benchmark runs).
@pytest.mark.parametrize(
    ("size", "kind", "gib"),
    [
        ("6.74B", "q4_0", 3.56),
        ("6.74B", "f16", 12.55),
        ("13.02B", "q4_0", 6.86),
        ("13.02B", "f16", 24.24),
        ("32.53B", "q4_0", 17.09),
        ("65.29B", "q4_0", 34.27),
        ("8.03B", "q4_k_m", 4.58),
    ],
)
def test_gguf_files_have_the_size_that_llama_cpp_prints(size: str, kind: str, gib: float) -> None:
    values = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **LLAMA[size]}
    read = from_values(values, "x", "x")
    group = values["num_attention_heads"] // values.get("num_key_value_heads", values["num_attention_heads"])
    found = stored_weights(read, mix(kind, read.depth, group)).total / 2**30
    assert found == pytest.approx(gib, abs=0.0051)


def test_rows_that_blocks_of_256_do_not_hold() -> None:
    # a log of llama.cpp: 373.73 MiB of Qwen2.5-0.5B Q4_K_M, whose width is 896, on a RTX 2080 Ti, the head included
    read = model("qwen2.5-0.5b")
    formats = weight_formats(read, "q4_k_m")
    names = {part: formats.of(5, "full", part).name for part in ("q", "up", "down")}
    assert names == {"q": "q5_0", "up": "q5_0", "down": "q6_k"}
    assert formats.of(None, "head", "head").name == "q8_0"
    assert stored_weights(read, formats).total / 2**20 == pytest.approx(373.73, abs=0.1)
    assert weight_formats(model("gpt2"), "q4_k_m").of(5, "full", "q").name == "q4_k"


def test_gpt_oss_is_as_large_as_its_checkpoint() -> None:
    # `total_size` of openai/gpt-oss-120b's model.safetensors.index.json: 65,248,815,744 bytes
    quantized = {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    }
    found = stored_weights(model("gpt-oss-120b"), from_quantization(quantized))
    assert found.total == pytest.approx(65_248_815_744, rel=1e-4)
    assert set(found.by_format) == {"bf16", "mxfp4"}


def test_a_gptq_file_counts_scales_and_zeros_and_keeps_head_and_embedding() -> None:
    # Qwen2.5-72B-Instruct-GPTQ-Int4: vLLM logs 38.526 GiB (vllm-project/vllm issue 11230)
    values = {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 8192, "intermediate_size": 29568,
        "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8, "vocab_size": 152064,
        "tie_word_embeddings": False,
    }  # fmt: skip
    forms = from_quantization({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "fp16")
    assert forms.of(3, "full", "down").bits == 4 + Fraction(20, 128)
    assert stored_weights(from_values(values, "x", "x"), forms).total / 2**30 == pytest.approx(38.526, rel=5e-3)


def test_block_scales_of_fp8_are_counted() -> None:
    forms = from_quantization({"quant_method": "fp8", "weight_block_size": [128, 128]})
    whole = stored_weights(model("deepseek-v3"), forms)
    # DeepSeek-V3: 671.03 B parameters, of which embedding, head, routers and norms stay in bf16
    assert whole.total == pytest.approx(673.15e9, rel=1e-4)
    assert whole.by_format["fp8_block"] > 0.99 * whole.total


@pytest.mark.parametrize(
    ("config", "place", "name"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, (0, "full", "q"), "awq-int4"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, (None, "head", "head"), "bf16"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
            (0, "full", "up"),
            "nf4_double",
        ),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, (0, "full", "up"), "int8"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["gate", "lm_head"]}, (0, "full", "router"), "bf16"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["gate", "lm_head"]}, (0, "full", "gate"), "fp8"),
        ({"quant_algo": "NVFP4", "exclude_modules": ["model.layers.1.self_attn*"]}, (1, "full", "q"), "bf16"),
        ({"quant_algo": "NVFP4", "exclude_modules": ["model.layers.1.self_attn*"]}, (2, "full", "q"), "nvfp4"),
        ({"quant_algo": "NVFP4", "exclude_modules": ["*.mlp.shared_expert.*"]}, (2, "full", "shared up"), "bf16"),
        ({"quant_algo": "NVFP4", "exclude_modules": ["model.layers.0*"]}, (0, "full", "down"), "bf16"),
        ({"bits": 4, "group_size": 64}, (None, "embedding", "embedding"), "mlx_4bit"),
        (
            {"quant_method": "fp8", "quantized_layers": {"layers.0.ffn.experts": {"quant_algo": "NVFP4"}}},
            (0, "full", "experts up"),
            "nvfp4",
        ),
        (
            {"quant_method": "fp8", "quantized_layers": {"layers.0.ffn.experts": {"quant_algo": "NVFP4"}}},
            (0, "full", "q"),
            "fp8",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "ignore": ["lm_head", "re:.*self_attn.*"],
                "config_groups": {
                    "g": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}
                },
            },
            (5, "mla", "experts down"),
            "int4",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "ignore": ["re:.*self_attn.*"],
                "config_groups": {
                    "g": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}
                },
            },
            (5, "mla", "q up"),
            "bf16",
        ),
        (
            {
                "quant_method": "modelopt",
                "config_groups": {
                    "a": {
                        "targets": ["model.layers.0.mlp.up_proj"],
                        "weights": {"num_bits": 4, "type": "float", "group_size": 16},
                    },
                    "b": {"targets": ["lm_head"], "weights": {"num_bits": 8, "type": "float"}},
                },
            },
            (None, "head", "head"),
            "fp8",
        ),
    ],
)
def test_each_module_is_stored_as_its_file_says(config: dict[str, Any], place: tuple[Any, str, str], name: str) -> None:
    assert from_quantization(config).of(*place).name == name


def test_experts_of_a_type_of_their_own() -> None:
    forms = from_quantization({"quant_method": "fp8", "weight_block_size": [128, 128]}, experts="fp4")
    assert forms.of(1, "mla", "experts up").name == "mxfp4"
    assert forms.of(1, "mla", "q up").name == "fp8_block"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quant_method": "gptqq"}, r'^unknown quant_method "gptqq"; did you mean "gptq"\?$'),
        ({"quant_method": "gptq", "bits": "4"}, r"^bits must be an integer from 1 to 8, got '4'$"),
        ({"quant_method": "gptq", "group_size": 0}, r"^group_size must be an integer from 1 to 1,048,576, got 0$"),
        (
            {"quant_method": "fp8", "weight_block_size": [0, 128]},
            r"^weight_block_size must be two positive integers, got \[0, 128\]$",
        ),
        (
            {"quant_method": "fp8", "modules_to_not_convert": [1]},
            r"^modules_to_not_convert must be a list of module names, got \[1\]$",
        ),
        ({"quant_algo": "FP9"}, r'^unknown quant_algo "FP9"; did you mean "FP8"\?$'),
        ({"quant_method": "compressed-tensors"}, r"^config_groups must hold groups, got None$"),
        ([], r"^quantization_config must be an object, got \[\]$"),
    ],
)
def test_files_that_mean_nothing_are_refused_in_words(config: Any, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        from_quantization(config)


def test_an_unknown_type_never_suggests_one_of_another_kind() -> None:
    with pytest.raises(AttometerError, match=r'^unknown data type "fp9"; did you mean "fp8"\?; known: fp64'):
        storage("fp9")
    with pytest.raises(AttometerError, match=r'^unknown data type "4bits"; known: fp64'):
        storage("4bits")
    assert storage("4bit").name == "int4"


@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 10**12))
def test_bytes_are_the_bits_rounded_up(name: str, elements: int) -> None:
    exact = elements * FORMATS[name].bits / 8
    assert 0 <= stored_bytes(elements, FORMATS[name]) - exact < 1


@given(st.sampled_from(sorted(MIXES)), st.integers(1, 130), st.sampled_from([1, 4, 8]))
def test_every_gguf_mix_stores_every_tensor_in_a_known_format(name: str, layers: int, group: int) -> None:
    chosen = mix(name, layers, group)
    for index in (0, layers // 2, layers - 1):
        for part in ("q", "v", "out", "down", "norm"):
            assert chosen.of(index, "full", part).name in FORMATS
    assert chosen.of(None, "head", "head").name in FORMATS


@given(st.text(max_size=30))
def test_any_entry_of_an_ignore_list_is_a_rule(entry: str) -> None:
    assert rule(entry, None).matches(0, "self_attn.q_proj") in (True, False)


def test_one_format_for_all_keeps_lookups_and_norms_at_sixteen_bits() -> None:
    llama = model("llama-3.1-8b")
    found = stored_weights(llama, uniform("fp8"))
    lookups = 2 * 128256 * 4096 * 2
    assert found.by_format["bf16"] == lookups + 2 * (2 * 32 + 1) * 4096
    assert found.by_format["fp8"] == 8030261248 - 2 * 128256 * 4096 - 65 * 4096


# entry of a file → (layer, module) pairs that it covers, and those that it does not
COVERED: dict[str, tuple[list[tuple[int | None, str]], list[tuple[int | None, str]]]] = {
    "lm_head": ([(None, "lm_head")], [(None, "embed_tokens"), (0, "mlp.up_proj")]),
    "language_model.lm_head": ([(None, "lm_head")], [(None, "embed_tokens")]),
    "model.embed_tokens": ([(None, "embed_tokens")], [(None, "lm_head")]),
    "gate": ([(0, "mlp.gate"), (7, "mlp.gate")], [(0, "mlp.gate_proj"), (0, "mlp.experts.gate_up_proj")]),
    "model.layers.3.mlp.gate": ([(3, "mlp.gate")], [(4, "mlp.gate"), (3, "mlp.gate_proj"), (None, "mlp.gate")]),
    "model.layers.*.self_attn": ([(0, "self_attn.q_proj"), (9, "self_attn.o_proj")], [(0, "mlp.up_proj")]),
    "model.layers.10*": ([(10, "mlp.up_proj"), (10, "self_attn.q_proj")], [(1, "mlp.up_proj"), (100, "mlp.up_proj")]),
    "model.layers.1.*": ([(1, "mlp.up_proj")], [(10, "mlp.up_proj"), (0, "mlp.up_proj")]),
    "language_model.model.layers.2.mlp.shared_experts*": (
        [(2, "mlp.shared_experts.up_proj")],
        [(2, "mlp.up_proj"), (2, "mlp.experts.gate_up_proj"), (3, "mlp.shared_experts.up_proj")],
    ),
    "*.mlp.shared_expert.*": ([(5, "mlp.shared_experts.down_proj")], [(5, "mlp.down_proj")]),
    "*.attn.*": ([(5, "self_attn.q_proj")], [(5, "mlp.down_proj")]),
    "model.layers.4.block_sparse_moe.gate": ([(4, "mlp.gate")], [(4, "mlp.experts.gate_up_proj")]),
    "model.layers.4.ffn.experts.17.w1": (
        [(4, "mlp.experts.gate_up_proj")],
        [(4, "mlp.gate"), (5, "mlp.experts.down_proj")],
    ),
    "backbone.layers.5.mixer.q_proj": ([(5, "self_attn.q_proj")], [(5, "self_attn.k_proj"), (6, "self_attn.q_proj")]),
    "backbone.layers.5.mixer": ([(5, "mixer.in_proj"), (5, "mlp.up_proj")], [(6, "mixer.in_proj")]),
    "model.layers.0.self_attn.indexer*": (
        [(0, "self_attn.indexer.wq_b")],
        [(0, "self_attn.q_b_proj"), (1, "self_attn.indexer.wq_b")],
    ),
    r"re:.*self_attn.*": ([(0, "self_attn.q_proj")], [(0, "mlp.up_proj"), (None, "lm_head")]),
    r"re:.*mlp\.(gate|up|gate_up|down)_proj.*": (
        [(0, "mlp.gate_proj"), (0, "mlp.down_proj")],
        [(0, "mlp.gate"), (0, "mlp.experts.down_proj")],
    ),
    r"re:^model\.layers\.0\..*": ([(0, "mlp.up_proj")], [(1, "mlp.up_proj"), (None, "embed_tokens")]),
    "re:(": ([], [(0, "mlp.up_proj"), (None, "lm_head")]),
    "model.visual": ([], [(0, "mlp.up_proj"), (None, "embed_tokens")]),
    "vision_tower*": ([], [(0, "mlp.up_proj"), (None, "embed_tokens")]),
    "mtp*": ([], [(0, "mlp.up_proj"), (None, "lm_head")]),
}


@pytest.mark.parametrize("entry", COVERED)
def test_an_entry_covers_the_modules_that_it_names_and_no_others(entry: str) -> None:
    inside, outside = COVERED[entry]
    one = rule(entry, None)
    assert [place for place in inside if not one.matches(*place)] == []
    assert [place for place in outside if one.matches(*place)] == []


@pytest.mark.parametrize(
    ("said", "name", "bits"),
    [
        # 4 bits and a scale and a zero point of 16 bits per 64, or of 8 where they are quantised themselves
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, "hqq_int4", 4.5),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64},
          "scale_quant_params": {}, "zero_quant_params": {}}}, "hqq_int4", 4.25),
        ({"quant_method": "exl2", "bits": 4.25, "head_bits": 6}, "exl2_4.25", 4.25),
        ({"quant_method": "exl3", "bits": 3, "head_bits": 6}, "exl3_3", 3.0),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}}, "fp8", 8.0),
        ({"quant_method": "quark", "global_quant_config": {"weight": [{"dtype": "uint4", "group_size": 128}]}}, "quark_uint4", 4.15625),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "torchao_int4", 4.25),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8WeightOnlyConfig"}}}, "fp8", 8.0),
    ],
)  # fmt: skip
def test_further_quantisers(said: dict[str, Any], name: str, bits: float) -> None:
    formats = from_quantization(said)
    assert formats.name == name
    assert float(formats.of(3, "full", "down").bits) == bits
    assert formats.of(None, "embedding", "embedding").name == "bf16"


def test_the_head_of_exllama_has_bits_of_its_own() -> None:
    formats = from_quantization({"quant_method": "exl2", "bits": 4.0, "head_bits": 6})
    assert float(formats.of(None, "head", "head").bits) == 6


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"quant_method": "exl2", "bits": 400}, "bits must be a number from 1 to 16, got 400"),
        ({"quant_method": "hqq"}, "quant_config must hold weight_quant_params"),
        ({"quant_method": "quark"}, "global_quant_config must be an object"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "int3"}}}, 'unknown quark dtype "int3"'),
        ({"quant_method": "torchao", "quant_type": "int3"}, 'unknown torchao quant_type "int3"'),
        ({"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 0}}, "group_size must be"),
    ],
)  # fmt: skip
def test_what_further_quantisers_cannot_mean(said: dict[str, Any], message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        from_quantization(said)
