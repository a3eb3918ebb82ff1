"""Configurations that hold a text model beside a vision or audio tower: the text model is what is read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from attometer.errors import AttometerError
from attometer.mechanisms.projections import BIAS
from attometer.models.blocks import linear
from attometer.models.class_defaults import class_defaults
from attometer.models.layer import Model
from attometer.models.part import part
from attometer.models.readers.decoder import architecture, bare
from attometer.models.readers.projectors import PROJECTORS, Beside
from attometer.models.reading import Reading

Reader = Callable[[Reading], Model]

# transformers writes into `text_config` only what differs from the defaults of the text model's class.
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
        "max_position_embeddings": 2048,
    },
    "mistral": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
        "max_position_embeddings": 131072,
    },
    "qwen2": {
        "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 151936,
        "max_position_embeddings": 32768,
    },
    "gemma3_text": {
        "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "vocab_size": 262208, "max_position_embeddings": 131072,
    },
}  # fmt: skip

# Where the whole model's class has values of its own for what its text model's object leaves out.
INNER_DEFAULTS: dict[str, dict[str, Any]] = {
    "voxtral": {
        "vocab_size": 131072, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 30, "num_key_value_heads": 8,
        "head_dim": 128,
    },
}  # fmt: skip

TOWERS = (
    "vision_config", "audio_config", "image_config", "speech_config", "encoder_config", "projector_config", "qformer_config",
    "perceiver_config", "vq_config", "high_res_vision_config", "word_timestamp_config", "semantic_tokenizer_encoder_config",
    "acoustic_tokenizer_encoder_config",
)  # fmt: skip


def text_of(c: Reading, readers: dict[str, Reader], kind: str) -> Model:
    """Read `text_config` with the reader of its own `model_type`, and say what stands beside it."""
    section = c.section("text_config")
    kind = section.values.get("model_type", kind)
    if not isinstance(kind, str) or kind not in readers:
        raise section.error("model_type", f"is {kind!r}, which is not modelled")
    whole = str(c.values["model_type"])
    filled = _with_defaults(section, DEFAULTS.get(kind, {}) | INNER_DEFAULTS.get(whole, {}))
    _tie(c, filled, whole)
    model = readers[kind](filled)
    filled.close()
    read = towers_of(c, readers, whole, model)
    without_towers(c, len(read))
    return replace(model, towers=read)


def without_towers(c: Reading, read: int = 0) -> None:
    """Note the towers that stand beside the text model and are not read, and what projects from them into the text."""
    towers = [name for name in TOWERS if isinstance(c.values.get(name), dict)]
    c.ignore(*TOWERS, *BESIDE)
    if len(towers) > read:
        c.note(f"only the text model is modelled; {' and '.join(towers)} and what projects into the text are not")


# The text models' files call some towers by the name of the whole.
NAMED = {
    "qwen2_vl": "qwen2_vl_vision", "qwen2_5_vl": "qwen2_5_vl_vision", "qwen3_vl": "qwen3_vl_vision",
    "qwen3_vl_moe": "qwen3_vl_moe_vision", "qwen3_5": "qwen3_5_vision", "qwen3_5_moe": "qwen3_5_moe_vision",
    "glm4v": "glm4v_vision", "glm46v": "glm4v_vision", "glm4v_moe": "glm4v_moe_vision",
    "idefics3": "idefics3_vision", "smolvlm": "smolvlm_vision", "internvl": "internvl_vision",
}  # fmt: skip


def towers_of(c: Reading, readers: dict[str, Reader], whole: str, text: Model) -> tuple[Model, ...]:
    """Return the towers of a file that are modelled, each with what projects from it; of another the reason is noted."""
    known = PROJECTORS.get(whole, {})
    return tuple(tower for key, beside in known.items() if (tower := _tower(c, readers, key, beside, text)) is not None)


def _tower(c: Reading, readers: dict[str, Reader], key: str, beside: Beside, text: Model) -> Model | None:
    values = c.values.get(key)
    if not isinstance(values, dict):
        return None
    kind = values.get("model_type") or beside.kind
    kind = NAMED.get(kind, kind) if isinstance(kind, str) else beside.kind
    # What stands beside the text leaves no trace in its own account until all of it is read.
    alone = Reading({k: v for k, v in values.items() if k != "architectures"}, c.path, f"{c.where}.{key}")
    outer = Reading(c.values, c.path, c.where)
    outer.of_class = class_defaults(str(c.values["model_type"]))
    try:
        if kind not in readers:
            raise alone.error("model_type", f'is "{kind}", which is not modelled')
        tower = readers[kind](alone)
        tower = replace(
            tower, name=key.removesuffix("_config"), head=(*tower.head, *beside.project(outer, alone, tower, text))
        )
    except AttometerError as error:
        c.note(f"{key} is not counted: {error}")
        return None
    alone.close()
    c.take(alone, outer)
    c.note(f"{key} is read as a tower of its own, beside the text model; its cost is not in the text model's figures")
    return tower


# Whether the head is tied where the whole model's own key is missing: transformers' defaults. Elsewhere the text model's key counts.
WHOLE = {
    "aya_vision": True, "cohere2_vision": True, "gemma3": True, "gemma4": True, "internvl": True, "kimi_k25": True, "mistral3": True,
    "paligemma": True,
    "idefics3": False, "llava_next": False, "qwen3_5": False, "qwen3_5_moe": False, "qwen3_vl": False, "qwen3_vl_moe": False,
    "smolvlm": False, "step3p7": False,
    "deepseek_vl": True, "deepseek_vl_hybrid": True, "glmasr": True, "got_ocr2": True, "granite_speech": True,
    "hyperclovax_vision_v2": True, "janus": True, "lighton_ocr": True, "minicpm_ocr": True, "ovis2": True, "pp_chart2table": True,
    "cosmos3_omni": False, "exaone4_5": False, "fuyu": False, "idefics2": False, "minicpmv4_6": False, "minicpmv4_7": False,
    "gemma4_unified": True, "granite_speech_plus": True, "lfm2_vl": True, "moss_transcribe_diarize": True, "qwen3_asr": True,
    "glm46v": False, "glmga": False, "qwen2_5_omni_thinker": False, "qwen3_omni_moe_thinker": False,
    "qianfan_ocr": False, "video_llava": False, "vipllava": False,
}  # fmt: skip


# Where either object ties the head, with what stands for the two; where the text model's key alone counts, with what stands
# for it; where transformers ties nothing.
EITHER = dict.fromkeys(
    (
        "glm4v",
        "glm4v_moe",
        "glm_ocr",
        "llava",
        "llava_next_video",
        "llava_onevision",
        "qwen2_5_vl",
        "qwen2_vl",
        "video_llama_3",
    ),
    (False, False),
) | {"paddleocr_vl": (True, True), "shieldgemma2": (False, True)}
INNER = {"blip-2": True, "instructblip": True, "instructblipvideo": True, "llama4": False}
NEVER = frozenset(
    {"audioflamingo3", "musicflamingo", "nemo_speechlm", "nemotron_h_omni", "qwen2_audio", "vibevoice_asr", "voxtral"}
)


def _tie(c: Reading, text: Reading, kind: str) -> None:
    """Settle whether the head is tied, which both objects may say, by transformers' rule for the family."""
    key = "tie_word_embeddings"
    outer, inner = c.values.get(key), text.values.get(key)
    tied: object
    if kind in WHOLE:
        tied = c.flag(key, default=WHOLE[kind])
    elif kind in NEVER:
        tied = False
    elif kind in EITHER:
        first, second = EITHER[kind]
        tied = bool(first if outer is None else outer) or bool(second if inner is None else inner)
    elif kind in INNER:
        tied = INNER[kind] if inner is None else bool(inner)
    elif isinstance(outer, bool) and isinstance(inner, bool) and outer != inner:
        raise text.error(key, f"is {str(inner).lower()}, but {c.where}.{key} is {str(outer).lower()}")
    else:
        tied = outer if inner is None else inner
    if not isinstance(tied, bool):
        return
    if any(isinstance(said, bool) and said != tied for said in (inner, outer)):
        c.note(
            f"the two {key} of the file do not agree with transformers' {kind}: its head is {'' if tied else 'not '}tied"
        )
    text.values = {**text.values, key: tied}


