"""What each rank of a placement holds, computes, moves and sends, by pipeline stage."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import sympy
from sympy import Add

from attometer.count.formulas.functions import experts_read
from attometer.count.model_cost import ModelCost, model_cost
from attometer.count.placement.collectives import Message
from attometer.count.placement.messages import part_messages, pass_messages
from attometer.count.placement.rank_layer import RankLayer, RankPart, rank_layers
from attometer.count.placement.rank_sizes import RankSizes
from attometer.count.weights import Formats
from attometer.errors import AttometerError, positive_int
from attometer.formats import stored_bytes, uniform
from attometer.models import Model
from attometer.schedule.placement import LayerDegrees, Placement, layer_degrees, pipeline_stages


@dataclass(frozen=True, eq=False)
class RankWork:
    """What one pass asks of one rank: operations, bytes through its memory, and what it sends."""

    flops: float
    moved: float
    messages: tuple[Message, ...]

    @property
    def sent(self) -> float:
        """Bytes sent to other ranks."""
        return sum(m.times * m.sent for m in self.messages)


@dataclass(frozen=True, eq=False)
class RankStage:
    """The ranks of one pipeline stage, which are alike.

    Attributes:
        layers: the numbers of its layers.
        held: each row of the model's table that it has, with how many of its layers.
    """

    placement: Placement
    number: int
    layers: tuple[int, ...]
    held: tuple[tuple[RankLayer, int], ...]

    @cached_property
    def dense_parameters(self) -> int:
        """Weights, routed experts left out."""
        return sum(times * layer.parameters for layer, times in self.held)

    @cached_property
    def expert_parameters(self) -> int:
        """Weights of routed experts."""
        return sum(times * layer.expert_parameters for layer, times in self.held)

    @property
    def parameters(self) -> int:
        """All weights of a rank, before `zero` divides them."""
        return self.dense_parameters + self.expert_parameters

    @property
    def sharded_parameters(self) -> int:
        """Weights of a rank where `zero` divides them among its replicas, rounded up."""
        return -(-self.dense_parameters // self.placement.shards) + -(
            -self.expert_parameters // self.placement.expert_shards
        )

    @cached_property
    def kv(self) -> sympy.Expr:
        """Cache elements of one sequence on a rank, in `m` and `s`; `cp` ranks then share the positions."""
        return Add(*(times * layer.kv for layer, times in self.held))

    @cached_property
    def state(self) -> int:
        """Elements of one sequence that do not grow."""
        return sum(times * layer.state for layer, times in self.held)

    def cache(self, m: int) -> int:
        """Return the cache elements of one sequence of `m` keys on a rank, states included."""
        share = -(-m // self.placement.cp)
        return sum(times * (layer.kv_at(share) + layer.state) for layer, times in self.held)

    def parts(self) -> Iterator[tuple[int, RankPart]]:
        """Yield every part that runs, with how many layers have it."""
        return ((times, part) for layer, times in self.held for part in layer.running)

    def flops(self, sizes: RankSizes) -> float:
        """Return the operations of one pass on a rank."""
        return sum(times * part_flops(part, sizes) for times, part in self.parts())

    def activations(self, sizes: RankSizes) -> float:
        """Return the most elements alive in one pass without gradients: the residual stream and the largest part.

        The head sees the last token of each sequence alone.
        """
        last = replace(sizes, new=1)

        def live(rows: Iterable[RankLayer], at: RankSizes) -> float:
            return max(
                (p.at("live", *at.of(p)) / at.spread(p) for row in rows for p in row.running),
                default=0,
            )

        layers, heads = ([row for row, _ in self.held if (row.kind == "head") is head] for head in (False, True))
        inside = sizes.stream_tokens * sizes.width + live(layers, sizes)
        return max(inside, last.stream_tokens * sizes.width + live(heads, last))

    def saved(
        self, sizes: RankSizes, checkpoint: bool = False, kept: Callable[[RankLayer], float] | None = None
    ) -> float:
        """Return the elements that one micro-batch keeps for its backward pass; with `checkpoint`, each layer's input.

        `kept` says what one layer keeps, where that is known already.
        """
        of_layer = kept or (lambda layer: layer_kept(layer, sizes))
        layers = [(times, of_layer(row)) for row, times in self.held if row.kind not in ("embedding", "head")]
        if not checkpoint:
            return sum(times * saved for times, saved in layers)
        return len(self.layers) * sizes.stream_tokens * sizes.width + max((saved for _, saved in layers), default=0)

    def in_flight(self, micro_batches: int) -> float:
        """Return how many micro-batches' activations a stage keeps at once under one-forward-one-backward.

        Narayanan et al. 2021 (arXiv:2104.04473): a stage waits for the stages after it; interleaved, in pieces of its layers.
        """
        pp, v = self.placement.pp, self.placement.interleave
        if v == 1:
            return min(micro_batches, pp - self.number)
        return min(micro_batches * v, 2 * (pp - 1 - self.number) + (v - 1) * pp + 1) / v

    def work(self, sizes: RankSizes, weight: float = 2, cached: float = 2, word: float = 2) -> RankWork:
        """Return what one pass asks of a rank; `weight`, `cached` and `word` are bytes per element of weights, cache, the rest."""
        flops = moved = 0.0
        messages: list[Message] = []
        for times, part in self.parts():
            spent, bytes_moved, sent = part_work(part, sizes, weight, cached, word)
            flops, moved = flops + times * spent, moved + times * bytes_moved
            messages += [Message(m.kind, m.part, m.ranks, m.reach, m.payload, times * m.times) for m in sent]
        return RankWork(flops, moved, (*messages, *pass_messages(self.placement, self.number, sizes, word)))


def layer_kept(layer: RankLayer, sizes: RankSizes) -> float:
    """Return the elements that one layer keeps of one micro-batch for its backward pass."""
    # A split sequence keeps the inputs of its blocks in slices, and gathers them again (Korthikanti et al. 2022).
    share = sizes.placement.tp if sizes.placement.sp else 1
    return sum(p.kept(*sizes.of(p), share) / sizes.spread(p) for p in layer.running)


def part_flops(part: RankPart, sizes: RankSizes) -> float:
    """Return the operations of one part in one pass on a rank."""
    return part.at("flops", *sizes.of(part)) / sizes.spread(part)


def part_work(
    part: RankPart, sizes: RankSizes, weight: float, cached: float, word: float
) -> tuple[float, float, tuple[Message, ...]]:
    """Return the operations of one part in one pass on a rank, the bytes that it moves, and what it sends."""
    at, spread = sizes.of(part), sizes.spread(part)
    moved = word * part.at("moved", *at) / spread + cached * part.at("cached", *at) / spread
    return part_flops(part, sizes), moved + weight * weights_read(part, sizes), part_messages(part, sizes, word)


def backward_work(
    part: RankPart, sizes: RankSizes, weight: float, cached: float, word: float, frozen: bool = False
) -> tuple[float, float]:
    """Return the operations of one part's backward pass on a rank, and the bytes that it moves.

    Gradients of weights are among them, unless the weights are `frozen`.
    """
    way = "frozen" if frozen else "backward"
    at, spread = sizes.of(part), sizes.spread(part)
    moved = word * part.at("moved", *at) * part.backward_share(f"{way}_moved", *at) + cached * part.at("cached", *at)
    flops = part_flops(part, sizes) * part.backward_share(f"{way}_flops", *at)
    return flops, moved / spread + (1 if frozen else 2) * weight * weights_read(part, sizes)


def weights_read(part: RankPart, sizes: RankSizes) -> float:
    """Return the weights that a pass reads on a rank: rows looked up, of its experts the distinct ones, else all."""
    routed, whole = part.whole.part.routed, part.whole
    if routed is not None:
        read = experts_read(whole.weights, routed.num_experts, routed.top_k, max(1, sizes.routed_tokens))
        return read * part.weights / max(1, whole.weights)
    return part.local.weights_read(max(1, sizes.b * sizes.n))


@dataclass(frozen=True, eq=False)
class RankCost:
    """A model under a placement: what every rank has, by pipeline stage.

    >>> from attometer.models import model
    >>> ranks = shard(model("llama-3.1-70b"), Placement(tp=4))
    >>> ranks.stages[0].parameters, ranks.stages[0].kv
    (17639415808, 40960*m)
    """

    cost: ModelCost
    placement: Placement
    stages: tuple[RankStage, ...]

    @cached_property
    def largest(self) -> RankStage:
        """The stage with the most parameters on a rank."""
        return max(self.stages, key=lambda stage: stage.parameters)

    @cached_property
    def replicated(self) -> tuple[str, ...]:
        """What stands alike on several ranks, in words."""
        notes: dict[str, None] = {}
        for row in rank_layers(self.cost, layer_degrees(self.placement)):
            for part in row.parts:
                if part.cut.note:
                    notes[part.cut.note] = None
                for cut in part.sharded.cuts:
                    pieces = part.sharded.pieces(cut.axis)
                    if cut.shared and pieces < cut.pieces and part.weights:
                        notes[f"{part.name}: {pieces} heads on {cut.pieces} ranks"] = None
        return tuple(notes)

    def sizes(self, batch: int, new: int, keys: int | None = None) -> RankSizes:
        """Return what of a batch of sequences a rank works on: `new` tokens over `keys` of them (as many where not given)."""
        keys = new if keys is None else keys
        return RankSizes(self.placement, self.cost.model.width, positive_int("batch", batch), new, keys)

    def weights(self, formats: Formats | None = None) -> tuple[int, ...]:
        """Return the bytes of weights of a rank of each stage, module by module in its format (bf16 where none is given)."""
        return stage_weights(self.cost, self.placement, uniform("bf16") if formats is None else formats)

    def sent(self, batch: int, new: int, keys: int | None = None) -> tuple[float, ...]:
        """Return the bytes that a rank of each stage sends in one pass, elements of two bytes."""
        return tuple(stage.work(self.sizes(batch, new, keys)).sent for stage in self.stages)


def shard(model: Model | ModelCost, placement: Placement) -> RankCost:
    """Return what the ranks of a placement hold, compute, move and send: each part's Program cut by its axes.

    Raises AttometerError naming the part, the axis and the degree of what does not divide, or the layers that pp has not.
    """
    cost = model if isinstance(model, ModelCost) else model_cost(model)
    rows = rank_layers(cost, layer_degrees(placement))
    handed = [p.name for row in rows for p in row.parts if placement.cp > 1 and p.kind in ("recurrence", "convolution")]
    if handed:
        raise AttometerError(
            f'cp {placement.cp}: part "{handed[0]}" hands its state from position to position; a context shared by ranks is '
            "modelled for attention alone"
        )
    stages = pipeline_stages(cost.model.depth, placement.pp, placement.interleave)
    return RankCost(cost, placement, tuple(_stage(cost, rows, placement, k, held) for k, held in enumerate(stages)))


def _stage(
    cost: ModelCost, rows: tuple[RankLayer, ...], place: Placement, number: int, layers: tuple[int, ...]
) -> RankStage:
    inside = set(layers)
    held = [
        (row, len(inside.intersection(stack.indices))) for row, stack in zip(rows[1:-1], cost.model.layers, strict=True)
    ]
    first, last = number == 0, number == place.pp - 1
    ends = [(rows[0], int(first)), *held, (_untied(rows, place) if last else rows[-1], int(last))]
    return RankStage(place, number, layers, tuple((row, times) for row, times in ends if times))


def _untied(rows: tuple[RankLayer, ...], place: Placement) -> RankLayer:
    """Return the head; where the embedding stands on another stage, tied weights are there a second time."""
    head = rows[-1]
    if place.pp == 1:
        return head
    parts = tuple(
        replace(p, local=replace(p.local, part=replace(p.local.part, tied=False))) if p.local.part.tied else p
        for p in head.parts
    )
    return replace(head, parts=parts)


def stage_weights(cost: ModelCost, place: Placement, formats: Formats) -> tuple[int, ...]:
    """Return the bytes of weights of a rank of each stage, before `zero` divides them."""
    first, layers, last = weight_bytes(cost, layer_degrees(place), formats, place.pp > 1)
    stages = pipeline_stages(cost.model.depth, place.pp, place.interleave)
    ends = [first * (k == 0) + last * (k == place.pp - 1) for k in range(place.pp)]
    return tuple(sum(layers[n] for n in held) + end for held, end in zip(stages, ends, strict=True))


@lru_cache(maxsize=512)
def weight_bytes(
    cost: ModelCost, degrees: LayerDegrees, formats: Formats, apart: bool
) -> tuple[int, tuple[int, ...], int]:
    """Return the bytes of a rank's embedding, of each layer by number, and of the head; `apart` on separate stages."""
    rows = rank_layers(cost, degrees)
    head = _untied(rows, Placement(pp=2)) if apart else rows[-1]
    by_layer = [0] * cost.model.depth
    for row, stack in zip(rows[1:-1], cost.model.layers, strict=True):
        parts = [(p.name, *p.matrices_and_rest) for p in _stored(cost, row, degrees)]
        known: dict[tuple[object, ...], int] = {}
        for n in stack.indices:
            if n != stack.indices[0] and not formats.by_layer:
                by_layer[n] = by_layer[stack.indices[0]]
                continue
            forms = tuple(formats.of(n, stack.kind, name) for name, _, _ in parts)
            if forms not in known:
                known[forms] = sum(
                    stored_bytes(matrices, form) + stored_bytes(rest, formats.default)
                    for (_, matrices, rest), form in zip(parts, forms, strict=True)
                )
            by_layer[n] = known[forms]
    first, last = (_end_bytes(kind, row.parts, formats) for kind, row in (("embedding", rows[0]), ("head", head)))
    return first, tuple(by_layer), last


def _stored(cost: ModelCost, row: RankLayer, degrees: LayerDegrees) -> tuple[RankPart, ...]:
    """Return the parts as files store them: those of prefill, whatever the phase runs."""
    if cost.phase == "prefill":
        return row.parts
    at = rank_layers(cost, degrees).index(row)
    return rank_layers(model_cost(cost.model), degrees)[at].parts


def _end_bytes(kind: str, parts: Iterable[RankPart], formats: Formats) -> int:
    total = 0
    for part in parts:
        matrices, rest = part.matrices_and_rest
        # Tied weights are the embedding's, in its format.
        where = ("embedding", "embedding") if part.whole.part.tied else (kind, part.name)
        total += stored_bytes(matrices, formats.of(None, *where)) + stored_bytes(rest, formats.default)
    return total
