"""The readers by `model_type`, and the classes that stand for a `model_type` that is not known."""

from attometer.models.class_defaults import class_defaults
from attometer.models.layer import Model
from attometer.models.readers import (
    alibi,
    audio,
    bamba,
    bart,
    bert,
    cohere,
    deepseek,
    deepseek_v4,
    delta_net,
    encoder,
    gemma,
    gpt,
    hybrids,
    jamba,
    kimi_linear,
    llama,
    llama4,
    llama_variants,
    mamba,
    mimo,
    mixtral,
    nemotron_h,
    post_norm,
    recipes,
    shared_experts,
    t5,
    vision,
)
from attometer.models.readers.decoder import architecture
from attometer.models.readers.multimodal import Reader, wrapped
from attometer.models.reading import Reading


def _named(reader: Reader, name: str) -> Reader:
    """Read with `reader` only a file whose `architectures` says that it is `name`: its model_type alone does not."""

    def read(c: Reading) -> Model:
        if architecture(c) != name:
            raise c.error("architectures", f"must name {name} for this model_type, got {architecture(c)[:80]!r}")
        return reader(c)

    read.__doc__ = reader.__doc__
    return read


def _of_class(kind: str, reader: Reader) -> Reader:
    """Read with `reader`, which leaves the values of missing keys to the table of transformers' classes."""

    def read(c: Reading) -> Model:
        c.of_class = class_defaults(kind)
        return reader(c)

    read.__doc__ = reader.__doc__
    return read


OF_CLASS: dict[str, Reader] = {
    **{kind: bart.seq2seq(kind) for kind in bart.RECIPES},
    **{kind: encoder.encoder(kind) for kind in encoder.RECIPES},
    **{kind: audio.wave(kind) for kind in audio.FAMILIES},
    **{kind: recipes.by_recipe(kind) for kind in recipes.RECIPES},
    **{kind: vision.seen(kind) for kind in vision.RECIPES},
    "albert": encoder.albert,
    "axk1": deepseek.axk1,
    "clip_text_model": vision.clip_text,
    "data2vec-text": bert.roberta,
    "deberta-v2": encoder.deberta_v2,
    "esm": encoder.esm,
    "eurobert": encoder.eurobert,
    "falcon_h1": hybrids.falcon_h1,
    "glm4v_moe_vision": vision.glm4v_vision,
    "glm4v_vision": vision.glm4v_vision,
    "gpt-sw3": gpt.gpt2,
    "internvl_vision": vision.internvl_vision,
    "iquestcoder": llama.llama,
    "lfm2": hybrids.lfm2,
    "lfm2_moe": hybrids.lfm2_moe,
    "metaclip_2_text_model": vision.clip_text,
    "minicpm3": deepseek.minicpm3,
    "modernbert": encoder.modernbert,
    "modernbert-decoder": encoder.modernbert_decoder,
    "rembert": encoder.rembert,
    "mistral4": deepseek.mistral4,
    "olmo_hybrid": hybrids.olmo_hybrid,
    "paddleocr_vl_text": llama_variants.ernie4_5,
    "qwen2_5_omni_text": llama.qwen2,
    "qwen2_5_omni_vision_encoder": vision.qwen2_5_vl_vision,
    "qwen2_audio_encoder": bart.heard,
    "qwen2_5_vl_vision": vision.qwen2_5_vl_vision,
    "qwen2_vl_vision": vision.qwen2_vl_vision,
    "qwen3_5_moe_vision": vision.qwen3_vl_vision,
    "qwen3_5_vision": vision.qwen3_vl_vision,
    "qwen3_omni_moe_text": mixtral.qwen3_moe,
    "qwen3_omni_moe_vision_encoder": vision.qwen3_vl_vision,
    "qwen3_vl_moe_vision": vision.qwen3_vl_vision,
    "qwen3_vl_vision": vision.qwen3_vl_vision,
    "siglip_text_model": vision.siglip_text,
    "voxtral_encoder": bart.heard,
    "whisper": bart.whisper,
    "youtu": deepseek.youtu,
}
"""Readers of families whose missing keys have the values of `data/class_defaults.json`."""

