"""The same model with one thing changed: a window on its full layers, or fewer key/value heads."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import sympy

from attometer.errors import AttometerError, positive_int, unknown
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


def with_heads(model: Model, heads: int) -> Model | None:
    """Return `model` read again with so many key/value heads; None where its configuration does not allow it.

    >>> from attometer.models import model
    >>> with_heads(model("llama-3.1-8b"), 4).values["num_key_value_heads"]
    4
    """
    inner = model.text_values
    if not isinstance(inner.get("num_key_value_heads"), int):
        return None
    other = {**inner, "num_key_value_heads": heads}
    try:
        whole = other if inner is model.values else {**model.values, "text_config": other}
        return from_values(whole, model.name, model.name)
    except AttometerError:
        return None


WHAT_IFS: dict[str, Callable[[Model, int], Model | None]] = {"window": with_window, "kv_heads": with_heads}
"""Changes of architecture by name: each makes another model, which needs training."""


def changed(model: Model, changes: Mapping[str, int]) -> Model:
    """Return a model with changes of its architecture, called after them.

    Raises AttometerError for an unknown change, or one that the model has no place for.

    >>> from attometer.models import model
    >>> changed(model("llama-3.1-8b"), {"window": 4096}).name
    'llama-3.1-8b with window=4096'
    """
    for name, value in changes.items():
        if name not in WHAT_IFS:
            raise unknown("what-if", name, WHAT_IFS)
        found = WHAT_IFS[name](model, positive_int(name, value))
        if found is None:
            raise AttometerError(f"{model.name} has no place for {name}={value}")
        model = replace(found, name=f"{model.name} with {name}={value}")
    return model


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
