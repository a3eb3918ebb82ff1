"""Attention functions to judge: attometer's own implementations, torch's, and others if they are installed."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from attometer.errors import unknown
from attometer.program import Mask, causal
from attometer.run import IMPLEMENTATIONS, Additive, attention
from attometer.run.biases import Biases, terms
from attometer.run.flex import run_flex
from attometer.run.mask_text import to_text
from attometer.testing.calling import Unsupported


def own(impl: str) -> Callable[..., Any]:
    """Return `attention` with one implementation."""

    def function(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Mask | None = None, bias: Biases = None,
        scale: float | None = None, return_lse: bool = False,
    ) -> Any:  # fmt: skip
        if return_lse:
            return attention(q, k, v, mask=mask, bias=bias, scale=scale, impl=impl, return_lse=True)
        return attention(q, k, v, mask=mask, bias=bias, scale=scale, impl=impl)

    return function


def torch_backend(backend: SDPBackend) -> Callable[..., Any]:
    """Return torch's scaled_dot_product_attention held to one backend, called as its documentation says."""

    def function(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Mask | None = None, bias: Biases = None,
        scale: float | None = None,
    ) -> torch.Tensor:  # fmt: skip
        native = mask == causal() and q.shape[2] == k.shape[2] and bias is None
        added = None if native else _dense(q, k, mask, bias)
        grouped = q.shape[1] != k.shape[1]
        try:
            with sdpa_kernel([backend]):
                output: torch.Tensor = F.scaled_dot_product_attention(
                    q, k, v, attn_mask=added, is_causal=native, scale=scale, enable_gqa=grouped
                )
        except RuntimeError as problem:
            if "No available kernel" in str(problem):
                raise Unsupported(f"torch has no {backend.name} kernel for this call") from problem
            raise
        return output

    return function


def _dense(q: torch.Tensor, k: torch.Tensor, mask: Mask | None, bias: Biases) -> torch.Tensor | None:
    """Return a boolean mask, or one float mask for both; raise Unsupported for what torch cannot add to the scores."""
    seen = None if mask is None else torch.tensor(mask.matrix(q.shape[2], k.shape[2]))
    if bias is None:
        return seen
    added = bias[0] if isinstance(bias, tuple) else bias
    if not isinstance(added, Additive):
        raise Unsupported(f"scaled_dot_product_attention has no {type(added).__name__}")
    return added.values if seen is None else added.values.masked_fill(~seen, -torch.inf)


def torch_flex(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Mask | None = None, bias: Biases = None,
    scale: float | None = None, return_lse: bool = False,
) -> Any:  # fmt: skip
    """Run torch's flex_attention, not compiled: the same semantics without a compilation for each shape."""
    if torch.is_grad_enabled() and q.requires_grad and q.device.type == "cpu":
        raise Unsupported("flex_attention has no gradients on CPU")
    held, factor = terms(bias), q.shape[3] ** -0.5 if scale is None else scale
    output, lse = run_flex(q, k, v, to_text(mask), held, factor, compiled=False)
    return (output, lse) if return_lse else output


def x_transformers(flash: bool) -> Callable[..., Any]:
    """Return the attention core of x-transformers (pip install x-transformers)."""
    from x_transformers.attend import Attend  # type: ignore[import-not-found]

    def function(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: Mask | None = None, scale: float | None = None
    ) -> torch.Tensor:
        is_causal = mask == causal() and q.shape[2] == k.shape[2]
        core = Attend(causal=is_causal, flash=flash, scale=scale, heads=q.shape[1])
        seen = None
        if mask is not None and not is_causal:
            seen = torch.tensor(mask.matrix(q.shape[2], k.shape[2]))[None, None]
        output: torch.Tensor = core(q, k, v, mask=seen)[0]
        return output

    return function


PEERS: dict[str, Callable[[], Callable[..., Any]]] = {
    **{impl: (lambda impl=impl: own(impl)) for impl in (*IMPLEMENTATIONS, "auto")},  # type: ignore[misc]
    "torch_math": lambda: torch_backend(SDPBackend.MATH),
    "torch_flash": lambda: torch_backend(SDPBackend.FLASH_ATTENTION),
    "torch_flex": lambda: torch_flex,
    "x_transformers": lambda: x_transformers(flash=False),
    "x_transformers_flash": lambda: x_transformers(flash=True),
}
"""What `python -m attometer.testing --impl` can judge."""


def peer(name: str) -> Callable[..., Any]:
    """Return the function called `name`.

    Raises AttometerError for an unknown name, or a package that is not installed.

    >>> peer("tiled")(*[torch.ones(1, 1, 2, 2)] * 3).shape
    torch.Size([1, 1, 2, 2])
    """
    if name not in PEERS:
        raise unknown("implementation", name, PEERS)
    if name.startswith("x_transformers") and find_spec("x_transformers") is None:
        raise Unsupported(f'implementation "{name}" needs a package; pip install x-transformers')
    return PEERS[name]()
