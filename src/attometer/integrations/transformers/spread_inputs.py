"""What a model is fed when its sequence is spread over ranks: shards of tokens, positions and targets, checked at every forward."""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from attometer.errors import AttometerError
from attometer.run.distributed.agreement import Agreed
from attometer.run.distributed.layout import Layout, layout_of
from attometer.run.distributed.mesh import Ranks, ranks_of
from attometer.run.distributed.sequence import shard_sequence

IGNORED = -100  # the target of a position without a loss, as in torch's cross_entropy


@dataclass(frozen=True, eq=False)
class Shard:
    """This rank's part of a batch: `model(**shard.inputs)`.

    Attributes:
        input_ids: tokens [b, n of the rank].
        position_ids: their global positions [b, n of the rank].
        targets: the token after each one, wherever it lies [b, n of the rank], -100 where there is none; or None.
        tokens: how many targets all ranks have together.
        length: n, positions of the whole sequence, for `gather_sequence(logits, shard.length, dim=1, ...)`.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    targets: torch.Tensor | None
    tokens: int
    length: int

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """Return the arguments of the model's forward."""
        return {"input_ids": self.input_ids, "position_ids": self.position_ids}

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Return this rank's share of the mean cross-entropy over all tokens; the shares of all ranks sum to it.

        Args:
            logits: this rank's logits [b, n of the rank, vocabulary].
        """
        if self.targets is None:
            raise AttometerError("labels: none were given to shard_inputs, so there is no loss")
        flat = logits.flatten(0, 1)
        total = torch.nn.functional.cross_entropy(
            flat.float() if flat.dtype in (torch.float16, torch.bfloat16) else flat,
            self.targets.flatten(), ignore_index=IGNORED, reduction="sum",
        )  # fmt: skip
        return total / max(1, self.tokens)


def shard_inputs(
    input_ids: torch.Tensor,
    *,
    mesh: DeviceMesh,
    labels: torch.Tensor | None = None,
    layout: str | Layout = "zigzag",
) -> Shard:
    """Return this rank's part of a batch that every rank has.

    Args:
        input_ids: whole sequences [b, n], without padding.
        mesh: the ranks.
        labels: [b, n] as for transformers: equal to input_ids, -100 where no loss is wanted. They are shifted here, over
            the whole sequence, because the token after a shard's last one lies on another rank.
        layout: as in `sequence_parallel`.

    Raises:
        AttometerError: tensors of another shape, or an unknown layout.
    """
    if input_ids.dim() != 2:
        raise AttometerError(f"input_ids: got shape {tuple(input_ids.shape)}, expected [b, n]")
    if labels is not None and labels.shape != input_ids.shape:
        raise AttometerError(
            f"labels: got shape {tuple(labels.shape)}, expected that of input_ids {tuple(input_ids.shape)}"
        )
    n = input_ids.shape[1]
    positions = torch.arange(n, device=input_ids.device).expand(input_ids.shape[0], -1)

    def own(x: torch.Tensor) -> torch.Tensor:
        return shard_sequence(x, mesh=mesh, layout=layout, dim=1)

    if labels is None:
        return Shard(own(input_ids), own(positions), None, 0, n)
    following = torch.nn.functional.pad(labels[:, 1:], (0, min(1, n)), value=IGNORED)
    return Shard(own(input_ids), own(positions), own(following), int((following != IGNORED).sum()), n)


def sum_gradients(model: Any, mesh: DeviceMesh) -> None:
    """Add the parameter gradients of all ranks, in place: afterwards every rank has those of the whole sequence.

    Call it after backward and before the optimizer's step, on every rank; the loss must be the rank's share of a sum over
    all tokens (`Shard.loss`). A gradient that some ranks lack counts as 0 there.

    Raises LostRank if a rank did not answer in time.
    """
    ranks = ranks_of(mesh)
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        return
    held = torch.tensor([p.grad is not None for p in weights], dtype=torch.int32, device=weights[0].device)
    with ranks.guarded("sum of gradients"):
        dist.all_reduce(held, op=dist.ReduceOp.MAX, group=ranks.group)
        for weight, anywhere in zip(weights, held.tolist(), strict=True):
            if anywhere:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                dist.all_reduce(weight.grad, group=ranks.group)


def layout_of_forward(
    module: Any,
    args: Any,
    kwargs: dict[str, Any],
    ranks: Ranks,
    scheme: str | Layout,
    together: Callable[[Callable[[], tuple[int, int]]], Agreed],
) -> Layout:
    """Return the layout of a forward pass whose arguments are good on every rank.

    Raises AttometerError on every rank if one is not supported, or positions are not those of the layout.
    """
    found = together(lambda: _own_positions(module, args, kwargs))
    layout = layout_of(scheme, sum(found.queries), ranks.count)
    if layout.lengths != found.queries:
        raise AttometerError(
            f"input_ids: got lengths {found.queries} on the ranks, expected {layout.lengths} of {layout.length} positions; "
            "cut the sequence with shard_inputs and the same layout"
        )
    if 0 in found.queries:
        raise AttometerError(
            f"input_ids: got lengths {found.queries} on the ranks, expected at least 1 on each; transformers does not run "
            "on an empty sequence, use fewer ranks"
        )
    for rank, number in enumerate(found.keys):
        if number != _number(torch.from_numpy(layout.positions(rank))):
            raise AttometerError(
                f"position_ids: those of rank {rank} are not the global positions of its shard; "
                "pass position_ids=shard_inputs(...).position_ids, with the same layout"
            )
    return layout


def _own_positions(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[int, int]:
    """Return the length of the shard and a number for its positions."""
    given = _given(module, args, kwargs)
    _refuse_given(given)
    tokens = given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs_embeds")
    positions = given.get("position_ids")
    if tokens is None:
        raise AttometerError("input_ids: missing, expected this rank's tokens from shard_inputs")
    mask = given.get("attention_mask")
    if mask is not None and (tuple(mask.shape) != tuple(tokens.shape[:2]) or not bool((mask == 1).all())):
        raise AttometerError(
            f"attention_mask: got shape {tuple(mask.shape)}, expected none: padding and 4-D masks are not supported "
            "sequence-parallel; give whole sequences of one length"
        )
    if positions is None:
        raise AttometerError(
            "position_ids: missing, expected the global positions of this rank's tokens; pass **shard_inputs(...).inputs"
        )
    if positions.dim() != 2 or positions.shape[1] != tokens.shape[1] or not bool((positions == positions[:1]).all()):
        raise AttometerError(
            f"position_ids: got shape {tuple(positions.shape)}, expected [1 or b, {tokens.shape[1]}] with equal rows"
        )
    return int(tokens.shape[1]), _number(positions[0])


def _refuse_given(given: dict[str, Any]) -> None:
    if given.get("past_key_values") is not None or given.get("use_cache"):
        raise AttometerError(
            "use_cache: a cache, and with it generate(), is not supported sequence-parallel; call the model with "
            "use_cache=False, and generate outside of the block"
        )
    if given.get("output_attentions"):
        raise AttometerError("output_attentions: weights are never formed; not supported sequence-parallel")
    if given.get("encoder_hidden_states") is not None:
        raise AttometerError("encoder_hidden_states: cross-attention is not supported sequence-parallel")


def refuse_outer(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raise AttometerError for arguments that a model with a head would apply to this rank's shard alone."""
    given = _given(module, args, kwargs)
    _refuse_given(given)
    if given.get("labels") is not None:
        raise AttometerError(
            "labels: the model would shift them inside the shard and average over this rank's tokens; give them to "
            "shard_inputs and take shard.loss(logits)"
        )
    keep = given.get("logits_to_keep")
    if keep is not None and not (isinstance(keep, int) and keep == 0):
        raise AttometerError("logits_to_keep: the last tokens of a shard are not those of the sequence; leave it out")


def without_cache(module: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with use_cache=False where none was given: a configuration's default is usually True."""
    if "use_cache" not in inspect.signature(module.forward).parameters or _given(module, args, kwargs).get("use_cache"):
        return kwargs
    return {**kwargs, "use_cache": False}


def _given(module: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    bound = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
    more = bound.get("kwargs")
    return {**bound, **(more if isinstance(more, dict) else {})}


def _number(positions: torch.Tensor) -> int:
    content = positions.detach().to("cpu", torch.int64).contiguous().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=7).digest(), "big")
