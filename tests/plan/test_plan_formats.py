"""Plans of files as they are stored: formats, layouts of caches, states, usable memory, and rates that bound from below."""

import json
from pathlib import Path
from typing import Any

import pytest

import attometer as am
from attometer.errors import AttometerError
from attometer.models import Model, from_values
from attometer.plan import Plan, plan

MIB = 2**20


def test_a_card_has_the_memory_that_its_driver_reports() -> None:
    asked = am.planner("llama-3.1-8b", "h100-sxm")
    assert asked.room == 81_559 * MIB  # nvidia-smi
    assert "of 85.52 GB usable" in plan("llama-3.1-8b", context=1000).headline


def read(name: str, **changes: Any) -> Model:
    found = dict(am.model(name).values) | changes
    return from_values(found, f"{name}.json", name)


@pytest.mark.parametrize(
    ("quantization", "said", "gigabytes"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq-int4", 5.73),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 9.08),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes-nf4", 6.03),
    ],
)
def test_a_plan_counts_what_the_file_stores(quantization: dict[str, Any], said: str, gigabytes: float) -> None:
    made = plan(read("llama-3.1-8b", quantization_config=quantization), context=1000)
    assert made.memory.weights / 1e9 == pytest.approx(gigabytes, abs=0.01)
    assert f"llama-3.1-8b in {said}" in made.headline


def test_quantisation_at_the_top_of_a_multimodal_file_counts() -> None:
    text = dict(am.model("qwen3-8b").values)
    whole = {"model_type": "qwen3_vl", "text_config": text | {"model_type": "qwen3_vl_text"}}
    plain = from_values(whole, "x.json", "x")
    stored = from_values(whole | {"quantization_config": {"quant_method": "fp8"}}, "x.json", "x")
    assert plan(stored, context=10).memory.weights < 0.6 * plan(plain, context=10).memory.weights


def test_headers_beside_the_configuration_are_exact(tmp_path: Path) -> None:
    config = dict(am.model("gpt2").values)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 548_090_880}, "weight_map": {"wte.weight": "model.safetensors"}})
    )
    made = plan(str(tmp_path), "l4", context=512)
    assert made.memory.weights == 548_090_880
    assert "in its files' formats" in made.headline
    assert (
        plan(str(tmp_path), "l4", context=512, weights_dtype="bf16").memory.weights
        == plan("gpt2", "l4", context=512).memory.weights
    )


