"""A Hugging Face model over a sequence that is spread over processes: every rank runs the model on its own positions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed.device_mesh import DeviceMesh
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from attometer.errors import AttometerError, unknown
from attometer.integrations.transformers.attention_function import AttentionFunction
from attometer.integrations.transformers.refusals import refuse_model
from attometer.integrations.transformers.spread_attention import SpreadAttention
from attometer.integrations.transformers.spread_inputs import layout_of_forward, refuse_outer, without_cache
from attometer.run.distributed.agreement import Agreed, agree, digest
from attometer.run.distributed.attention import METHODS
from attometer.run.distributed.layout import SCHEMES, Layout
from attometer.run.distributed.mesh import Ranks, ranks_of

SEQUENCE_PARALLEL = (
    "cohere2", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mistral", "olmo2", "phi", "phi3", "qwen2", "qwen3",
    "starcoder2",
)  # fmt: skip
"""Model types whose attention is the only place where positions meet; each is compared with one process in the tests."""

_RUNNING: list[Any] = []


@contextmanager
def sequence_parallel(
    model: Any, mesh: DeviceMesh, *, layout: str | Layout = "zigzag", impl: str = "auto"
) -> Iterator[Any]:
    """Run `model` on shards of a sequence inside the block: its attention is `attention(..., mesh=mesh)`, exact.

    Every rank holds the whole model with equal weights, enters the block, and feeds what `shard_inputs` gave it. Backward
    is called by every rank inside the block; `sum_gradients` then adds the ranks' parameter gradients.

    Args:
        model: a decoder of a type in `SEQUENCE_PARALLEL`, with its language-model head or without.
        mesh: a one-dimensional DeviceMesh, as from `sequence_mesh()`.
        layout: which positions each rank holds: "zigzag", "contiguous" or a Layout; the one given to `shard_inputs`.
        impl: "ring", "ulysses" or "auto".

    Yields:
        The model. A mechanism from `with_mechanism` stays in force; afterwards the model has the attention it had before.

    Raises:
        AttometerError: on every rank, for a model, an argument of its forward, or weights that differ between ranks.
        LostRank: a rank did not answer within the process group's timeout.

    Source: Liu et al. 2023, arXiv:2310.01889 (ring); Jacobs et al. 2023, arXiv:2309.14509 (Ulysses).
    """
    ranks = ranks_of(mesh)
    found = _together(ranks, lambda: (0, _checked(model, layout, impl)))
    if len(set(found.keys)) > 1:
        other = next(rank for rank, held in enumerate(found.keys) if held != found.keys[0])
        raise AttometerError(
            f"model: got other weights on rank {other} than on rank 0, expected the same on every rank; load the same "
            "checkpoint, or seed every rank alike"
        )
    before = model.config._attn_implementation
    held = ALL_ATTENTION_FUNCTIONS.get(before)
    function = SpreadAttention(ranks, impl, held.narrowing if isinstance(held, AttentionFunction) else None)
    name = "attometer_sequence_parallel" + (f"_{len(_RUNNING)}" if _RUNNING else "")
    AttentionInterface.register(name, function)
    AttentionMaskInterface.register(name, function.mask)
    _RUNNING.append(model)
    hooks = _hooks(model, ranks, layout, function)
    try:
        model.set_attn_implementation(name)
        yield model
    finally:
        for hook in hooks:
            hook.remove()
        _RUNNING[:] = [one for one in _RUNNING if one is not model]
        function.ranks = None
        model.set_attn_implementation(before)


def _together(ranks: Ranks, make: Callable[[], tuple[int, int]]) -> Agreed:
    """Exchange the two numbers that `make` returns; when it raises on a rank, every rank raises."""
    device = ranks.mesh.device_type
    try:
        length, number = make()
    except AttometerError:
        agree(ranks, None, device)
        raise
    return agree(ranks, {"query length": length, "key length": number}, device)


def _hooks(model: Any, ranks: Ranks, layout: str | Layout, function: SpreadAttention) -> list[Any]:
    """Let each forward start with an agreement of all ranks on what it is given."""

    def outer(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        try:
            refuse_outer(module, args, kwargs)
        except AttometerError:
            agree(ranks, None, ranks.mesh.device_type)
            raise
        return args, without_cache(module, args, kwargs)

    def inner(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        function.layout = layout_of_forward(module, args, kwargs, ranks, layout, lambda make: _together(ranks, make))
        kept = without_cache(module, args, kwargs)
        return args, {**kept, "attention_mask": None} if "attention_mask" in kept else kept

    base = model.base_model
    hooks = [base.register_forward_pre_hook(inner, with_kwargs=True)]
    if base is not model:
        hooks.append(model.register_forward_pre_hook(outer, with_kwargs=True))
    return hooks


def _checked(model: Any, layout: str | Layout, impl: str) -> int:
    """Return a number for the weights of a model that can run on shards."""
    refuse_model(model)
    if any(one is model for one in _RUNNING):
        raise AttometerError("model: it already runs sequence-parallel; leave that block first")
    if impl not in METHODS:
        raise unknown("impl", impl, METHODS)
    if isinstance(layout, str) and layout not in SCHEMES:
        raise unknown("layout", layout, SCHEMES)
    _refuse_type(model)
    parts = [_checksum(p) for p in model.parameters()]
    return digest(parts)


def _refuse_type(model: Any) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING

    kind, config = str(model.config.model_type), model.config
    if kind not in SEQUENCE_PARALLEL:
        raise AttometerError(
            f'model type "{kind}" is not verified to run sequence-parallel: outside of attention it may mix positions that '
            f"lie on other ranks; known: {', '.join(SEQUENCE_PARALLEL)}"
        )
    heads = [table[type(config)] for table in (MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_MAPPING) if type(config) in table]
    if type(model) not in heads:
        raise AttometerError(
            f"model: {type(model).__name__} may read single positions of the whole sequence, which lies on several ranks; "
            f"expected {' or '.join(one.__name__ for one in heads)}"
        )
    scaled = sorted(_rope_types(getattr(config, "rope_parameters", None)) & {"dynamic", "longrope"})
    if scaled:
        raise AttometerError(
            f'model: rotary positions of type "{scaled[0]}" depend on the length of the whole sequence, and each rank would '
            "take its own; not supported sequence-parallel"
        )


def _rope_types(parameters: Any) -> set[str]:
    if not isinstance(parameters, dict):
        return set()
    own = {str(parameters["rope_type"])} if "rope_type" in parameters else set()
    return own.union(*(_rope_types(one) for one in parameters.values()))


def _checksum(weight: torch.Tensor) -> tuple[int, ...]:
    """Return a number for the bits of a weight, in exact arithmetic so that equal bits agree on any machine."""
    bits = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()]
    flat = weight.detach().contiguous().view(bits).reshape(-1)
    # Sums of both parities: a sum alone would not see two entries change places.
    return (*weight.shape, int(flat[::2].sum()), int(flat[1::2].sum()))
