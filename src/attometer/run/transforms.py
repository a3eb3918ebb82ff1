"""Which of torch.func's transforms a call runs under: under them values cannot be looked at, nor every gradient taken."""

from attometer.emit.transforms import active

__all__ = ["active", "unsupported"]

_DIFFERENTIATES = {"Grad", "Jvp"}


def unsupported(impl: str) -> str | None:
    """Return the transform around the call that an implementation with gradients of its own lacks, or None."""
    names = active()
    if impl == "compiled":
        return "torch.func's jvp" if "Jvp" in names else None
    if names & _DIFFERENTIATES:
        return "torch.func's grad, vjp, jacrev and jvp"
    return "torch.func's vmap" if names and impl in _LOOK_AT_VALUES else None


_LOOK_AT_VALUES = ("reference", "flex", "kernels")
