"""One question with everything that was asked, and its answer without levers: every lever is another question."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attometer.engines import Recipe, Training, adapters, canonical, longest, recipe, training
from attometer.errors import AttometerError
from attometer.machine import Cluster, Machine, cluster
from attometer.models import Model
from attometer.models import model as read
from attometer.plan.degrees import Filled, filled_in, settled, simplest_first
from attometer.plan.fewest import fewest_devices
from attometer.plan.placement_search import Found, search
from attometer.plan.planner import Planner, planner
from attometer.plan.predicted_training import TRAINERS
from attometer.plan.result import Plan
from attometer.plan.serving import EngineOptions, serve, step_tokens
from attometer.plan.speculation import Speculation
from attometer.plan.spread import BY_LAYERS, Spread, by_layers, first_legal, joined, load_of, spread
from attometer.plan.usage import MemoryFootprint
from attometer.plan.what_if import changed
from attometer.plan.workload import Asking, Workload
from attometer.schedule.placement import Placement


@dataclass(frozen=True)
class Asked:
    """A question: the planner at its context, on which devices, spread and run or trained how.

    Attributes:
        here: model, machine and options.
        devices: the devices.
        degrees: a placement that was given, or that follows from the degrees given.
        given: the degrees that were given, where not a whole placement was.
        engine: a serving engine.
        recipe: a training recipe.
        batch: sequences at once, where they were given.
        micro_batch: sequences of one training pass, where they were given.
        goal: what a placement is chosen for, where none is given.
        speculation: a draft that proposes tokens while the model decodes.
        trainer: a framework that trains.
        workload: what a server is asked for, or over how many tokens a context grows.
    """

    here: Planner
    devices: Cluster
    degrees: Placement | None = None
    given: Mapping[str, int] | None = None
    engine: EngineOptions | None = None
    recipe: Recipe | None = None
    batch: int | None = None
    micro_batch: int | None = None
    goal: str = "latency"
    speculation: Speculation | None = None
    trainer: str | None = None
    workload: Workload | None = None

    @property
    def plain(self) -> bool:
        """Whether one device is asked about, without engine, recipe or placement."""
        several = self.devices.uniform and self.devices.count > 1
        return not several and self.engine is None and self.recipe is None and self.degrees is None


def asked_of(
    subject: str | Path | Model,
    on: str | Machine | Cluster,
    *,
    context: int | None,
    batch: int | None,
    engine: str | EngineOptions | None,
    recipe: str | Recipe | None,
    micro_batch: int | None,
    placement: Placement | Mapping[str, int] | None,
    what_if: Mapping[str, int] | None,
    goal: str | None,
    draft: str | Path | Model | None = None,
    draft_tokens: int | None = None,
    acceptance: float | None = None,
    mode: str | None = None,
    concurrency: int | None = None,
    input_length: int | None = None,
    output_length: int | None = None,
    prefix_hit_rate: float | None = None,
    new_tokens: int | None = None,
    **options: Any,
) -> Asked:
    """Return the question that the arguments of `plan` ask, checked."""
    asking = Asking(
        mode, context, batch, concurrency, input_length, output_length, prefix_hit_rate, new_tokens, recipe is not None
    )
    options["mode"], context, batch, workload = asking.read()
    devices = cluster(on)
    model = subject if isinstance(subject, Model) else read(subject)
    layered = engine is not None and by_layers(engine.name if isinstance(engine, EngineOptions) else engine)
    if layered and devices.count > 1 and (options.get("offload") or not devices.uniform):
        # Whole layers on each device: together they are one with all their memory.
        devices = Cluster(((joined(devices, together=True), 1),), 1)
    asked = planner(changed(model, what_if or {}), joined(devices), **options)
    tokens = (_longest(model, engine) or asked.options.context) if context is None else context
    here = asked.with_options(context=tokens, batch=1 if batch is None else batch)
    trainer, engine = _trainer(engine) if here.options.mode == "train" else (None, engine)
    if recipe is not None and here.options.mode != "train":
        raise AttometerError(f'a recipe trains; mode is "{here.options.mode}", use --mode train')
    _check_host(here, devices, layered)
    found = EngineOptions(engine) if isinstance(engine, str) else engine
    if found is not None and not devices.uniform:
        raise AttometerError(f"{found.name} shares each layer over devices of one kind, got {devices}")
    given = None if isinstance(placement, Placement) else dict(placement or {})
    degrees = placement if isinstance(placement, Placement) else settled(given, devices, layered) if given else None
    several = devices.uniform and devices.count > 1
    usual = "adamw" if here.options.mode == "train" and (several or degrees is not None) else None
    how = recipe or RECIPES.get(trainer or "", usual)
    trained = None if how is None else recipe_of(how, here.options.checkpoint)
    if here.options.reserve_gib and (found or trained):
        raise AttometerError(
            f"{(found or trained).name} has terms of its own for the runtime: reserve_gib is for plans without engine and recipe"  # type: ignore[union-attr]
        )
    chosen = goal or ("throughput" if here.options.mode == "train" else "latency")
    asked_of_one = Asked(
        here, devices, degrees, given, found, trained, batch, micro_batch, chosen, trainer=trainer, workload=workload
    )
    if workload is not None and draft is not None:
        raise AttometerError(
            "speculation is modelled for single steps: no serving load and no new_tokens beside a draft"
        )
    return _with_draft(asked_of_one, draft, draft_tokens, acceptance)


def _longest(model: Model, engine: str | EngineOptions | None) -> int | None:
    """Return the tokens that an engine allows a sequence where none are given, if that is not what the file states."""
    name = engine.name if isinstance(engine, EngineOptions) else engine
    return longest(model) if name is not None and canonical(name)[0] == "vllm" else None


def _trainer(engine: str | EngineOptions | None) -> tuple[str | None, None]:
    """Return the framework that an engine of training names. Raises AttometerError for one that serves."""
    name = engine.name if isinstance(engine, EngineOptions) else engine
    if name is not None and name not in TRAINERS:
        known = ", ".join(TRAINERS)
        raise AttometerError(
            f'an engine serves; training takes a recipe, or a framework as engine: {known}; got "{name}"'
        )
    return name, None


def _check_host(here: Planner, devices: Cluster, layered: bool) -> None:
    """Refuse parts in the host's memory where no engine is known to keep them there: `layered` puts whole layers on devices."""
    o = here.options
    if o.host_whole and (not layered or o.mode == "train"):
        raise AttometerError(
            f"whole layers in the host's memory are an engine's that puts layers on devices: {BY_LAYERS[0]}, ollama"
        )
    unknown_experts = not o.host_whole and (devices.count > 1 or not here.routed)
    if o.offload is not None and (unknown_experts or o.mode == "train"):
        raise AttometerError(
            "offload of experts is modelled for serving a mixture of experts from one device, or from several with an engine "
            f"that puts whole layers on each ({', '.join(BY_LAYERS)})"
        )


