"""Positions of vLLM: how many a sequence may have, and the tables of cosines and sines that a rank keeps of them."""

from collections.abc import Mapping
from typing import Any

from attometer.models.layer import Model


def rotary_tables(model: Model) -> int:
    """Return the bytes of the cosines and sines that a rank of vLLM keeps beside its weights: 16 bits a position and channel.

    Positions of several axes (`mrope_section`) have four times as many. Layers that turn alike share a table.
    Source: vllm/model_executor/layers/rotary_embedding, `cos_sin_cache` of base.py, linear_scaling_rope.py and mrope.py.

    >>> from attometer.models import model
    >>> rotary_tables(model("llama-3.1-8b")) // 2**20, rotary_tables(model("gpt2"))
    (32, 0)
    """
    if not any(part.name.startswith("rotary") for stack in model.layers for part in stack.layer.parts):
        return 0
    values, reached = _values(model), model.context or 0
    turns = [(_reach(values, turn, reached) * _axes(values, turn), kind, turn) for kind, turn in _turns(values)]
    return sum(2 * positions * _turned(values, kind, turn, model.width) for positions, kind, turn in turns)


def longest(model: Model) -> int | None:
    """Return the tokens of a sequence that vLLM allows where none are given: what the scaling of the file's positions reaches.

    Source: vllm/config/model.py, `_get_and_verify_max_len`.

    >>> from attometer.models import model
    >>> longest(model("llama-3.1-8b")), longest(model("deepseek-coder-6.7b"))
    (131072, 65536)
    """
    values = _values(model)
    (_, turn), *others = _turns(values)
    # Gemma 3 states the length that is reached.
    if model.context is None or others or str(model.values.get("model_type", "")).startswith("gemma3"):
        return model.context
    return _reach(values, turn, model.context)


def _values(model: Model) -> dict[str, Any]:
    return {**model.values, **model.text_values}


def _turns(values: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the rotations that a file states, each with the type of the layers that it is for, where these differ."""
    said = values.get("rope_parameters") or values.get("rope_scaling")
    said = said if isinstance(said, Mapping) else {}
    by_type = [(kind, turn) for kind, turn in said.items() if isinstance(turn, Mapping)]
    return by_type or [("", said), *([("", {})] if values.get("rope_local_base_freq") else [])]


def _reach(values: Mapping[str, Any], turn: Mapping[str, Any], positions: int) -> int:
    """Return the positions that a rotation reaches."""
    how, factor = turn.get("rope_type", turn.get("type")), _positive(turn, "factor", 1)
    if how in ("linear", "dynamic"):
        return int(positions * factor)
    first = "original_max_position_embeddings"
    return int(_positive(turn, first, _positive(values, first, positions)) * factor) if how == "yarn" else positions


AXES, QUARTER = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5"), ("qwen3_5", "qwen3_next")
"""Beginnings of the types whose positions have several axes, and of those that turn a quarter of a head, said in their files or not."""


def _axes(values: Mapping[str, Any], turn: Mapping[str, Any]) -> int:
    """Return by how much a table is longer than its positions."""
    return 4 if "mrope_section" in turn or str(values.get("model_type", "")).startswith(AXES) else 1


def _turned(values: Mapping[str, Any], kind: str, turn: Mapping[str, Any], width: int) -> int:
    """Return the channels of a head that are turned in layers of a type."""
    head = _positive(values, "head_dim", width // _positive(values, "num_attention_heads", width))
    if kind == "full_attention":
        head = _positive(values, "global_head_dim", head)
    usual = 0.25 if str(values.get("model_type", "")).startswith(QUARTER) else 1
    share = "partial_rotary_factor"
    share_of_head = _positive(turn, share, _positive(values, share, _positive(values, "rotary_pct", usual)))
    return int(_positive(values, "qk_rope_head_dim", _positive(values, "rotary_dim", head * share_of_head)))


def _positive(values: Mapping[str, Any], name: str, otherwise: float) -> Any:
    """Return a number above 0 that a file states, and what stands for it where it states none."""
    found = values.get(name)
    return found if isinstance(found, int | float) and found > 0 and not isinstance(found, bool) else otherwise
