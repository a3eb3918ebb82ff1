"""Which of torch.func's transforms a call runs under: under them values cannot be looked at, nor every gradient taken."""

import torch

_DIFFERENTIATES = {"Grad", "Jvp"}


def active() -> frozenset[str]:
    """Return the names of the transforms around the call, such as "Vmap" and "Grad"; none is the usual case.

    >>> active()
    frozenset()
    """
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is None:
        return frozenset()
    return frozenset(level.key().name for level in torch._C._functorch.get_interpreter_stack())


def unsupported(impl: str) -> str | None:
    """Return the transform around the call that an implementation with gradients of its own lacks, or None."""
    names = active()
    if names & _DIFFERENTIATES:
        return "torch.func's grad, vjp, jacrev and jvp"
    return "torch.func's vmap" if names and impl in _LOOK_AT_VALUES else None


_LOOK_AT_VALUES = ("reference", "flex", "kernels")
