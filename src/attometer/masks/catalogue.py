"""The table of the notation's masks: each is one file and one line here."""

from collections.abc import Callable

from attometer.masks.band import band, causal, window
from attometer.masks.block import block
from attometer.masks.block_causal import block_causal
from attometer.masks.chunked import chunked
from attometer.masks.document import document
from attometer.masks.fixed import fixed
from attometer.masks.global_tokens import global_
from attometer.masks.mask import Mask
from attometer.masks.prefix import prefix
from attometer.masks.random_keys import random
from attometer.masks.strict import strict
from attometer.masks.strided import strided

MASKS: dict[str, Callable[..., Mask]] = {
    "causal": causal,
    "strict": strict,
    "window": window,
    "band": band,
    "global": global_,
    "random": random,
    "strided": strided,
    "fixed": fixed,
    "prefix": prefix,
    "document": document,
    "chunked": chunked,
    "block_causal": block_causal,
    "block": block,
}
"""The masks of the notation, by name."""

# torch.compile cannot hold a mask that is half made: it makes masks between its graphs, as what `torch.compiler.disable` marks, and
# where one graph is asked for says this. Importing torch for its decorator would cost every command a second.
for _made in (*MASKS.values(), Mask.__and__, Mask.__or__, Mask.__invert__):
    _made.__dict__["_torchdynamo_disable"] = True
    _made.__dict__["_torchdynamo_disable_msg"] = (
        'masks are made outside of one graph: make it before, or give it as text, mask="causal & window(3)"'
    )
