"""Gradient checkpointing to fit a budget: the fewest blocks are recomputed that bring a step's memory under it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from attometer.errors import AttometerError
from attometer.run.bench.memory import TensorBytes


@dataclass(frozen=True)
class CheckpointPlan:
    """Which blocks are recomputed, and the peak bytes of one step: allowed, predicted, measured, and with none recomputed.

    The peak is of tensors that a forward and a backward pass make: activations, gradients and what lies between.
    """

    budget: int
    blocks: tuple[str, ...]
    recomputed: tuple[str, ...]
    predicted: int
    measured: int
    unchanged: int

    def __str__(self) -> str:
        return (
            f"{len(self.recomputed)} of {len(self.blocks)} blocks recomputed; peak {self.predicted:,} bytes predicted, "
            f"{self.measured:,} measured, {self.unchanged:,} with none recomputed, budget {self.budget:,}"
        )


def checkpoint_to_fit(
    model: nn.Module, budget: int, *example: Any, blocks: Sequence[nn.Module] | None = None
) -> CheckpointPlan:
    """Checkpoint the fewest blocks of `model`, in place, so that a training step's peak fits in `budget` bytes.

    One step is run on the example to see what each block saves, and one more to measure the outcome; gradients that it
    leaves are cleared. Parameters and the optimiser are not in the budget: they are the same either way.

    Args:
        model: a module in training mode; its result's tensors are summed for the backward pass.
        budget: peak bytes of what one forward and backward pass make.
        *example: inputs of the model, of the size that will be trained on.
        blocks: the blocks that may be recomputed; None takes the longest `ModuleList` or `Sequential` in the model.

    Returns:
        The plan: what is recomputed, and the bytes predicted and measured.

    Raises:
        AttometerError: no blocks are found, or recomputing all of them is not predicted to fit.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174; torch.utils.checkpoint.

    >>> layers = (nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 64)) for _ in range(4))
    >>> plan = checkpoint_to_fit(nn.Sequential(*layers), 1_500_000, torch.randn(256, 64))
    >>> len(plan.recomputed), plan.measured < 1_500_000 < plan.unchanged
    (2, True)
    """
    chosen = list(blocks) if blocks is not None else _blocks(model)
    names = {id(module): name for name, module in model.named_modules()}
    watch = _Watch(chosen, list(model.parameters()))
    unchanged, held = _step(model, example, watch)
    rest = unchanged - held
    recomputed = _fewest(watch, chosen, rest, budget, names)
    for block in recomputed:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    measured, _ = _step(model, example, None)
    return CheckpointPlan(
        budget,
        tuple(names[id(b)] for b in chosen),
        tuple(names[id(b)] for b in recomputed),
        watch.peak(recomputed) + rest,
        measured,
        unchanged,
    )


def _blocks(model: nn.Module) -> list[nn.Module]:
    lists = [list(m) for m in model.modules() if isinstance(m, nn.ModuleList | nn.Sequential) and len(m) > 1]
    if not lists:
        raise AttometerError("model: got no ModuleList or Sequential of several blocks, expected one; pass blocks=")
    return max(lists, key=len)


def _fewest(watch: "_Watch", blocks: list[nn.Module], rest: int, budget: int, names: dict[int, str]) -> list[nn.Module]:
    """Return blocks to recompute, those that free most first, until the predicted peak fits."""
    order = sorted(blocks, key=lambda b: -watch.gain(b))
    for count in range(len(order) + 1):
        picked = [b for b in blocks if b in order[:count]]
        if watch.peak(picked) + rest <= budget:
            return picked
    least = min(watch.peak(order[:count]) + rest for count in range(len(order) + 1))
    raise AttometerError(
        f"budget: got {budget:,} bytes, expected at least {least:,}, which recomputing blocks of "
        f'"{names[id(blocks[0])]}" … "{names[id(blocks[-1])]}" is predicted to need; use a smaller batch or length'
    )


@dataclass
class _Watch:
    """Which storages each block takes and saves, by address; what is saved outside of all blocks is under None."""

    blocks: list[nn.Module]
    parameters: list[torch.Tensor]
    sizes: dict[int, int] = field(default_factory=dict)
    saved: dict[int | None, set[int]] = field(default_factory=dict)
    inputs: dict[int | None, set[int]] = field(default_factory=dict)
    inside: list[int | None] = field(default_factory=lambda: [None])

    def keep(self, tensor: torch.Tensor) -> torch.Tensor:
        """Note that the block that is running saves `tensor`."""
        self.saved.setdefault(self.inside[-1], set()).update(self._addresses([tensor]))
        return tensor

    def enter(self, block: nn.Module, arguments: Any, keywords: Any) -> None:
        """Note that `block` starts, and what it is given."""
        self.inside.append(id(block))
        leaves = [x for x in tree_leaves((arguments, keywords)) if isinstance(x, torch.Tensor)]
        self.inputs.setdefault(id(block), set()).update(self._addresses(leaves))

    def _addresses(self, tensors: Iterable[torch.Tensor]) -> set[int]:
        own = {p.untyped_storage().data_ptr() for p in self.parameters}
        found = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        kept = {address: size for address, size in found.items() if address not in own}
        self.sizes |= kept
        return set(kept)

    def bytes(self, addresses: set[int]) -> int:
        """Return the bytes of some storages."""
        return sum(self.sizes[a] for a in addresses)

    def gain(self, block: nn.Module) -> int:
        """Return the bytes that recomputing a block gives back, its inputs staying."""
        return self.bytes(self.saved.get(id(block), set()) - self.inputs.get(id(block), set()))

    def peak(self, recomputed: list[nn.Module]) -> int:
        """Return the most bytes alive: at the end of the forward pass, or when a block is there again.

        The backward pass meets the blocks last to first: what came after a block is gone when it is recomputed.
        """
        most = self._held(self.blocks, recomputed)
        for place, block in enumerate(self.blocks):
            if block in recomputed:
                most = max(most, self._held(self.blocks[: place + 1], recomputed) + self.gain(block))
        return most

    def _held(self, until: list[nn.Module], recomputed: list[nn.Module]) -> int:
        held = set(self.saved.get(None, set()))
        for block in until:
            held |= (self.inputs if block in recomputed else self.saved).get(id(block), set())
        return self.bytes(held)


def _step(model: nn.Module, example: tuple[Any, ...], watch: _Watch | None) -> tuple[int, int]:
    """Return the peak bytes of a forward and backward pass, and the bytes that the forward pass left for the backward."""
    before = {name: p.grad for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = None
    with TensorBytes() as counted:
        output = model(*example) if watch is None else _watched(model, example, watch)
        results = [x for x in tree_leaves(output) if isinstance(x, torch.Tensor) and x.requires_grad]
        torch.stack([x.sum() for x in results]).sum().backward()
    for name, parameter in model.named_parameters():
        parameter.grad = before[name]
    return counted.peak, 0 if watch is None else watch.peak([])


def _watched(model: nn.Module, example: tuple[Any, ...], watch: _Watch) -> Any:
    hooks = []
    for block in watch.blocks:
        hooks.append(block.register_forward_pre_hook(watch.enter, with_kwargs=True))
        hooks.append(block.register_forward_hook(lambda *_: watch.inside.pop() and None))
    try:
        with torch.autograd.graph.saved_tensors_hooks(watch.keep, lambda x: x):
            return model(*example)
    finally:
        for hook in hooks:
            hook.remove()
