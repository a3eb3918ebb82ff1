"""Memory of one rank while it trains: states divided by ZeRO, activations by what is recomputed, logits on a line of their own."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil, prod
from typing import Any

import sympy

from attometer.count.model_cost import model_cost
from attometer.count.part_kinds import part_kind
from attometer.count.placement.rank_cost import RankCost, RankStage, shard
from attometer.count.placement.rank_sizes import RankSizes
from attometer.count.weights import stored_weights
from attometer.engines.engine import GIB
from attometer.engines.pool import score_heads, vocabulary
from attometer.engines.recipe import Recipe
from attometer.formats import uniform
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.schedule.placement import Placement
from attometer.view.printed import Printed

WORD, FP32 = 2, 4
ALONE = Placement()
PLAIN = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Training(Printed):
    """Bytes of one rank: what lives all the time, and the fuller of the two ends of the backward pass, or the step after it.

    It begins with everything that forward `kept`, and with the logits and the head's gradient, or with the tensors of one
    `layer`; it ends with all gradients and one layer. Gradients that are accumulated, or used up by an optimizer that runs
    within the backward pass, are there always or never.
    """

    recipe: Recipe
    weights: int
    master: int
    optimizer: int
    gradients: int
    kept: int
    layer: int
    logits: int
    head_gradient: int
    gathered: int
    runtime: int
    scratch: int = 0
    accumulated: bool = False

    @property
    def states(self) -> int:
        """Weights, master copy, optimizer states and gradients."""
        return self.weights + self.master + self.optimizer + self.gradients

    @property
    def terms(self) -> dict[str, int]:
        """What is there at the peak, by name; the terms add up to the total."""
        return {**self.handed_out, "slack": self.slack, "runtime": self.runtime}

    @cached_property
    def handed_out(self) -> dict[str, int]:
        """What the framework's allocator hands out at the peak, by name."""
        lasting = {"weights": self.weights, "master": self.master, "optimizer": self.optimizer}
        rest = {"gathered": self.gathered}
        all_gradients = 0 if self.recipe.fused_step else self.gradients
        early = all_gradients if self.accumulated else min(self.head_gradient, self.gradients)
        loss = self.logits + early * (not self.accumulated) >= self.layer
        begin = self.kept + early + (self.logits if loss else self.layer)
        gradients, activations, logits = all_gradients, self.layer, 0
        if begin >= all_gradients + self.layer:
            gradients = early
            activations, logits = (self.kept, self.logits) if loss else (self.kept + self.layer, 0)
        scratch = self.scratch if all_gradients + self.scratch > gradients + activations + logits else 0
        if scratch:
            gradients, activations, logits = all_gradients, 0, 0
        peak = {"gradients": gradients, "activations": activations, "logits": logits}
        return {**lasting, **peak, **({"scratch": scratch} if self.scratch else {}), **rest}

    @property
    def allocated(self) -> int:
        """Bytes that the framework's allocator hands out at the peak."""
        return sum(self.handed_out.values())

    @property
    def slack(self) -> int:
        """Bytes that it reserves beyond them."""
        return int(self.recipe.slack.value * self.allocated)

    @property
    def total(self) -> int:
        """Bytes of the device at the peak: what is reserved, and the runtime's own."""
        return self.allocated + self.slack + self.runtime

    def to_dict(self) -> dict[str, Any]:
        """Return the terms and their total as plain values for JSON."""
        return {"recipe": self.recipe.name, **self.terms, "states": self.states, "total": self.total}

    def __str__(self) -> str:
        rows = [str(self.recipe), *(f"  {name:<12} {size / GIB:8.2f} GiB" for name, size in self.terms.items())]
        return "\n".join([*rows, f"  {'total':<12} {self.total / GIB:8.2f} GiB"])


def training(
    model: Model,
    recipe: Recipe,
    batch: int,
    length: int,
    place: Placement = ALONE,
    micro_batches: int | None = None,
) -> Training:
    """Return the memory of the fullest rank.

    Args:
        model: the model.
        recipe: how it is trained.
        batch: sequences of one micro-batch of one replica.
        length: tokens of one.
        place: how the model is spread, and what ZeRO divides.
        micro_batches: of one step; as many as there are stages when not given.

    Raises AttometerError for a placement that does not divide the model.

    >>> from attometer.engines.recipe import recipe
    >>> from attometer.models import model
    >>> found = training(model("llama-2-7b"), recipe("megatron"), 1, 2048, Placement(dp=4, zero=3))
    >>> round(found.states / 2**30, 1), found.total > found.states
    (28.2, True)
    """
    ranks = shard(model, place)
    sizes = ranks.sizes(batch * place.dp, length)
    steps = place.pp if micro_batches is None else micro_batches
    return max((_stage(ranks, stage, recipe, sizes, steps) for stage in ranks.stages), key=lambda found: found.total)


