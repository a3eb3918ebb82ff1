"""Which part of a model is stored in which format: rules in order, the first that matches decides."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from attometer.formats.modules import is_linear, module_path
from attometer.formats.storage import Storage, storage

# Other names of the same blocks in families' files.
_SYNONYMS = {
    "attn": "self_attn", "attention": "self_attn", "self_attention": "self_attn", "ffn": "mlp", "feed_forward": "mlp",
    "block_sparse_moe": "mlp", "moe": "mlp", "shared_expert": "shared_experts", "shared_mlp": "shared_experts",
    "router": "gate", "embed": "embed_tokens", "output": "lm_head", "head": "lm_head", "word_embeddings": "embed_tokens",
}  # fmt: skip
_LAYER = re.compile(r"^(?:.*?\.)?(?:layers|blocks|h|block)\.(\d+|\*)(?:\.?(.*))$")


@dataclass(frozen=True)
class Rule:
    """Modules that match `pattern` (in layer `layer`, or in all) are stored as `form`; None keeps the default."""

    pattern: str
    form: Storage | None
    layer: int | None = None
    regular: bool = False

    def matches(self, layer: int | None, path: str) -> bool:
        """Return whether the rule is about the module at `path` of `layer` (None: outside the layers)."""
        if self.regular:
            return any(re.search(self.pattern, name) for name in _full_names(layer, path))
        if self.layer is not None and self.layer != layer:
            return False
        return _covers(self.pattern, path)


def _full_names(layer: int | None, path: str) -> tuple[str, ...]:
    return (f"model.layers.{layer}.{path}", f"layers.{layer}.{path}") if layer is not None else (f"model.{path}", path)


def _covers(pattern: str, path: str) -> bool:
    """Whether `pattern` is the module, one that holds it, a component of its path, or a glob over it."""
    if pattern in ("", "*"):
        return True
    if pattern.split(".")[0] == "mixer":
        # One class for all mixers (Nemotron-H): `mixer.q_proj` is attention's, `mixer.up_proj` the feed-forward's.
        rest = pattern.partition(".")[2]
        return not rest or _covers(rest, path.partition(".")[2] or path)
    if "*" in pattern:
        bare = pattern.strip("*").strip(".")
        return (
            fnmatchcase(path, pattern)
            or fnmatchcase(f"{path}.", pattern)
            or (f".{path}.".find(f".{bare}.") >= 0 if bare else False)
        )
    return path == pattern or path.startswith(f"{pattern}.") or ("." not in pattern and pattern in path.split("."))


def rule(entry: str, form: Storage | None) -> Rule:
    """Return the rule of one entry of a file: a module's name, a glob, or `re:` and a regular expression.

    >>> ignored = rule("model.layers.3.self_attn*", None)
    >>> ignored.matches(3, "self_attn.q_proj"), ignored.matches(4, "self_attn.q_proj")
    (True, False)
    """
    if entry.startswith("re:"):
        return Rule(_compiled(entry.removeprefix("re:")), form, regular=True)
    found = _LAYER.match(entry)
    layer = int(found[1]) if found and found[1] != "*" else None
    rest = found[2] if found else re.sub(r"^(?:model|language_model|transformer|backbone)\.", "", entry)
    while not found and rest != (shorter := re.sub(r"^(?:model|language_model|transformer|backbone)\.", "", rest)):
        rest = shorter
    parts = [_SYNONYMS.get(part.rstrip("*"), part.rstrip("*")) + "*" * part.endswith("*") for part in rest.split(".")]
    # `experts.7.up_proj`: one expert stands for its stack.
    pattern = re.sub(r"\bexperts\.\d+(?:\.\w+)?", "experts", ".".join(parts)).rstrip(".")
    return Rule(pattern.removesuffix(".*") if pattern.endswith(".*") and pattern != ".*" else pattern, form, layer)


def _compiled(pattern: str) -> str:
    """Return a regular expression that this file wrote, if it is one; anything else matches nothing."""
    try:
        re.compile(pattern)
    except re.error:
        return r"(?!)"
    return pattern if len(pattern) <= 400 else r"(?!)"


@dataclass(frozen=True)
class WeightFormats:
    """How the weights of a model are stored.

    `rules` are asked in order; where none matches, matrix products are stored as `quantized` (if given, and only those
    under `scope` where it is not empty), everything else as `default`. `name` says it in a word. `modules` are the paths of
    parts that stand elsewhere than in most families.

    >>> forms = WeightFormats("fp8", storage("bf16"), storage("fp8"), (rule("lm_head", None),))
    >>> forms.of(0, "full", "q").name, forms.of(None, "head", "head").name, forms.of(0, "full", "norm").name
    ('fp8', 'bf16', 'bf16')
    """

    name: str
    default: Storage
    quantized: Storage | None = None
    rules: tuple[Rule, ...] = ()
    scope: str = ""
    everything: bool = False
    modules: tuple[tuple[str, str], ...] = ()

    @property
    def by_layer(self) -> bool:
        """Whether a rule is about single layers, so that those of one kind may differ."""
        return any(one.layer is not None or one.regular for one in self.rules)

    def of(self, layer: int | None, kind: str, part: str) -> Storage:
        """Return the format of the matrices of `part` in layer number `layer` (None: outside the layers) of `kind`."""
        path = self._own.get(part) or module_path(kind, part)
        for one in self._rules_of(layer):
            if one.matches(layer, path):
                return one.form or self.default
        if self.quantized is None:
            return self.default
        wanted = is_linear(path) or (self.everything and path in ("embed_tokens", "lm_head"))
        return self.quantized if wanted and self.scope in path else self.default

    @cached_property
    def _own(self) -> dict[str, str]:
        return dict(self.modules)

    def _rules_of(self, layer: int | None) -> Iterable[Rule]:
        return self._by_layer.get(layer, self._by_layer[None])

    @cached_property
    def _by_layer(self) -> dict[int | None, list[Rule]]:
        """The rules that can match in each layer, in order: files list hundreds, of which a few concern a layer."""
        named = {one.layer for one in self.rules} | {None}
        return {n: [one for one in self.rules if one.layer is None or one.layer == n] for n in named}


def uniform(name: str) -> WeightFormats:
    """Return one format for all weights, as `--weights-dtype` asks: norms and lookups stay at 16 bits below that width.

    >>> uniform("bf16").of(0, "full", "norm").name, uniform("int4").of(None, "embedding", "embedding").name
    ('bf16', 'bf16')
    """
    form = storage(name)
    if form.bits >= 16:
        return WeightFormats(form.name, form)
    # mlx quantises the embedding and the head too.
    return WeightFormats(form.name, storage("bf16"), form, everything=form.name.startswith("mlx"))
