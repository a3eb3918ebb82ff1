"""Masks as the sorted intervals of keys that each query sees, the form in which kernels read them."""

from functools import lru_cache

import numpy as np
import torch

from attometer.masks import Mask
from attometer.program import parse_mask

Intervals = tuple[torch.Tensor, torch.Tensor]
FEW = 16  # products of intervals from which a mask and booleans are joined entry by entry


@lru_cache(maxsize=64)
def intervals_of(mask: str, n: int, m: int) -> Intervals | None:
    """Return the sorted intervals of keys of each query, int32 [intervals, n]; None without a mask."""
    if not mask:
        return None
    held: Mask = parse_mask(mask)
    start, end = held.intervals(np.arange(n), n, m)
    # Empty intervals may stand anywhere; the kernel reads them as nothing.
    first, last = (torch.from_numpy(np.ascontiguousarray(x, dtype=np.int32)) for x in (start, end))
    return first, last


def runs(seen: torch.Tensor) -> Intervals:
    """Return the runs of True along the last axis of booleans [..., n, m], int32 [..., runs, n].

    >>> start, end = runs(torch.tensor([[True, True, False, True], [False, False, False, True]]))
    >>> start.tolist(), end.tolist()
    ([[0, 3], [3, 0]], [[2, 4], [4, 0]])
    """
    *lead, n, m = seen.shape
    flat = seen.reshape(-1, m).to(torch.int8)
    edge = torch.diff(flat, prepend=flat.new_zeros(len(flat), 1), append=flat.new_zeros(len(flat), 1))
    row, start = torch.nonzero(edge == 1, as_tuple=True)
    _, end = torch.nonzero(edge == -1, as_tuple=True)
    count = torch.bincount(row, minlength=len(flat))
    most = int(count.max()) if count.numel() else 0
    number = torch.arange(len(row)) - (torch.cumsum(count, 0) - count)[row]
    first, last = (torch.zeros(len(flat), most, dtype=torch.int32) for _ in range(2))
    first[row, number], last[row, number] = start.to(torch.int32), end.to(torch.int32)
    made = (x.reshape(*lead, n, most).transpose(-1, -2).contiguous() for x in (first, last))
    return next(made), next(made)


def seen_intervals(mask: str, n: int, m: int, seen: torch.Tensor | None) -> Intervals | None:
    """Return the intervals of keys that both a mask and booleans [b or 1, h or 1, n or 1, m or 1] leave to each query."""
    own = intervals_of(mask, n, m)
    if seen is None:
        return own
    first, last = runs(seen.expand(*seen.shape[:3], m))
    if own is not None and own[0].shape[-2] * first.shape[-2] > FEW:
        matrix = torch.from_numpy(parse_mask(mask).matrix(n, m))
        first, last = runs(seen & matrix)
    elif own is not None:
        # Both are sorted and apart, so that their products are too.
        first = torch.maximum(own[0][:, None], first[..., None, :, :]).flatten(-3, -2)
        last = torch.minimum(own[1][:, None], last[..., None, :, :]).flatten(-3, -2)
    return first.expand(*first.shape[:-1], n).contiguous(), last.expand(*last.shape[:-1], n).contiguous()
