"""The seam for compiled kernels: whoever builds one registers it here, and `impl="kernels"` runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from attometer.errors import AttometerError
from attometer.run.biases import Terms

Run: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, str, Terms, float], tuple[torch.Tensor, torch.Tensor]
]
Lacks: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, str, Terms], str | None]


@dataclass(frozen=True)
class Kernel:
    """A compiled implementation of attention.

    `run(q, k, v, mask text, biases, scale)` returns output and log-sum-exp and is differentiable; `lacks(q, k, v, mask
    text, biases)` names the property of a call that it does not support, or returns None; `scores_per_second` on one
    core is what the automatic choice compares.
    """

    name: str
    run: Run
    lacks: Lacks
    scores_per_second: float


_REGISTERED: list[Kernel] = []


def register_kernel(kernel: Kernel) -> None:
    """Make `kernel` the one that `impl="kernels"` runs and that the automatic choice considers."""
    _REGISTERED[:] = [kernel]


def unregister_kernel() -> None:
    """Forget the registered kernel."""
    _REGISTERED.clear()


def registered() -> Kernel | None:
    """Return the registered kernel, or None."""
    return _REGISTERED[0] if _REGISTERED else None


def unsupported(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms) -> str | None:
    """Return what the registered kernel lacks for this call, or None."""
    held = registered()
    return "anything: no compiled kernel is registered" if held is None else held.lacks(q, k, v, mask, bias)


def run_kernels(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the registered kernel."""
    held = registered()
    if held is None:
        raise AttometerError('impl "kernels": no compiled kernel is registered; use "tiled", or "auto" to choose')
    return held.run(q, k, v, mask, bias, scale)
