"""A model spread over devices of one kind: what the fullest rank holds, and the devices that it takes at least."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

from attometer.count.evaluate import evaluate
from attometer.count.placement.rank_cost import RankCost, RankStage, shard
from attometer.engines import Recipe, adapters, canonical
from attometer.errors import AttometerError
from attometer.formats import storage
from attometer.machine import Cluster, Figure, Machine
from attometer.plan.placement_time import Candidate, Evaluator, Load
from attometer.plan.planner import Planner
from attometer.plan.usage import MemoryFootprint
from attometer.schedule.placement import Placement

MOST_RANKS = 64
"""Tensor-parallel degrees beyond this are not tried."""


@dataclass(frozen=True)
class Spread:
    """One placement; figures are of the fullest rank.

    Attributes:
        planner: the question.
        devices: the devices, of one kind.
        ranks: what each rank holds and does.
        load: the question as the search over placements takes it.
    """

    planner: Planner
    devices: Cluster
    ranks: RankCost
    load: Load

    @property
    def placement(self) -> Placement:
        """The degrees."""
        return self.ranks.placement

    @cached_property
    def timed(self) -> Candidate:
        """Datasheet seconds of a pass by term, links and waiting included, and the bytes that a rank sends."""
        return Evaluator(self.planner.model, self.devices, self.load).placed(self.placement)

    @cached_property
    def stage_weights(self) -> tuple[int, ...]:
        """Bytes of weights of a rank, by stage; headers of files scale what is counted part by part.

        Engines shard towers in part or not at all: they are counted whole on each rank of the first stage.
        """
        asked, counted = self.planner, self.ranks.weights(self.planner.formats)
        scale = (asked.weights_bytes - asked.tower_bytes) / max(1, asked.counted_weights - asked.tower_bytes)
        beside = asked.tower_bytes - asked.host_bytes
        return tuple(ceil(w * scale) + beside * (k == 0) for k, w in enumerate(counted))

    def memory(self, context: int, batch: int) -> MemoryFootprint:
        """Return the bytes on the fullest rank, by kind."""
        stages = zip(self.ranks.stages, self.stage_weights, strict=True)
        return max((self._stage(stage, w, context, batch) for stage, w in stages), key=lambda found: found.total)

    def _stage(self, stage: RankStage, weights: int, context: int, batch: int) -> MemoryFootprint:
        o, whole = self.planner.options, self.planner.memory(context)
        new = 1 if o.mode == "decode" else min(context, o.chunk or context)
        sizes = self.ranks.sizes(batch, new, context)
        word = storage(o.activations).bits / 8
        kv, state = self._cache_shares(stage, context)
        return MemoryFootprint(
            weights=weights,
            kv=ceil(sizes.attention_b * kv * whole.kv),
            state=ceil(sizes.attention_b * state * whole.state),
            activations=ceil(word * ceil(stage.activations(sizes))),
        )

    def _cache_shares(self, stage: RankStage, context: int) -> tuple[float, float]:
        """Return which share of one sequence's keys and values, and of its states, a rank of the stage keeps."""
        kept = self.planner.cost.cache
        all_kv = int(evaluate(kept.kv, {"m": context, "s": context}))
        share = -(-context // self.placement.cp)
        own = sum(times * layer.kv_at(share) for layer, times in stage.held) * float(self.planner.cache_on_device)
        return (own / all_kv if all_kv else 0.0), (stage.state / kept.state if kept.state else 0.0)

    def largest_context(self, batch: int, beside: int = 0) -> int:
        """Return the most tokens per sequence with which the fullest rank, and `beside` bytes, still fit; 0 when not even one does."""
        low, high, room = 0, 1, self.planner.room - beside
        while high < 2**40 and self.memory(high, batch).total <= room:
            low, high = high, 2 * high
        while high - low > max(1, low // 2**12):
            middle = (low + high) // 2
            low, high = (middle, high) if self.memory(middle, batch).total <= room else (low, middle)
        return low

    def to_dict(self) -> dict[str, Any]:
        """Return the placement and the devices as plain values for JSON."""
        return {
            "devices": self.devices.id,
            "count": self.devices.count,
            "placement": self.placement.to_dict(),
            "rank_weights": list(self.stage_weights),
            "replicated": list(self.ranks.replicated),
            "seconds": self.timed.seconds,
            "terms": dict(self.timed.terms),
            "bytes_sent": self.timed.sent,
        }


def load_of(planner: Planner, how: Recipe | None = None, micro_batch: int = 1) -> Load:
    """Return a question as the search over placements takes it; a recipe says what training holds per parameter."""
    o = planner.options
    load = Load(
        mode=o.mode,
        context=o.context,
        batch=o.batch,
        formats=planner.formats,
        kv={"fp8_ds_mla": "fp8", "nvfp4_ds_mla": "nvfp4"}.get(o.kv, o.kv),
        memory=planner.room,
        micro_batch=micro_batch,
        checkpoint=o.checkpoint,
        frozen=o.frozen,
        chunk=o.chunk or o.context,
    )
    if how is None:
        return load
    states = how.master + how.states
    share = adapters(planner.model, how) / planner.cost.parameters if how.lora_rank else 1.0
    return replace(
        load,
        gradient=how.gradients * share,
        optimizer=states * share,
        checkpoint=how.recompute in ("full", "offloaded"),
        memory=planner.room - int(how.runtime.value * 2**30),
    )


def spread(planner: Planner, devices: Cluster, placement: Placement, load: Load | None = None) -> Spread:
    """Return a model under a placement.

    Raises AttometerError for devices of unlike kinds, degrees that are not their number, or that do not divide the model.
    """
    if placement.devices != devices.count:
        hint = f"; name them, as in --on {placement.devices}x-{devices.id}" if devices.count == 1 else ""
        raise AttometerError(f"{placement} takes {placement.devices} devices, {devices} are {devices.count}{hint}")
    if devices.count > 1 and not devices.uniform:
        raise AttometerError(f"a placement needs devices of one kind, got {devices}")
    return Spread(planner, devices, shard(planner.cost, placement), load or load_of(planner))


BY_LAYERS = ("llama.cpp", "mlx", "transformers")
"""Engines that put whole layers on each device, one after the other."""


def by_layers(engine: str) -> bool:
    """Return whether an engine puts whole layers on each device.

    >>> by_layers("llama.cpp"), by_layers("ollama"), by_layers("vllm@0.19")
    (True, True, False)
    """
    return canonical(engine)[0] in BY_LAYERS


def simple_placements(devices: Cluster, engine: str | None = None) -> Iterator[Placement]:
    """Yield tensor parallelism over all devices of a node and stages over nodes, then fewer ranks and more stages."""
    # Machines that stand alone (a DGX Spark) are still joined by their network.
    tp = min(devices.count, max(devices.per_node, 8 if devices.per_node == 1 else 1), MOST_RANKS)
    for degree in range(1 if by_layers(engine or "") else tp, 0, -1):
        if devices.count % degree == 0:
            yield Placement(tp=degree, pp=devices.count // degree)


def first_legal(planner: Planner, devices: Cluster, engine: str | None = None) -> Spread:
    """Return the first of the simple placements that divides the model.

    Raises AttometerError with the reason of the first where none does.
    """
    reason: AttometerError | None = None
    for placement in simple_placements(devices, engine):
        try:
            return spread(planner, devices, placement)
        except AttometerError as error:
            reason = reason or error
    raise reason or AttometerError(f"no placement over {devices}")


def joined(devices: Cluster, together: bool = False) -> Machine:
    """Return the one kind of device; of unlike kinds, or `together`, a machine with all their memory and the fastest one's rates.

    Layers are then split over the devices, which run one after the other: none is passed faster than by the fastest.

    >>> from attometer.machine import cluster
    >>> joined(cluster("2x rtx-3090 + 1x rtx-4090")).usable_bytes == (2 * 24576 + 24564) * 2**20
    True
    """
    if devices.uniform and not together:
        return devices.machine
    fastest = max((machine for machine, _ in devices.groups), key=lambda machine: machine.bandwidth)
    usable = Figure(value=devices.usable_bytes, unit="B", source="sum over the devices", status="derived")
    memory = fastest.memory.model_copy(update={"capacity": usable, "usable": usable})
    return fastest.model_copy(update={"id": devices.id, "name": str(devices), "memory": memory})
