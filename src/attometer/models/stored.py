"""How a model's weights are stored: as asked, as its configuration says, or as the headers of the files beside it say."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.formats import MIXES, FileFormats, Mix, WeightFormats, from_quantization, mix, storage, uniform
from attometer.formats.gguf_file import read_gguf
from attometer.formats.modules import module_path
from attometer.formats.safetensors import Checkpoint, read_folder
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.view.files import read_json

BESIDE = "hf_quant_config.json"
"""Where NVIDIA ModelOpt writes what it quantised, beside the configuration."""


def weight_formats(model: Model, asked: str | None = None) -> WeightFormats | Mix | FileFormats:
    """Return the formats of the weights: `asked` for all that quantisers take, or what the model's files say.

    Args:
        model: the model; its configuration, and the files in its folder, are asked when `asked` is None.
        asked: a format (`fp8`, `nf4`, `awq`, …) or a GGUF mix (`q4_k_m`, …).

    Raises AttometerError for a name or a quantisation that is not known, and for files that contradict each other.

    >>> from attometer.models import model
    >>> [weight_formats(model("llama-3.1-8b"), name).name for name in (None, "q4_k_m", "awq")]
    ['bf16', 'q4_k_m', 'gptq']
    """
    if asked is not None:
        return _asked(model, asked)
    if _is_gguf(model):
        return _of_file(model)
    plain = stored_type(model)
    values = _quantization(model)
    if values is None:
        return uniform(plain)
    if values.get("quant_method") == "gguf":
        return _asked(model, str(values.get("file_type")))
    experts = _said(model, "expert_dtype")
    found = from_quantization(values, plain, experts if isinstance(experts, str) else None)
    return replace(found, modules=model.modules) if model.modules else found


def _asked(model: Model, name: str) -> WeightFormats | Mix:
    short = str(name).strip().lower().replace("-", "_")
    if short not in MIXES:
        return uniform(storage(name, MIXES).name)
    shape = _shape(model)
    tied = any(part.tied for part in model.head)
    return mix(short, model.depth, shape[0], shape[1], tied, _narrow(model))


def _narrow(model: Model) -> frozenset[str]:
    """Return the modules whose rows, what a product sums over, are no multiple of 256: llama.cpp's blocks do not hold them."""
    held = [(s.kind, part) for s in model.layers for part in s.layer.parts]
    held += [("embedding", part) for part in model.embedding] + [("head", part) for part in model.head]
    return frozenset(module_path(kind, part.name) for kind, part in held if _row(kind, part, model.width) % 256)


def _row(kind: str, part: Part, width: int) -> int:
    """Return how many entries of a part's first matrix a product sums over; 0 where it has none."""
    first = next((tuple(map(int, t.extents)) for t in part.program.weights if len(t.extents) > 1), (0,))
    if kind == "embedding":
        return first[-1]
    # Matrices are (what is summed, what is made), each perhaps heads × width of a head, experts before them.
    inner = first[1:] if part.routed is not None and len(first) > 2 else first
    return inner[0] if inner[0] == width or len(inner) < 3 else prod(inner[:-1])


def _is_gguf(model: Model) -> bool:
    return model.folder is not None and model.folder.suffix.lower() == ".gguf"


def _of_file(model: Model) -> FileFormats:
    """Return the formats of a GGUF file, called after the one that most bytes are in."""
    found = checkpoint(model)
    assert found is not None
    types = tuple((name, tensor.type) for name, tensor in found.tensors.items())
    return FileFormats(next(iter(found.by_type()), "fp32"), types)


def _shape(model: Model) -> tuple[int, int]:
    """Return query heads per key/value head, and routed experts: what llama.cpp's mixes ask of a model."""
    heads, shared = _said(model, "num_attention_heads"), _said(model, "num_key_value_heads")
    whole = all(isinstance(n, int) and n > 0 for n in (heads, shared))
    parts = [part for stack in model.layers for part in stack.layer.parts]
    return (heads // shared if whole else 1), max((p.routed.num_experts for p in parts if p.routed), default=0)


def stored_type(model: Model) -> str:
    """Return the 16-bit type of what is not quantised: the configuration's own; what is wider is served in bf16.

    Raises AttometerError for a type that is not known.
    """
    named = model.dtype or _said(model, "dtype") or _said(model, "torch_dtype")
    form = storage(named).name if isinstance(named, str) and named != "auto" else "bf16"
    return form if form in ("bf16", "fp16") else "bf16"


def state_type(model: Model) -> str | None:
    """Return the type that the configuration gives the states of recurrent layers, or None where it says nothing."""
    for key in ("mamba_ssm_dtype", "mamba_ssm_cache_dtype", "ssm_dtype"):
        named = _said(model, key)
        if isinstance(named, str):
            return storage(named).name
    return None


def checkpoint(model: Model) -> Checkpoint | None:
    """Return the tensors in the files of the model's folder, or None where it holds none.

    Raises AttometerError for files that are cut off or contradict each other.
    """
    return None if model.folder is None else _read(model.folder)


@lru_cache(maxsize=16)
def _read(folder: Path) -> Checkpoint | None:
    return read_gguf(folder).checkpoint if folder.suffix.lower() == ".gguf" else read_folder(folder)


def _quantization(model: Model) -> Mapping[str, Any] | None:
    """Return what the files say of quantisation: the configuration at any depth, else ModelOpt's file beside it."""
    found = [v for v in (_said(model, "quantization_config"), _said(model, "compression_config")) if v]
    if model.folder is not None and not _is_gguf(model) and (model.folder / BESIDE).is_file():
        beside = read_json(model.folder / BESIDE)
        inner = beside.get("quantization") if isinstance(beside, dict) else None
        if not isinstance(inner, dict):
            raise AttometerError(f'{model.folder / BESIDE}: must hold an object "quantization"')
        said = found[0].get("quant_algo") if found and isinstance(found[0], dict) else None
        if said is not None and inner.get("quant_algo") not in (None, said):
            raise AttometerError(
                f"{model.folder / BESIDE}: quant_algo is {inner['quant_algo']!s:.40}, config.json says {said!s:.40}"
            )
        if not found and inner.get("quant_algo"):
            found = [inner]
    return found[0] if found else None


def _said(model: Model, key: str) -> Any:
    """Return the value of a key at the top of the configuration, or in one of the objects that hold a text model."""
    inner = (model.values.get(name) for name in ("text_config", "llm_config", "language_config", "thinker_config"))
    objects = [model.values, *(v for v in inner if isinstance(v, dict))]
    objects += [v["text_config"] for v in objects[1:] if isinstance(v.get("text_config"), dict)]
    return next((v[key] for v in objects if v.get(key) is not None), None)
