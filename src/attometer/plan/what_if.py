"""The same model with one thing changed: a window on its full layers, or fewer key/value heads."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import sympy

from attometer.errors import AttometerError
from attometer.models import Layer, Model, Stack, from_values
from attometer.program import Program, causal, size, window


def with_window(model: Model, w: int) -> Model | None:
    """Return `model` with its full causal layers seeing only the `w` newest tokens; None when it has none.

    >>> from attometer.models import model
    >>> with_window(model("llama-3.1-8b"), 4096).kinds()
    {'sliding': 32}
    """

    def change(layer: Layer) -> Layer:
        kv = layer.cache.kv.xreplace({size("m"): sympy.Min(size("m"), w)})
        parts = tuple(replace(p, program=_windowed(p.program, w)) for p in layer.parts)
        return Layer("sliding", parts, replace(layer.cache, kv=kv))

    return _changed(model, change)


def with_half_the_heads(model: Model) -> Model | None:
    """Return `model` read again with half as many key/value heads; None where its configuration does not allow it.

    >>> from attometer.models import model
    >>> with_half_the_heads(model("llama-3.1-8b")).values["num_key_value_heads"]
    4
    """
    nested = isinstance(model.values.get("text_config"), dict)
    inner = model.values["text_config"] if nested else model.values
    heads = inner.get("num_key_value_heads")
    if not isinstance(heads, int) or heads % 2:
        return None
    changed = {**inner, "num_key_value_heads": heads // 2}
    try:
        return from_values({**model.values, "text_config": changed} if nested else changed, model.name, model.name)
    except AttometerError:
        return None


def _changed(model: Model, change: Callable[[Layer], Layer]) -> Model | None:
    """Change the layers that are full, causal, and keep a cache of keys and values of their own."""
    if not any(_plain(stack.layer) for stack in model.layers):
        return None
    stacks = tuple(Stack(change(s.layer), s.indices) if _plain(s.layer) else s for s in model.layers)
    return replace(model, layers=stacks)


def _plain(layer: Layer) -> bool:
    return layer.kind == "full" and any(p.name == "attention" and _causal(p.program) for p in layer.parts)


def _causal(program: Program) -> bool:
    return any(s.where is not None and s.where.mask == causal() for s in program.statements)


@lru_cache(maxsize=256)
def _windowed(program: Program, w: int) -> Program:
    statements = tuple(
        replace(s, where=replace(s.where, mask=window(w))) if s.where is not None and s.where.mask == causal() else s
        for s in program.statements
    )
    return replace(program, statements=statements)
