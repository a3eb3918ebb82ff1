"""Every configuration that differs from a small one in one key: changed, set to null, deleted, or added."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Values = dict[str, Any]

# Not sizes: what names the family, and what every configuration carries for training, sampling and storing.
GENERIC = frozenset(
    """
    model_type architectures _name_or_path _source bos_token_id chunk_size_feed_forward dtype eos_token_id id2label
    label2id output_attentions output_hidden_states pad_token_id problem_type return_dict transformers_version
    is_encoder_decoder initializer_range rms_norm_eps layer_norm_eps layer_norm_epsilon attention_dropout use_cache
    rope_parameters initializer_factor decoder_start_token_id
    """.split()  # noqa: SIM905 - a table of words reads better than quotes
)
WORDS: dict[str, tuple[str, ...]] = {
    "feed_forward_proj": ("gated-silu", "gelu"),
    "layer_types": ("full_attention", "sliding_attention", "linear_attention"),
    "layers_block_type": ("mamba", "attention", "full_attention"),
    "mlp_layer_types": ("dense", "sparse"),
    "indexer_types": ("full", "shared"),
    "hybrid_override_pattern": ("MM-*E", "M*"),
    "hidden_act": ("relu",),
    "position_embedding_type": ("absolute", "rope"),
    "attention_type": ("block_sparse",),
}


def changes(values: Values, defaults: Values) -> Iterator[tuple[str, Values]]:
    """Yield a name and a configuration for each change of one key of `values`, or of one that only the class has."""
    for key, value in values.items():
        if key in GENERIC:
            continue
        yield f"{key} deleted", {k: v for k, v in values.items() if k != key}
        yield f"{key} = null", {**values, key: None}
        for other in _others(key, value):
            yield f"{key} = {other!r}", {**copy.deepcopy(values), key: other}
    for key, value in defaults.items():
        if key in GENERIC or key in values:
            continue
        for other in _added(key, value):
            yield f"{key} = {other!r} added", {**copy.deepcopy(values), key: other}


def _others(key: str, value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [n for n in dict.fromkeys((2 * value, value + 1, value - 1, 0)) if n >= 0 and n != value]
    if isinstance(value, list) and value:
        words = [w for w in WORDS.get(key, ()) if w != value[-1]]
        edits = [value[:-1], value[1:] + value[:1], [*value, value[0]], *([*value[:-1], w] for w in words)]
        return [e for e in edits if e != value]
    if isinstance(value, str):
        return [w for w in WORDS.get(key, ()) if w != value]
    return []


def _added(key: str, value: Any) -> list[Any]:
    """A key that the file leaves to its class gets values near a small model's."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [n for n in ((value + 1, max(value - 1, 0)) if value <= 16 else (6, 12)) if n != value]
    if isinstance(value, list) and value and len(value) <= 16:
        return _others(key, value)
    if value is None:
        return [2, True]
    return [w for w in WORDS.get(key, ()) if w != value] if isinstance(value, str) else []
