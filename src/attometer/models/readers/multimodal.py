"""Configurations that hold a text model beside a vision or audio tower: the text model is what is read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from attometer.errors import AttometerError
from attometer.models.class_defaults import class_defaults
from attometer.models.layer import Model
from attometer.models.readers.projectors import PROJECTORS, Beside
from attometer.models.reading import Reading

Reader = Callable[[Reading], Model]

# transformers writes into `text_config` only what differs from the defaults of the text model's class.
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {
        "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
    },
    "mistral": {
        "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000,
    },
    "qwen2": {
        "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 151936,
    },
    "gemma3_text": {"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "vocab_size": 262208},
}  # fmt: skip

# Where the whole model's class has values of its own for what its text model's object leaves out.
INNER_DEFAULTS: dict[str, dict[str, Any]] = {
    "voxtral": {
        "vocab_size": 131072, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 30, "num_key_value_heads": 8,
        "head_dim": 128,
    },
}  # fmt: skip

TOWERS = ("vision_config", "audio_config", "image_config", "speech_config")


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
}  # fmt: skip


# Where either object ties the head; where the text model's key alone counts; where transformers ties nothing.
EITHER = frozenset({"llava", "llava_onevision", "qwen2_5_vl", "qwen2_vl"})
INNER = frozenset({"llama4"})
NEVER = frozenset({"qwen2_audio", "voxtral"})


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
        tied = bool(outer) or bool(inner)
    elif kind in INNER:
        tied = bool(inner)
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


def wrapped(kind: str, readers: dict[str, Reader]) -> Reader:
    """Return a reader for a multimodal family whose text model is, unless its file says otherwise, of `kind`."""
    return lambda c: text_of(c, readers, kind)