BESIDE = (
    "projector_hidden_act", "multimodal_projector_bias", "spatial_merge_size", "vision_feature_layer",
    "vision_feature_select_strategy", "image_seq_length", "vision_soft_tokens_per_image", "mm_tokens_per_image",
    "video_placeholder", "use_unified_vision_chunk",    "vocab_size", "tie_word_embeddings", "audio_token_index",
    "boi_token_index", "eoi_token_index", "image_grid_pinpoints", "pretraining_tp",
)  # fmt: skip


def _with_defaults(c: Reading, defaults: dict[str, Any]) -> Reading:
    missing = {key: value for key, value in defaults.items() if key not in c.values}
    for key, value in missing.items():
        c.default(key, value)
    return Reading({**c.values, **missing}, c.path, c.where, c)


def dual(text: str, seen: str, more: int, readers: dict[str, Reader]) -> Reader:
    """Return a reader of CLIP's and SigLIP's two sides: the text's is the model, the image's its tower; `more` numbers scale and shift."""

    def read(c: Reading) -> Model:
        name = architecture(c)
        if name and not bare(name):
            raise c.error("architectures", f"names {name[:80]}, whose head is not modelled; known: …Model")
        sides = []
        for key, kind in (("text_config", text), ("vision_config", seen)):
            section = c.section(key) if key in c.values else Reading({}, c.path, f"{c.where}.{key}", c)
            section.values = {k: v for k, v in section.values.items() if k != "architectures"}
            sides.append(readers[kind](section))
            section.close()
        width = c.integer("projection_dim", default=512) if more == 1 else 0
        ends = [() if not width else (linear("projection", side.width, width, rows=1),) for side in sides]
        c.ignore(
            "logit_scale_init_value", "text_config_dict", "vision_config_dict", "projection_dim", "tie_word_embeddings"
        )
        first, second = (replace(side, head=(*side.head, *end)) for side, end in zip(sides, ends, strict=True))
        scale = part("logit scale", BIAS, D=more, n=1)
        tower = replace(second, name="vision")
        return replace(first, family=str(c.values["model_type"]), head=(*first.head, scale), towers=(tower,))

    read.__doc__ = "Two sides, of text and of images, after CLIP (Radford et al. 2021, arXiv:2103.00020)."
    return read