def _stage(ranks: RankCost, stage: RankStage, recipe: Recipe, sizes: RankSizes, micro_batches: int) -> Training:
    model, place = ranks.cost.model, stage.placement
    trained, own = _trained(ranks, stage, recipe), (stage.dense_parameters, stage.expert_parameters)
    # A pipeline under FSDP leaves weights gathered and adds gradients up whole, rather than gather for every micro-batch.
    whole = place.zero == 3 and place.pp > 1 and place.shards > 1
    inputs = len(stage.layers) * sizes.stream_tokens * sizes.width
    # Where positions are shared, a block gathers its input, and the gradient of it.
    gathered = 2 * sizes.b * sizes.n * sizes.width if place.sp else 0
    layer = int(stage.saved(sizes, True)) - inputs + gathered + (_scores(stage, sizes) if recipe.scores else 0)
    ends_here = any(row.kind == "head" for row, _ in stage.held)
    here = recipe.offload == "none"
    return Training(
        recipe,
        weights=_divided(place, 3, own, _weight_width(model, recipe)) * (recipe.offload != "all" or place.zero < 3)
        + ceil(WORD * sum(trained) * bool(recipe.lora_rank)),
        master=_divided(place, 1, trained, recipe.master * here),
        optimizer=_divided(place, 1, trained, recipe.states * here),
        gradients=_divided(place, 4 if whole else 2, trained, recipe.gradients * (here or place.zero < 2)),
        kept=int(WORD * _kept(recipe, stage, sizes) * stage.in_flight(micro_batches)),
        layer=WORD * layer,
        logits=logits(model, recipe, sizes.b * sizes.n, place.tp) + WORD * gathered if ends_here else 0,
        head_gradient=ceil(recipe.gradients * _head(model) / place.tp) if ends_here and not recipe.lora_rank else 0,
        gathered=_gathered(stage, whole),
        scratch=_divided(place, 1, trained, recipe.scratch * here),
        runtime=int(recipe.runtime.value * GIB),
        accumulated=recipe.accumulate or micro_batches > 1,
    )


def _scores(stage: RankStage, sizes: RankSizes) -> int:
    """Return the elements of scores that eager attention keeps: before and after the softmax, and a mask of one byte."""
    heads = max((score_heads(part.sharded.program) for row, _ in stage.held for part in row.parts), default=0)
    return int(2.5 * heads * sizes.attention_b * sizes.new * sizes.keys)


def _trained(ranks: RankCost, stage: RankStage, recipe: Recipe) -> tuple[int, int]:
    """Return the parameters that a rank trains: those of its stage, or its share of the adapters; and those of experts."""
    if not recipe.lora_rank:
        return stage.dense_parameters, stage.expert_parameters
    ends = (ranks.cost.embedding, ranks.cost.head) if recipe.ends else ()
    every = adapters(ranks.cost.model, recipe) + sum(row.parameters for row in ends)
    return ceil(every / (stage.placement.tp * stage.placement.pp)), 0


def _divided(place: Placement, level: int, parameters: tuple[int, int], each: float) -> int:
    """Return the bytes of dense and expert parameters, `each` bytes per one, where ZeRO divides them from `level` on."""
    by = (place.shards, place.expert_shards) if place.zero >= level else (1, 1)
    return sum(ceil(each * count / ranks) for count, ranks in zip(parameters, by, strict=True))


def _kept(recipe: Recipe, stage: RankStage, sizes: RankSizes) -> float:
    """Return the elements that forward leaves of one micro-batch on a rank of a stage."""
    stream = sizes.stream_tokens * sizes.width
    if recipe.recompute == "offloaded":
        return 2 * stream
    return len(stage.layers) * stream if recipe.recompute == "full" else recipe.kept * stage.saved(sizes)


def _gathered(stage: RankStage, whole: bool) -> int:
    """Return the bytes of weights that FSDP has gathered: of two layers, the next being fetched, or of the whole stage."""
    if stage.placement.zero != 3 or stage.placement.shards == 1:
        return 0
    layers = [row.parameters + row.expert_parameters for row, _ in stage.held if row.kind not in ("embedding", "head")]
    return WORD * (stage.parameters if whole else 2 * max(layers))


def _weight_width(model: Model, recipe: Recipe) -> float:
    """Return the bytes per parameter of the weights that layers compute with, norms and ends at their own width."""
    if recipe.weights in PLAIN:
        return 4 if recipe.weights == "fp32" else WORD
    return stored_weights(model, uniform(recipe.weights)).total / model_cost(model).parameters


def _head(model: Model) -> int:
    """Return the elements of the head's matrix, tied or not."""
    return vocabulary(model) * model.width


@lru_cache(maxsize=512)
def adapters(model: Model, recipe: Recipe) -> int:
    """Return the parameters of low-rank adapters: rank × (rows + columns) of each matrix that has one.

    >>> from attometer.engines.recipe import recipe
    >>> from attometer.models import model
    >>> adapters(model("llama-2-7b"), recipe("lora").with_(lora_targets=("q", "v")))
    4194304
    """
    return sum(
        stack.count * part.copies * recipe.lora_rank * _edges(tensor.extents, model.width)
        for stack in model.layers
        for part in stack.layer.parts
        if _has_adapter(part, recipe.lora_targets)
        for tensor in part.program.weights
        if len(tensor.extents) > 1
    )


def _has_adapter(part: Part, targets: tuple[str, ...]) -> bool:
    """Say whether a part has adapters: those named, else every projection but routers and routed experts."""
    if targets:
        return part.name in targets
    return (
        not part.tied
        and part.routed is None
        and part_kind(part.name) in ("projection", "feed-forward", "shared experts")
    )


def _edges(extents: tuple[sympy.Expr, ...], width: int) -> int:
    """Return the inputs and outputs of a matrix, either of which may be heads by their width."""
    sizes = [int(extent) for extent in extents]
    outer = sizes[-1] if sizes[-1] == width and sizes[0] != width else sizes[0]
    return outer + prod(sizes) // outer


def logits(model: Model, recipe: Recipe, tokens: int, tp: int = 1) -> int:
    """Return the bytes of the logits and their gradient while the loss is taken.

    A chunked loss keeps the logits in 16 bits and widens a chunk at a time; a fused one keeps none.
    """
    each = tokens * vocabulary(model) // tp
    if recipe.loss == "fused":
        return 0
    if recipe.loss == "chunked":
        return ceil(each * (WORD + FP32 / recipe.chunks))
    return int(each * recipe.logit_bytes.value)