def _with_draft(asked: Asked, draft: str | Path | Model | None, tokens: int | None, acceptance: float | None) -> Asked:
    """Return the question with a draft; the acceptance is the caller's, since it depends on what is decoded."""
    if draft is None:
        if tokens is not None or acceptance is not None:
            raise AttometerError("draft_tokens and acceptance are a draft's: name it")
        return asked
    o = asked.here.options
    if o.mode != "decode" or not asked.devices.uniform:
        raise AttometerError("speculation is modelled for decoding, on devices of one kind")
    if acceptance is None:
        raise AttometerError("a draft needs the acceptance of its tokens: it depends on what is decoded")
    beside = planner(draft if isinstance(draft, Model) else read(draft), asked.here.machine, mode="decode")
    here = beside.with_options(context=o.context, batch=o.batch)
    return replace(asked, speculation=Speculation(asked.here, here, 4 if tokens is None else tokens, acceptance))


def answer(asked: Asked, fewest: bool = False) -> Plan:
    """Return the plan of a question, levers left out; `fewest` looks for how many devices it takes where it does not fit."""
    if asked.plain:
        return _on_one(asked, fewest)
    return _placed(asked, fewest) if asked.recipe is None else _trained(asked, asked.recipe, fewest)


def _on_one(asked: Asked, fewest: bool) -> Plan:
    here = asked.here
    o, memory = here.options, here.memory(here.options.context, here.options.batch)
    # A lever asks the same of another planner: the draft stays.
    drafted = None if asked.speculation is None else replace(asked.speculation, target=here)
    if drafted is not None:
        memory = replace(memory, draft=drafted.bytes)
    look = fewest and asked.devices.uniform and o.mode != "train" and memory.total > here.room
    return Plan(
        planner=here,
        memory=memory,
        layers=here.layers(o.context, o.batch),
        largest_context=here.largest_context(o.batch, memory.draft),
        levers=(),
        speculation=drafted,
        workload=asked.workload,
        fewest=fewest_devices(here, asked.devices, None) if look else None,
    )