TEXT: dict[str, Reader] = {
    "arcee": llama_variants.arcee,
    "baichuan": llama_variants.baichuan,
    "bamba": bamba.bamba,
    "bert": bert.bert,
    "big_bird": bert.big_bird,
    "bloom": alibi.bloom,
    "chatglm": llama_variants.chatglm,
    "codegen": gpt.gptj,
    "camembert": bert.xlm_roberta,
    "cohere": cohere.cohere,
    "cohere2": cohere.cohere2,
    "deepseek": shared_experts.deepseek,
    "deepseek_ref": _named(deepseek_v4.deepseek_v4, "DeepseekV4ForCausalLM"),
    "deepseek_v2": deepseek.deepseek_v2,
    "deepseek_v3": deepseek.deepseek_v3,
    "deepseek_v32": deepseek.deepseek_v32,
    "deepseek_v4": deepseek_v4.deepseek_v4,
    "distilbert": bert.distilbert,
    "dots1": shared_experts.dots1,
    "ernie4_5": llama_variants.ernie4_5,
    "ernie4_5_moe": shared_experts.ernie4_5_moe,
    "exaone4": post_norm.exaone4,
    "falcon": alibi.falcon,
    "falcon_mamba": mamba.mamba,
    "flex_olmo": mixtral.flex_olmo,
    "gemma": gemma.gemma,
    "gemma2": gemma.gemma2,
    "gemma3_text": gemma.gemma3,
    "gemma4_text": gemma.gemma4,
    "glm": post_norm.glm,
    "glm4": post_norm.glm4,
    "glm4_moe": shared_experts.glm4_moe,
    "glm4_moe_lite": deepseek.glm4_moe_lite,
    "glm_moe_dsa": deepseek.glm_moe_dsa,
    "gpt2": gpt.gpt2,
    "gpt_bigcode": gpt.gpt_bigcode,
    "gpt_neo": gpt.gpt_neo,
    "gpt_neox": gpt.gpt_neox,
    "gpt_oss": mixtral.gpt_oss,
    "gptj": gpt.gptj,
    "granite": llama.granite,
    "granitemoe": mixtral.granitemoe,
    "granitemoeshared": mixtral.granitemoeshared,
    "granitemoehybrid": bamba.granitemoehybrid,
    "hunyuan_v1_dense": llama_variants.hunyuan_dense,
    "internlm": llama_variants.internlm,
    "internlm2": llama_variants.internlm2,
    "internlm3": llama_variants.internlm3,
    "jamba": jamba.jamba,
    "kimi_k2": _named(deepseek.deepseek_v3, "DeepseekV3ForCausalLM"),
    "kimi_linear": kimi_linear.kimi_linear,
    "llama": llama.llama,
    "llama4_text": llama4.llama4,
    "longformer": bert.longformer,
    "mamba": mamba.mamba,
    "mamba2": mamba.mamba2,
    "mimo": llama_variants.mimo,
    "mimo_v2_flash": mimo.mimo_v2_flash,
    "minicpm": llama_variants.minicpm,
    "minimax_m2": mixtral.minimax_m2,
    "megatron-bert": bert.megatron_bert,
    "ministral": llama.ministral,
    "ministral3": llama.ministral3,
    "mistral": llama.mistral,
    "mixtral": mixtral.mixtral,
    "mpt": alibi.mpt,
    "mt5": t5.mt5,
    "nemotron": cohere.nemotron,
    "nemotron_h": nemotron_h.nemotron_h,
    "olmo": cohere.olmo,
    "olmo2": post_norm.olmo2,
    "olmo3": post_norm.olmo3,
    "olmoe": mixtral.olmoe,
    "opt": gpt.opt,
    "orion": cohere.orion,
    "phi": gpt.phi,
    "phi-msft": gpt.phi,
    "phi3": llama.phi3,
    "phi4": _named(llama.phi3, "Phi3ForCausalLM"),
    "phimoe": mixtral.phimoe,
    "qwen": llama_variants.qwen,
    "qwen2": llama.qwen2,
    "qwen2_5_vl_text": llama.qwen2,
    "qwen2_moe": mixtral.qwen2_moe,
    "qwen2_vl_text": llama.qwen2,
    "qwen3": llama.qwen3,
    "qwen3_5_moe_text": delta_net.qwen3_5_moe,
    "qwen3_5_text": delta_net.qwen3_5,
    "qwen3_moe": mixtral.qwen3_moe,
    "qwen3_next": delta_net.qwen3_next,
    "qwen3_vl_moe_text": mixtral.qwen3_moe,
    "qwen3_vl_text": llama.qwen3,
    "roberta": bert.roberta,
    "rwkv": mamba.rwkv,
    "seed_oss": llama_variants.seed_oss,
    "smollm3": llama_variants.smollm3,
    "stablelm": cohere.stablelm,
    "starcoder2": cohere.starcoder2,
    "step3p5": mimo.step3p5,
    "t5": t5.t5,
    "umt5": t5.umt5,
    "xlm-roberta": bert.xlm_roberta,
    **{kind: _of_class(kind, reader) for kind, reader in OF_CLASS.items()},
}
"""Readers of models of text, by `model_type`."""

AROUND: dict[str, str] = {
    "aya_vision": "cohere2",
    "cohere2_vision": "cohere2",
    "gemma3": "gemma3_text",
    "gemma4": "gemma4_text",
    "idefics3": "llama",
    "internvl": "qwen2",
    "kimi_k25": "deepseek_v3",
    "kimi_k3": "kimi_linear",
    "kimi_vl": "deepseek_v3",
    "llama4": "llama4_text",
    "llava": "llama",
    "llava_next": "llama",
    "llava_onevision": "qwen2",
    "mistral3": "ministral3",
    "paligemma": "gemma",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen2_audio": "qwen2",
    "qwen2_vl": "qwen2_vl_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "smolvlm": "llama",
    "step3p7": "step3p5",
    "voxtral": "llama",
}
"""Families that wrap a text model, with the text model that they hold."""

FLAT = frozenset({"gemma3", "llama4", "gemma4", "qwen2_5_vl", "qwen2_vl", "qwen3_5", "qwen3_5_moe"})
"""Wrapping families whose text-only files carry the keys of the text model at the top."""

READERS: dict[str, Reader] = TEXT | {kind: wrapped(inner, TEXT) for kind, inner in AROUND.items()}
"""Every reader, by `model_type`."""
