"""The mask of a Hugging Face layer as structure, in a handle that passes for the 4-D tensor models hand around."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from attometer.errors import AttometerError
from attometer.program import Mask

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class MaskStructure:
    """Which keys each query of a batch sees, without an n × m tensor.

    Attributes:
        batch: number of sequences.
        queries: n; query i stands at position i + m - n.
        keys: m, the keys that any query can see; a static cache holds more.
        cached: length of the keys that the layer hands over, at least m.
        patterns: one mask for all sequences, or one for each; None sees all.
        padding: bool [batch, m], False on padding; None without padding.
        spans: the real keys (start, stop) of each sequence; None without padding, or where padding has gaps.
    """

    batch: int
    queries: int
    keys: int
    cached: int
    patterns: tuple[Mask | None, ...]
    padding: torch.Tensor | None
    spans: Spans | None
    model_type: str

    def to(self, device: torch.device) -> "MaskStructure":
        """Return the structure with its padding on `device`."""
        return self if self.padding is None else replace(self, padding=self.padding.to(device))


# Getters and tests of the shape, which a handle answers truly; whatever reads or changes entries is not here.
_ANSWERED: frozenset[Any] = frozenset(
    {
        torch.Tensor.shape.__get__,
        torch.Tensor.ndim.__get__,
        torch.Tensor.dtype.__get__,
        torch.Tensor.device.__get__,
        torch.Tensor.layout.__get__,
        torch.Tensor.is_cpu.__get__,
        torch.Tensor.is_cuda.__get__,
        torch.Tensor.is_mps.__get__,
        torch.Tensor.is_meta.__get__,
        torch.Tensor.is_nested.__get__,
        torch.Tensor.is_sparse.__get__,
        torch.Tensor.is_leaf.__get__,
        torch.Tensor.requires_grad.__get__,
        torch.Tensor.requires_grad.__set__,
        torch.Tensor.grad_fn.__get__,
        torch.Tensor.grad.__get__,
        torch.Tensor.dim,
        torch.Tensor.size,
        torch.Tensor.numel,
        torch.Tensor.__len__,
        torch.Tensor.is_floating_point,
        torch.is_floating_point,
        torch.Tensor.is_complex,
        torch.Tensor.get_device,
        torch.Tensor.stride,
        torch.Tensor.is_contiguous,
    }
)
_UNCHANGED: frozenset[Any] = frozenset({torch.Tensor.contiguous, torch.Tensor.detach, torch.Tensor.clone})


class MaskHandle(torch.Tensor):  # type: ignore[misc]
    """A boolean [b, 1, n, m] by its shape alone: it holds a `MaskStructure` and no entries.

    Transformers passes masks through `generate`, dictionaries of layer types and checkpoints as 4-D tensors; a handle
    goes the same way. It may be moved, detached, or cut to its first keys. Any operation on its entries raises: a model
    that computes with its mask does not use the registered attention function, and would be silently wrong.
    """

    structure: MaskStructure

    @staticmethod
    def of(structure: MaskStructure, device: torch.device) -> "MaskHandle":
        """Return a handle to `structure`."""
        shape = (structure.batch, 1, structure.queries, structure.cached)
        held: MaskHandle = torch.Tensor._make_wrapper_subclass(MaskHandle, shape, dtype=torch.bool, device=device)
        held.structure = structure
        return held

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer for the shape, move or cut the handle, refuse everything else."""
        held = args[0] if args else None
        if isinstance(held, MaskHandle):
            if function in _ANSWERED:
                with torch._C.DisableTorchFunctionSubclass():
                    return function(*args, **(kwargs or {}))
            if function in _UNCHANGED:
                return held
            if function is torch.Tensor.__getitem__ and _whole(held, args[1]):
                return held
            if function is torch.Tensor.to:
                return _moved(held, args[1:], kwargs or {})
        named = next(x for x in (*args, *(kwargs or {}).values()) if isinstance(x, MaskHandle))
        raise _computed(function, named)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse: no operation reaches the entries."""
        raise AttometerError(f"attometer's mask has no entries to compute with, got {function}")

    def __repr__(self, **_: Any) -> str:
        return f"MaskHandle({self.structure})"


def _computed(function: Any, held: MaskHandle) -> AttometerError:
    name = getattr(function, "__name__", str(function))
    return AttometerError(
        f'model type "{held.structure.model_type}" computes with its attention mask ({name}) instead of handing it to the '
        'registered attention function; use attn_implementation="eager" or "sdpa" for it'
    )


def _whole(held: MaskHandle, index: Any) -> bool:
    """Return whether `index` keeps everything, or all keys that can be seen."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) > 4 or not all(isinstance(p, slice) and p.step in (None, 1) for p in parts):
        return False
    lasts = (*tuple(held.shape[:3]), held.structure.keys)
    return all(
        p.start in (None, 0) and (p.stop is None or p.stop >= last) for p, last in zip(parts, lasts, strict=False)
    )


def _moved(held: MaskHandle, args: tuple[Any, ...], kwargs: dict[str, Any]) -> MaskHandle:
    wanted = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.dtype) and x is not torch.bool]
    if wanted:
        raise _computed(torch.Tensor.to, held)
    device = next((x for x in (*args, kwargs.get("device")) if isinstance(x, str | int | torch.device)), held.device)
    if isinstance(device, bool):
        device = held.device
    return MaskHandle.of(held.structure.to(torch.device(device)), torch.device(device))