def _placed(asked: Asked, fewest: bool) -> Plan:
    here, devices, engine = asked.here, asked.devices, asked.engine
    if engine is not None and here.options.chunk is None:
        here = here.with_options(chunk=step_tokens(engine, devices, here.options.context, here.model))
    o, found = here.options, None
    if asked.degrees is not None:
        at = spread(here, devices, asked.degrees)
    elif engine is not None:
        at, found = _placed_by(engine, here, asked)
    else:
        found = search(here.model, devices, goal=asked.goal, given=asked.given, load=load_of(here))
        place = _first_fitting(found, lambda p: _held(spread(here, devices, p), asked.speculation), here.room)
        at = spread(here, devices, place)
    drafted = _beside(at, asked.speculation)
    served = None if engine is None else serve(at, engine, drafted)
    memory = _held(at, asked.speculation)
    fits = memory.total <= here.room if served is None else served.fits
    return Plan(
        planner=here,
        memory=memory,
        layers=here.layers(o.context, o.batch),
        largest_context=at.largest_context(o.batch, memory.draft) if served is None else served.largest,
        levers=(),
        at=at,
        served=served,
        found=found,
        filled=_filled(asked, at, found),
        speculation=drafted,
        workload=asked.workload,
        fewest=fewest_devices(here, devices, engine) if fewest and not fits else None,
    )


def _filled(asked: Asked, at: Spread, found: Found | None) -> Filled | None:
    layered = asked.engine is not None and by_layers(asked.engine.name)
    return filled_in(asked.given, at.placement, found, layered)


def _beside(at: Spread, drafted: Speculation | None) -> Speculation | None:
    return None if drafted is None else drafted.beside(at)


def _held(at: Spread, drafted: Speculation | None) -> MemoryFootprint:
    """Return the bytes on the fullest rank, by kind, those of a draft among them."""
    o, there = at.planner.options, _beside(at, drafted)
    return replace(at.memory(o.context, o.batch), draft=0 if there is None else there.bytes)


RECIPES = {"megatron": "megatron", "nemo": "megatron", "torchtitan": "torchtitan"}
"""The recipe of a framework whose name says how it trains."""
KEPT, TRAINED, SHOWN = 8, 32, 5
"""Placements of a search of which the first that an engine, or a recipe, can hold is taken, and how many are then said."""


def _placed_by(engine: EngineOptions, here: Planner, asked: Asked) -> tuple[Spread, Found | None]:
    """Return the best placement whose fullest rank the engine can hold, with those that were searched.

    Where none fits, and where an engine puts whole layers on each device, ranks over a node and stages over nodes; where
    degrees are given, those with which the pass comes nearest.
    """
    devices, goal, drafted = asked.devices, asked.goal, asked.speculation
    if devices.count == 1 or by_layers(engine.name):
        return first_legal(here, devices, engine.name), None
    searched = search(here.model, devices, goal=goal, best=KEPT, given=asked.given, load=load_of(here))
    pairs = zip(searched.best, searched.contexts, strict=True)
    held = [(each, context) for each, context in pairs if each.fits and each.placement.cp == 1]
    placed = [(spread(here, devices, each.placement), (each, context)) for each, context in held]
    held = [pair for at, pair in placed if serve(at, engine, _beside(at, drafted)).fits]
    if not held and asked.given:
        return spread(here, devices, searched.best[0].placement), searched
    if not held:
        return first_legal(here, devices, engine.name), None
    held = simplest_first(held) if goal == "latency" else held
    best, contexts = zip(*held, strict=True)
    return spread(here, devices, best[0].placement), replace(searched, best=best, contexts=contexts)


