"""`model`: a configuration file, a folder or a shipped name → Model."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import sympy

from attometer.errors import AttometerError, nearest
from attometer.models.config import check_nesting, read_config
from attometer.models.layer import Model
from attometer.models.names import NEAR, Release, cached_folder, hub_id, meant, merged, no_such_model
from attometer.models.other_files import from_gguf, from_params, is_params
from attometer.models.quantized_names import of_family, quantized_name
from attometer.models.readers.decoder import architecture
from attometer.models.readers.families import AROUND, FLAT, READERS, TEXT
from attometer.models.readers.multimodal import towers_of, without_towers
from attometer.models.reading import Reading
from attometer.models.shipped import shipped, shipped_path


def model(path_or_name: str | Path) -> Model:
    """Read a model: a `config.json`, a GGUF file, Meta's `params.json`, the folder that holds one, or a shipped name.

    Args:
        path_or_name: a path, a folder of the hub's cache too, or a name such as `llama-3.1-8b` or
            `meta-llama/Llama-3.1-8B-Instruct`. Nothing is downloaded.

    Returns:
        The Model: layers by type, each a list of parts that are Programs.

    Raises:
        AttometerError: naming the file and the key that cannot be read, or the nearest shipped name.

    >>> print(model("llama-3.1-8b").kinds())
    {'full': 32}
    >>> model("llama-3.1-9b")
    Traceback (most recent call last):
    attometer.errors.AttometerError: unknown model "llama-3.1-9b"; did you mean "llama-3.1-8b"?
    """
    text = str(path_or_name)
    name = text.lower() if text.lower() in shipped() else None
    if name is not None and isinstance(path_or_name, str) and Path(text).exists():
        raise AttometerError(f'"{text}" is both a shipped model and a path here; write "./{text}" for the path')
    if isinstance(path_or_name, str) and (name is not None or not _is_path(text)):
        return _shipped(text)
    return _read(Path(text))


def _shipped(text: str) -> Model:
    """Return the shipped model that a name means, in the format and with the context that the name says."""
    plain, said = hub_id(text) or text, None
    found = meant(plain)
    if found is None:
        plain, said = quantized_name(plain)
        found = meant(plain)
    if found is None:
        raise no_such_model(text)
    values = release_values(found.release)
    own = values.get("quantization_config") or {}
    if said is not None and said.get("quant_method") == "gguf" and own.get("quant_method") == "mxfp4":
        # llama.cpp keeps experts that were published in MXFP4 as they are, whatever type a file is called after.
        said = {**said, "file_type": "mxfp4_moe"}
    if said is not None:
        values["quantization_config"] = of_family(said, values.get("model_type")) or None
    return from_values(values, f"{found.called}.json", found.called)


def release_values(release: Release) -> dict[str, Any]:
    """Return the configuration of a release: the shipped one's, with what it changes."""
    values = {} if release.of is None else read_config(shipped_path(release.of))
    return merged(values if release.inside is None else {release.inside: values}, release.values)


ADAPTER = "adapter_config.json"
"""What PEFT writes beside the weights of an adapter: the model itself is another one."""


def _read(path: Path) -> Model:
    """Read the file at a path, or the one in a folder."""
    if path.is_dir():
        path = _inside(cached_folder(path))
    if path.suffix.lower() == ".gguf":
        if not path.exists() and meant(quantized_name(path.stem)[0]) is not None:
            raise AttometerError(f"{path}: no such file; without it, ask by name: {path.stem}")
        return replace(from_values(from_gguf(path), str(path), path.stem), folder=path)
    if path.suffix.lower() in (".safetensors", ".bin", ".pt", ".pth") and path.is_file():
        raise AttometerError(f"{path}: holds weights alone; give the folder that also holds config.json")
    values = read_config(path)
    if path.name == ADAPTER:
        base, rank = values.get("base_model_name_or_path"), values.get("r")
        raise AttometerError(
            f"{path}: an adapter of rank {rank!s:.10} to {base!s:.100}: ask for that model; a recipe trains it, as in --recipe lora"
        )
    if is_params(values):
        values = from_params(values, str(path))
    made = from_values(values, str(path), _name(str(path)))
    # A file of another name stands beside files of other models.
    return replace(made, folder=path.parent) if path.name in ("config.json", "params.json") else made


def _inside(folder: Path) -> Path:
    """Return the file of a folder that describes the model: its configuration, Meta's, or the one GGUF file."""
    for name in ("config.json", "params.json", ADAPTER):
        if (folder / name).is_file():
            return folder / name
    files = sorted(folder.glob("*.gguf"))
    return files[0] if len(files) == 1 else folder / "config.json"


