"""Levers: what each change to how a model is run would bring, most useful first; each is another question, answered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from attometer.engines import Recipe, recipe
from attometer.errors import AttometerError, unknown
from attometer.formats import CACHE_ROWS, storage
from attometer.plan.asking import Asked, answer
from attometer.plan.planner import Planner
from attometer.plan.result import Plan

CHUNK = 8192
"""Tokens of the change that prefills piece by piece, as serving engines do."""
STEP = 2048
"""Batched tokens of the change that makes an engine's steps smaller."""
REPLICATED = ("vllm", "sglang", "tensorrt-llm")
"""Engines that run attention data-parallel inside a tensor-parallel group."""
WEIGHTS_ONLY = frozenset({"gptq"})
"""Formats that levers try whose kernels multiply at 16 bits."""


@dataclass(frozen=True)
class Lever:
    """One change and what it brings.

    Attributes:
        name: what to change.
        bytes_saved: memory it frees on the fullest device (negative if it costs some).
        seconds_saved: datasheet time it saves per pass (negative if it costs some).
        predicted_saved: predicted time it saves per pass, by the way that the plan's own time is predicted.
        quicker: share of a pass's time that it saves: of the predicted time, or of the datasheet's where it has none.
        fits: whether the model fits after it.
        exact: whether the model still computes the same function.
        note: what it takes.
        context: the largest context after it; not looked for where a recipe trains.
        speed: tokens per second after it, over those before, by the same time.
    """

    name: str
    bytes_saved: int
    seconds_saved: float
    predicted_saved: float | None
    quicker: float
    fits: bool
    exact: bool
    note: str
    context: int | None = None
    speed: float = 1.0


Rank = Callable[[Lever, "Standing"], float]


@dataclass(frozen=True)
class Standing:
    """Where the question stands before a change: bytes on the fullest device, largest context."""

    need: int
    context: int


GOALS: dict[str, Rank] = {
    "fits": lambda lever, now: lever.bytes_saved / now.need,
    "latency": lambda lever, now: lever.quicker,
    "throughput": lambda lever, now: lever.speed - 1,
    "context": lambda lever, now: (lever.context or 0) / max(1, now.context) - 1,
}
"""What a lever brings towards each goal, as a share of what there is."""

Candidate = tuple[str, Asked, bool, str]


def levers(asked: Asked, now: Plan, goal: str | None = None) -> tuple[Lever, ...]:
    """Return every change to how this model runs that brings something here, most useful first.

    First what makes it fit; then by what it brings towards the goal, the larger share of memory or time without one.

    Raises AttometerError for an unknown goal.
    """
    if goal is not None and goal not in GOALS:
        raise unknown("goal", str(goal), GOALS)
    standing = Standing(now.needed, now.largest_context)
    found = []
    for candidate in _candidates(asked, now, goal):
        lever = _tried(candidate, now)
        if lever is not None:
            found.append(lever)

    def useful(lever: Lever) -> tuple[bool, float]:
        shares = [GOALS[goal or name](lever, standing) for name in ("fits", "latency")]
        return (lever.fits and not now.fits), max(shares)

    if goal is not None:
        found = [lever for lever in found if GOALS[goal](lever, standing) > 1e-3 or (lever.fits and not now.fits)]
    return tuple(sorted(found, key=useful, reverse=True))


def _tried(candidate: Candidate, now: Plan) -> Lever | None:
    """Return what a change brings, or None where it brings nothing or cannot be."""
    name, asked, exact, note = candidate
    try:
        then = answer(asked)
    except AttometerError:
        return None
    saved, told = now.seconds - then.seconds, _predicted(now, then)
    quicker = saved / now.seconds if told is None else told / now.predicted.seconds  # type: ignore[union-attr]
    speed = then.options.batch / now.options.batch / (1 - quicker)
    helps = then.needed < now.needed or quicker > 1e-3 or (then.fits and not now.fits) or speed > 1.001
    most = None if asked.recipe is not None else then.largest_context
    found = Lever(name, now.needed - then.needed, saved, told, quicker, then.fits, exact, note, most, speed)
    return found if helps else None


def _predicted(now: Plan, then: Plan) -> float | None:
    """Return the predicted seconds that a change saves, both times had in one way; None where one is not known."""
    if now.predicted is None or then.predicted is None:
        return None
    after = then.predicted.by(now.predicted.way)
    return None if after is None else now.predicted.seconds - after


def _candidates(asked: Asked, now: Plan, goal: str | None) -> Iterator[Candidate]:
    if now.fewest is not None:
        devices = replace(asked.devices, groups=((asked.devices.machine, now.fewest),))
        yield (
            f"{now.fewest} × {asked.devices.machine.name}",
            replace(asked, devices=devices, degrees=None, given=None),
            True,
            "more devices",
        )
    if asked.here.options.mode == "train":
        yield from _for_training(asked, now)
        return
    yield from _for_passes(asked)
    yield from _narrower(asked)
    if asked.engine is not None:
        yield from _for_engines(asked, now)
    if asked.here.routed and asked.devices.count == 1 and asked.here.options.offload is None and not now.fits:
        note = "same result; experts are computed, or sent from, beside the host's memory"
        yield "experts in host memory", _with(asked, offload="experts"), True, note
    yield from _batches(asked, now, goal)


def _for(devices: int, asked: Asked) -> int | None:
    """Return a batch that so many devices can share: in training at least one sequence for each."""
    train = asked.here.options.mode == "train" and asked.batch is not None
    return max(asked.batch or 1, devices) if train else asked.batch


