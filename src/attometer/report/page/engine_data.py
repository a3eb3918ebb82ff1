"""What the page holds of serving engines and training recipes, and what these read of a model."""

from collections.abc import Iterable, Iterator
from typing import Any

from attometer.count.placement.rank_cost import shard
from attometer.count.weights import Formats, stored_weights
from attometer.engines import Engine, adapters, engine, padding, recipe, recipes, rotary_tables
from attometer.engines.cache import window_of
from attometer.engines.engine import NAMES
from attometer.engines.pool import graph_parts, has_experts, seen_whole, step_activations, vocabulary
from attometer.engines.recipe import optimizer, optimizers
from attometer.engines.training import PLAIN
from attometer.formats import CACHE_ROWS, uniform
from attometer.models import Model
from attometer.schedule.placement import Placement

PLATFORMS = ("cuda", "rocm")


def offered() -> Iterator[tuple[str, Engine]]:
    """Yield each engine at its newest version as `name/platform`; platforms of like figures once."""
    for name in NAMES:
        first = engine(name, PLATFORMS[0])
        yield f"{name}/{PLATFORMS[0]}", first
        if (other := engine(name, PLATFORMS[1])) != first:
            yield f"{name}/{PLATFORMS[1]}", other


def engines_data() -> dict[str, Any]:
    """Return the figures of every engine that is offered, and how each is known.

    >>> engines_data()["vllm/cuda"]["block"]
    16
    """
    return {key: _engine(one) for key, one in offered()}


def _engine(one: Engine) -> dict[str, Any]:
    v = one.version
    return {
        "title": one.title,
        "before": v.before,
        "inside": v.inside,
        "fraction": v.fraction.value,
        "reserve": None if v.reserve is None else v.reserve.model_dump(exclude={"source"}),
        "block": int(v.block.value),
        "extra": v.window_extra,
        "pages": v.state_pages,
        "states": v.states,
        "copies": v.state_copies,
        "tables": v.tables,
        "by": v.tokens_by,
        "graph": v.step == "graph",
        "driver": [each.value for each in v.driver],
        "runtime": v.runtime.value,
        "links": [[each.degree, each.value] for each in v.communication],
        "pcie": None if v.pcie is None else v.pcie.value,
        "sampler": v.sampler.value,
        "experts": v.expert_work.value,
        "images": None if v.tower_work is None else v.tower_work.value,
        "graphs": [each.value for each in v.graphs],
        "scales": [[s.gib, s.tokens, s.requests, s.wide, s.but] for s in v.scales],
        "sources": {
            "runtime": v.runtime.provenance,
            "activations": v.scales_source,
            "graphs": v.graphs[0].provenance,
            "communication": v.communication[0].provenance if v.communication else "",
            "fraction": v.reserve.source if v.reserve is not None else v.fraction.provenance,
            "block": v.block.provenance,
        },
    }


def recipes_data() -> dict[str, Any]:
    """Return the figures of every training recipe that has a name."""
    return {name: _recipe(name) for name in recipes()}


def optimizers_data() -> dict[str, Any]:
    """Return each optimizer's bytes of state per parameter trained, by the width of a state.

    >>> optimizers_data()["adamw"]
    {'fp32': 8.0, 'bf16': 4.0}
    """
    return {name: optimizer(name).model_dump(exclude={"source"}) for name in optimizers()}


def _recipe(name: str) -> dict[str, Any]:
    one = recipe(name)
    return {
        "name": name,
        "weights": one.weights,
        "master": one.master,
        "optimizer": one.optimizer,
        "state": one.state,
        "gradients": one.gradients,
        "rank": one.lora_rank,
        "recompute": one.recompute,
        "compiled": one.compiled,
        "keeps": [each.value for each in (one.kept_eager, one.kept_compiled, one.kept_selective, one.kept_adapters)],
        "loss": one.loss,
        "chunks": one.chunks,
        "accumulate": one.accumulate,
        "scratch": one.scratch,
        "fused": one.fused_step,
        "logit": one.logit_bytes.value,
        "slack": one.slack.value,
        "runtime": one.runtime.value,
        "source": one.source,
    }


def serving_data(model: Model, formats: dict[str, Formats], places: Iterable[Placement]) -> dict[str, Any]:
    """Return what engines and recipes read of a model.

    `step` are the elements alive in the largest part of a step by its tokens, `buffer` the bytes of a compute buffer; `cache`
    the inputs of a convolution, the window and the width of an index of each stack; `pad` the bytes by which an engine's
    weights are more than a format's, `tables` those of cosines and sines,
    `items` the least tokens of a step,
    `whole` the engines that do not know its windows.
    """
    every = [one for _, one in offered()]
    profiled = [one.version for one in every if one.version.step == "profile"]
    steps = sorted({max(s.tokens, v.item(seen_whole(model))) for v in profiled for s in v.scales})
    graphs = [one.version for one in every if one.version.step == "graph"]
    pads = {
        f"{key}/{place.tp}/{place.ep}/{name}": extra
        for place in places
        for key, one in offered()
        if (one.padding and has_experts(model)) or one.version.lookup == "host" or (one.version.towers and model.towers)
        for name, form in formats.items()
        if (extra := padding(one, model, form, place))
    }
    return {
        "vocabulary": vocabulary(model),
        "experts": has_experts(model),
        "routed": shard(model, Placement()).stages[0].expert_parameters,
        "images": any(tower.tokens is None for tower in model.towers),
        "step": {t: step_activations(model, t) // 2 - 2 * model.width * t for t in steps},
        "buffer": {s.tokens: graph_parts(model, s.tokens, v.flash) for v in graphs for s in v.scales},
        "cache": [[s.layer.cache.conv, window_of(s.layer.cache.kv), int(s.layer.cache.index)] for s in model.layers],
        "pad": pads,
        "tables": rotary_tables(model),
        "whole": [key for key, one in offered() if one.version.ignores_windows(model.family)],
        "items": {key: tokens for key, one in offered() if (tokens := one.version.item(seen_whole(model)))},
        "adapters": {name: adapters(model, one) for name in recipes() if (one := recipe(name)).lora_rank},
        "held": {
            one.weights: stored_weights(model, uniform(one.weights)).total
            for one in map(recipe, recipes())
            if one.weights not in PLAIN
        },
    }


ROWS_OF_CACHES = {name: row[0] for name, row in CACHE_ROWS.items()}
"""Bytes per token and layer of caches that keep rows of their own."""
