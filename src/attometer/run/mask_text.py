"""Masks as text and back: custom operators take strings, and a mask prints in the notation."""

from functools import lru_cache

import torch

from attometer.errors import AttometerError
from attometer.masks.counts import symbols
from attometer.program import Mask, parse_mask


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def to_text(mask: Mask | str | None) -> str:
    """Return the mask in the notation; "" is no mask.

    >>> from attometer.program import causal, window
    >>> to_text(causal() & window(4))
    'causal & window(4)'
    """
    return "" if mask is None else _text(parse_mask(mask) if isinstance(mask, str) else mask)


@lru_cache(maxsize=256)
def _text(mask: Mask) -> str:
    free = symbols(mask)
    if free:
        raise AttometerError(f"mask: {mask} has the symbol {free[0]}; give it a number before it runs")
    return str(mask)


@lru_cache(maxsize=256)
def from_text(text: str) -> Mask | None:
    """Return the mask that `text` says.

    >>> from_text("window(4)").pairs(4)
    10
    """
    return parse_mask(text) if text else None
