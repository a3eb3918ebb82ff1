"""Small configurations of encoders, encoder–decoders, towers and what was added after the first families."""

from __future__ import annotations

from typing import Any


def _c(model_type: str, architecture: str, *bases: dict[str, Any], **own: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {"model_type": model_type, "architectures": [architecture]}
    for base in (*bases, own):
        merged |= base
    return merged


SPECIAL: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ENCODER: dict[str, Any] = {
    "hidden_size": 48, "num_attention_heads": 6, "num_hidden_layers": 2, "intermediate_size": 80, "vocab_size": 101,
    "max_position_embeddings": 96, **SPECIAL,
}  # fmt: skip
SIDES: dict[str, Any] = {
    "d_model": 48, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 6, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 80, "decoder_ffn_dim": 72, "vocab_size": 101, "max_position_embeddings": 96,
    "decoder_start_token_id": 1, "forced_eos_token_id": None, **SPECIAL,
}  # fmt: skip
IMAGE: dict[str, Any] = {
    "hidden_size": 48, "num_attention_heads": 6, "num_hidden_layers": 2, "intermediate_size": 80, "image_size": 20, "patch_size": 4,
    "num_channels": 3,
}  # fmt: skip
FLAT: dict[str, Any] = {k: v for k, v in IMAGE.items() if k != "image_size"}
RATIO: dict[str, Any] = {k: v for k, v in IMAGE.items() if k != "intermediate_size"} | {"mlp_ratio": 2}
BASE: dict[str, Any] = ENCODER | {"num_key_value_heads": 2, "num_hidden_layers": 3}
SWA: dict[str, Any] = {"sliding_window": 4, "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}
MOE: dict[str, Any] = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 28}
MLA: dict[str, Any] = BASE | {
    "num_key_value_heads": 6, "q_lora_rank": 20, "kv_lora_rank": 18, "qk_nope_head_dim": 10, "qk_rope_head_dim": 4, "v_head_dim": 14,
}  # fmt: skip
ROUTED: dict[str, Any] = {
    "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 3, "moe_intermediate_size": 28, "n_group": 4, "topk_group": 2,
}  # fmt: skip
QWEN: dict[str, Any] = {"depth": 3, "num_heads": 6, "patch_size": 2, "temporal_patch_size": 2, "spatial_merge_size": 2}
GRID: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "out_hidden_size": 60,
    "num_position_embeddings": 16,
}
WAVE: dict[str, Any] = {
    "hidden_size": 48, "num_attention_heads": 6, "num_hidden_layers": 2, "intermediate_size": 80, "vocab_size": 31,
    "conv_dim": [16, 16, 20], "conv_stride": [5, 2, 2], "conv_kernel": [10, 3, 2], "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
WAVES = {
    "hubert": "HubertModel", "unispeech": "UniSpeechModel", "unispeech-sat": "UniSpeechSatModel", "wav2vec2": "Wav2Vec2Model",
}  # fmt: skip
ROPE3: dict[str, Any] = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}}
ROPE2: dict[str, Any] = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 0]}}
SEEN = {
    "altclip": "AltCLIP", "clipseg": "CLIPSeg", "git": "Git", "kosmos_2": "Kosmos2", "owlv2": "Owlv2", "owlvit": "OwlViT", "blip": "Blip",
    "blip_2": "Blip2", "instructblip": "InstructBlip",
}  # fmt: skip
READ = {
    "clipseg": "CLIPSeg", "owlv2": "Owlv2", "owlvit": "OwlViT", "xclip": "XCLIP", "align": "Align", "chinese_clip": "ChineseCLIP",
    "bridgetower": "BridgeTower", "clap": "Clap",
}  # fmt: skip

