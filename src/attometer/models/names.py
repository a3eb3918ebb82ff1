"""Names of models as people write them: shipped names, ids and addresses of the hub, folders of its cache. Nothing is fetched."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from attometer.errors import AttometerError, nearest
from attometer.models.shipped import shipped

# What an id may add to the model's name without changing its sizes.
_ENDINGS = ("instruct", "it", "chat", "hf", "base", "pt")
# What people, and quantisers in the names of their files, put before it.
_MAKERS = (
    "meta", "nvidia", "google", "microsoft", "openai", "deepseek", "meta-llama", "qwen", "mistralai", "deepseek-ai", "zai-org",
    "moonshotai", "c4ai", "ai21",
)  # fmt: skip
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?::[\w.-]+)?")
_HUB = re.compile(
    r"(?:https?:/{1,2})?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+(?::[\w.-]+)?)(?:[/?#].*)?", re.IGNORECASE
)
SAME_SIZES = {
    "deepseek-r1": "deepseek-v3",
    "deepseek-r1-0528": "deepseek-v3",
    "deepseek-v3-0324": "deepseek-v3",
    "deepseek-v3.1": "deepseek-v3",
    "llama-3.3-70b": "llama-3.1-70b",
    "llama-3.1-nemotron-70b": "llama-3.1-70b",
    "deepseek-r1-distill-llama-8b": "llama-3.1-8b",
    "deepseek-r1-distill-llama-70b": "llama-3.1-70b",
    "deepseek-r1-distill-qwen-14b": "qwen2.5-14b",
    "deepseek-r1-distill-qwen-32b": "qwen2.5-32b",
    "qwq-32b": "qwen2.5-32b",
    "qwen3-next-80b-a3b-thinking": "qwen3-next-80b-a3b",
    "mistral-nemo": "mistral-nemo-12b",
    "mistral-nemo-base-2407": "mistral-nemo-12b",
    "mistral-nemo-instruct-2407": "mistral-nemo-12b",
    "mistral-small-24b-base-2501": "mistral-small-24b",
    "mistral-small-24b-instruct-2501": "mistral-small-24b",
    "mistral-large-instruct-2407": "mistral-large-123b",
    "mistral-large-instruct-2411": "mistral-large-123b",
    "devstral-small-2505": "mistral-small-24b",
    "qwen3.6-27b": "qwen3.5-27b",
    "qwen3.8-27b": "qwen3.5-27b",
    "qwen3.6-35b-a3b": "qwen3.5-35b-a3b",
    "llama-4-scout-17b-16e": "llama-4-scout",
    "llama-4-maverick-17b-128e": "llama-4-maverick",
    "glm-4.6": "glm-4.7",
    "mistral-small-3.2-24b-instruct-2506": "mistral-small-3.2-24b",
    "mistral-small-3.1-24b-instruct-2503": "mistral-small-3.2-24b",
    "mistral-small-3.1-24b-base-2503": "mistral-small-3.2-24b",
    "magistral-small-2509": "mistral-small-3.2-24b",
    "qwen3-embedding-0.6b": "qwen3-0.6b",
    "e5-mistral-7b": "mistral-7b",
    "qwen2-72b": "qwen2.5-72b",
    "phi4": "phi-4",
    "phi4-14b": "phi-4",
    "qwen3-30b": "qwen3-30b-a3b",
    "qwen3-235b": "qwen3-235b-a22b",
    "qwen3-coder-30b": "qwen3-30b-a3b",
    "deepseek-r1-7b": "qwen2.5-7b",
    "deepseek-r1-8b": "qwen3-8b",
    "deepseek-r1-14b": "qwen2.5-14b",
    "deepseek-r1-32b": "qwen2.5-32b",
    "deepseek-r1-70b": "llama-3.1-70b",
    "deepseek-r1-671b": "deepseek-v3",
    "deepseek-v3-671b": "deepseek-v3",
    "tinyllama-1.1b-v1.0": "tinyllama-1.1b",
    "zephyr-7b-beta": "mistral-7b",
    "mistral-7b-v0.2": "mistral-7b-v0.3",
    "vicuna-7b-v1.5": "llama-2-7b",
    "vicuna-13b-v1.5": "llama-2-13b",
    "qwen2.5-coder-7b": "qwen2.5-7b",
    "qwen2.5-coder-14b": "qwen2.5-14b",
    "qwen2.5-coder-32b": "qwen2.5-32b",
    "deepseek-r1-distill-qwen-7b": "qwen2.5-7b",
    "deepseek-r1-0528-qwen3-8b": "qwen3-8b",
    "hermes-3-llama-3.1-8b": "llama-3.1-8b",
    "hermes-3-llama-3.1-70b": "llama-3.1-70b",
    "kimi-k2-instruct-0905": "kimi-k2",
    "qwen3-4b-instruct-2507": "qwen3-4b",
    "qwen3-4b-thinking-2507": "qwen3-4b",
    "qwen3-30b-a3b-instruct-2507": "qwen3-30b-a3b",
    "qwen3-30b-a3b-thinking-2507": "qwen3-30b-a3b",
    "qwen3-coder-30b-a3b": "qwen3-30b-a3b",
    "qwen3-235b-a22b-instruct-2507": "qwen3-235b-a22b",
    "qwen3-235b-a22b-thinking-2507": "qwen3-235b-a22b",
    "qwen3-coder-next": "qwen3-next-80b-a3b",
    "qwen3-reranker-0.6b": "qwen3-0.6b",
    "deepseek-coder-v2-lite": "deepseek-v2-lite",
    "deepseek-coder-v2": "deepseek-v2",
    "deepseek-r1-1.5b": "deepseek-r1-distill-qwen-1.5b",
    "llama-guard-3-8b": "llama-3.1-8b",
    "minimax-m2": "minimax-m2.7",
    "minimax-m2.1": "minimax-m2.7",
    "minimax-m2.5": "minimax-m2.7",
    "jamba-1.5-mini": "jamba-v0.1",
    "bert-base-uncased": "bert-base",
    "bert-large-uncased": "bert-large",
    "phi3-mini": "phi-3-mini-4k",
    "phi3-medium": "phi-3-medium-4k",
}
"""Models trained further from a shipped one, or its other releases: the same layers and weights, but for what `CHANGED` says."""
_LONG = ("kimi-k2-instruct-0905", *(name for name in SAME_SIZES if re.search(r"qwen3-.*-2507|qwen3-coder-30b", name)))
CHANGED: dict[str, dict[str, int]] = {name: {"max_position_embeddings": 262_144} for name in _LONG} | {
    "mistral-7b-v0.2": {"vocab_size": 32_000},
    "qwen2-72b": {"max_position_embeddings": 32_768},
    "qwen3-embedding-0.6b": {"vocab_size": 151_669},
    "qwen3-reranker-0.6b": {"vocab_size": 151_669},
}
"""What the configurations of those releases say differently."""
NEAR = 0.75
"""How alike a name must be to be suggested: another model is no help."""


class Release(BaseModel):
    """A model that is a shipped one with other sizes or formats: `of` which, and what its configuration says differently.

    `inside` names the object that holds the shipped one's values where the model stands around a text model; without `of`
    `values` are all. `parameters` is the published total of the text model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    of: str | None = None
    inside: str | None = None
    parameters: int | None = None
    source: str = "recalled"
    values: dict[str, Any] = {}


