"""Masks: relations between query and key positions, one file each.

`window(w)` lets a query see the w newest keys, itself included (Mistral's convention); masks are aligned bottom-right.
"""

from attometer.masks.algebra import And, Not, Or
from attometer.masks.band import Band, band, causal, window
from attometer.masks.block import Block, block
from attometer.masks.block_causal import BlockCausal, block_causal
from attometer.masks.catalogue import MASKS
from attometer.masks.chunked import Chunked, chunked
from attometer.masks.document import Document, document
from attometer.masks.fixed import Fixed, fixed
from attometer.masks.global_tokens import Global, global_
from attometer.masks.mask import Mask, Parameter
from attometer.masks.prefix import Prefix, prefix
from attometer.masks.random_keys import Random, random
from attometer.masks.strict import Strict, strict
from attometer.masks.strided import Strided, strided

__all__ = [
    "MASKS",
    "And",
    "Band",
    "Block",
    "BlockCausal",
    "Chunked",
    "Document",
    "Fixed",
    "Global",
    "Mask",
    "Not",
    "Or",
    "Parameter",
    "Prefix",
    "Random",
    "Strict",
    "Strided",
    "band",
    "block",
    "block_causal",
    "causal",
    "chunked",
    "document",
    "fixed",
    "global_",
    "prefix",
    "random",
    "strict",
    "strided",
    "window",
]
