"""Masks as text and back: custom operators take strings, and a mask prints in the notation."""

from functools import lru_cache

import torch

from attometer.errors import AttometerError
from attometer.masks.counts import symbols
from attometer.program import Mask, parse
from attometer.program.expression import Where
from attometer.program.printer import where_text


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def to_text(mask: Mask | None) -> str:
    """Return the mask in the notation over (i, j); "" is no mask.

    >>> from attometer.program import causal, window
    >>> to_text(causal() & window(4))
    'causal(i, j) & window(i, j, 4)'
    """
    return "" if mask is None else _text(mask)


@lru_cache(maxsize=256)
def _text(mask: Mask) -> str:
    free = symbols(mask)
    if free:
        raise AttometerError(f"mask: {mask} has the symbol {free[0]}; give it a number before it runs")
    return where_text(Where(mask, "i", "j"))


@lru_cache(maxsize=256)
def from_text(text: str) -> Mask | None:
    """Return the mask that `text` says.

    >>> from_text("window(i, j, 4)").pairs(4)
    10
    """
    if not text:
        return None
    for operation in parse(f"axis i: n, j: m\nS[i,j] = X[i,j] where {text}").operations:
        where = getattr(operation, "where", None)
        if where is not None:
            mask: Mask = where.mask
            return mask
    raise AttometerError(f'mask text "{text}" holds no mask')
