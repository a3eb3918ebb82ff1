"""Reading the structure of a mask out of the functions that transformers composes it from.

transformers 5.23 describes a mask as nested closures over (batch, head, query, key); `masking_utils` makes all of them
from about ten functions, which are known here by name. A function that is not known is refused, never sampled.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from attometer.errors import AttometerError
from attometer.masks import Band, Document
from attometer.program import Mask, causal, chunked, document

Rows = tuple[Mask | None, ...]
Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Place:
    """Where the keys stand: those of the mask are at positions offset <= j < offset + keys of their sequences."""

    batch: int
    offset: int
    keys: int
    model_type: str
    positions: torch.Tensor | None = None  # of packed sequences: restarts at each one's start

    def cut(self, ids: torch.Tensor, missing: int) -> torch.Tensor:
        """Return ids [batch, keys] of the keys from ids over whole sequences."""
        held = ids.expand(self.batch, -1)[:, self.offset : self.offset + self.keys]
        return torch.nn.functional.pad(held, (0, self.keys - held.shape[1]), value=missing)


def read(function: Function, place: Place) -> Rows:
    """Return the mask that `function` describes: one for all sequences, or one for each.

    Raises AttometerError naming a function whose structure is not known.
    """
    name = _name(function)
    reader = _READERS.get(name)
    if reader is None:
        raise AttometerError(
            f'model type "{place.model_type}" masks with the function "{function.__module__}.{name}", whose structure '
            'attometer does not know; pass a 4-D attention_mask, or use attn_implementation="sdpa"'
        )
    rows = reader(_held(function), place)
    return rows[:1] if all(row == rows[0] for row in rows) else rows


def both(a: Mask | None, b: Mask | None) -> Mask | None:
    """Return the intersection; two bands are one band.

    >>> str(both(Band(7, None), causal()))
    'window(8)'
    """
    if a is None or b is None:
        return b if a is None else a
    made = a & b
    return made if made.reach is None else Band(*made.reach)


def _either(a: Mask | None, b: Mask | None) -> Mask | None:
    return None if a is None or b is None else a | b


def _combined(parts: list[Rows], how: Callable[[Mask | None, Mask | None], Mask | None]) -> Rows:
    count = max(len(rows) for rows in parts)
    found = [rows * count if len(rows) == 1 else rows for rows in parts]
    made = list(found[0])
    for rows in found[1:]:
        made = [how(a, b) for a, b in zip(made, rows, strict=True)]
    return tuple(made)


def _name(function: Function) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _held(function: Function) -> dict[str, Any]:
    cells = getattr(function, "__closure__", None) or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}


def _and(held: dict[str, Any], place: Place) -> Rows:
    return _combined([read(part, place) for part in held["mask_functions"]], both)


def _or(held: dict[str, Any], place: Place) -> Rows:
    functions = held["mask_functions"]
    parts = [read(part, place) for part in functions]
    others = [rows for part, rows in zip(functions, parts, strict=True) if _name(part) != _BLOCKWISE]
    if len(others) < len(parts) and not any(all(map(_sees_itself, rows)) for rows in others):
        # Tokens outside of all blocks become blocks of one, which is right only if they see themselves anyway.
        raise AttometerError(f'model type "{place.model_type}" masks with blocks alone; pass a 4-D attention_mask')
    return _combined(parts, _either)


def _sees_itself(mask: Mask | None) -> bool:
    # Documents are read from ids of all keys here: no position lies past the last.
    return mask is None or mask.mapped(lambda x: causal() if isinstance(x, Document) else x).sees_itself


def _packed(held: dict[str, Any], place: Place) -> Rows:
    return tuple(document(_runs(row)) for row in place.cut(held["packed_sequence_mask"], -1).tolist())


def _remapped(held: dict[str, Any], place: Place) -> Rows:
    return read(held["mask_function"], replace(place, positions=held["position_ids"]))


def _chunked(held: dict[str, Any], place: Place) -> Rows:
    size, left = int(held["chunk_size"]), held["left_padding"]
    if place.positions is None and place.offset == 0 and not bool(left.any()):
        return (chunked(size),)
    whole = torch.arange(place.offset + place.keys, device=left.device)[None]
    positions = whole if place.positions is None else place.positions
    ids = torch.div(positions - left[:, None], size, rounding_mode="floor")
    return tuple(document(_runs(row)) for row in place.cut(ids, -1).tolist())


def _blockwise(held: dict[str, Any], place: Place) -> Rows:
    rows = place.cut(held["block_sequence_ids"], -1).tolist()
    return tuple(document(_blocks(row, place.model_type)) for row in rows)


def _runs(ids: list[int]) -> list[int]:
    lengths = [0]
    for k, one in enumerate(ids):
        if k and one != ids[k - 1]:
            lengths.append(0)
        lengths[-1] += 1
    return lengths


def _blocks(ids: list[int], model_type: str) -> list[int]:
    """Return document lengths: tokens of no block (-1) stand alone."""
    alone = [one if one >= 0 else -1 - k for k, one in enumerate(ids)]
    lengths = _runs(alone)
    if len(lengths) != len(set(alone)):
        raise AttometerError(
            f'model type "{model_type}" masks with a block in several pieces; pass a 4-D attention_mask instead'
        )
    return lengths


def _two_sided(held: dict[str, Any], place: Place) -> Rows:
    window = held["sliding_window"]
    if isinstance(window, tuple | list):  # Gemma 4: keys from the left, itself included, and from the right, excluded
        left, right = (int(x) for x in window)
    elif held.get("is_causal", True):
        left, right = int(window), 0
    else:  # T5Gemma 2
        left, right = (int(window) + 1) // 2, int(window) // 2 + 1
    return (Band(left - 1, max(right - 1, 0)),)


_BLOCKWISE = "blockwise_overlay.<locals>.inner_mask"
_READERS: dict[str, Callable[[dict[str, Any], Place], Rows]] = {
    "causal_mask_function": lambda held, place: (causal(),),
    "bidirectional_mask_function": lambda held, place: (None,),
    "and_masks.<locals>.and_mask": _and,
    "or_masks.<locals>.or_mask": _or,
    "sliding_window_overlay.<locals>.inner_mask": lambda held, place: (Band(int(held["sliding_window"]) - 1, None),),
    "sliding_window_bidirectional_overlay.<locals>.inner_mask": lambda held, place: (
        Band(int(held["sliding_window"]), int(held["sliding_window"])),
    ),
    "sliding_window_mask_function.<locals>.inner_mask": _two_sided,
    "chunked_overlay.<locals>.inner_mask": _chunked,
    "packed_sequence_mask_function.<locals>.inner_mask": _packed,
    "remap_positions_for_packed_sequence.<locals>.inner_mask": _remapped,
    _BLOCKWISE: _blockwise,
}
