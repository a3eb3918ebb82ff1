"""Memory of one rank while it trains: states divided by ZeRO, activations by what is recomputed, logits on a line of their own."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import Any

import sympy

from attometer.count.evaluate import evaluate
from attometer.count.model_cost import LayerCost, model_cost
from attometer.count.part_kinds import part_kind
from attometer.count.weights import stored_weights
from attometer.engines.engine import GIB
from attometer.engines.pool import vocabulary
from attometer.engines.recipe import Recipe
from attometer.errors import AttometerError
from attometer.formats import uniform
from attometer.models.layer import Model
from attometer.models.part import Part
from attometer.view.printed import Printed

WORD, FP32 = 2, 4
PLAIN = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Training(Printed):
    """Bytes of one rank: what lives all the time, and the fuller of the two ends of the backward pass.

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

    @property
    def states(self) -> int:
        """Weights, master copy, optimizer states and gradients."""
        return self.weights + self.master + self.optimizer + self.gradients

    @property
    def terms(self) -> dict[str, int]:
        """What is there at the peak, by name; the terms add up to the total."""
        lasting = {"weights": self.weights, "master": self.master, "optimizer": self.optimizer}
        rest = {"gathered": self.gathered, "runtime": self.runtime}
        all_gradients = 0 if self.recipe.fused_step else self.gradients
        early = all_gradients if self.recipe.accumulate else min(self.head_gradient, self.gradients)
        loss = self.logits + early >= self.layer + (early if self.recipe.accumulate else 0)
        begin = self.kept + (self.logits + early if loss else self.layer + early)
        if begin >= all_gradients + self.layer:
            activations, logits = (self.kept, self.logits) if loss else (self.kept + self.layer, 0)
            return {**lasting, "gradients": early, "activations": activations, "logits": logits, **rest}
        return {**lasting, "gradients": all_gradients, "activations": self.layer, "logits": 0, **rest}

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return sum(self.terms.values())

    @property
    def allocated(self) -> int:
        """Bytes that the framework's allocator hands out at the peak: without the runtime's own."""
        return self.total - self.runtime

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
    *,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    zero: int = 0,
    sequence_parallel: bool = True,
    parameters: int | None = None,
) -> Training:
    """Return the memory of the fullest rank.

    Args:
        model: the model.
        recipe: how it is trained.
        batch: sequences of one micro-batch.
        length: tokens of one.
        tp: tensor-parallel degree.
        pp: pipeline stages; the first holds as many micro-batches as there are stages.
        dp: ranks that ZeRO divides states over.
        zero: 0 divides nothing, 1 the optimizer's states, 2 gradients too, 3 weights too (FSDP).
        sequence_parallel: whether the ranks of a tensor-parallel group divide the residual stream too.
        parameters: parameters of the fullest rank where a placement has counted them.

    Raises AttometerError for a ZeRO stage that does not exist.

    >>> from attometer.engines.recipe import recipe
    >>> from attometer.models import model
    >>> found = training(model("llama-2-7b"), recipe("megatron"), 1, 2048, dp=4, zero=3)
    >>> round(found.states / 2**30, 1), found.total > found.states
    (28.2, True)
    """
    if zero not in (0, 1, 2, 3):
        raise AttometerError(f"zero must be 0, 1, 2 or 3, got {zero}")
    own = rank_parameters(model, tp, pp) if parameters is None else parameters
    copied = sum(row.parameters for row in (model_cost(model).embedding, model_cost(model).head)) if recipe.ends else 0
    trained = ceil((adapters(model, recipe) + copied) / (tp * pp)) if recipe.lora_rank else own
    part = [dp if zero >= stage else 1 for stage in (1, 2, 3)]
    largest = max(row.parameters for row in model_cost(model).layers) // tp
    in_flight = batch * pp
    layer, whole = layer_activations(model, batch, length), layer_inputs(model, batch * length)
    depth = ceil(model.depth / pp)
    divided = tp if sequence_parallel or recipe.recompute not in ("full", "offloaded") else 1
    kept = _kept(recipe, layer, whole, depth, pp) // divided
    return Training(
        recipe,
        weights=ceil((_weight_bytes(model, recipe, own) + (WORD * trained if recipe.lora_rank else 0)) / part[2]),
        master=ceil(recipe.master * trained / part[0]),
        optimizer=ceil(recipe.states * trained / part[0]),
        gradients=ceil(recipe.gradients * trained / part[1]),
        kept=kept,
        layer=layer // tp + (0 if divided == tp else 2 * whole),
        logits=logits(model, recipe, in_flight // pp * length, tp),
        head_gradient=0 if recipe.lora_rank else ceil(recipe.gradients * _head(model) / tp),
        # While a layer runs the next is gathered in 16 bits.
        gathered=2 * WORD * largest if zero == 3 and dp > 1 else 0,
        runtime=int(recipe.runtime.value * GIB),
    )


def _head(model: Model) -> int:
    """Return the elements of the head's matrix, tied or not."""
    return vocabulary(model) * model.width


def _kept(recipe: Recipe, layer: int, whole: int, depth: int, pp: int) -> int:
    """Return the bytes that forward leaves on a stage of `depth` layers, with `pp` micro-batches in flight."""
    if recipe.recompute == "offloaded":
        return 2 * whole
    each = whole if recipe.recompute == "full" else int(layer * recipe.kept)
    return each * depth * pp


def _weight_bytes(model: Model, recipe: Recipe, own: int) -> int:
    if recipe.weights in PLAIN:
        return own * (4 if recipe.weights == "fp32" else WORD)
    total = model_cost(model).parameters
    return ceil(stored_weights(model, uniform(recipe.weights)).total * own / total)


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


@lru_cache(maxsize=512)
def rank_parameters(model: Model, tp: int, pp: int) -> int:
    """Return the parameters of the fullest of `pp` stages: its layers, and the embedding or the head, over `tp` ranks."""
    cost = model_cost(model)
    layers = sum(row.layers * row.parameters for row in cost.layers)
    ends = [cost.embedding.parameters, cost.head.parameters]
    if pp == 1:
        return ceil((layers + sum(ends)) / tp)
    return ceil((layers / model.depth * ceil(model.depth / pp) + max(ends)) / tp)


@lru_cache(maxsize=1024)
def layer_activations(model: Model, batch: int, length: int) -> int:
    """Return the bytes in 16 bits that the backward pass of the largest layer reads.

    >>> from attometer.models import model
    >>> layer_activations(model("llama-3.2-3b"), 2, 4096) // 2**20
    1059
    """
    sizes = {"b": batch, "n": length, "m": length, "s": length}

    def saved(row: LayerCost) -> int:
        return sum(int(evaluate(part.saved, sizes)) for part in row.running)

    return WORD * max(saved(row) for row in model_cost(model).layers)


def layer_inputs(model: Model, tokens: int) -> int:
    """Return the bytes in 16 bits of the residual stream that enters a layer."""
    return WORD * model.width * tokens


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
