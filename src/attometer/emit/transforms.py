"""Operators under torch.func's transforms: as functions with the same gradients, which its `grad` and `vmap` go through."""

from collections.abc import Callable
from typing import Any

import torch


def active() -> frozenset[str]:
    """Return the names of the transforms around the call, such as "Vmap" and "Grad"; none is the usual case.

    >>> active()
    frozenset()
    """
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is None:
        return frozenset()
    return frozenset(level.key().name for level in torch._C._functorch.get_interpreter_stack())


def each_alone(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return the rule of vmap that makes one call for each entry."""

    def rule(info: Any, in_dims: tuple[Any, ...], *arguments: Any) -> tuple[Any, Any]:
        def at(entry: int, argument: Any, axis: Any) -> Any:
            if isinstance(argument, list | tuple) and isinstance(axis, list | tuple):
                return [at(entry, *pair) for pair in zip(argument, axis, strict=True)]
            return argument.select(axis, entry) if axis is not None and isinstance(argument, torch.Tensor) else argument

        pairs = list(zip(arguments, in_dims, strict=True))
        made = [operator(*(at(entry, *pair) for pair in pairs)) for entry in range(info.batch_size)]
        stacked = [torch.stack(x) for x in zip(*made, strict=True)]
        return type(made[0])(stacked), type(made[0])([0] * len(stacked))

    return rule


def transformable(
    operator: Callable[..., Any], keep: Callable[..., None], backward: Callable[..., tuple[Any, ...]]
) -> Callable[..., Any]:
    """Return an operator that torch.func's `grad` goes through too; `keep` and `backward` as `register_autograd` takes them.

    Its arguments are tensors, None or plain values, and its results a tuple of tensors.
    """

    def called(*arguments: Any) -> Any:
        return function.apply(*arguments) if "Grad" in active() else operator(*arguments)  # type: ignore[attr-defined]

    rules = {"forward": operator, "setup_context": keep, "backward": backward, "vmap": each_alone(called)}
    function = type("Transformed", (torch.autograd.Function,), {k: staticmethod(x) for k, x in rules.items()})
    return called