def test_modelopt_says_its_formats_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(dict(am.model("llama-3.1-8b").values)))
    (tmp_path / "hf_quant_config.json").write_text(
        json.dumps({"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}})
    )
    assert "in nvfp4 (6.01 bits per weight)" in plan(str(tmp_path), context=512).headline
    both = dict(am.model("llama-3.1-8b").values) | {
        "quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}
    }
    (tmp_path / "config.json").write_text(json.dumps(both))
    with pytest.raises(AttometerError, match=r"hf_quant_config\.json: quant_algo is NVFP4, config\.json says FP8"):
        plan(str(tmp_path), context=512)


SPARSE = {
    "model_type": "deepseek_v32", "architectures": ["DeepseekV32ForCausalLM"], "hidden_size": 7168, "num_hidden_layers": 61,
    "num_attention_heads": 128, "vocab_size": 129280, "intermediate_size": 18432, "moe_intermediate_size": 2048,
    "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "first_k_dense_replace": 3, "q_lora_rank": 1536,
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "index_head_dim": 128,
    "index_n_heads": 64, "index_topk": 2048, "n_group": 8, "topk_group": 4,
}  # fmt: skip


def test_rows_of_latents_and_of_an_indexer_in_fp8() -> None:
    # 61 layers × (512 fp8 values, 4 fp32 scales, 64 bf16 rotary values, and 128 + 4 bytes of the indexer's key): the engine logs
    # 43.67 GiB for 975,424 tokens (sgl-project/sglang, pull request 11309).
    made = plan(from_values(SPARSE, "x.json", "x"), "b200", context=975_424, mode="decode", kv_dtype="fp8")
    assert made.memory.kv == 975_424 * 61 * (656 + 132)
    assert made.memory.kv / 2**30 == pytest.approx(43.67, abs=0.005)
    latents = plan("deepseek-v3", "b200", context=100, mode="decode", kv_dtype="fp8_ds_mla")
    assert latents.memory.kv == 100 * 61 * 656
    assert plan("deepseek-v3", "b200", context=100, mode="decode", kv_dtype="fp8").memory.kv == 100 * 61 * 576


@pytest.mark.parametrize(("name", "eighths"), [("q8_0", 68), ("q4_0", 36), ("fp8", 64), ("bf16", 128), ("int4", 33)])
def test_caches_in_formats_of_engines(name: str, eighths: int) -> None:
    made = plan("llama-3.1-8b", context=4096, mode="decode", kv_dtype=name)
    assert made.memory.kv == 4096 * 65536 * eighths // 64


def test_recurrent_states_have_the_type_of_the_file() -> None:
    text: dict[str, Any] = {
        "model_type": "qwen3_5_text", "hidden_size": 2560, "intermediate_size": 9216, "num_hidden_layers": 32, "head_dim": 256,
        "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 248320, "linear_num_key_heads": 16,
        "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4, "mamba_ssm_dtype": "float32", "dtype": "bfloat16", "tie_word_embeddings": True,
    }  # fmt: skip
    made = plan(from_values(text, "x.json", "x"), "rtx-4090", context=1, mode="decode")
    assert made.memory.state == 24 * (
        32 * 128 * 128 * 4 + 8192 * 3 * 2
    )  # sgl-project/sglang, pull request 39851: 51 MB


def attention_seconds(made: Plan) -> float:
    asked = made.planner
    figures = asked.formulas.parts.scalar(1, made.options.context, *asked._part_sizes)
    return sum(figures[2 * k] * asked._terms[k][0] for k, reads in enumerate(asked.formulas.cached) if reads)


def test_narrow_weights_speed_their_products_and_no_16_bit_attention() -> None:
    whole, narrow = (plan("llama-3.1-8b", context=65536, weights_dtype=w) for w in (None, "fp8"))
    assert narrow.time.seconds < whole.time.seconds
    assert attention_seconds(narrow) == attention_seconds(whole)
    assert attention_seconds(plan("llama-3.1-8b", context=65536, kv_dtype="fp8")) < attention_seconds(whole)


def test_nvfp4_is_not_slower_than_fp8_where_the_card_multiplies_it() -> None:
    four, eight = (plan("llama-3.1-8b", "b200", context=8192, weights_dtype=w).time.seconds for w in ("nvfp4", "fp8"))
    assert four < eight


# kekzl/imp, pull request 1041: Qwen3-14B in Q6_K on one RTX 5090, seconds to the first token.
@pytest.mark.parametrize(("context", "measured"), [(8192, 0.72), (16384, 1.63), (32768, 4.07), (65536, 11.32)])
def test_a_bound_is_below_what_was_measured(context: int, measured: float) -> None:
    # Qwen3-14B is Qwen3-8B with 40 layers, width 5,120, 40 heads and feed-forwards of 17,408.
    wide = {"hidden_size": 5120, "intermediate_size": 17408, "num_attention_heads": 40, "num_hidden_layers": 40}
    made = plan(read("qwen3-8b", **wide, max_window_layers=40), "rtx-5090", context=context, weights_dtype="q6_k")
    assert made.time.seconds < measured


def test_experts_are_bounded_by_those_of_one_token_and_estimated_apart() -> None:
    made = plan("qwen3-30b-a3b", "h200-sxm", context=1000, batch=16, mode="decode")
    expected = made.planner.expected.seconds(1000, 16)
    assert made.time.seconds < expected
    assert any("an estimate with the distinct experts" in note for note in made.notes)
    # sgl-project/sglang-omni, issue 760: 5.3 ms of forward on two H100 at batch 16; one has at least half of the bytes to read.
    assert plan("qwen3-30b-a3b", "h100-sxm", context=1000, batch=16, mode="decode").time.seconds / 2 < 5.3e-3


def test_an_unknown_format_lists_what_exists_and_suggests_no_other_kind() -> None:
    with pytest.raises(AttometerError, match=r'unknown data type "5bit"; known: .*q4_k_m'):
        plan("gpt2", context=10, weights_dtype="5bit")
    with pytest.raises(AttometerError, match='data type "q2_k" is none that caches are kept in; known: fp32, bf16'):
        plan("gpt2", context=10, kv_dtype="q2_k")


def test_beyond_the_trained_context_is_answered_and_said() -> None:
    assert "It was trained for 1,024 positions: 4,096 are beyond that." in plan("gpt2", context=4096).headline


def test_experts_beside_the_dense_block_are_not_left_out_with_it() -> None:
    # NVIDIA's NVFP4 file of Gemma-4-26B-A4B leaves out `mlp` and attention of every layer; the experts stand beside `mlp`.
    left_out = [
        f"model.language_model.layers.{n}.{module}*" for n in range(30) for module in ("mlp", "router", "self_attn")
    ]
    quantization = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", *left_out]}
    asked = am.planner(read("gemma-4-26b-a4b", quantization_config=quantization), "rtx-5090", mode="decode")
    experts = sum(p.parameters * times for times, p in asked.cost.parts() if p.kind == "experts")
    assert experts > 0.85 * asked.cost.parameters
    assert asked.weights_bytes == pytest.approx(experts * 4.5 / 8 + 2 * (asked.cost.parameters - experts), rel=1e-4)
