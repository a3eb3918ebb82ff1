"""The masks of the notation: each function checks its parameters and returns a relation.

`window(w)` lets a query see the w newest keys, itself included (Mistral's convention); masks are aligned bottom-right.
"""

from collections.abc import Callable
from typing import Any

import sympy

from attometer.errors import AttometerError
from attometer.masks.relations import (
    And,
    Band,
    Block,
    Chunked,
    Document,
    Fixed,
    Global,
    Mask,
    Not,
    Or,
    Parameter,
    Prefix,
    Random,
    Strided,
)
from attometer.sizes import Size, size

__all__ = [
    "MASKS",
    "And",
    "Band",
    "Block",
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
    "Strided",
    "band",
    "block",
    "causal",
    "chunked",
    "document",
    "fixed",
    "global_",
    "prefix",
    "random",
    "strided",
    "window",
]

_LARGEST = 2**48  # keeps positions plus parameters inside int64


def _parameter(value: Size | str, what: str, least: int = 1) -> Parameter:
    chosen: Parameter = size(value) if isinstance(value, str) else value
    if isinstance(chosen, sympy.Expr) and chosen.is_Integer:
        chosen = int(chosen)
    # Not known to be an integer is allowed (d/2), known not to be one (1/2), or negative (-d), is not.
    wrong = isinstance(chosen, sympy.Expr) and (chosen.is_integer is False or chosen.is_negative)
    if wrong or isinstance(chosen, bool) or not isinstance(chosen, int | sympy.Expr):
        raise AttometerError(f"{what} must be an integer of at least {least} or a size symbol, got {chosen!r:.80}")
    if isinstance(chosen, int) and chosen < least:
        raise AttometerError(f"{what} must be at least {least}, got {chosen}")
    if isinstance(chosen, int) and chosen > _LARGEST:
        raise AttometerError(f"{what} must be at most 2^48, got {str(chosen)[:30]}")
    return chosen


def causal() -> Mask:
    """A query sees itself and what came before it.

    >>> causal().pairs(4)
    10
    """
    return Band(None, 0)


def window(w: Size | str) -> Mask:
    """A query sees the `w` newest keys, itself included (Mistral); for both sides use `band(left, right)`.

    >>> window(2).matrix(3).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    return Band(_parameter(w, "window") - 1, 0)


def band(left: Size | str | None, right: Size | str | None) -> Mask:
    """A query sees `left` keys before it, itself, and `right` after it; None is all. The symmetric window is `band(r, r)`.

    >>> band(1, 1).matrix(3).astype(int).tolist()
    [[1, 1, 0], [1, 1, 1], [0, 1, 1]]
    """
    return Band(
        None if left is None else _parameter(left, "left", 0), None if right is None else _parameter(right, "right", 0)
    )


def global_(g: Size | str) -> Mask:
    """The first `g` tokens see all and are seen by all.

    >>> global_(1).pairs(3)
    5
    """
    return Global(_parameter(g, "global count"))


def random(r: int, seed: int = 0) -> Mask:
    """Each query sees `r` distinct random keys, the same ones for the same seed.

    >>> random(2).pairs(8)
    16
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise AttometerError(f"seed must be an integer of at least 0, got {seed!r}")
    chosen = _parameter(r, "random count")
    if not isinstance(chosen, int):
        raise AttometerError(f"random count must be a number, got {chosen}")
    return Random(chosen, seed)


def strided(s: Size | str) -> Mask:
    """A query sees the keys a multiple of `s` positions away; the Sparse Transformer's head is `causal() & (window(s) | strided(s))`.

    >>> strided(2).pairs(4)
    8
    """
    return Strided(_parameter(s, "stride"))


def fixed(s: Size | str, c: Size | str = 1) -> Mask:
    """A query sees its block of `s` keys and the last `c` keys of every block; the Sparse Transformer adds `causal()`.

    >>> fixed(2, 1).pairs(4)
    12
    """
    return Fixed(_parameter(s, "stride"), _parameter(c, "summary"))


def prefix(p: Size | str) -> Mask:
    """All queries see the first `p` keys.

    >>> (causal() | prefix(2)).pairs(3)
    7
    """
    return Prefix(_parameter(p, "prefix"))


def document(lengths: tuple[int, ...] | list[int]) -> Mask:
    """Tokens see their own document in a packed sequence.

    >>> document([2, 1]).pairs(3)
    5
    """
    if not isinstance(lengths, list | tuple):
        raise AttometerError(f"document lengths must be a non-empty list of integers, got {lengths!r:.80}")
    sizes = tuple(_parameter(length, "document length") for length in lengths)
    if not sizes or not all(isinstance(s, int) for s in sizes):
        raise AttometerError(f"document lengths must be a non-empty list of integers, got {lengths!r:.80}")
    return Document(tuple(int(s) for s in sizes))


def chunked(c: Size | str) -> Mask:
    """Tokens see their own chunk of `c` positions.

    >>> chunked(2).pairs(5)
    9
    """
    return Chunked(_parameter(c, "chunk"))


def block(size: int, layout: Any) -> Mask:
    """A block-sparse mask: `layout[I][J]` says whether query block I sees key block J.

    >>> block(2, [[1, 0], [1, 1]]).pairs(4)
    12
    """
    if not isinstance(layout, list | tuple) or not all(isinstance(row, list | tuple) for row in layout):
        raise AttometerError("block layout must be a non-empty rectangle of 0 and 1")
    if not layout or len({len(row) for row in layout}) != 1 or not layout[0]:
        raise AttometerError("block layout must be a non-empty rectangle of 0 and 1")
    if any(x not in (0, 1) for row in layout for x in row):
        raise AttometerError("block layout must hold only 0 and 1")
    chosen = _parameter(size, "block size")
    if not isinstance(chosen, int):
        raise AttometerError(f"block size must be a number, got {chosen}")
    return Block(chosen, tuple(tuple(int(x) for x in row) for row in layout))


MASKS: dict[str, Callable[..., Mask]] = {
    "causal": causal,
    "window": window,
    "band": band,
    "global": global_,
    "random": random,
    "strided": strided,
    "fixed": fixed,
    "prefix": prefix,
    "document": document,
    "chunked": chunked,
    "block": block,
}
"""The masks of the notation, by name."""