MORE: dict[str, dict[str, Any]] = {
    "bart": _c("bart", "BartForConditionalGeneration", SIDES),
    "mbart": _c("mbart", "MBartForConditionalGeneration", SIDES),
    "plbart": _c("plbart", "PLBartForConditionalGeneration", SIDES),
    "pegasus": _c("pegasus", "PegasusForConditionalGeneration", SIDES),
    "marian": _c("marian", "MarianMTModel", SIDES),
    "m2m_100": _c("m2m_100", "M2M100ForConditionalGeneration", SIDES),
    "blenderbot": _c("blenderbot", "BlenderbotForConditionalGeneration", SIDES),
    "blenderbot-small": _c("blenderbot-small", "BlenderbotSmallForConditionalGeneration", SIDES),
    "whisper": _c(
        "whisper",
        "WhisperForConditionalGeneration",
        {k: v for k, v in SIDES.items() if k != "max_position_embeddings"},
        num_mel_bins=10,
        max_source_positions=9,
        max_target_positions=40,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    ),
    "electra": _c("electra", "ElectraForMaskedLM", ENCODER, embedding_size=32),
    "ernie": _c("ernie", "ErnieForMaskedLM", ENCODER, use_task_id=True),
    "gte": _c("gte", "GteForMaskedLM", ENCODER),
    "jina_embeddings_v3": _c("jina_embeddings_v3", "JinaEmbeddingsV3ForMaskedLM", ENCODER),
    "mpnet": _c("mpnet", "MPNetForMaskedLM", ENCODER),
    "nomic_bert": _c("nomic_bert", "NomicBertForMaskedLM", ENCODER),
    "roberta-prelayernorm": _c("roberta-prelayernorm", "RobertaPreLayerNormForMaskedLM", ENCODER),
    "xlm-roberta-xl": _c("xlm-roberta-xl", "XLMRobertaXLForMaskedLM", ENCODER),
    "albert": _c("albert", "AlbertForMaskedLM", ENCODER, embedding_size=32, num_hidden_layers=4, num_hidden_groups=2),
    "rembert": _c("rembert", "RemBertForMaskedLM", ENCODER, input_embedding_size=32, output_embedding_size=36),
    "modernbert": _c("modernbert", "ModernBertForMaskedLM", ENCODER, local_attention=4, num_hidden_layers=4),
    "modernbert-decoder": _c("modernbert-decoder", "ModernBertDecoderForCausalLM", ENCODER, local_attention=6, num_hidden_layers=4),
    "eurobert": _c("eurobert", "EuroBertForMaskedLM", ENCODER, num_key_value_heads=2),
    "deberta-v2": _c(
        "deberta-v2", "DebertaV2ForMaskedLM", ENCODER, relative_attention=True, position_buckets=8, norm_rel_ebd="layer_norm",
        share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False, type_vocab_size=0,
    ),
    "deberta_v2_xlarge": _c(
        "deberta-v2", "DebertaV2ForSequenceClassification", ENCODER, relative_attention=True, max_relative_positions=9,
        pos_att_type="c2p|p2c", conv_kernel_size=3, conv_act="gelu",
    ),
    "esm": _c("esm", "EsmForMaskedLM", ENCODER, position_embedding_type="rotary", emb_layer_norm_before=True),
    "data2vec-text": _c("data2vec-text", "Data2VecTextForMaskedLM", ENCODER),
    "clip_text_model": _c("clip_text_model", "CLIPTextModelWithProjection", ENCODER, projection_dim=20),
    "metaclip_2_text_model": _c("metaclip_2_text_model", "MetaClip2TextModel", ENCODER),
    "siglip_text_model": _c("siglip_text_model", "SiglipTextModel", ENCODER, projection_size=20),
    "siglip2_text_model": _c("siglip2_text_model", "Siglip2TextModel", ENCODER),
    "siglip2_vision_model": _c("siglip2_vision_model", "Siglip2VisionModel", FLAT, num_patches=16),
    "clip_vision_model": _c("clip_vision_model", "CLIPVisionModelWithProjection", IMAGE, projection_dim=20),
    "chinese_clip_vision_model": _c("chinese_clip_vision_model", "ChineseCLIPVisionModel", IMAGE),
    "metaclip_2_vision_model": _c("metaclip_2_vision_model", "MetaClip2VisionModel", IMAGE),
    "siglip_vision_model": _c("siglip_vision_model", "SiglipVisionModel", IMAGE),
    "vit": _c("vit", "ViTModel", IMAGE),
    "vit_classified": _c("vit", "ViTForImageClassification", IMAGE, image_size=[20, 12]),
    "vit_msn": _c("vit_msn", "ViTMSNModel", IMAGE),
    "deit": _c("deit", "DeiTModel", IMAGE),
    "ijepa": _c("ijepa", "IJepaModel", IMAGE),
    "dinov2": _c("dinov2", "Dinov2Model", RATIO),
    "dinov2_gated": _c("dinov2", "Dinov2ForImageClassification", RATIO, use_swiglu_ffn=True),
    "dinov2_with_registers": _c("dinov2_with_registers", "Dinov2WithRegistersModel", RATIO),
    "dinov3_vit": _c("dinov3_vit", "DINOv3ViTModel", IMAGE, num_register_tokens=4),
    "idefics3_vision": _c("idefics3_vision", "Idefics3VisionTransformer", IMAGE),
    "smolvlm_vision": _c("smolvlm_vision", "SmolVLMVisionTransformer", IMAGE),
    "pixtral": _c("pixtral", "PixtralVisionModel", IMAGE),
    "internvl_vision": _c("internvl_vision", "InternVLVisionModel", IMAGE, image_size=[20, 20], patch_size=[4, 4], use_qk_norm=True),
    "qwen2_vl_vision": _c("qwen2_vl_vision", "Qwen2VisionTransformerPretrainedModel", QWEN, embed_dim=48, hidden_size=60),
    "qwen2_5_vl_vision": _c(
        "qwen2_5_vl_vision",
        "Qwen2_5_VisionTransformerPretrainedModel",
        QWEN,
        hidden_size=48,
        out_hidden_size=60,
        intermediate_size=80,
        window_size=8,
        fullatt_block_indexes=[1],
    ),
    "qwen3_vl_vision": _c("qwen3_vl_vision", "Qwen3VLVisionModel", QWEN, GRID, deepstack_visual_indexes=[0, 1]),
    "qwen3_vl_moe_vision": _c("qwen3_vl_moe_vision", "Qwen3VLMoeVisionModel", QWEN, GRID, deepstack_visual_indexes=[1]),
    "qwen3_5_vision": _c("qwen3_5_vision", "Qwen3_5VisionModel", QWEN, GRID),
    "qwen3_5_moe_vision": _c("qwen3_5_moe_vision", "Qwen3_5MoeVisionModel", QWEN, GRID),
    "qwen2_audio_encoder": _c(
        "qwen2_audio_encoder", "Qwen2AudioEncoder", d_model=48, encoder_layers=2, encoder_attention_heads=6, encoder_ffn_dim=96,
        num_mel_bins=10, max_source_positions=8,
    ),
    "voxtral_encoder": _c(
        "voxtral_encoder", "VoxtralEncoder", hidden_size=48, num_hidden_layers=2, num_attention_heads=6, intermediate_size=96,
        num_mel_bins=10, max_source_positions=8,
    ),
    "glm4v_vision": _c(
        "glm4v_vision", "Glm4vVisionModel", QWEN, hidden_size=48, out_hidden_size=60, intermediate_size=80, image_size=16,
        attention_bias=True,
    ),
    "glm4v_moe_vision": _c(
        "glm4v_moe_vision", "Glm4vMoeVisionModel", QWEN, hidden_size=48, out_hidden_size=60, intermediate_size=80, image_size=16,
    ),
    "qwen2_5_omni_vision_encoder": _c(
        "qwen2_5_omni_vision_encoder", "Qwen2_5OmniVisionEncoder", QWEN, hidden_size=48, out_hidden_size=60, intermediate_size=80,
        window_size=8, fullatt_block_indexes=[1],
    ),
    "qwen3_omni_moe_vision_encoder": _c(
        "qwen3_omni_moe_vision_encoder", "Qwen3OmniMoeVisionEncoder", QWEN, GRID, deepstack_visual_indexes=[0, 1],
    ),
    **{kind: _c(kind, name, WAVE) for kind, name in WAVES.items()},
    "wav2vec2_layer": _c("wav2vec2", "Wav2Vec2ForCTC", WAVE, feat_extract_norm="layer", conv_bias=True, do_stable_layer_norm=True),
    "lfm2": _c("lfm2", "Lfm2ForCausalLM", BASE, layer_types=["conv", "full_attention", "conv"], block_multiple_of=8),
    "lfm2_moe": _c("lfm2_moe", "Lfm2MoeForCausalLM", BASE, MOE, layer_types=["conv", "full_attention", "conv"], num_dense_layers=1),
    "olmo_hybrid": _c(
        "olmo_hybrid", "OlmoHybridForCausalLM", BASE, layer_types=["linear_attention", "full_attention", "linear_attention"],
        linear_num_key_heads=4, linear_num_value_heads=4, linear_key_head_dim=12, linear_value_head_dim=14, linear_conv_kernel_dim=4,
    ),
    "falcon_h1": _c(
        "falcon_h1", "FalconH1ForCausalLM", BASE, mamba_d_ssm=96, mamba_n_heads=8, mamba_d_head=12, mamba_n_groups=2, mamba_d_state=8,
        mamba_d_conv=4, mamba_chunk_size=4, use_mamba_kernels=False,
    ),
    "glm4v_text": _c("glm4v_text", "Glm4vTextModel", BASE, ROPE3),
    "glm4v_moe_text": _c("glm4v_moe_text", "Glm4vMoeTextModel", BASE, ROUTED, ROPE2),
    "iquestcoder": _c("iquestcoder", "LlamaForCausalLM", BASE),
    "paddleocr_vl_text": _c("paddleocr_vl_text", "PaddleOCRTextModel", BASE, ROPE3, head_dim=8),
    "qwen2_5_omni_text": _c("qwen2_5_omni_text", "Qwen2_5OmniThinkerTextModel", BASE, ROPE3),
    "qwen3_omni_moe_text": _c("qwen3_omni_moe_text", "Qwen3OmniMoeThinkerTextModel", BASE, MOE, ROPE3, head_dim=8),
    **{f"{kind}_vision_model": _c(f"{kind}_vision_model", f"{name}VisionModel", IMAGE) for kind, name in SEEN.items()},
    **{f"{kind}_text_model": _c(f"{kind}_text_model", f"{name}TextModel", ENCODER) for kind, name in READ.items()},
    "aimv2_vision_model": _c("aimv2_vision_model", "Aimv2VisionModel", IMAGE, use_head=False, mlp_bias=True),
    "idefics2_vision": _c("idefics2_vision", "Idefics2VisionTransformer", IMAGE),
    "ibert": _c("ibert", "IBertForMaskedLM", ENCODER),
    "emu3_text_model": _c("emu3_text_model", "Emu3ForCausalLM", BASE, mlp_bias=True),
    "granite4_vision_text": _c("granite4_vision_text", "Granite4VisionTextModel", BASE, attention_bias=True),
    "granite_docling_text": _c("granite_docling_text", "GraniteDoclingTextModel", BASE),
    "gemma4_unified_text": _c(
        "gemma4_unified_text", "Gemma4UnifiedTextModel", BASE, head_dim=10, global_head_dim=12, sliding_window=4,
        hidden_size_per_layer_input=0,
    ),
    "glm_ocr_text": _c("glm_ocr_text", "GlmOcrTextModel", BASE, ROPE3, head_dim=8),
    "llama4_vision_model": _c(
        "llama4_vision_model", "Llama4VisionModel", IMAGE, image_size=16, intermediate_size=192, projector_input_dim=70,
        projector_output_dim=70,
        vision_output_dim=70,
    ),
    "openai-gpt": _c("openai-gpt", "OpenAIGPTLMHeadModel", n_embd=48, n_head=6, n_layer=2, n_positions=96, vocab_size=101),
    "cohere2_moe": _c(
        "cohere2_moe", "Cohere2MoeForCausalLM", BASE, SWA, head_dim=10, num_experts=5, num_experts_per_tok=2, num_shared_experts=2,
        mlp_layer_types=["dense", "sparse", "sparse"], prefix_dense_intermediate_size=70,
    ),
    "laguna": _c(
        "laguna", "LagunaForCausalLM", BASE, MOE, SWA, head_dim=10, shared_expert_intermediate_size=36,
        num_attention_heads_per_layer=[6, 4, 6],
    ),
    "afmoe": _c("afmoe", "AfmoeForCausalLM", BASE, MOE, head_dim=10, sliding_window=4, global_attn_every_n_layers=2),
    "apertus": _c("apertus", "ApertusForCausalLM", BASE, attention_bias=True),
    "biogpt": _c("biogpt", "BioGptForCausalLM", ENCODER),
    "bitnet": _c("bitnet", "BitNetForCausalLM", BASE),
    "cwm": _c("cwm", "CwmForCausalLM", BASE, SWA, head_dim=10),
    "exaone_moe": _c("exaone_moe", "ExaoneMoeForCausalLM", BASE, MOE, sliding_window=4, sliding_window_pattern=2),
    "flint": _c("flint", "FlintForCausalLM", BASE, MOE, SWA, head_dim=10, shared_expert_intermediate_size=36, mlp_only_layers=[1]),
    "granite_swa": _c("granite_swa", "GraniteSWAForCausalLM", BASE, SWA),
    "granitemoe_swa": _c(
        "granitemoe_swa", "GraniteMoeSWAForCausalLM", BASE, SWA, num_local_experts=5, num_experts_per_tok=2, shared_intermediate_size=36
    ),
    "helium": _c("helium", "HeliumForCausalLM", BASE, head_dim=8),
    "hunyuan_v1_moe": _c("hunyuan_v1_moe", "HunYuanMoEV1ForCausalLM", BASE, num_experts=5, moe_topk=2, head_dim=10),
    "hy_v3": _c("hy_v3", "HYV3ForCausalLM", BASE, MOE, head_dim=10, num_shared_experts=2),
    "hyperclovax": _c("hyperclovax", "HyperCLOVAXForCausalLM", BASE, head_dim=10),
    "jais2": _c("jais2", "Jais2ForCausalLM", BASE, head_dim=10),
    "kolibri1": _c("kolibri1", "Kolibri1ForCausalLM", BASE, MOE, SWA, head_dim=10, shared_expert_intermediate_size=36),
    "mellum": _c("mellum", "MellumForCausalLM", BASE, MOE, SWA, head_dim=10, mlp_layer_types=["dense", "sparse", "sparse"]),
    "nanochat": _c("nanochat", "NanoChatForCausalLM", BASE),
    "persimmon": _c("persimmon", "PersimmonForCausalLM", ENCODER),
    "solar_open": _c("solar_open", "SolarOpenForCausalLM", BASE, ROUTED, head_dim=10),
    "vaultgemma": _c("vaultgemma", "VaultGemmaForCausalLM", BASE, SWA, head_dim=10),
    "xglm": _c(
        "xglm", "XGLMForCausalLM", SPECIAL, d_model=48, attention_heads=6, num_layers=2, ffn_dim=80, vocab_size=101,
        max_position_embeddings=96,
    ),
    "gpt-sw3": _c("gpt-sw3", "GPT2LMHeadModel", SPECIAL, n_embd=48, n_head=6, n_layer=2, n_positions=96, vocab_size=101),
    "youtu": _c("youtu", "YoutuForCausalLM", MLA),
    "minicpm3": _c("minicpm3", "MiniCPM3ForCausalLM", MLA),
    "mistral4": _c("mistral4", "Mistral4ForCausalLM", MLA, ROUTED, first_k_dense_replace=1),
    "axk1": _c("axk1", "AXK1ForCausalLM", MLA, ROUTED),
}  # fmt: skip

