"""Every family: parameters and FLOPs equal those of the model that transformers builds from the same configuration."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import Any

import pytest
import sympy
from family_configs import FAMILIES, TOKENS

from attometer.count.model_cost import flops, parameters
from attometer.models import Model, from_values, shipped
from attometer.models.readers.families import TEXT
from attometer.models.shipped import shipped_path
from attometer.program import size

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

BATCH = 2
# Families that transformers does not know; each is certain from its own published code, and some from their totals.
UNBUILT = {
    "baichuan",
    "chatglm",
    "deepseek",
    "deepseek_ref",
    "internlm",
    "internlm2",
    "kimi_k2",
    "kimi_k3",
    "mimo",
    "minicpm",
    "orion",
    "phi-msft",
    "phi4",
    "qwen",
}


def build(values: dict[str, Any], device: str, experts: str = "eager") -> Any:
    """Build the class that the configuration names, with eager attention and eager experts."""
    own = {k: v for k, v in values.items() if k not in ("model_type", "_source", "quantization_config", "auto_map")}
    with warnings.catch_warnings(), torch.device(device):
        warnings.simplefilter("ignore")
        config = transformers.AutoConfig.for_model(values["model_type"], **own)
        cls = class_of(values, config)
        for options in (
            {"attn_implementation": "eager", "experts_implementation": experts},
            {"attn_implementation": "eager"},
            {},
        ):
            try:
                make = getattr(cls, "_from_config", None) or cls.from_config
                return make(config, **options).eval()
            except (TypeError, ValueError):
                continue
    raise AssertionError(f"transformers does not build {values['model_type']}")


def class_of(values: dict[str, Any], config: Any) -> Any:
    """Return the class that a configuration names; towers are not in transformers' own namespace."""
    name = values["architectures"][0]
    if hasattr(transformers, name):
        return getattr(transformers, name)
    try:
        module = importlib.import_module(type(config).__module__.replace(".configuration_", ".modeling_"))
    except ModuleNotFoundError:
        return transformers.AutoModelForCausalLM
    return getattr(module, name, transformers.AutoModelForCausalLM)


def sizes(values: dict[str, Any], read: Model, n: int) -> dict[str, int]:
    """Return b, n and s of the pass that `inputs` makes: images and spectrograms have the length that the file fixes."""
    if values["model_type"] in GRIDS:
        return {"b": 1, "n": 64}
    heard = {"s": values["max_source_positions"]} if "max_source_positions" in values else {}
    return {"b": images(values["model_type"]), "n": read.tokens or n} | heard


GRIDS = (
    "qwen2_vl_vision",
    "qwen2_5_vl_vision",
    "qwen3_vl_vision",
    "qwen3_vl_moe_vision",
    "qwen3_5_vision",
    "qwen3_5_moe_vision",
    "glm4v_vision",
    "glm4v_moe_vision",
    "qwen2_5_omni_vision_encoder",
    "qwen3_omni_moe_vision_encoder",
)


def images(kind: str) -> int:
    """Return how many images a pass reads: Pixtral makes one sequence of all of them."""
    return 1 if kind == "pixtral" else BATCH