def omni(thinker: str, readers: dict[str, Reader]) -> Reader:
    """Return a reader of Qwen's omni files: the thinker is read, and what speaks is noted."""

    def read(c: Reading) -> Model:
        section = c.section("thinker_config")
        inner = Reading({**section.values, "model_type": thinker}, c.path, section.where, c)
        model = wrapped(INSIDE[thinker], readers)(inner)
        inner.close()
        spoken = [key for key in ("talker_config", "token2wav_config", "code2wav_config") if key in c.values]
        c.ignore(*spoken, "enable_audio_output", "enable_talker", "speaker_id", "system_prompt", "tie_word_embeddings")
        if spoken:
            c.note(f"only the thinker is modelled; {' and '.join(spoken)} are not")
        return model

    read.__doc__ = (
        "Qwen's omni models: the thinker, which reads text, images and sound (Qwen Team 2025, arXiv:2503.20215)."
    )
    return read


INSIDE = {"qwen2_5_omni_thinker": "qwen2_5_omni_text", "qwen3_omni_moe_thinker": "qwen3_omni_moe_text"}


def wrapped(kind: str, readers: dict[str, Reader]) -> Reader:
    """Return a reader for a multimodal family whose text model is, unless its file says otherwise, of `kind`."""
    return lambda c: text_of(c, readers, kind)
