"""The schedules' machine code as an implementation: what it lacks, and its call."""

import torch

from attometer.emit import build
from attometer.run.biases import Terms


def unsupported(q: torch.Tensor, bias: Terms) -> str | None:
    """Return the property of the call or of the machine that compiled kernels lack, or None."""
    if q.dtype == torch.float64:
        return "float64"
    if q.device.type not in ("cpu", "meta"):
        return f"tensors on {q.device.type}"
    held = bias.names()
    return held[0] if held else _of_machine()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _of_machine() -> str | None:
    return build.unsupported()


def run_compiled(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: str, bias: Terms, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the compiled nests on checked arguments; the first call of a kind compiles (seconds, kept for later)."""
    from attometer.emit.operators import compiled_attention

    # The kernel looks for the largest product, which is the largest score where the scale is above 0.
    factor, positive = (1.0, scale) if scale > 0 else (0.0, 1.0) if scale == 0 else (-1.0, -scale)
    queries = q if factor == 1.0 else q * factor
    held: tuple[torch.Tensor, torch.Tensor] = compiled_attention(queries, k, v, positive, mask)
    return held
