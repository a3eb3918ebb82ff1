"""One small configuration of each family, with sizes chosen so that no two of them coincide."""

from __future__ import annotations

from typing import Any

BASE: dict[str, Any] = {
    "hidden_size": 48,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 80,
    "vocab_size": 101,
    "max_position_embeddings": 96,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MOE: dict[str, Any] = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 28}
GPT: dict[str, Any] = {"n_embd": 48, "n_head": 6, "n_layer": 2, "n_positions": 96, "vocab_size": 101, "bos_token_id": 1, "eos_token_id": 2}
MLA: dict[str, Any] = {
    **BASE,
    "num_key_value_heads": 6,
    "q_lora_rank": 20,
    "kv_lora_rank": 18,
    "qk_nope_head_dim": 10,
    "qk_rope_head_dim": 4,
    "v_head_dim": 14,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 28,
    "first_k_dense_replace": 1,
    "n_group": 4,
    "topk_group": 2,
    "num_hidden_layers": 3,
}
SWA = ["sliding_attention", "full_attention", "sliding_attention"]


def _c(model_type: str, architecture: str, *bases: dict[str, Any], **own: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {"model_type": model_type, "architectures": [architecture]}
    for base in (*bases, own):
        merged |= base
    return merged


FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _c("llama", "LlamaForCausalLM", BASE, head_dim=10, attention_bias=True, mlp_bias=True, tie_word_embeddings=False),
    "mistral": _c("mistral", "MistralForCausalLM", BASE, head_dim=10, sliding_window=4),
    "mixtral": _c("mixtral", "MixtralForCausalLM", BASE, num_local_experts=5, num_experts_per_tok=2),
    "qwen2": _c("qwen2", "Qwen2ForCausalLM", BASE, use_sliding_window=True, sliding_window=4, max_window_layers=1, tie_word_embeddings=True),
    "qwen2_moe": _c("qwen2_moe", "Qwen2MoeForCausalLM", BASE, MOE, shared_expert_intermediate_size=36, decoder_sparse_step=2, num_hidden_layers=3, mlp_only_layers=[1]),
    "qwen3": _c("qwen3", "Qwen3ForCausalLM", BASE, head_dim=10, attention_bias=True),
    "qwen3_moe": _c("qwen3_moe", "Qwen3MoeForCausalLM", BASE, MOE, head_dim=10, mlp_only_layers=[1], num_hidden_layers=3),
    "gemma": _c("gemma", "GemmaForCausalLM", BASE, head_dim=10),
    "gemma2": _c("gemma2", "Gemma2ForCausalLM", BASE, head_dim=10, sliding_window=4, num_hidden_layers=3),
    "gemma3_text": _c("gemma3_text", "Gemma3ForCausalLM", BASE, head_dim=10, sliding_window=4, num_hidden_layers=3, sliding_window_pattern=3),
    "phi": _c("phi", "PhiForCausalLM", BASE, partial_rotary_factor=0.5, qk_layernorm=True),
    "phi3": _c("phi3", "Phi3ForCausalLM", BASE, sliding_window=4),
    "gpt2": _c("gpt2", "GPT2LMHeadModel", GPT),
    "gpt_bigcode": _c("gpt_bigcode", "GPTBigCodeForCausalLM", GPT, multi_query=True, n_inner=80),
    "gpt_neo": _c("gpt_neo", "GPTNeoForCausalLM", hidden_size=48, num_heads=6, num_layers=2, attention_types=[[["global", "local"], 1]], window_size=4, vocab_size=101, max_position_embeddings=96),
    "gpt_neox": _c("gpt_neox", "GPTNeoXForCausalLM", BASE, rotary_pct=0.5),
    "gptj": _c("gptj", "GPTJForCausalLM", GPT, rotary_dim=4),
    "opt": _c("opt", "OPTForCausalLM", hidden_size=48, num_attention_heads=6, num_hidden_layers=2, ffn_dim=80, word_embed_proj_dim=32, vocab_size=101, max_position_embeddings=96),
    "bloom": _c("bloom", "BloomForCausalLM", hidden_size=48, n_head=6, n_layer=2, vocab_size=101),
    "falcon": _c("falcon", "FalconForCausalLM", hidden_size=48, num_attention_heads=6, num_kv_heads=2, num_hidden_layers=2, new_decoder_architecture=True, vocab_size=101, bias=False, parallel_attn=True, alibi=False),
    "falcon_7b": _c("falcon", "FalconForCausalLM", hidden_size=48, num_attention_heads=6, num_hidden_layers=2, multi_query=True, new_decoder_architecture=False, parallel_attn=True, vocab_size=101, bias=False),
    "falcon_rw": _c("falcon", "FalconForCausalLM", hidden_size=48, num_attention_heads=6, num_hidden_layers=2, multi_query=False, new_decoder_architecture=False, parallel_attn=False, alibi=True, vocab_size=101, bias=True),
    "mpt": _c("mpt", "MptForCausalLM", d_model=48, n_heads=6, n_layers=2, expansion_ratio=3, max_seq_len=96, vocab_size=101),
    "stablelm": _c("stablelm", "StableLmForCausalLM", BASE, use_qkv_bias=True, qk_layernorm=True, partial_rotary_factor=0.5),
    "stablelm_parallel": _c("stablelm", "StableLmForCausalLM", BASE, use_parallel_residual=True),
    "olmo": _c("olmo", "OlmoForCausalLM", BASE),
    "olmo2": _c("olmo2", "Olmo2ForCausalLM", BASE),
    "olmo3": _c("olmo3", "Olmo3ForCausalLM", BASE, sliding_window=4, num_hidden_layers=5),
    "olmoe": _c("olmoe", "OlmoeForCausalLM", BASE, num_experts=5, num_experts_per_tok=2),
    "cohere": _c("cohere", "CohereForCausalLM", BASE, use_qk_norm=True),
    "cohere2": _c("cohere2", "Cohere2ForCausalLM", BASE, sliding_window=4, sliding_window_pattern=3, num_hidden_layers=4),
    "starcoder2": _c("starcoder2", "Starcoder2ForCausalLM", BASE, use_bias=True, sliding_window=4),
    "granite": _c("granite", "GraniteForCausalLM", BASE, attention_bias=True),
    "granitemoe": _c("granitemoe", "GraniteMoeForCausalLM", BASE, num_local_experts=5, num_experts_per_tok=2),
    "glm": _c("glm", "GlmForCausalLM", BASE, head_dim=10, attention_bias=True),
    "glm4": _c("glm4", "Glm4ForCausalLM", BASE, head_dim=10, attention_bias=True),
    "glm4_moe": _c("glm4_moe", "Glm4MoeForCausalLM", BASE, head_dim=10, n_routed_experts=5, num_experts_per_tok=2, moe_intermediate_size=28, n_shared_experts=1, first_k_dense_replace=1, use_qk_norm=True, attention_bias=True),
    "deepseek_v2": _c("deepseek_v2", "DeepseekV2ForCausalLM", MLA, topk_method="group_limited_greedy"),
    "deepseek_v2_lite": _c("deepseek_v2", "DeepseekV2ForCausalLM", MLA | {"q_lora_rank": None}, topk_method="greedy"),
    "deepseek_v3": _c("deepseek_v3", "DeepseekV3ForCausalLM", MLA, attention_bias=True),
    "deepseek_v32": _c("deepseek_v32", "DeepseekV32ForCausalLM", MLA, index_n_heads=3, index_head_dim=12, index_topk=5),
    "glm_moe_dsa": _c("glm_moe_dsa", "GlmMoeDsaForCausalLM", MLA, index_n_heads=3, index_head_dim=12, index_topk=5, mlp_layer_types=["dense", "sparse", "sparse"]),
    "gpt_oss": _c("gpt_oss", "GptOssForCausalLM", BASE, head_dim=10, num_local_experts=5, num_experts_per_tok=2, sliding_window=4, num_hidden_layers=3),
    "minimax_m2": _c("minimax_m2", "MiniMaxM2ForCausalLM", BASE, head_dim=10, num_local_experts=5, num_experts_per_tok=2, use_qk_norm=True),
    "ministral3": _c("ministral3", "Ministral3ForCausalLM", BASE, head_dim=10),
    "smollm3": _c("smollm3", "SmolLM3ForCausalLM", BASE),
    "exaone4": _c("exaone4", "Exaone4ForCausalLM", BASE, sliding_window=4, layer_types=SWA, num_hidden_layers=3),
    "llama4": _c("llama4_text", "Llama4ForCausalLM", BASE, head_dim=10, intermediate_size_mlp=90, num_local_experts=5, num_experts_per_tok=1, interleave_moe_layer_step=2, attention_chunk_size=4, num_hidden_layers=4),
    "qwen3_vl_text": _c("qwen3_vl_text", "Qwen3VLTextModel", BASE, head_dim=10),
    "qwen3_vl_moe_text": _c("qwen3_vl_moe_text", "Qwen3VLMoeTextModel", BASE, MOE, head_dim=10),
    "qwen3_next": _c("qwen3_next", "Qwen3NextForCausalLM", BASE, MOE, head_dim=10, num_hidden_layers=4, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=12, linear_value_head_dim=14, linear_conv_kernel_dim=4, shared_expert_intermediate_size=36),
    "qwen3_5_text": _c("qwen3_5_text", "Qwen3_5ForCausalLM", BASE, head_dim=16, num_hidden_layers=4, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=12, linear_value_head_dim=14, linear_conv_kernel_dim=4),
    "qwen3_5_moe_text": _c("qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", BASE, MOE, head_dim=16, num_hidden_layers=4, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=12, linear_value_head_dim=14, linear_conv_kernel_dim=4, shared_expert_intermediate_size=36),
    "gemma4_text": _c("gemma4_text", "Gemma4ForCausalLM", BASE, head_dim=10, global_head_dim=12, num_global_key_value_heads=1, attention_k_eq_v=True, sliding_window=4, num_hidden_layers=6, num_kv_shared_layers=0, enable_moe_block=True, num_experts=5, top_k_experts=2, moe_intermediate_size=28, hidden_size_per_layer_input=0),
    "gemma4_e2b": _c("gemma4_text", "Gemma4ForCausalLM", BASE, head_dim=10, global_head_dim=12, sliding_window=4, num_hidden_layers=6, num_kv_shared_layers=2, hidden_size_per_layer_input=8, vocab_size_per_layer_input=101, use_double_wide_mlp=True),
    "mimo_v2_flash": _c("mimo_v2_flash", "MiMoV2FlashForCausalLM", BASE, head_dim=10, v_head_dim=8, swa_head_dim=10, swa_v_head_dim=8, swa_num_attention_heads=6, swa_num_key_value_heads=3, sliding_window=4, n_routed_experts=5, num_experts_per_tok=2, moe_intermediate_size=28),
    "step3p7": _c("step3p7", "Step3p7ForCausalLM", BASE),
    "kimi_linear": _c("kimi_linear", "KimiLinearForCausalLM", BASE),
    "nemotron_h": _c("nemotron_h", "NemotronHForCausalLM", BASE, head_dim=10, hybrid_override_pattern="M-M*E", num_hidden_layers=5, mamba_num_heads=4, mamba_head_dim=6, n_groups=2, ssm_state_size=8, conv_kernel=4, chunk_size=4, n_routed_experts=5, num_experts_per_tok=2, moe_intermediate_size=28, moe_shared_expert_intermediate_size=36, n_shared_experts=1),
    "deepseek_v4": _c("deepseek_v4", "DeepseekV4ForCausalLM", BASE),
    "bert": _c("bert", "BertForMaskedLM", BASE),
    "bert_model": _c("bert", "BertModel", BASE),
    "roberta": _c("roberta", "RobertaForMaskedLM", BASE),
    "longformer": _c("longformer", "LongformerForMaskedLM", BASE, attention_window=[4, 6]),
    "big_bird": _c("big_bird", "BigBirdForMaskedLM", BASE, attention_type="original_full"),
    "big_bird_sparse": _c("big_bird", "BigBirdForMaskedLM", BASE, attention_type="block_sparse", block_size=4, num_random_blocks=1),
    "t5": _c("t5", "T5ForConditionalGeneration", d_model=48, d_kv=10, d_ff=80, num_layers=2, num_decoder_layers=3, num_heads=6, vocab_size=101, feed_forward_proj="relu", decoder_start_token_id=0, pad_token_id=0),
    "t5_gated": _c("t5", "T5ForConditionalGeneration", d_model=48, d_kv=10, d_ff=80, num_layers=2, num_heads=6, vocab_size=101, feed_forward_proj="gated-gelu", tie_word_embeddings=False, decoder_start_token_id=0, pad_token_id=0),
    "mamba": _c("mamba", "MambaForCausalLM", hidden_size=48, num_hidden_layers=2, state_size=8, expand=2, conv_kernel=4, time_step_rank=5, vocab_size=101),
    "mamba2": _c("mamba2", "Mamba2ForCausalLM", hidden_size=48, num_hidden_layers=2, state_size=8, expand=2, conv_kernel=4, num_heads=8, head_dim=12, n_groups=2, chunk_size=4, vocab_size=101),
    "jamba": _c("jamba", "JambaForCausalLM", BASE, num_experts=4, num_experts_per_tok=2, expert_layer_period=2, expert_layer_offset=1, attn_layer_period=4, attn_layer_offset=2, num_hidden_layers=5, mamba_d_state=8, mamba_d_conv=4, mamba_expand=2, mamba_dt_rank=5, use_mamba_kernels=False),
    "rwkv": _c("rwkv", "RwkvForCausalLM", hidden_size=48, attention_hidden_size=40, num_hidden_layers=2, intermediate_size=80, vocab_size=101),
}
