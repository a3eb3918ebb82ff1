"""`plan`: does it fit, how fast, what limits it, what would help."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attometer.engines import Recipe, Training, recipe, training
from attometer.errors import AttometerError
from attometer.machine import Cluster, Machine, cluster
from attometer.models import Model
from attometer.plan.fewest import fewest_devices
from attometer.plan.levers import levers
from attometer.plan.placed import Placed, first_legal, joined, placed
from attometer.plan.planner import Planner, planner
from attometer.plan.result import Plan
from attometer.plan.serving import EngineOptions, serve, step_tokens
from attometer.schedule.placement import Placement


def plan(
    subject: str | Path | Model,
    on: str | Machine | Cluster = "h100-sxm",
    *,
    context: int | None = None,
    batch: int | None = None,
    mode: str = "prefill",
    kv_dtype: str | None = None,
    weights_dtype: str | None = None,
    schedule: str = "flash",
    checkpoint: bool = False,
    chunk: int | None = None,
    engine: str | EngineOptions | None = None,
    recipe: str | Recipe | None = None,
    micro_batch: int | None = None,
    placement: Placement | Mapping[str, int] | None = None,
) -> Plan:
    """Plan one model on devices: memory by kind, time by a datasheet roofline, the largest context, the levers.

    Args:
        subject: a shipped model's name, a `config.json`, its folder, or a Model.
        on: devices, as in `h100-sxm`, `8x H100` or `2x rtx-3090 + 1x rtx-4090`; a TOML file, a Machine or a Cluster.
        context: tokens per sequence; the configuration's own maximum when not given.
        batch: sequences at once, over all devices; one when not given, in training one micro-batch for each replica.
        mode: prefill, decode (one token after `context` cached ones) or train.
        kv_dtype: format of the cache (`fp8`, `q8_0`, `fp8_ds_mla`, …); the activations' when not given.
        weights_dtype: format of the weights (`fp8`, `awq`, `nf4`, `q4_k_m`, …); what the model's files say when not given.
        schedule: `flash` is one kernel that reads its inputs once; `flash2`, `naive`, `two_pass`, … move what their nests
            are counted to move with the best tiles for the machine's fast memory.
        checkpoint: in training, save only the layers' inputs.
        chunk: in prefill, tokens computed at a time; all at once when not given.
        engine: a serving engine, as in `vllm` or `sglang@0.5.4`, or its EngineOptions.
        recipe: how a model is trained, as in `qlora` or `lora,compiled,recompute=offloaded`; over several devices `adamw` when
            not given.
        micro_batch: in training, sequences of one forward pass: on one device all of the batch, else one when not given.
        placement: degrees of parallelism (`tp`, `pp`, `ep`, `dp`, `cp`, `zero`, …); chosen when not given.

    Returns the Plan; printing it prints the report. Raises AttometerError for what is unknown, unreadable or not positive.

    >>> p = plan("llama-3.1-8b", "h100-sxm", context=131072)
    >>> p.fits, p.parameters, p.memory.kv
    (True, 8030261248, 17179869184)
    """
    devices = cluster(on)
    asked = planner(
        subject,
        joined(devices),
        mode=mode,
        kv_dtype=kv_dtype,
        weights_dtype=weights_dtype,
        schedule=schedule,
        checkpoint=checkpoint,
        chunk=chunk,
    )
    tokens = asked.options.context if context is None else context
    here = asked.with_options(context=tokens, batch=1 if batch is None else batch)
    if engine is not None and here.options.mode == "train":
        raise AttometerError("an engine serves; training takes a recipe")
    if recipe is not None and here.options.mode != "train":
        raise AttometerError(f'a recipe trains; mode is "{here.options.mode}", use --mode train')
    found = EngineOptions(engine) if isinstance(engine, str) else engine
    degrees = placement if isinstance(placement, Placement) or placement is None else _degrees(placement, devices)
    several = devices.uniform and devices.count > 1
    if not (several or found is not None or recipe is not None or degrees is not None):
        return _on_one(here)
    if here.options.mode == "train":
        return _trained(here, devices, degrees, recipe or "adamw", batch, micro_batch)
    return _placed(here, devices, degrees, found)


def _degrees(given: Mapping[str, int], devices: Cluster) -> Placement:
    """Return the placement of the degrees given; replicas, else stages, else ranks take the devices that are left over."""
    known: dict[str, Any] = dict(given)
    used = 1
    for name in ("tp", "pp", "dp", "cp"):
        used *= known.get(name, 1)
    if used and devices.count % used == 0 and used != devices.count:
        free = next((name for name in ("tp", "pp", "dp") if name not in known), None)
        if free is not None:
            known[free] = devices.count // used
    return Placement(**known)


def _on_one(here: Planner) -> Plan:
    o = here.options
    return Plan(
        planner=here,
        memory=here.memory(o.context, o.batch),
        layers=here.layers(o.context, o.batch),
        largest_context=here.largest_context(o.batch),
        levers=levers(here),
    )


def _placed(here: Planner, devices: Cluster, degrees: Placement | None, engine: EngineOptions | None) -> Plan:
    if engine is not None and here.options.chunk is None:
        here = here.with_options(chunk=step_tokens(engine, devices))
    o = here.options
    at = (
        first_legal(here, devices, engine.name if engine else None)
        if degrees is None
        else placed(here, devices, degrees)
    )
    served = None if engine is None else serve(at, engine)
    memory = at.memory(o.context, o.batch)
    fits = memory.total <= here.room if served is None else served.fits
    return Plan(
        planner=here,
        memory=memory,
        layers=here.layers(o.context, o.batch),
        largest_context=at.largest_context(o.batch) if served is None else served.largest,
        levers=levers(here) if devices.count == 1 else (),
        at=at,
        served=served,
        fewest=None if fits else fewest_devices(here, devices, engine),
    )


def _trained(
    here: Planner,
    devices: Cluster,
    degrees: Placement | None,
    how: str | Recipe,
    batch: int | None,
    micro_batch: int | None,
) -> Plan:
    used = recipe_of(how, here.options.checkpoint)
    place = degrees or Placement(dp=devices.count, zero=3 if devices.count > 1 else 0)
    once = micro_batch or (batch if devices.count == 1 and batch else 1)
    whole = batch or once * place.dp
    if whole % (once * place.dp):
        raise AttometerError(f"batch {whole} is no multiple of micro_batch {once} x dp {place.dp}")
    here = _as_trained(here, used).with_options(batch=whole)
    o, at = here.options, placed(here, devices, place)
    found = training_of(at, used, once)
    return Plan(
        planner=here,
        memory=here.memory(o.context, o.batch),
        layers=here.layers(o.context, o.batch),
        largest_context=_largest_trained(at, used, once),
        levers=(),
        at=at,
        trained=found,
    )


def _as_trained(here: Planner, how: Recipe) -> Planner:
    """Return the planner whose passes are the recipe's.

    Frozen weights need no gradient: with the layers computed again their backward is two products as well. Of the
    optimizer's traffic a step reads and writes every gradient, state and master copy.
    """
    moved = 0 if how.lora_rank else int(2 * (how.gradients + how.states + how.master))
    again = how.recompute == "full" and not how.lora_rank
    return here.with_options(checkpoint=again, update=moved, weights=None if how.weights == "fp32" else how.weights)


def recipe_of(how: str | Recipe, checkpoint: bool = False) -> Recipe:
    """Return a recipe by name with parts changed, as in `lora,compiled,recompute=offloaded,lora_rank=16`.

    `checkpoint` computes the layers again where the recipe keeps them. Raises AttometerError for an unknown name or part.

    >>> recipe_of("qlora,lora_rank=64,compiled").lora_rank, recipe_of("adamw", checkpoint=True).recompute
    (64, 'full')
    """
    if isinstance(how, str):
        name, *parts = (part.strip() for part in how.split(","))
        pairs = [part.partition("=") for part in parts if part]
        how = recipe(name).with_(
            **{key.strip(): _value(text.strip()) if equals else True for key, equals, text in pairs}
        )
    return how.with_(recompute="full") if checkpoint and how.recompute == "none" else how


def _value(text: str) -> object:
    return tuple(text.split("+")) if "+" in text else int(text) if text.isdigit() else text


def training_of(at: Placed, how: Recipe, batch: int) -> Training:
    """Return the memory of the fullest rank of a placement while it trains micro-batches of `batch` sequences."""
    return training(at.planner.model, how, batch, at.planner.options.context, at.placement)


def _largest_trained(at: Placed, how: Recipe, batch: int) -> int:
    """Return the most tokens per sequence with which the fullest rank still fits; 0 when not even one does."""
    low, high, room = 0, 1, at.planner.room

    def fits(context: int) -> bool:
        asked = Placed(at.planner.with_options(context=context), at.devices, at.ranks)
        return training_of(asked, how, batch).total <= room

    while high < 2**30 and fits(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 1024):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