def inputs(config: Any, n: int, device: str) -> dict[str, Any]:
    """Return what a forward pass reads: [BATCH, n] tokens, images, spectrograms, or 64 patches of one image."""
    ids = torch.randint(3, 60, (BATCH, n), device=device)
    if config.model_type in GRIDS:
        pixels = config.in_channels * config.temporal_patch_size * config.patch_size**2
        return {"hidden_states": torch.zeros(64, pixels, device=device), "grid_thw": torch.tensor([[1, 8, 8]])}
    if hasattr(config, "conv_stride"):
        for stride, kernel in zip(config.conv_stride[::-1], config.conv_kernel[::-1], strict=True):
            n = (n - 1) * stride + kernel
        return {"input_values": torch.zeros(BATCH, n, device=device)}
    if hasattr(config, "num_mel_bins"):
        heard = torch.zeros(BATCH, config.num_mel_bins, 2 * config.max_source_positions, device=device)
        return {"input_features": heard} | ({"decoder_input_ids": ids} if config.is_encoder_decoder else {})
    if hasattr(config, "num_patches"):
        pixels = torch.zeros(BATCH, config.num_patches, config.num_channels * config.patch_size**2, device=device)
        shapes = torch.tensor([[4, config.num_patches // 4]] * BATCH)
        return {"pixel_values": pixels, "pixel_attention_mask": torch.ones(pixels.shape[:2]), "spatial_shapes": shapes}
    if hasattr(config, "patch_size"):
        size = config.image_size if isinstance(config.image_size, list | tuple) else [config.image_size] * 2
        return {"pixel_values": torch.zeros(images(config.model_type), config.num_channels, *size, device=device)}
    return {"input_ids": ids} | ({"decoder_input_ids": ids} if config.is_encoder_decoder else {})


def count_flops(model: Any, n: int, device: str) -> int:
    """Run a forward pass over [BATCH, n] tokens and return what torch's counter saw."""
    from torch.utils.flop_counter import FlopCounterMode

    given = inputs(model.config, n, device)
    # torch's tracker of modules wants a gradient function of every input that has a gradient.
    model.requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**given)
    return int(counter.get_total_flops())


def run(values: dict[str, Any], n: int) -> int:
    """Count on the meta device, or on real numbers where routing depends on the data."""
    # The matrices are tiny: a second thread only waits.
    torch.set_num_threads(1)
    try:
        return count_flops(build(values, "meta"), n, "meta")
    except (RuntimeError, NotImplementedError):
        torch.manual_seed(0)
        model = build(values, "cpu")
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.02)
        return count_flops(model, n, "cpu")


@pytest.mark.parametrize("name", FAMILIES)
def test_parameters_equal_transformers(name: str) -> None:
    values = FAMILIES[name]
    assert parameters(from_values(values)) == sum(p.numel() for p in build(values, "meta").parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_flops_equal_the_counter_of_torch(name: str) -> None:
    model = from_values(FAMILIES[name])
    for n in TOKENS.get(name, (7,)):
        counted = flops(model, **sizes(FAMILIES[name], model, n), causal="full", form="reference")
        assert counted == run(FAMILIES[name], n)


@pytest.mark.parametrize("name", FAMILIES)
def test_symbols_agree_with_numbers(name: str) -> None:
    model = from_values(FAMILIES[name])
    whole = flops(model)
    # 256 tokens: longer than any input for which a family runs something else.
    assert whole.free_symbols == {size("n")}
    assert whole.xreplace({size("n"): sympy.Integer(256)}) == flops(model, n=256)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_key_is_accounted_for(name: str) -> None:
    assert from_values(FAMILIES[name]).check.unread == ()


def test_every_reader_is_tested() -> None:
    tested = {str(values["model_type"]) for values in FAMILIES.values()}
    assert set(TEXT) - tested == UNBUILT - {"kimi_k3"}


REAL = [name for name in shipped() if json.loads(shipped_path(name).read_text())["model_type"] not in UNBUILT]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_shipped_models_equal_transformers(name: str) -> None:
    values = json.loads(shipped_path(name).read_text())
    text = values.get("text_config", values)
    if text is not values:
        text = {
            **text,
            "tie_word_embeddings": values.get("tie_word_embeddings", text.get("tie_word_embeddings", False)),
        }
        text["architectures"] = [CLASSES[text["model_type"]]]
    elif "vision_config" in values:
        # Qwen2.5-VL keeps its text model's keys at the top.
        text = {k: v for k, v in values.items() if k != "vision_config"}
        text |= {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
    model = build(text, "meta")
    read = from_values(values)
    assert parameters(read) == sum(p.numel() for p in model.parameters())
    try:
        counted = count_flops(model, 128, "meta")
    except (RuntimeError, NotImplementedError):
        # Eager experts look at the data. Batched ones run the same products, each token through its own experts.
        # Longformer looks for global tokens, and is small enough to run.
        device = "cpu" if values["model_type"] == "longformer" else "meta"
        counted = count_flops(build(text, device, experts="batched_mm"), 128, device)
    heard = {"s": values["max_source_positions"]} if "max_source_positions" in values else {}
    assert flops(read, n=128, b=BATCH, **heard, causal="full", form="reference") == counted


CLASSES = {
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma4_text": "Gemma4ForCausalLM",
    "llama4_text": "Llama4ForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
}
