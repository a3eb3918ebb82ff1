"""Training recipes as data: the types of weights, gradients and optimizer states, what is trained, and what is recomputed."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attometer.engines.engine import Stated
from attometer.errors import AttometerError, unknown


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


RECOMPUTE = ("none", "selective", "full", "offloaded")
LOSSES = ("whole", "chunked", "fused")


class Optimizer(_Frozen):
    """Bytes of state per trained parameter, where a state is as wide as `wide` (fp32), or in the weights' 16 bits."""

    fp32: float
    bf16: float
    source: str


class Recipe(_Frozen):
    """How a model is trained.

    Attributes:
        weights: format of the weights that the layers compute with.
        master: bytes of the copy that the optimizer updates, per trained parameter (0: it updates the weights themselves).
        gradients: bytes of a gradient per trained parameter.
        optimizer: name in the table of optimizers.
        state: `fp32` or `bf16`: the width of the optimizer's states.
        lora_rank: 0 trains every weight; otherwise the rank of adapters beside frozen weights.
        ends: whether the embedding and the head are trained beside adapters, as copies of their own.
        lora_targets: names of the parts that have adapters; none means every projection of layers but routed experts'.
        recompute: what of the activations is computed again instead of kept.
        loss: whether all logits exist at once.
        accumulate: whether gradients live from one micro-batch to the next.
        scratch: bytes per trained parameter that the optimizer makes anew in every step.
        offload: what the host holds: nothing, the optimizer's states and master copy (and gradients where replicas divide
            them), or the weights that replicas divide, too.
        fused_step: whether the optimizer runs within the backward pass, so that gradients never exist together.
        scores: whether attention keeps its scores for the backward pass (no flash attention).
        compiled: whether a compiler fuses element-wise operations, so that fewer tensors are kept.
        kept_eager, kept_compiled, kept_selective, kept_adapters: share of the counted activations that is kept.
        logit_bytes: bytes per logit alive at once under a whole loss.
        slack: share that the allocator reserves beyond what it hands out.
        runtime: GiB of context, libraries and buffers of one process.
    """

    name: str
    weights: str = "bf16"
    master: float = 0.0
    gradients: float = 2.0
    optimizer: str = "adamw"
    state: Literal["fp32", "bf16"] = "fp32"
    lora_rank: int = Field(default=0, ge=0)
    lora_targets: tuple[str, ...] = ()
    ends: bool = False
    recompute: Literal["none", "selective", "full", "offloaded"] = "none"
    loss: Literal["whole", "chunked", "fused"] = "whole"
    chunks: int = Field(default=8, ge=1)
    accumulate: bool = False
    scratch: float = 0.0
    offload: Literal["none", "optimizer", "all"] = "none"
    fused_step: bool = False
    scores: bool = False
    compiled: bool = False
    kept_eager: Stated
    kept_compiled: Stated
    kept_selective: Stated
    kept_adapters: Stated
    logit_bytes: Stated
    slack: Stated
    runtime: Stated
    source: str

    @property
    def kept(self) -> float:
        """Share of the counted activations of a layer that are really kept."""
        share = self.kept_compiled.value if self.compiled else self.kept_eager.value
        share = min(share, self.kept_adapters.value) if self.lora_rank else share
        return share * (self.kept_selective.value if self.recompute == "selective" else 1.0)

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of weights, master copy, gradients and states of a trained parameter, when all are whole.

        >>> [recipe(name).bytes_per_parameter for name in ("adamw", "megatron", "adamw-fp32", "adamw-bf16")]
        [16.0, 18.0, 16.0, 8.0]
        """
        wide = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}.get(self.weights, 2.0)
        return wide + self.master + self.gradients + self.states

    @property
    def states(self) -> float:
        """Bytes of optimizer state per trained parameter."""
        return float(getattr(optimizer(self.optimizer), self.state))

    def with_(self, **parts: object) -> "Recipe":
        """Return the recipe with some parts replaced, checked as if it came from the file.

        Raises AttometerError that names the part and the values it may have.

        >>> recipe("adamw").with_(recompute="full", loss="chunked").recompute
        'full'
        """
        for key in parts:
            if key not in type(self).model_fields:
                raise unknown("part of a recipe", key, type(self).model_fields, {"r": "lora_rank", "rank": "lora_rank"})
        if "optimizer" in parts:
            optimizer(str(parts["optimizer"]))
        try:
            return type(self).model_validate({**self.model_dump(), **parts})
        except ValidationError as error:
            first = error.errors()[0]
            raise AttometerError(f"recipe: {'.'.join(map(str, first['loc']))}: {first['msg'].lower()}") from None

    def __str__(self) -> str:
        trained = f"adapters of rank {self.lora_rank}" if self.lora_rank else "every weight"
        return f"{self.name}: {self.weights} weights, {self.optimizer} ({self.state} states), {trained} trained"


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, Recipe], dict[str, Optimizer]]:
    folder = files("attometer") / "data" / "recipes"
    read = tomllib.loads((folder / "optimizers.toml").read_text(encoding="utf-8"))
    optimizers = {name: Optimizer.model_validate(row) for name, row in read.items()}
    found = tomllib.loads((folder / "recipes.toml").read_text(encoding="utf-8"))
    shared = found.pop("shared")
    return {name: Recipe.model_validate({**shared, **row, "name": name}) for name, row in found.items()}, optimizers


def recipes() -> tuple[str, ...]:
    """Return the names of the shipped recipes."""
    return tuple(_tables()[0])


def optimizers() -> tuple[str, ...]:
    """Return the names of the optimizers."""
    return tuple(_tables()[1])


def recipe(name: str) -> Recipe:
    """Return a shipped recipe by name.

    Raises AttometerError for an unknown name.

    >>> recipe("qlora").weights, recipe("qlora").lora_rank
    ('nf4_double', 8)
    """
    known = _tables()[0]
    wanted = str(name).strip().lower()
    if wanted not in known:
        raise unknown("recipe", name, known)
    return known[wanted]


def optimizer(name: str) -> Optimizer:
    """Return an optimizer's bytes of state by name.

    Raises AttometerError for an unknown name.

    >>> optimizer("lion").fp32, optimizer("sgd").fp32
    (4.0, 0.0)
    """
    known = _tables()[1]
    if name not in known:
        raise unknown("optimizer", name, known)
    return known[name]