@lru_cache(maxsize=1)
def releases() -> dict[str, Release]:
    """Return the models that are a shipped one with other sizes or formats, by name.

    >>> releases()["yi-34b"].of
    'llama-2-7b'
    """
    text = (files("attometer") / "data" / "releases.toml").read_text(encoding="utf-8")
    return {name: Release.model_validate(values) for name, values in tomllib.loads(text).items()}


@dataclass(frozen=True)
class Meant:
    """What a name means: what the model is `called`, and the release that it is."""

    called: str
    release: Release


def meant(text: str) -> Meant | None:
    """Return what a name means, or None: case, `_`, the maker, and endings such as `-Instruct` do not count.

    >>> [found and found.called for found in map(meant, ("meta-llama/Llama-3.1-8B-Instruct", "deepseek-ai/DeepSeek-R1", "gpt-4"))]
    ['llama-3.1-8b', 'deepseek-v3', None]
    >>> meant("01-ai/Yi-34B-Chat").release.of, meant("Qwen/Qwen3-30B-A3B-Instruct-2507").release.values
    ('llama-2-7b', {'max_position_embeddings': 262144})
    """
    alias = _alias(text)
    if alias is None:
        return None
    called = SAME_SIZES.get(alias, alias)
    found = releases().get(called) or Release(of=called)
    return Meant(called, found.model_copy(update={"values": found.values | CHANGED.get(alias, {})}))


