"""Names of models as people write them: shipped names, ids and addresses of the hub, folders of its cache. Nothing is fetched."""

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from attometer.errors import AttometerError, nearest
from attometer.machine.catalogue import machine
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
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
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


@lru_cache(maxsize=1)
def _same() -> dict[str, Any]:
    text = (files("attometer") / "data" / "same_sizes.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def same_sizes() -> dict[str, str]:
    """Return names of models trained further from a shipped one, or of its other releases, and which one that is.

    >>> same_sizes()["deepseek-r1"]
    'deepseek-v3'
    """
    found: dict[str, str] = _same()["same"]
    return found


def changed() -> dict[str, dict[str, Any]]:
    """Return what the configurations of those releases say differently.

    >>> changed()["mistral-7b-v0.2"]
    {'vocab_size': 32000}
    """
    found: dict[str, dict[str, Any]] = _same()["changed"]
    return found


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
    called = same_sizes().get(alias, alias)
    found = releases().get(called) or Release(of=called)
    return Meant(called, found.model_copy(update={"values": merged(found.values, changed().get(alias, {}))}))


def _alias(text: str) -> str | None:
    """Return the name of these tables that `text` means: a shipped one, a release, or one of the same sizes as either."""
    last = text.rsplit("/", 1)[-1].lower().replace("_", "-")
    known = {_squeezed(name): name for name in (*same_sizes(), *releases(), *shipped())}
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
    >>> hub_id("hub/models--meta-llama--Llama-3.1-8B")
    'meta-llama/Llama-3.1-8B'
    """
    address = _HUB.fullmatch(text.strip())
    if address:
        return address[1]
    cached = _CACHED.search(text)
    if cached and not Path(text).exists():
        return f"{cached[1]}/{cached[2]}"
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


MOST_BEGUN = 6
"""Shipped names that are listed where a name may be any of them."""


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
    with suppress(AttometerError):
        return AttometerError(
            f'"{text}" is a machine: name the model first, as in llama-3.1-8b --on {machine(text).id}'
        )
    begun = [name for name in shipped() if text and name.startswith(text.lower())]
    if len(begun) > 1:
        more = f" or {len(begun) - MOST_BEGUN} more of: attometer list models" if len(begun) > MOST_BEGUN else ""
        return AttometerError(f'"{text[:200]}" may be {", ".join(begun[:MOST_BEGUN])}{more}')
    near = nearest(text[:200], (*shipped(), *releases(), *same_sizes()), NEAR)
    hint = (
        near
        if "did you mean" in near
        else f"; give the path of a config.json, or one of the {len(shipped())} of: attometer list models"
    )
    return AttometerError(f'unknown model "{text[:200]}"{hint}')