def _is_path(text: str) -> bool:
    try:
        if not text or hub_id(text) is not None:
            return bool(text) and Path(text).exists()
        return Path(text).exists() or "/" in text or Path(text).suffix in (".json", ".gguf", ".safetensors")
    except (OSError, ValueError):
        return False


def _name(text: str) -> str:
    """Return what a model of a file is called: its folder, for a file of the usual name; in the hub's cache the model's own."""
    file = Path(text)
    if file.name not in ("config.json", "params.json"):
        return file.stem
    folder = file.parent.resolve()
    cached = folder.parent.parent.name if folder.parent.name == "snapshots" else ""
    return cached.rsplit("--", 1)[-1] if cached.startswith("models--") else folder.name


def from_values(values: dict[str, Any], path: str = "config.json", name: str | None = None) -> Model:
    """Read a model from the values of a configuration; `path` is what messages call the file.

    >>> from_values({"model_type": "lama"})
    Traceback (most recent call last):
    attometer.errors.AttometerError: config.json: $.model_type is "lama", which is not modelled; did you mean "llama"?
    """
    check_nesting(values, path)
    c = Reading(values, path)
    kind = _kind(c)
    try:
        made = READERS[kind](c)
    except RecursionError:
        raise AttometerError(f"{path}: is nested too deeply") from None
    whole = str(values["model_type"]) if isinstance(values.get("model_type"), str) else kind
    if whole in FLAT and values.get("text_config") is None:
        made = replace(made, towers=towers_of(c, READERS, whole, made))
        without_towers(c, len(made.towers))
    for note in conventions(made):
        c.note(note)
    c.close()
    return replace(made, name=name or made.family, check=c.check(), values=values)


def conventions(read: Model) -> list[str]:
    """Say what a cache keeps where engines differ by one entry: transformers' DynamicCache is the other convention."""
    caches = [stack.layer.cache for stack in read.layers]
    said = []
    if any(cache.kv.has(sympy.Min) for cache in caches):
        said.append("the cache of a window of w keeps w tokens; transformers' keeps w - 1 between steps")
    if any("conv" in part.name for stack in read.layers for part in stack.layer.parts):
        said.append("the state of a convolution of k keeps k - 1 inputs; transformers' keeps k")
    return said


# What BERT's files held before they named their family.
OLD_BERT = frozenset(
    {"attention_probs_dropout_prob", "hidden_dropout_prob", "hidden_size", "intermediate_size", "num_attention_heads"}
    | {"max_position_embeddings", "num_hidden_layers", "vocab_size"}
)


def _is_old_bert(c: Reading) -> bool:
    """RoBERTa's oldest files have the same keys, and one type of segments instead of two."""
    ours = not architecture(c) or architecture(c).startswith("Bert")
    return ours and set(c.values) >= OLD_BERT and c.values.get("type_vocab_size") == 2


def _kind(c: Reading) -> str:
    kind = c.values.get("model_type")
    if kind is None and _is_old_bert(c):
        c.note(f"{c.where}.model_type is missing: read as bert, whose keys these are")
        return "bert"
    if kind is None:
        raise c.error("model_type", "is missing: nothing else says which family this is")
    if not isinstance(kind, str):
        raise c.error("model_type", f"must be a text, got {str(kind)[:80]}")
    if kind not in READERS:
        # The name of a class, as architectures holds it, begins with that of its family.
        near = nearest(re.sub(r"(For[A-Z]|LMHead|Model$).*", "", kind[:80]), READERS, NEAR)
        hint = near if "did you mean" in near else "; docs/models.md lists the families that are"
        raise c.error("model_type", f'is "{kind[:80]}", which is not modelled{hint}')
    if kind in AROUND and c.values.get("text_config") is None:
        if kind not in FLAT or AROUND[kind] not in TEXT:
            raise c.error("text_config", f'is missing: a "{kind}" keeps the sizes of its text model there')
        c.note(f"{c.where}.text_config is missing: read as the text model {AROUND[kind]}, whose keys are at the top")
        return AROUND[kind]
    # A file may say "ministral3" at the top and hold the text model inside.
    if kind in TEXT and isinstance(c.values.get("text_config"), dict) and not c.has("hidden_size", "d_model", "n_embd"):
        return next((outer for outer, inner in AROUND.items() if inner == kind), kind)
    return kind
