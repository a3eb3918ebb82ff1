"""What a placement takes on a cluster: memory of the fullest rank, and datasheet time by term."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.placement.collectives import Message
from attometer.count.placement.messages import pass_messages
from attometer.count.placement.rank_cost import (
    RankCost,
    RankStage,
    backward_work,
    layer_kept,
    part_work,
    shard,
)
from attometer.count.placement.rank_layer import RankLayer, rank_layers
from attometer.count.placement.rank_sizes import RankSizes
from attometer.count.weights import Formats, part_weights
from attometer.errors import AttometerError, positive_int, unknown
from attometer.formats import storage, uniform
from attometer.machine import Cluster
from attometer.models import Model
from attometer.plan.placement_links import OnLinks, on_links
from attometer.plan.rates import fastest
from attometer.schedule.placement import Placement, layer_degrees

MODES = ("prefill", "decode", "train")
TERMS = ("compute", "memory", "links", "bubble")
# Weights and gradients of 16 bits, and AdamW's fp32 copy and two moments (Micikevicius et al. 2018; Rajbhandari et al. 2020).
GRADIENT_BYTES, OPTIMIZER_BYTES = 2, 12
# The loss takes logits and their gradient in fp32.
LOGIT_BYTES = 8


@dataclass(frozen=True)
class Load:
    """What a placement is asked to carry.

    Attributes:
        mode: prefill, decode (one new token after `context` cached ones) or train.
        context: tokens of a sequence.
        batch: sequences at once on all devices; in training, of one step.
        formats: how weights are stored (bf16 where none is given).
        kv: format of the cache.
        memory: bytes that a device has for all this; what its driver hands out where not given.
        chunk: in serving, tokens of a prompt that are computed at once.
        micro_batch: in training, sequences of a replica that go through the pipeline together.
        checkpoint: in training, keep each layer's input and compute the rest again.
        frozen: whose weights have no gradients (see `Options`).
        gradient: bytes of a gradient per parameter; `optimizer` those of its states, the fp32 copy among them.
    """

    mode: str = "decode"
    context: int = 8192
    batch: int = 1
    formats: Formats | None = None
    kv: str = "bf16"
    memory: int | None = None
    chunk: int = 8192
    micro_batch: int = 1
    checkpoint: bool = False
    frozen: str = ""
    gradient: float = GRADIENT_BYTES
    optimizer: float = OPTIMIZER_BYTES

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        for name in ("context", "batch", "chunk", "micro_batch"):
            positive_int(name, getattr(self, name))


@dataclass(frozen=True)
class Candidate:
    """A placement on a cluster: bytes of its fullest rank by kind, seconds by term, and what comes of it.

    `seconds` are of one pass over the batch: a prefill, one token of every sequence, or a training step; `links` what a rank
    of the slowest stage then sends, inside its node and between nodes.
    """

    placement: Placement
    memory: Mapping[str, int]
    available: int
    seconds: float
    terms: Mapping[str, float]
    links: OnLinks
    tokens: int

    @property
    def total(self) -> int:
        """Bytes of the fullest rank."""
        return sum(self.memory.values())

    @property
    def sent(self) -> float:
        """Bytes that a rank of the slowest stage sends."""
        return self.links.sent

    @property
    def fits(self) -> bool:
        """Whether the fullest rank fits."""
        return self.total <= self.available

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sequences per second."""
        return self.tokens / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as plain values for JSON."""
        return {
            "placement": self.placement.to_dict(), "devices": self.placement.devices, "memory": dict(self.memory),
            "total": self.total, "available": self.available, "fits": self.fits, "seconds": self.seconds,
            "terms": dict(self.terms),
            "sent_inside_node": self.links.inside, "sent_between_nodes": self.links.between, "tokens_per_second": self.tokens_per_second,
        }  # fmt: skip


@dataclass(frozen=True)
class RowTime:
    """One layer of a row on one rank: seconds of its parts by term, and what goes over the links."""

    compute: float
    memory: float
    links: OnLinks

    @property
    def seconds(self) -> float:
        """Seconds: of each part the longer of computing and moving, and the links."""
        return self.compute + self.memory + self.links.seconds


class Evaluator:
    """Evaluates placements of one model under one load; what layers take is kept for placements whose layers are alike."""

    def __init__(self, model: Model | ModelCost, cluster: Cluster, load: Load) -> None:
        subject = model.model if isinstance(model, ModelCost) else model
        self.cost = model_cost(subject, phase="decode" if load.mode == "decode" else "prefill")
        self.cluster, self.load = cluster, load
        self.formats: Formats = uniform("bf16") if load.formats is None else load.formats
        self.cached = float(storage(load.kv).bits) / 8
        self.available = cluster.machine.usable_bytes if load.memory is None else load.memory
        self._rows: dict[tuple[Placement, int, int], tuple[RowTime, ...]] = {}
        self._kept: dict[tuple[Placement, int, int], tuple[RankLayer, float]] = {}
        self._stages: dict[tuple[Placement, int, int], RowTime] = {}
        self._held = self._weights()

    def _weights(self) -> list[dict[str, tuple[float, float]]]:
        """Return for each row, by part, the bytes per element of its weights and the rate of its products."""
        machine, rows = self.cluster.machine, []
        stacks = [None, *self.cost.model.layers, None]
        for row, stack in zip(self.cost.rows, stacks, strict=True):
            found = {}
            for part in row.parts:
                held = part_weights(part.part, row.kind, stack.indices if stack else [None], self.formats)
                rate = fastest(held.rates or ["bf16"], machine) if part.weights else fastest(["bf16"], machine)
                found[part.name] = (held.bytes / max(1, part.weights), float(machine.peak_rate(rate)))
            rows.append(found)
        return rows

    def at(self, context: int) -> "Evaluator":
        """Return the evaluator of the same load at another context."""
        other = copy(self)
        other.load, other._rows, other._kept, other._stages = replace(self.load, context=context), {}, {}, {}
        return other

    def placed(self, place: Placement, quick: bool = False) -> Candidate:
        """Return what a placement takes; with `quick`, only its memory (its time is then 0).

        Raises AttometerError for a placement that does not divide.
        """
        ranks = shard(self.cost, place)
        per_replica = -(-self.load.batch // place.dp)
        serving = self.load.mode != "train"
        memory = self._serving(ranks) if serving else self._training(ranks, per_replica)
        new = 1 if self.load.mode == "decode" else self.load.context
        tokens = self.load.batch * new
        if quick:
            return Candidate(place, memory, self.available, 0.0, {}, OnLinks(), tokens)
        terms, links = self._time(ranks, per_replica)
        return Candidate(place, memory, self.available, sum(terms.values()), terms, links, tokens)

    # --- memory ------------------------------------------------------------------------------------------------------

    def _serving(self, ranks: RankCost) -> dict[str, int]:
        load, place = self.load, ranks.placement
        weights = ranks.weights(self.formats)
        sizes = RankSizes(place, self.cost.model.width, load.batch, load.context, load.context)
        kept = [int(self.cached * sizes.attention_b * stage.cache(load.context)) for stage in ranks.stages]
        full = max(range(place.pp), key=lambda k: weights[k] + kept[k])
        new = 1 if load.mode == "decode" else min(load.chunk, load.context)
        # Chunks of prompts are made of few sequences at a time.
        batch = load.batch if load.mode == "decode" else place.dp * place.attention_dp
        step = RankSizes(place, self.cost.model.width, batch, new, load.context)
        alive = self._alive(layer_rows(self.cost, place), step)
        return {"weights": weights[full], "kv": kept[full], "activations": int(2 * alive)}

    def _alive(self, rows: tuple[RankLayer, ...], sizes: RankSizes) -> float:
        live = max(p.at("live", *sizes.of(p)) / sizes.spread(p) for row in rows[:-1] for p in row.running)
        logits = max((p.at("live", sizes.b, 1, sizes.keys) for p in rows[-1].running), default=0.0)
        return max(sizes.stream_tokens * sizes.width + live, logits)

    def _training(self, ranks: RankCost, per_replica: int) -> dict[str, int]:
        load, place = self.load, ranks.placement
        micro = min(load.micro_batch, per_replica)
        batches = -(-per_replica // micro)
        sizes = RankSizes(place, self.cost.model.width, micro * place.dp, load.context, load.context)
        weights, kept_by = ranks.weights(self.formats), self._keeps(place, micro)
        found = []
        for stage in ranks.stages:
            dense, experts = stage.dense_parameters, stage.expert_parameters
            divided = stage.sharded_parameters / max(1, dense + experts)
            gathered = max((row.parameters + row.expert_parameters for row, _ in stage.held), default=0)
            kept = stage.saved(sizes, load.checkpoint, kept_by) * stage.in_flight(batches)
            logits = 0.0
            if stage.number == place.pp - 1:
                logits = LOGIT_BYTES * sum(
                    p.at("outputs", *sizes.of(p)) for p in stage.held[-1][0].parts if p.name == "head"
                )
            number, zero = stage.number, place.zero
            found.append({
                "weights": int(weights[number] * divided + 2 * gathered if zero == 3 else weights[number]),
                "gradients": int(load.gradient * stage.parameters * (divided if zero >= 2 else 1)),
                "optimizer": int(load.optimizer * stage.parameters * (divided if zero >= 1 else 1)),
                "activations": int(2 * kept + logits),
            })  # fmt: skip
        return max(found, key=lambda kinds: sum(kinds.values()))

    def _keeps(self, place: Placement, micro: int) -> Callable[[RankLayer], float]:
        """Return what says how much a layer keeps of a micro-batch, which placements whose layers are alike share."""
        alike = _canonical(place)
        sizes = RankSizes(alike, self.cost.model.width, micro * alike.dp, self.load.context, self.load.context)

        def kept(layer: RankLayer) -> float:
            key = (alike, micro, id(layer))
            if key not in self._kept:
                self._kept[key] = layer, layer_kept(layer, sizes)  # what is held keeps its id
            return self._kept[key][1]

        return kept

    # --- time --------------------------------------------------------------------------------------------------------

    def _time(self, ranks: RankCost, per_replica: int) -> tuple[dict[str, float], OnLinks]:
        """Return seconds by term and what a rank of the slowest stage sends, for one pass over the batch."""
        load, place = self.load, ranks.placement
        micro = (
            min(load.micro_batch, per_replica)
            if load.mode == "train"
            else -(-per_replica // min(place.pp, per_replica))
        )
        batches = -(-per_replica // micro)
        stages = [self._stage_time(stage, micro) for stage in ranks.stages]
        slow = max(stages, key=lambda row: row.seconds)
        rounds = float(batches)
        whole = sum(row.seconds for row in stages)
        if load.mode == "train":
            bubble = (place.pp - 1) * slow.seconds / place.interleave
        else:
            # Stages wait for one another while the pipeline fills; a token waits for all of them.
            bubble = max(0.0, whole - rounds * slow.seconds) if load.mode == "decode" else whole - slow.seconds
        terms = {
            "compute": rounds * slow.compute, "memory": rounds * slow.memory, "links": rounds * slow.links.seconds, "bubble": bubble,
        }  # fmt: skip
        links = slow.links * rounds
        if load.mode == "train":
            shared = self._replicas(ranks, batches)
            # What replicas exchange goes on while layers compute.
            terms["links"] += max(0.0, shared.seconds - terms["compute"] - terms["memory"])
            terms["memory"] += self._update(ranks)
            links += shared
        return terms, links

    def _stage_time(self, stage: RankStage, micro: int) -> RowTime:
        key = (replace(stage.placement, zero=0, dp_replicate=1), stage.number, micro)
        if key not in self._stages:
            self._stages[key] = self._timed(stage, micro)
        return self._stages[key]

    def _timed(self, stage: RankStage, micro: int) -> RowTime:
        rows = self._row_times(stage.placement, micro)
        place_in = {id(row): k for k, row in enumerate(layer_rows(self.cost, stage.placement))}
        last = len(rows) - 1
        held = [(rows[place_in.get(id(row), last)], times) for row, times in stage.held]
        place = stage.placement
        sizes = RankSizes(place, self.cost.model.width, micro * place.dp, self._new(), self.load.context)
        passing = on_links(pass_messages(place, stage.number, sizes, 2), self.cluster)
        back = 2 if self.load.mode == "train" else 1
        return RowTime(
            sum(times * row.compute for row, times in held),
            sum(times * row.memory for row, times in held),
            sum((row.links * times for row, times in held), passing * back),
        )

    def _new(self) -> int:
        return 1 if self.load.mode == "decode" else self.load.context

    def _row_times(self, place: Placement, micro: int) -> tuple[RowTime, ...]:
        alike = _canonical(place)
        key = (alike, micro, self.load.context)
        if key not in self._rows:
            sizes = RankSizes(alike, self.cost.model.width, micro * alike.dp, self._new(), self.load.context)
            rows = layer_rows(self.cost, place)
            self._rows[key] = tuple(
                self._row_time(row, held, sizes, row is rows[-1]) for row, held in zip(rows, self._held, strict=True)
            )
        return self._rows[key]

    def _row_time(
        self, row: RankLayer, held: Mapping[str, tuple[float, float]], sizes: RankSizes, head: bool
    ) -> RowTime:
        train = self.load.mode == "train"
        # Backward sends as much as forward; recomputation does forward again, in layers.
        inside = row.kind not in ("embedding", "head")
        forward = 1 + (train and inside and self.load.checkpoint)
        again = forward + train
        if head and not train:
            sizes = replace(sizes, new=1)
        still = self.load.frozen == "all" or (self.load.frozen == "layers" and inside)
        compute = moving = 0.0
        messages: list[Message] = []
        for part in row.running:
            width, rate = held[part.name]
            flops, moved, sent = part_work(part, sizes, width, self.cached, 2)
            back, left = backward_work(part, sizes, width, self.cached, 2, still) if train else (0.0, 0.0)
            needed = (forward * flops + back) / rate
            bytes_time = (forward * moved + left) / self.cluster.machine.bandwidth
            compute, moving = (compute + needed, moving) if needed >= bytes_time else (compute, moving + bytes_time)
            messages += sent
        return RowTime(compute, moving, on_links(messages, self.cluster) * again)

    def _replicas(self, ranks: RankCost, batches: int) -> OnLinks:
        """Return what replicas exchange in a step: gradients, and weights where they are divided."""
        place, load = ranks.placement, self.load
        messages = []
        stage = ranks.largest
        alike = place.tp * place.cp * place.dp // place.expert_ranks
        for elements, group in ((stage.dense_parameters, place.dp * place.cp), (stage.expert_parameters, alike)):
            if group < 2 or not elements:
                continue
            reach, layers = place.tp * place.cp * place.dp, len(stage.layers)
            # Layer by layer, as each is ready or needed.
            gradients, weights = load.gradient * elements / layers, 2 * elements / layers
            if place.zero and place.dp_replicate > 1 and group % place.dp_replicate == 0:
                # Groups that divide everything inside add up their shares of the gradients (HSDP).
                group //= place.dp_replicate
                messages.append(
                    Message("all_reduce", "gradients", place.dp_replicate, reach, gradients / group, layers)
                )
                reach //= place.dp_replicate
            if group < 2:
                continue
            if place.zero == 0:
                messages.append(Message("all_reduce", "gradients", group, reach, gradients, layers))
                continue
            # Divided gradients leave after each micro-batch, divided weights come before its forward and its backward pass.
            scattered, gathered = batches if place.zero >= 2 else 1, 2 * batches if place.zero == 3 else 1
            messages.append(Message("reduce_scatter", "gradients", group, reach, gradients, layers * scattered))
            messages.append(Message("all_gather", "weights", group, reach, weights, layers * gathered))
        return on_links(messages, self.cluster)

    def _update(self, ranks: RankCost) -> float:
        """Return the seconds in which a step reads and writes gradients and the optimizer's state."""
        stage, zero = ranks.largest, ranks.placement.zero
        owned = stage.sharded_parameters if zero else stage.parameters
        return 2 * (self.load.gradient + self.load.optimizer) * owned / self.cluster.machine.bandwidth


def layer_rows(cost: ModelCost, place: Placement) -> tuple[RankLayer, ...]:
    """Return embedding, layers by stack and head of one rank."""
    return rank_layers(cost, layer_degrees(place))


def _canonical(place: Placement) -> Placement:
    """Return the smallest placement whose layers do, for as many sequences of a replica, what this one's do."""
    one = place.tp * place.cp
    replicas = place.expert_ranks // gcd(place.expert_ranks, one) if place.ep > 1 else 1
    return replace(place, pp=1, dp=replicas, zero=0, interleave=1, dp_replicate=1)


def checked(model: Model | ModelCost, cluster: Cluster, load: Load, place: Placement) -> Candidate:
    """Return what `place` takes on a cluster.

    Raises AttometerError when it does not divide, or needs other than all of the cluster's devices.
    """
    if place.devices != cluster.count:
        raise AttometerError(f"placement {place} takes {place.devices} devices, {cluster.id} has {cluster.count}")
    return Evaluator(model, cluster, load).placed(place)