def _alias(text: str) -> str | None:
    """Return the name of these tables that `text` means: a shipped one, a release, or one of the same sizes as either."""
    last = text.rsplit("/", 1)[-1].lower().replace("_", "-")
    known = {_squeezed(name): name for name in (*SAME_SIZES, *releases(), *shipped())}
    # Another maker's file of the same name may store it otherwise.
    own = known.get(_squeezed(text.lower()))
    return own or next((known[s] for s in map(_squeezed, _shorter(last)) if s in known), None)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with changes, objects within it alike; `layer_types` is one period, repeated over the layers.

    >>> merged({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
    {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    found = dict(values)
    for key, value in changes.items():
        within = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if within else value
    if "layer_types" in changes:
        layers = found["num_hidden_layers"]
        found["layer_types"] = (list(changes["layer_types"]) * layers)[:layers]
    return found


def _shorter(name: str) -> list[str]:
    """Return the name, then the name without its endings one by one, each also without the maker before it."""
    # "mistral-7b-instruct-v0.3", "mixtral-8x7b-instruct-v0.1": the word stands before the release.
    names = [name, *(n for n in (re.sub(r"-(instruct|chat|it)(?=-v?\d)", "", name),) if n != name)]
    names += [n.removesuffix("-v0.1") for n in names if n.endswith("-v0.1")]
    return [short for n in names for short in _without_endings(n)]


def _without_endings(name: str) -> list[str]:
    names = [name]
    while (ending := next((e for e in _ENDINGS if names[-1].endswith(f"-{e}")), None)) is not None:
        names.append(names[-1].removesuffix(f"-{ending}"))
    return [short for n in names for short in (n, *(n.removeprefix(f"{m}-") for m in _MAKERS if n.startswith(f"{m}-")))]


def _squeezed(name: str) -> str:
    """Return a name without the signs that people vary; a point between numbers counts."""
    return re.sub(r"(?<=\d)p(?=\d)", ".", name).replace("-", "").replace(" ", "")


def hub_id(text: str) -> str | None:
    """Return `owner/name` where `text` is an address of the hub, or an id that is no path here; else None.

    >>> hub_id("https://huggingface.co/meta-llama/Llama-3.1-8B"), hub_id("configs/x.json"), hub_id("a/b")
    ('meta-llama/Llama-3.1-8B', None, 'a/b')
    """
    address = _HUB.fullmatch(text.strip())
    if address:
        return address[1]
    file = Path(text).suffix.lower() in (".json", ".gguf", ".safetensors", ".toml", ".yaml", ".bin", ".pt", ".pth")
    return text if _ID.fullmatch(text) and not file and not Path(text).parent.exists() else None


def cached_folder(folder: Path) -> Path:
    """Return the folder that holds the configuration: the snapshot of a folder of the hub's cache, else `folder` itself.

    Raises AttometerError where the cache holds no snapshot with a configuration.
    """
    snapshots = folder / "snapshots"
    if not snapshots.is_dir():
        return folder
    main = folder / "refs" / "main"
    named = [snapshots / main.read_text(encoding="utf-8").strip()] if main.is_file() else []
    every = [*named, *sorted(p for p in snapshots.iterdir() if p.is_dir())]
    found = next((p for p in every if (p / "config.json").is_file()), None)
    if found is None:
        raise AttometerError(f"{folder}: none of its snapshots holds a config.json")
    return found


def no_such_model(text: str) -> AttometerError:
    """Build the error for a name that is no shipped model and no path: which file to save, or the nearest shipped name.

    >>> print(no_such_model("a/b"))
    "a/b" is not shipped, and nothing is downloaded: save huggingface.co/a/b/resolve/main/config.json and give its path
    """
    where = hub_id(text)
    if where is not None:
        return AttometerError(
            f'"{where[:200]}" is not shipped, and nothing is downloaded: save '
            f"huggingface.co/{where[:200]}/resolve/main/config.json and give its path"
        )
    near = nearest(text[:200], (*shipped(), *releases(), *SAME_SIZES), NEAR)
    hint = (
        near
        if "did you mean" in near
        else f"; give the path of a config.json, or one of the {len(shipped())} of: attometer list models"
    )
    return AttometerError(f'unknown model "{text[:200]}"{hint}')
