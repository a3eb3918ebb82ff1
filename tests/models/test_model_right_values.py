"""Values that readers once had wrong, each with where the right one is from."""

from __future__ import annotations

from typing import Any

import pytest
from family_configs import FAMILIES, WALKED

from attometer.count.model_cost import cache, parameters
from attometer.errors import AttometerError
from attometer.models import from_values, model
from attometer.models.config import read_config
from attometer.models.shipped import shipped_path
from attometer.plan import plan

# tiiuae/falcon-mamba-7b: transformers obeys `intermediate_size` over `expand`; its card says 7.27 B.
FALCON_MAMBA = {
    "model_type": "falcon_mamba",
    "architectures": ["FalconMambaForCausalLM"],
    "hidden_size": 4096,
    "num_hidden_layers": 64,
    "state_size": 16,
    "expand": 16,
    "intermediate_size": 8192,
    "time_step_rank": 256,
    "vocab_size": 65024,
    "conv_kernel": 4,
    "tie_word_embeddings": False,
}
# google/t5-v1_1-xxl as diffusion pipelines ship it: `is_gated_act` stands for `feed_forward_proj`.
T5_XXL = {
    "model_type": "t5",
    "architectures": ["T5ForConditionalGeneration"],
    "d_model": 4096,
    "d_ff": 10240,
    "d_kv": 64,
    "num_heads": 64,
    "num_layers": 24,
    "num_decoder_layers": 24,
    "vocab_size": 32128,
    "is_gated_act": True,
    "dense_act_fn": "gelu_new",
}
# THUDM/chatglm3-6b and THUDM/glm-4-9b-chat: `ChatGLMModel` owns the output layer (6.24 B and 9.40 B on their cards).
CHATGLM = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "hidden_size": 4096,
    "num_layers": 28,
    "num_attention_heads": 32,
    "kv_channels": 128,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "ffn_hidden_size": 13696,
    "padded_vocab_size": 65024,
    "add_qkv_bias": True,
    "seq_length": 8192,
}


@pytest.mark.parametrize(
    ("values", "total"),
    [
        (FALCON_MAMBA, 7_272_665_088),
        (T5_XXL, 11_003_736_064),
        # The text encoder of FLUX and Stable Diffusion 3: transformers' T5EncoderModel of the same file.
        (T5_XXL | {"architectures": ["T5EncoderModel"]}, 4_762_310_656),
        (CHATGLM, 6_243_584_000),
        (CHATGLM | {"num_layers": 40, "padded_vocab_size": 151552}, 9_399_951_360),
    ],
)
def test_totals(values: dict[str, Any], total: int) -> None:
    assert parameters(from_values(values)) == total


def test_a_gemma4_saved_again_costs_what_it_did() -> None:
    """transformers 5.23 writes `per_layer_config` for the keys of the wide heads; the layer's index is zero-padded."""
    first, saved = from_values(FAMILIES["gemma4_text"]), from_values(WALKED["gemma4_saved"])
    assert parameters(first) == parameters(saved)
    assert cache(first) == cache(saved)
    assert saved.check.unread == ()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"9": {"head_dim": 12}}, "$.per_layer_config.9 is no layer: there are 6"),
        ({"two": {"head_dim": 12}}, "$.per_layer_config.two is no layer"),
        ({"5": {"hidden_size": 12}}, "$.per_layer_config.5.hidden_size is not modelled layer by layer"),
        ({"5": {"num_key_value_heads": 4}}, "which is not a multiple of $.per_layer_config: num_key_value_heads = 4"),
        ({"5": 3}, "$.per_layer_config.5 must be an object, got 3"),
    ],
)
def test_overrides_that_are_not_modelled(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(AttometerError) as caught:
        from_values(FAMILIES["gemma4_text"] | {"per_layer_config": overrides})
    assert words in str(caught.value)


def test_overrides_are_refused_where_they_are_not_read() -> None:
    with pytest.raises(AttometerError, match=r"\$\.per_layer_config is not modelled in this family"):
        from_values(FAMILIES["llama"] | {"per_layer_config": {"0": {"head_dim": 20}}})
    assert from_values(FAMILIES["llama"] | {"per_layer_config": {}}).check.unread == ("$.per_layer_config",)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("nemotron_h", {"attention_bias": True}, "$.attention_bias is true; only false is modelled"),
        ("deepseek_v3", {"mlp_layer_types": ["dense"] * 3}, "$.mlp_layer_types is not read by transformers' class"),
        ("deepseek_v4", {"n_shared_experts": 2}, "$.n_shared_experts is 2; only 1 is modelled"),
        ("phimoe", {"num_experts_per_tok": 3}, "$.num_experts_per_tok is 3; only 2 is modelled"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "$.use_bidirectional_attention is true; only false"),
        (
            "falcon",
            {"num_ln_in_parallel_attn": 3},
            "$.num_ln_in_parallel_attn is 3, and transformers runs at most 2 here",
        ),
        ("falcon", {"parallel_attn": False}, "$.parallel_attn is false, which transformers does not run with"),
    ],
)
def test_keys_that_transformers_does_not_obey_are_refused(name: str, change: dict[str, Any], words: str) -> None:
    with pytest.raises(AttometerError) as caught:
        from_values(FAMILIES[name] | change)
    assert words in str(caught.value)