def _trained(asked: Asked, used: Recipe, whole_answer: bool) -> Plan:
    devices, batch = asked.devices, asked.batch
    once = asked.micro_batch or (batch if devices.count == 1 and batch else 1)
    whole = batch or once * (devices.count if asked.degrees is None else asked.degrees.dp)
    here = _as_trained(asked.here, used).with_options(batch=whole)
    load, found = load_of(here, used, once), None
    place = asked.degrees
    if place is None and devices.count == 1:
        place = Placement()
    elif place is None:
        found = search(here.model, devices, goal=asked.goal, best=TRAINED, given=asked.given, load=load)
        pairs = zip(found.best, found.contexts, strict=True)
        held = [p for p in pairs if training_of(spread(here, devices, p[0].placement), used, once).total <= here.room]
        shown = simplest_first(held) if held else list(zip(found.best, found.contexts, strict=True))
        best, contexts = zip(*shown[:SHOWN], strict=True)
        place, found = best[0].placement, replace(found, best=best, contexts=contexts)
    if whole % (once * place.dp):
        raise AttometerError(f"batch {whole} is no multiple of micro_batch {once} x dp {place.dp}")
    o, at = here.options, spread(here, devices, place, load)
    trained = training_of(at, used, once)
    return Plan(
        planner=here,
        memory=here.memory(o.context, o.batch),
        layers=here.layers(o.context, o.batch),
        largest_context=_largest_trained(at, used, once) if whole_answer else 0,
        levers=(),
        at=at,
        trained=trained,
        trainer=asked.trainer,
        found=found,
        filled=_filled(asked, at, found),
        fewest=_fewest_trained(here, devices, used, once, asked.goal)
        if whole_answer and trained.total > here.room
        else None,
    )


TRIES = 4
"""Numbers of nodes tried for a training that does not fit: each is a search."""


def _fewest_trained(here: Planner, devices: Cluster, used: Recipe, once: int, goal: str) -> int | None:
    """Return the fewest whole nodes' devices, of those tried, on which a recipe trains; None where none of them does."""
    share = adapters(here.model, used) / here.cost.parameters if used.lora_rank else 1.0
    states = here.weights_bytes + share * here.cost.parameters * (used.master + used.states + used.gradients)
    node = devices.per_node
    first = max(-(-int(states) // here.room // node) * node, node)
    for count in [n for n in range(first, first + TRIES * node, node) if n > devices.count]:
        other = devices.of(count)
        asked = here.with_options(batch=max(here.options.batch, count * once))
        try:
            found = search(here.model, other, goal=goal, best=3, load=load_of(asked, used, once))
            held = [training_of(spread(asked, other, each.placement), used, once) for each in found.best]
        except AttometerError:
            continue
        if min(each.total for each in held) <= here.room:
            return count
    return None


def _first_fitting(found: Found, memory: Callable[[Placement], Any], room: int) -> Placement:
    """Return the first of the placements found of which all that the answer counts fits; the first one where none does."""
    fitting = (each.placement for each in found.best if memory(each.placement).total <= room)
    return next(fitting, found.best[0].placement)


def _as_trained(here: Planner, how: Recipe) -> Planner:
    """Return the planner whose passes are the recipe's.

    Weights beside adapters are frozen: they have no gradients, and no traffic of the optimizer, of which a step reads and
    writes every gradient, state and master copy.
    """
    moved, frozen = int(2 * (how.gradients + how.states + how.master)), ""
    if how.lora_rank:
        frozen = "layers" if how.ends else "all"
    stored = None if how.weights == "fp32" else how.weights
    return here.with_options(checkpoint=how.recompute == "full", update=moved, weights=stored, frozen=frozen)


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


def training_of(at: Spread, how: Recipe, batch: int) -> Training:
    """Return the memory of the fullest rank of a placement while it trains micro-batches of `batch` sequences."""
    return training(at.planner.model, how, batch, at.planner.options.context, at.placement)


def _largest_trained(at: Spread, how: Recipe, batch: int) -> int:
    """Return the most tokens per sequence with which the fullest rank still fits; 0 when not even one does."""
    low, high, room = 0, 1, at.planner.room

    def fits(context: int) -> bool:
        asked = replace(at, planner=at.planner.with_options(context=context))
        return training_of(asked, how, batch).total <= room

    while high < 2**30 and fits(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 1024):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
