"""`model`: a configuration file, a folder or a shipped name → Model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import sympy

from attometer.errors import AttometerError, nearest
from attometer.models.config import check_nesting, read_config
from attometer.models.layer import Model
from attometer.models.readers.decoder import architecture
from attometer.models.readers.families import AROUND, FLAT, READERS, TEXT
from attometer.models.readers.multimodal import without_towers
from attometer.models.reading import Reading
from attometer.models.shipped import shipped, shipped_path


def model(path_or_name: str | Path) -> Model:
    """Read a model: a Hugging Face `config.json`, the folder that holds one, or the name of a shipped one.

    Args:
        path_or_name: a path, or a name such as `llama-3.1-8b`.

    Returns:
        The Model: layers by type, each a list of parts that are Programs.

    Raises:
        AttometerError: naming the file and the key that cannot be read, or the nearest shipped name.

    >>> print(model("llama-3.1-8b").kinds())
    {'full': 32}
    >>> model("llama-3-8b")
    Traceback (most recent call last):
    attometer.errors.AttometerError: unknown model "llama-3-8b"; did you mean "llama-3.1-8b"?
    """
    text = str(path_or_name)
    known = shipped()
    if isinstance(path_or_name, str) and text.lower() in known:
        if Path(text).exists():
            raise AttometerError(f'"{text}" is both a shipped model and a path here; write "./{text}" for the path')
        return from_values(read_config(shipped_path(text.lower())), f"{text.lower()}.json", text.lower())
    if _is_path(text):
        file = _file(text)
        made = from_values(read_config(text), str(file), _name(text))
        # A file of another name stands beside files of other models.
        return replace(made, folder=file.parent) if file.name == "config.json" else made
    raise AttometerError(f'unknown model "{text[:200]}"{nearest(text[:200], known)}')


def _is_path(text: str) -> bool:
    try:
        return bool(text) and (Path(text).exists() or "/" in text or text.endswith(".json"))
    except (OSError, ValueError):
        return False


def _file(text: str) -> Path:
    return Path(text) / "config.json" if Path(text).is_dir() else Path(text)


def _name(text: str) -> str:
    file = Path(text)
    return (
        file.parent.resolve().name
        if file.name == "config.json"
        else (file.resolve().name if file.is_dir() else file.stem)
    )


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
        near = nearest(kind[:80], READERS)
        hint = near if "did you mean" in near else "; docs/models.md lists the families that are"
        raise c.error("model_type", f'is "{kind[:80]}", which is not modelled{hint}')
    if kind in AROUND and c.values.get("text_config") is None:
        if kind not in FLAT or AROUND[kind] not in TEXT:
            raise c.error("text_config", f'is missing: a "{kind}" keeps the sizes of its text model there')
        c.note(f"{c.where}.text_config is missing: read as the text model {AROUND[kind]}, whose keys are at the top")
        without_towers(c)
        return AROUND[kind]
    # A file may say "ministral3" at the top and hold the text model inside.
    if kind in TEXT and isinstance(c.values.get("text_config"), dict) and not c.has("hidden_size", "d_model", "n_embd"):
        return next((outer for outer, inner in AROUND.items() if inner == kind), kind)
    return kind
