"""What projects a tower's results into the text model, by multimodal family: the parts that follow the tower's own."""

from collections.abc import Callable
from dataclasses import dataclass

import sympy

from attometer.models.blocks import activation, embedding, layernorm, linear, norm, of_tokens
from attometer.models.class_defaults import class_defaults
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.models.readers.llama import act
from attometer.models.reading import Reading
from attometer.program import size

Projector = Callable[[Reading, Reading, Model, Model], tuple[Part, ...]]
"""From the whole file, the tower's object, the tower and the text model to the parts between the two."""


@dataclass(frozen=True)
class Beside:
    """A tower: its `model_type` where the file names none, and what follows it."""

    kind: str
    project: Projector


def nothing(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """The tower ends in the text model's width by itself."""
    return ()


def _over(parts: tuple[Part, ...], rows: sympy.Expr | int) -> tuple[Part, ...]:
    return tuple(of_tokens(p, n=rows) for p in parts)


def _two(name: str, inputs: int, hidden: int, outputs: int, function: str, bias: bool = True) -> tuple[Part, ...]:
    return (
        linear(f"{name} up", inputs, hidden, bias),
        activation(f"{name} act", hidden, function, False),
        linear(f"{name} down", hidden, outputs, bias),
    )


def two_layers(newline: bool) -> Projector:
    """LLaVA: two dense layers on each patch (arXiv:2310.03744); later ones learn what ends a row of patches."""

    def project(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
        layer = c.get(("vision_feature_layer",), -1)[1]
        each = len(layer) if isinstance(layer, list) else 1
        whole = c.choice("vision_feature_select_strategy", options=("default", "full"), default="default") == "full"
        rows = size("n") if whole else size("n") - 1
        parts = _two(
            "projector",
            tower.width * each,
            text.width,
            text.width,
            act(c, "gelu", "projector_hidden_act"),
            c.flag("multimodal_projector_bias", default=True),
        )
        return *_over(parts, rows), *((embedding(1, text.width, "newline", 1),) if newline else ())

    return project


def gemma3(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """Gemma 3: patches are averaged to a fixed number of tokens, normed and projected."""
    rows = c.integer("mm_tokens_per_image", default=256)
    return _over((norm(tower.width, name="projector norm"), linear("projector", tower.width, text.width)), rows)


def mistral3(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """Mistral Small 3.1: neighbours are merged, then LLaVA's two layers."""
    side = c.integer("spatial_merge_size", default=2)
    bias, function = c.flag("multimodal_projector_bias", default=False), act(c, "gelu", "projector_hidden_act")
    if not isinstance(c.get(("vision_feature_layer",), -1)[1], int):
        raise c.error("vision_feature_layer", "is a list, which is not modelled")
    parts = (
        linear("merger", tower.width * side**2, tower.width),
        *_two("projector", tower.width, text.width, text.width, function, bias),
    )
    return norm(tower.width, name="projector norm"), *_over(parts, size("n") / side**2)


def lighton(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """LightOnOCR: Mistral's projector without biases."""
    side = c.integer("spatial_merge_size", default=2)
    parts = (
        linear("merger", tower.width * side**2, tower.width),
        *_two("projector", tower.width, text.width, text.width, "gelu", False),
    )
    return norm(tower.width, name="projector norm"), *_over(parts, size("n") / side**2)


def aligned(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """DeepSeek-VL: two dense layers on each patch."""
    return _two("projector", tower.width, text.width, text.width, "gelu")


def lfm2_vl(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """LFM2-VL: neighbours side by side, a norm, two dense layers."""
    side, hidden, bias = (
        c.integer("downsample_factor", default=2),
        c.integer("projector_hidden_size", default=2560),
        c.flag("projector_bias", default=True),
    )
    width = tower.width * side**2
    start = (layernorm(width, name="projector norm"),) if c.flag("projector_use_layernorm", default=True) else ()
    parts = _two("projector", width, hidden, text.width, act(c, "gelu", "projector_hidden_act"), bias)
    return _over((*start, *parts), size("n") / side**2)


def llama4(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """Llama 4: one product on each merged token."""
    inner.of_class = class_defaults("llama4_vision_model")
    side = round(1 / inner.number("pixel_shuffle_ratio"))
    return _over((linear("projector", inner.integer("vision_output_dim"), text.width),), (size("n") - 1) / side**2)


def shuffled(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """Idefics 3 and SmolVLM: neighbours side by side, one product."""
    side = c.integer("scale_factor", default=2)
    return _over((linear("projector", tower.width * side**2, text.width),), size("n") / side**2)


def paligemma(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """PaliGemma: one product with a bias (arXiv:2407.07726)."""
    inner.ignore("projection_dim")
    return (linear("projector", tower.width, c.integer("projection_dim", default=2048), True),)


def cohere(normed: bool) -> Projector:
    """Aya Vision and Command A Vision: neighbours side by side, a gated layer, a product."""

    def project(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
        side = c.integer("downsample_factor", default=2)
        inside = c.integer("alignment_intermediate_size", default=text.width if normed else 36864)
        if inside % 2:
            raise c.error("alignment_intermediate_size", f"must be even, got {inside}")
        width = tower.width * side**2
        parts = (
            linear("projector up", width, inside, True),
            activation("projector act", inside // 2, "silu", True),
            linear("projector down", inside // 2, text.width, True),
        )
        return _over((layernorm(width, name="projector norm"), *parts) if normed else parts, size("n") / side**2)

    return project


def internvl(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """InternVL: neighbours side by side, a norm, two dense layers."""
    ratio = c.number("downsample_ratio", default=0.5)
    side = int(1 / ratio)
    width = tower.width * side**2
    parts = _two("projector", width, text.width, text.width, act(c, "gelu", "projector_hidden_act"))
    return _over((layernorm(width, name="projector norm"), *parts), (size("n") - 1) / side**2)


def voxtral(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """Voxtral: neighbours side by side until they are as wide as the feed-forward layer, two dense layers."""
    hidden = inner.integer("intermediate_size", "encoder_ffn_dim")
    function = act(c, "gelu", "projector_hidden_act")
    return _over(_two("projector", hidden, text.width, text.width, function, False), size("n") * tower.width / hidden)


def qwen2_audio(c: Reading, inner: Reading, tower: Model, text: Model) -> tuple[Part, ...]:
    """Qwen2-Audio: two tokens are averaged, one product with a bias (arXiv:2407.10759)."""
    return _over((linear("projector", tower.width, text.width, True),), size("n") / 2)


SIGLIP, CLIP = "siglip_vision_model", "clip_vision_model"
PROJECTORS: dict[str, dict[str, Beside]] = {
    "aya_vision": {"vision_config": Beside(SIGLIP, cohere(True))},
    "cohere2_vision": {"vision_config": Beside(SIGLIP, cohere(False))},
    "cosmos3_omni": {"vision_config": Beside("qwen3_vl_vision", nothing)},
    "deepseek_vl": {"vision_config": Beside(SIGLIP, aligned)},
    "gemma3": {"vision_config": Beside(SIGLIP, gemma3)},
    "glm46v": {"vision_config": Beside("glm4v_vision", nothing)},
    "glmga": {"vision_config": Beside("glm4v_vision", nothing)},
    "glm4v": {"vision_config": Beside("glm4v_vision", nothing)},
    "glm4v_moe": {"vision_config": Beside("glm4v_moe_vision", nothing)},
    "idefics3": {"vision_config": Beside("idefics3_vision", shuffled)},
    "internvl": {"vision_config": Beside("internvl_vision", internvl)},
    "lfm2_vl": {"vision_config": Beside("siglip2_vision_model", lfm2_vl)},
    "lighton_ocr": {"vision_config": Beside("pixtral", lighton)},
    "llama4": {"vision_config": Beside("llama4_vision_model", llama4)},
    "llava": {"vision_config": Beside(CLIP, two_layers(False))},
    "llava_next": {"vision_config": Beside(CLIP, two_layers(True))},
    "llava_next_video": {"vision_config": Beside(CLIP, two_layers(True))},
    "llava_onevision": {"vision_config": Beside(SIGLIP, two_layers(True))},
    "mistral3": {"vision_config": Beside("pixtral", mistral3)},
    "paligemma": {"vision_config": Beside(SIGLIP, paligemma)},
    "qwen2_5_vl": {"vision_config": Beside("qwen2_5_vl_vision", nothing)},
    "qwen2_5_omni_thinker": {"vision_config": Beside("qwen2_5_omni_vision_encoder", nothing)},
    "qwen2_audio": {"audio_config": Beside("qwen2_audio_encoder", qwen2_audio)},
    "qwen2_vl": {"vision_config": Beside("qwen2_vl_vision", nothing)},
    "qwen3_5": {"vision_config": Beside("qwen3_5_vision", nothing)},
    "qwen3_5_moe": {"vision_config": Beside("qwen3_5_moe_vision", nothing)},
    "qwen3_omni_moe_thinker": {"vision_config": Beside("qwen3_omni_moe_vision_encoder", nothing)},
    "qwen3_vl": {"vision_config": Beside("qwen3_vl_vision", nothing)},
    "qwen3_vl_moe": {"vision_config": Beside("qwen3_vl_moe_vision", nothing)},
    "shieldgemma2": {"vision_config": Beside(SIGLIP, gemma3)},
    "smolvlm": {"vision_config": Beside("smolvlm_vision", shuffled)},
    "voxtral": {"audio_config": Beside("voxtral_encoder", voxtral)},
}
"""Families whose towers are modelled, by the key of each tower's object."""
