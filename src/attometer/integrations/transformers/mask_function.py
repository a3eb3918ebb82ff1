"""The mask function of the AttentionMaskInterface: hands over structure, never an n × m tensor."""

from collections.abc import Callable
from typing import Any

import torch
from transformers.masking_utils import causal_mask_function

from attometer.errors import AttometerError
from attometer.integrations.transformers.closures import Place, read
from attometer.integrations.transformers.mask_structure import MaskHandle, MaskStructure, Spans
from attometer.integrations.transformers.refusals import refuse_config
from attometer.masks import And, Band, Or
from attometer.program import Mask


# The structure depends on the padding's values, which a traced graph does not know: compiled models break here.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def attometer_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: Any = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] = causal_mask_function,
    attention_mask: torch.Tensor | None = None,
    config: Any = None,
    device: torch.device | str = "cpu",
    **_: Any,
) -> MaskHandle:
    """Return the structure of a mask, as transformers asks for it.

    Args:
        batch_size: number of sequences b.
        q_length: number of queries n.
        kv_length: number of keys that the layer will hand over.
        q_offset: position of the first query.
        kv_offset: position of the first key.
        mask_function: the pattern, composed of the functions of `transformers.masking_utils`.
        attention_mask: bool [b, at most kv_offset + kv_length], False on padding.
        config: the model's configuration, whose model type may be refused.
        device: where the padding is kept.

    Returns:
        A handle of shape [b, 1, n, kv_length] without entries.

    Raises:
        AttometerError: a refused model type, or a pattern whose structure is not known.

    >>> attometer_mask(1, 4, 4).structure.patterns
    (Band(left=None, right=0),)
    """
    refuse_config(config)
    model_type = str(getattr(config, "model_type", "unknown"))
    last = int(q_offset) + q_length - kv_offset
    rows = read(mask_function, Place(batch_size, kv_offset, kv_length, model_type))
    keys = kv_length
    if any(row is not None for row in rows) and last != kv_length:
        keys = _cut(rows, last, kv_length, model_type)
        rows = read(mask_function, Place(batch_size, kv_offset, keys, model_type))
    padding = _padding(attention_mask, kv_offset, keys)
    patterns = tuple(_without_slack(row, keys) for row in rows)
    structure = MaskStructure(batch_size, q_length, keys, kv_length, patterns, padding, _spans(padding), model_type)
    return MaskHandle.of(structure.to(torch.device(device)), torch.device(device))


def _cut(rows: tuple[Mask | None, ...], last: int, kv_length: int, model_type: str) -> int:
    """Return how many keys stand at or before the last query; those after it must be out of sight."""
    if last > kv_length or last < 1 or not all(row is not None and _looks_back(row) for row in rows):
        raise AttometerError(
            f'model type "{model_type}": its last query stands at key {last} of {kv_length} and its mask is not causal; '
            "use a cache that grows (DynamicCache)"
        )
    return last


def _looks_back(mask: Mask) -> bool:
    """Return whether no query sees keys after the last query."""
    if isinstance(mask, And):
        return any(map(_looks_back, mask.parts))
    if isinstance(mask, Or):
        # A block of tokens (an image, a prefix) is part of the prompt and ends before its last query.
        return all(_looks_back(part) or part.reach is None for part in mask.parts)
    return mask.looks_back


def _without_slack(mask: Mask | None, keys: int) -> Mask | None:
    """Return the mask with a window that no query can fill left out, so that kernels see plain causal attention."""
    if not isinstance(mask, Band):
        return mask
    left, right = (None if reach is None or reach >= keys - 1 else reach for reach in (mask.left, mask.right))
    right = mask.right if mask.right == 0 else right
    return None if left is None and right is None else Band(left, right)


def _padding(attention_mask: torch.Tensor | None, offset: int, keys: int) -> torch.Tensor | None:
    if attention_mask is None:
        return None
    held = attention_mask[:, offset : offset + keys].to(torch.bool)
    held = torch.nn.functional.pad(held, (0, keys - held.shape[1]))
    return None if bool(held.all()) else held


def _spans(padding: torch.Tensor | None) -> Spans | None:
    """Return the real keys (start, stop) of each sequence, or None when some sequence has a gap."""
    if padding is None:
        return None
    start = padding.int().argmax(1)
    count = padding.sum(1)
    key = torch.arange(padding.shape[1], device=padding.device)
    whole = (key >= start[:, None]) & (key < (start + count)[:, None])
    if not torch.equal(whole, padding):
        return None
    return tuple(zip(start.tolist(), (start + count).tolist(), strict=True))
