"""Small models of every kind of layer, with sizes drawn so that `ranks` processes can share them."""

import random
from typing import Any

from attometer.models import Model, from_values


def _base(draw: random.Random, ranks: int, groups: int | None = None) -> dict[str, Any]:
    heads = ranks * draw.choice([1, 2])
    shared = draw.choice([g for g in (1, 2, 4, heads) if heads % g == 0 and (g % ranks == 0 or ranks % g == 0)])
    width = draw.choice([6, 8, 10])
    return {
        "hidden_size": heads * width, "num_attention_heads": heads, "num_key_value_heads": groups or shared,
        "num_hidden_layers": 1, "intermediate_size": ranks * draw.choice([3, 5]), "vocab_size": draw.randint(9, 30),
        "max_position_embeddings": 32, "tie_word_embeddings": False,
    }  # fmt: skip


def _gqa(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {"model_type": "llama", **_base(draw, ranks), "attention_bias": draw.random() < 0.5}


def _mqa(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {"model_type": "qwen3", **_base(draw, ranks, 1), "head_dim": 4}


def _gpt(draw: random.Random, ranks: int) -> dict[str, Any]:
    heads = 2 * ranks
    return {
        "model_type": "gpt2",
        "n_embd": heads * 4,
        "n_head": heads,
        "n_layer": 1,
        "n_positions": 16,
        "vocab_size": 21,
    }


def _alibi(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {"model_type": "bloom", "hidden_size": 8 * ranks, "n_head": 2 * ranks, "n_layer": 1, "vocab_size": 19}


def _normed(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {"model_type": "olmo2", **_base(draw, ranks)}


def _mla(draw: random.Random, ranks: int) -> dict[str, Any]:
    base = _base(draw, ranks)
    return {
        **base, "model_type": "deepseek_v3", "num_key_value_heads": base["num_attention_heads"], "q_lora_rank": 5,
        "kv_lora_rank": 7, "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 3, "n_routed_experts": 2 * ranks,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 2 * ranks, "first_k_dense_replace": 0,
        "n_group": 1, "topk_group": 1,
    }  # fmt: skip


def _moe(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {
        **_base(draw, ranks), "model_type": "mixtral", "num_local_experts": ranks * draw.choice([1, 3]),
        "num_experts_per_tok": draw.randint(1, ranks),
    }  # fmt: skip


def _sinks(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {
        **_base(draw, ranks), "model_type": "gpt_oss", "num_local_experts": 2 * ranks, "num_experts_per_tok": 2,
        "head_dim": 4, "sliding_window": 3, "layer_types": ["sliding_attention"],
    }  # fmt: skip


def _ssm(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {
        "model_type": "mamba", "hidden_size": 4 * ranks, "num_hidden_layers": 1, "state_size": draw.randint(2, 4),
        "vocab_size": 17, "time_step_rank": 3, "expand": 2, "conv_kernel": 3, "intermediate_size": 8 * ranks,
    }  # fmt: skip


def _ssm_heads(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {
        "model_type": "nemotron_h", **_base(draw, ranks), "head_dim": 4, "mamba_num_heads": 2 * ranks, "mamba_head_dim": 3,
        "n_groups": ranks, "ssm_state_size": 3, "conv_kernel": 3, "hybrid_override_pattern": "M*-", "num_hidden_layers": 3,
        "mamba_hidden_act": "silu",
    }  # fmt: skip


def _delta(draw: random.Random, ranks: int) -> dict[str, Any]:
    return {
        "model_type": "qwen3_next", **_base(draw, ranks), "head_dim": 4, "num_hidden_layers": 2, "num_experts": 2 * ranks,
        "num_experts_per_tok": 2, "moe_intermediate_size": ranks * 2, "shared_expert_intermediate_size": ranks * 3,
        "linear_num_key_heads": ranks, "linear_num_value_heads": 2 * ranks, "linear_key_head_dim": 3,
        "linear_value_head_dim": 4, "linear_conv_kernel_dim": 3, "layer_types": ["linear_attention", "full_attention"],
        "mlp_only_layers": [], "decoder_sparse_step": 1,
    }  # fmt: skip


KINDS = {
    "grouped heads": _gqa, "one shared head": _mqa, "biases and a tied head": _gpt, "slopes by head": _alibi,
    "norms over all heads": _normed, "latent heads": _mla, "experts": _moe, "sinks and expert biases": _sinks,
    "state space": _ssm, "state space with heads": _ssm_heads, "gated delta rule": _delta,
}  # fmt: skip


def small_model(kind: str, ranks: int, draw: random.Random) -> Model:
    """Return a model of the kind whose axes `ranks` divide."""
    return from_values(KINDS[kind](draw, ranks))