def _with(asked: Asked, widened: bool = False, **changes: object) -> Asked:
    here = asked.here
    return replace(asked, here=Planner(here.model, here.machine, replace(here.options, **changes), widened=widened))  # type: ignore[arg-type]


def _for_passes(asked: Asked) -> Iterator[Candidate]:
    o = asked.here.options
    if o.schedule == "naive":
        yield "flash attention", _with(asked, schedule="flash"), True, "same result; scores stay on the chip"
    if o.mode == "prefill" and o.at_once > CHUNK and asked.engine is None:
        note = "same result; weights are read once per chunk"
        yield f"prefill in chunks of {CHUNK}", _with(asked, chunk=CHUNK), True, note


def _narrower(asked: Asked) -> Iterator[Candidate]:
    """Formats of the cache and of the weights with fewer bits; a format that the machine multiplies comes with its rate."""
    here, o = asked.here, asked.here.options
    if o.kv not in CACHE_ROWS and storage(o.kv).bits > 8 and here.cost.cache.kv != 0:
        yield "KV cache in fp8", _with(asked, kv=here.cache_format("fp8")), False, "rounds keys and values"
    names = ["fp8", "gptq", *(["nvfp4"] if here.machine.peak.fp4 is not None else [])]
    for name in names:
        if here.weight_bits > float(storage(name).bits) + 1:
            said, rounds = {"gptq": ("4 bits", "GPTQ or AWQ: ")}.get(name, (name, ""))
            # Kernels of formats that are only stored narrow widen them first: no faster product is promised.
            other = _with(asked, widened=name in WEIGHTS_ONLY, weights=name)
            yield f"weights in {said}", other, False, f"{rounds}rounds the weights; scales counted"


def _for_engines(asked: Asked, now: Plan) -> Iterator[Candidate]:
    engine, served = asked.engine, now.served
    assert engine is not None
    assert served is not None
    if served.reachable:
        share = min(0.99, served.needed + 0.0005)
        wider = replace(asked, engine=replace(engine, utilization=share))
        yield f"utilisation of {share:.3f}", wider, True, "if nothing else uses the device"
    place = served.at.placement
    if 1 < place.tp <= asked.here.options.batch and place.attention_dp == 1 and served.engine.name in REPLICATED:
        other = replace(asked, degrees=replace(place, attention_dp=place.tp))
        yield (
            f"attention on {place.tp} replicas",
            other,
            True,
            "same result; each rank keeps the cache of its own requests",
        )
    if served.step > STEP:
        smaller = replace(asked, engine=replace(engine, batched_tokens=STEP))
        yield f"{STEP:,} batched tokens", smaller, True, "same result; longer prompts take more steps"


def _batches(asked: Asked, now: Plan, goal: str | None) -> Iterator[Candidate]:
    o = asked.here.options
    if o.batch > 1 and goal != "throughput":
        fewer = replace(_with(asked, batch=o.batch // 2), batch=o.batch // 2)
        yield f"batch {o.batch // 2}", fewer, True, "fewer sequences at once"
    if goal == "throughput" and now.fits:
        larger = _largest_batch(asked)
        if larger > o.batch:
            yield f"batch {larger}", replace(_with(asked, batch=larger), batch=larger), True, "more sequences at once"


def _largest_batch(asked: Asked) -> int:
    """Return the largest power of two times the batch that fits."""
    batch = asked.here.options.batch
    while batch < 2**16:
        if not answer(replace(_with(asked, batch=2 * batch), batch=2 * batch)).fits:
            break
        batch *= 2
    return batch


def _for_training(asked: Asked, now: Plan) -> Iterator[Candidate]:
    o = asked.here.options
    if asked.plain:
        if not o.checkpoint:
            yield "gradient checkpointing", _with(asked, checkpoint=True), True, "same result; one more forward pass"
        if o.batch > 1:
            yield (
                f"batch {o.batch // 2}",
                replace(_with(asked, batch=o.batch // 2), batch=o.batch // 2),
                True,
                "fewer sequences at once",
            )
        return
    used = asked.recipe
    assert used is not None

    # The placement stays: another search for each recipe would take longer than all the rest.
    place = now.at.placement if now.at is not None else asked.degrees

    def other(how: Recipe) -> Asked:
        return replace(asked, recipe=how, degrees=place, batch=now.options.batch)

    def adapted(name: str) -> Asked:
        """Adapters in place of all weights, the rest as it is; with full recomputation where they do not fit without."""
        first = other(recipe(name).with_(recompute=used.recompute, loss=used.loss))
        return first if answer(first).fits else other(recipe(name).with_(loss=used.loss))

    if used.recompute in ("none", "selective"):
        yield "full recomputation", other(used.with_(recompute="full")), True, "same result; one more forward pass"
    if used.loss == "whole":
        yield "chunked loss", other(used.with_(loss="chunked")), True, "same result; logits exist a chunk at a time"
    if used.optimizer == "adamw" and not used.lora_rank:
        yield "8-bit optimizer", other(used.with_(optimizer="adamw-8bit")), False, "rounds the moments"
    if not used.lora_rank:
        yield "LoRA", adapted("lora"), False, "trains adapters of rank 8 beside frozen weights"
    if used.weights != "nf4_double":
        yield "QLoRA", adapted("qlora"), False, "trains adapters beside weights in nf4"
    if place is not None and place.dp > 1 and place.zero < 3:
        yield (
            "ZeRO-3 (FSDP)",
            replace(asked, degrees=replace(place, zero=3), batch=now.options.batch),
            True,
            "same result; weights are gathered layer by layer",
        )