_TEXT: dict[str, Any] = {**BASE, "num_hidden_layers": 2}
_SEEN: dict[str, Any] = IMAGE | {"image_size": 16}
_SIGLIP: dict[str, Any] = {"model_type": "siglip_vision_model", "vision_use_head": False, **_SEEN}
_CLIP: dict[str, Any] = {"model_type": "clip_vision_model", **_SEEN}


def _own(name: str) -> dict[str, Any]:
    return {k: v for k, v in MORE[name].items() if k != "architectures"}


def _whole(kind: str, text: str, vision: dict[str, Any], key: str = "vision_config", **own: Any) -> dict[str, Any]:
    return {"model_type": kind, "text_config": {"model_type": text, **_TEXT}, key: vision, **own}


# Whole models of several towers; parameters of text and towers together equal the whole's.
WHOLE: dict[str, dict[str, Any]] = {
    "aya_vision": _whole("aya_vision", "cohere2", _SIGLIP),
    "cohere2_vision": _whole("cohere2_vision", "cohere2", _SIGLIP, alignment_intermediate_size=70),
    "gemma3": _whole("gemma3", "gemma3_text", _SIGLIP, mm_tokens_per_image=4),
    "idefics3": _whole("idefics3", "llama", {"model_type": "idefics3_vision", **_SEEN}),
    "internvl": _whole("internvl", "qwen2", {"model_type": "internvl_vision", **_SEEN, "image_size": [16, 16], "patch_size": [4, 4]}),
    "llama4": _whole("llama4", "llama4_text", _own("llama4_vision_model")),
    "llava": _whole("llava", "llama", _CLIP),
    "llava_next": _whole("llava_next", "llama", _CLIP),
    "llava_onevision": _whole("llava_onevision", "qwen2", _SIGLIP, vision_feature_select_strategy="full"),
    "mistral3": _whole("mistral3", "mistral", {"model_type": "pixtral", **_SEEN}),
    "paligemma": _whole("paligemma", "gemma", _SIGLIP, projection_dim=48),
    "clip": {"model_type": "clip", "text_config": dict(ENCODER), "vision_config": _CLIP, "projection_dim": 20},
    "metaclip_2": {"model_type": "metaclip_2", "text_config": dict(ENCODER), "vision_config": _SEEN, "projection_dim": 20},
    "siglip": {"model_type": "siglip", "text_config": dict(ENCODER), "vision_config": _SEEN},
    "siglip2": {"model_type": "siglip2", "text_config": dict(ENCODER), "vision_config": FLAT | {"num_patches": 16}},
    "deepseek_vl": _whole("deepseek_vl", "llama", _SIGLIP),
    "glm46v": _whole("glm46v", "glm4v_text", _own("glm4v_vision") | {"out_hidden_size": 48}),
    "glm4v": _whole("glm4v", "glm4v_text", _own("glm4v_vision") | {"out_hidden_size": 48}),
    "glm4v_moe": {
        "model_type": "glm4v_moe", "text_config": _own("glm4v_moe_text"),
        "vision_config": _own("glm4v_moe_vision") | {"out_hidden_size": 48},
    },
    "lighton_ocr": _whole("lighton_ocr", "qwen3", {"model_type": "pixtral", **_SEEN}),
    "lfm2_vl": {
        "model_type": "lfm2_vl", "text_config": _own("lfm2"), "vision_config": FLAT | {"num_patches": 16, "vision_use_head": False},
    },
    "llava_next_video": _whole("llava_next_video", "llama", _CLIP),
    "qwen2_5_vl": _whole(
        "qwen2_5_vl", "qwen2_5_vl_text", _own("qwen2_5_vl_vision") | {"out_hidden_size": 48}
    ),
    "qwen2_audio": _whole("qwen2_audio", "qwen2", _own("qwen2_audio_encoder"), "audio_config"),
    "qwen2_vl": _whole("qwen2_vl", "qwen2_vl_text", _own("qwen2_vl_vision")),
    "qwen3_vl": _whole("qwen3_vl", "qwen3_vl_text", _own("qwen3_vl_vision")),
    "smolvlm": _whole("smolvlm", "llama", {"model_type": "smolvlm_vision", **_SEEN}),
    "voxtral": _whole("voxtral", "llama", _own("voxtral_encoder"), "audio_config"),
}  # fmt: skip
# Those whose image features come from one call with the pixels alone.
PIXELS = ("aya_vision", "cohere2_vision", "gemma3", "internvl", "llava", "paligemma")
