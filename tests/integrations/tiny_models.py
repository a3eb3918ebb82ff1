"""Tiny random models of the verified types, and what the tests do with them. No weights are read from anywhere."""

from contextlib import contextmanager

import torch
import transformers as hf
from transformers.masking_utils import sdpa_mask

PAD = 0
VOCABULARY = 97
LENGTH = 12
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": None,
    "initializer_range": 0.2,  # large enough that attention is far from uniform
}
PLAIN = {k: v for k, v in SHAPE.items() if k != "num_key_value_heads"}
WINDOW = 5  # shorter than the prompt: windows and sliding caches are at work

DECODERS = {
    "llama": {},
    "mistral": {"sliding_window": WINDOW},
    "mixtral": {"sliding_window": WINDOW, "num_local_experts": 2, "num_experts_per_tok": 2},
    "qwen2": {},
    "qwen3": {"head_dim": 8},
    "gemma2": {"sliding_window": WINDOW, "head_dim": 8, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {
        "sliding_window": WINDOW,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt2": {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "n_inner": 48},
    "gpt_neox": {"rotary_pct": 0.5},
    "phi": {},
    "phi3": {"sliding_window": WINDOW},
    "olmo2": {},
    "cohere2": {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt_oss": {"sliding_window": WINDOW, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 2},
    "deepseek_v3": {
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 4,
        "qk_nope_head_dim": 8,
        "v_head_dim": 6,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 2,
        "topk_group": 1,
        "moe_intermediate_size": 16,
        "first_k_dense_replace": 1,
    },
    "starcoder2": {"sliding_window": WINDOW, "residual_dropout": 0.0, "embedding_dropout": 0.0},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
}
"""The 17 decoder types, by transformers' name, with what their tiny configuration adds to SHAPE."""

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MORE_DECODERS = {
    "arcee": {},
    "biogpt": {},
    "bitnet": {},
    "cohere": {},
    "ctrl": {"n_embd": 32, "n_layer": 2, "n_head": 4, "dff": 48},
    "deepseek_v2": {
        **{k: v for k, v in DECODERS["deepseek_v3"].items() if k not in ("n_group", "topk_group")},
        "topk_method": "greedy",
    },
    "diffllama": {},
    "ernie4_5": {},
    "exaone4": {"sliding_window": WINDOW, "sliding_window_pattern": 2},
    "gemma": {"head_dim": 8},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "gpt_bigcode": {},
    "granite": {},
    "helium": {"head_dim": 8},
    "hunyuan_v1_dense": {"head_dim": 8},
    "llama4_text": {
        "attention_chunk_size": WINDOW,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "head_dim": 8,
        "intermediate_size_mlp": 48,
        "layer_types": ["chunked_attention", "full_attention"],
    },
    "nemotron": {},
    "olmo": {},
    "olmo3": {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "persimmon": {},
    "phimoe": {"num_local_experts": 2, "num_experts_per_tok": 2},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": {**EXPERTS, "head_dim": 8, "decoder_sparse_step": 1},
    "seed_oss": {"head_dim": 8},
    "smollm3": {},
    "stablelm": {},
}
"""Further decoder types that were found to agree, tested in float32."""

ENCODERS = {
    "bert": {},
    "roberta": {},
    "modernbert": {"local_attention": 6, "global_attn_every_n_layers": 2},
    "vit": {"image_size": 12, "patch_size": 4},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "initializer_factor": 1.0},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "init_std": 0.2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": None,
    },
}
"""The encoders, and the encoder-decoders."""


def model_of(name, dtype=torch.float32, **options):
    """Return a tiny random model in eager attention, in evaluation mode; the same weights for every dtype."""
    shape = PLAIN if name in ("gpt2", "gpt_neox", "opt", "t5", "bart") else SHAPE
    made = dict(shape) | (DECODERS | MORE_DECODERS | ENCODERS).get(name, {}) | options
    for key in ("attention_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "dropout_rate", "dropout"):
        made.setdefault(key, 0.0)
    if name == "modernbert":
        made |= {"cls_token_id": 1, "sep_token_id": 2, "eos_token_id": 2}
    if name in ("t5", "bart"):
        made |= {"decoder_start_token_id": 2}
    config = hf.AutoConfig.for_model(name, **made)
    torch.manual_seed(7)
    auto = (
        hf.AutoModelForCausalLM
        if name in DECODERS | MORE_DECODERS
        else hf.AutoModelForSeq2SeqLM
        if name in ("t5", "bart")
        else hf.AutoModel
    )
    model = auto.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # sinks and norms start at constants, and sinks uninitialised
                parameter.copy_(1 + 0.1 * torch.randn_like(parameter))
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")  # the grouped kernel lacks float64
    return model.to(dtype)


def batch(padding):
    """Return input ids and attention mask of two sequences, the first shorter by 4 where there is padding."""
    torch.manual_seed(11)
    ids = torch.randint(3, VOCABULARY, (2, LENGTH))
    mask = torch.ones_like(ids)
    if padding == "left":
        mask[0, :4] = 0
    elif padding == "right":
        mask[0, -4:] = 0
    return torch.where(mask.bool(), ids, PAD), mask


def oracle(module, q, k, v, mask, dropout=0.0, scaling=None, softcap=None, s_aux=None, position_bias=None, **_):
    """Attention written out, on a boolean mask, in q's type throughout: transformers' eager function drops to float32.

    Registered under "oracle" with transformers' own sdpa_mask, so that nothing of attometer is in it.
    """
    r = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(r, 1).mT * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if position_bias is not None:
        scores = scores + position_bias
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(q.dtype).min)
    if s_aux is not None:
        scores = torch.cat([scores, s_aux[None, :, None, None].expand(*scores.shape[:3], 1)], -1)
    weights = scores.softmax(-1)[..., : k.shape[2]]
    return (weights @ v.repeat_interleave(r, 1)).transpose(1, 2), None


def always_a_mask(*args, **kwargs):
    """Return transformers' boolean mask, and never None in its place."""
    return sdpa_mask(*args, **(kwargs | {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}))


@contextmanager
def implementation(model, name):
    """Run `model` under another attention implementation for a while."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield model
    finally:
        model.set_attn_implementation(before)


def error(found, wanted):
    """Return the relative error of all numbers together, in the 2-norm."""
    found, wide = found.detach(), wanted.detach().double()
    return float(torch.linalg.vector_norm(found.double() - wide) / torch.linalg.vector_norm(wide))