def test_two_activation_names_need_not_agree() -> None:
    """StarCoder 2's files have both; its class reads `hidden_act`."""
    both = FAMILIES["starcoder2"] | {"activation_function": "gelu", "hidden_act": "gelu_pytorch_tanh"}
    assert from_values(both).layers == from_values(FAMILIES["starcoder2"]).layers


def test_a_class_that_returns_hidden_states_is_no_head_model() -> None:
    masked, causal = (
        from_values(FAMILIES["bert"] | {"architectures": [name]}) for name in ("BertForMaskedLM", "BertLMHeadModel")
    )
    assert masked.head == causal.head


OLD_BERT = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}


def test_a_bert_file_of_before_model_type() -> None:
    """109,482,240: BERT base with its pooler (transformers' BertModel of the same sizes)."""
    old = from_values(OLD_BERT | {"architectures": ["BertModel"]})
    assert parameters(old) == 109_482_240
    assert any("read as bert" in note for note in old.check.notes)
    for other in ({"type_vocab_size": 1}, {"architectures": ["RobertaModel"]}):
        with pytest.raises(AttometerError, match=r"\$\.model_type is missing"):
            from_values(OLD_BERT | other)


def test_what_is_not_read_is_said_beside_the_numbers() -> None:
    odd = from_values(FAMILIES["llama"] | {"flux_capacitor": 3})
    said = "not modelled, and counted as if absent: $.flux_capacitor"
    assert odd.check.said[-1] == said
    assert said in plan(odd, "h100-sxm", context=8).notes
    assert said in str(plan(odd, "h100-sxm", context=8)).replace("\n   ", "")
    many = from_values(FAMILIES["llama"] | {f"flux_{i}": 1 for i in range(25)})
    assert many.check.said[-1].endswith("$.flux_19 and 5 more (--check lists them)")


def test_the_convention_of_the_cache_is_said() -> None:
    def says(name: str, words: str) -> bool:
        return any(words in note for note in from_values(FAMILIES[name]).check.notes)

    assert says("mistral", "the cache of a window of w keeps w tokens")
    assert says("mamba", "the state of a convolution of k keeps k - 1 inputs")
    assert says("falcon", "transformers' keeps a copy of them for every query head")
    assert says("gpt_neo", "transformers' keeps every token")
    assert not says("llama", "the cache of")


def test_a_gemma4_saved_again_plans_the_same_context() -> None:
    """Read without `per_layer_config` the full layers had four times the cache, and a quarter of the context fitted."""
    file = read_config(shipped_path("gemma-4-26b-a4b"))
    text = dict(file["text_config"])
    wide = {"head_dim": text.pop("global_head_dim"), "num_key_value_heads": text.pop("num_global_key_value_heads")}
    full = [i for i, kind in enumerate(text["layer_types"]) if kind == "full_attention"]
    saved = from_values(file | {"text_config": text | {"per_layer_config": {f"{i:02d}": wide for i in full}}})
    was, now = (plan(m, "h200-sxm", mode="decode").largest_context for m in (from_values(file), saved))
    assert was == now


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gemma-3-4b", 4_300_079_472),
        ("gemma-3-12b", 12_187_325_040),
        ("gemma-3-27b", 27_432_406_640),
        ("llama-4-scout", 108_641_793_536),
        ("qwen2.5-vl-7b", 8_292_166_656),
        ("qwen2.5-vl-72b", 73_410_777_344),
        ("llama-65b", 65_285_660_672),
        ("mistral-small-3.2-24b", 24_011_361_280),
        ("whisper-large-v3", 1_543_490_560),
        ("whisper-large-v3-turbo", 808_878_080),
        ("bge-m3", 567_754_752),
        ("Qwen/Qwen3-Embedding-0.6B", 595_776_512),
    ],
)
def test_shipped_models_have_their_towers(name: str, count: int) -> None:
    # parameters of the published safetensors, tower and projector among them
    found = model(name)
    assert parameters(found) + sum(parameters(tower) for tower in found.towers) == count
