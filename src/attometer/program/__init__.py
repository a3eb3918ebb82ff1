"""What is computed: axes, operations, masks, the notation, and the Program they make."""

from attometer.masks import (
    Mask,
    band,
    block,
    block_causal,
    causal,
    chunked,
    document,
    fixed,
    global_,
    prefix,
    random,
    strict,
    strided,
    window,
)
from attometer.program.gradient import gradient
from attometer.program.mask_reader import parse_mask
from attometer.program.notation import parse
from attometer.program.program import Declaration, Program
from attometer.sizes import size

__all__ = [
    "Declaration",
    "Mask",
    "Program",
    "band",
    "block",
    "block_causal",
    "causal",
    "chunked",
    "document",
    "fixed",
    "global_",
    "gradient",
    "parse",
    "parse_mask",
    "prefix",
    "random",
    "size",
    "strict",
    "strided",
    "window",
]
