"""Key/value caches that grow in place: one contiguous buffer, or pages shared by sequences of unequal length."""

from collections.abc import Sequence

import torch

from attometer.errors import AttometerError, positive_int
from attometer.run.validation import name_of


class ContiguousCache:
    """Keys [b, g, m, d] and values [b, g, m, e] of m tokens, in buffers that double when full: appending costs O(1).

    >>> cache = ContiguousCache()
    >>> cache.append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    >>> cache.append(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))
    >>> len(cache), cache.keys.shape
    (4, torch.Size([1, 2, 4, 4]))
    """

    def __init__(self) -> None:
        self._length = 0
        self._buffers: list[torch.Tensor] = []

    def __len__(self) -> int:
        return self._length

    @property
    def keys(self) -> torch.Tensor:
        """Return a view of the keys [b, g, m, d]."""
        return self._view(0)

    @property
    def values(self) -> torch.Tensor:
        """Return a view of the values [b, g, m, e]."""
        return self._view(1)

    def _view(self, which: int) -> torch.Tensor:
        if not self._buffers:
            raise AttometerError("cache: it is empty; append keys and values first")
        return self._buffers[which][:, :, : self._length]

    def append(self, k: torch.Tensor, v: torch.Tensor) -> None:
        """Append t tokens: k [b, g, t, d], v [b, g, t, e]; gradients are not kept."""
        _check_tokens(k, v, [(x.shape[0], x.shape[1], x.shape[3], x.dtype) for x in self._buffers])
        needed = self._length + k.shape[2]
        if not self._buffers:
            self._buffers = [x.new_empty(*x.shape[:2], max(16, x.shape[2]), x.shape[3]) for x in (k, v)]
        elif needed > self._buffers[0].shape[2]:
            self._buffers = [self._grown(x, needed) for x in self._buffers]
        for buffer, new in zip(self._buffers, (k, v), strict=True):
            buffer[:, :, self._length : needed] = new.detach()
        self._length = needed

    def _grown(self, buffer: torch.Tensor, needed: int) -> torch.Tensor:
        grown = buffer.new_empty(*buffer.shape[:2], max(needed, 2 * buffer.shape[2]), buffer.shape[3])
        grown[:, :, : self._length] = buffer[:, :, : self._length]
        return grown

    def truncate(self, length: int) -> None:
        """Forget the tokens after the first `length` (a rejected draft); the buffers stay."""
        if not 0 <= length <= self._length:
            raise AttometerError(f"length: got {length}, expected 0 to {self._length}")
        self._length = length


class PagedCache:
    """Keys and values in pages of `page` tokens from one pool; each of b sequences has its own length and page table.

    Source: Kwon et al. 2023, Efficient Memory Management for LLM Serving with PagedAttention, arXiv:2309.06180.

    >>> cache = PagedCache(sequences=2, page=4)
    >>> cache.append(torch.ones(2, 1, 5, 8), torch.ones(2, 1, 5, 8), lengths=[5, 2])
    >>> cache.lengths, cache.pages_used
    ([5, 2], 3)
    """

    def __init__(self, sequences: int, page: int = 64) -> None:
        for name, value in (("sequences", sequences), ("page", page)):
            positive_int(name, value)
        self.page = page
        self.lengths = [0] * sequences
        self.tables: list[list[int]] = [[] for _ in range(sequences)]
        self._free: list[int] = []
        self.pools: list[torch.Tensor] = []  # [g, pages, page, d] and [g, pages, page, e]

    @property
    def pages_used(self) -> int:
        """Return the number of pages that sequences hold."""
        return sum(map(len, self.tables))

    def append(self, k: torch.Tensor, v: torch.Tensor, lengths: Sequence[int] | None = None) -> None:
        """Append k [b, g, t, d], v [b, g, t, e]; of sequence s only the first `lengths[s]` tokens (default all t)."""
        _check_tokens(k, v, [(len(self.lengths), x.shape[0], x.shape[3], x.dtype) for x in self.pools])
        if k.shape[0] != len(self.lengths):
            raise AttometerError(f"k: got batch {k.shape[0]}, expected the cache's {len(self.lengths)}")
        counts = [k.shape[2]] * k.shape[0] if lengths is None else [int(x) for x in lengths]
        if len(counts) != k.shape[0] or any(not 0 <= c <= k.shape[2] for c in counts):
            raise AttometerError(f"lengths: got {counts}, expected {k.shape[0]} numbers from 0 to {k.shape[2]}")
        for sequence, count in enumerate(counts):
            self._reserve(sequence, self.lengths[sequence] + count, k, v)
            self._write(sequence, k[sequence, :, :count], v[sequence, :, :count])

    def _reserve(self, sequence: int, length: int, k: torch.Tensor, v: torch.Tensor) -> None:
        table = self.tables[sequence]
        while len(table) * self.page < length:
            if not self._free:
                self._grow(k, v)
            table.append(self._free.pop())

    def _grow(self, k: torch.Tensor, v: torch.Tensor) -> None:
        held = self.pools[0].shape[1] if self.pools else 0
        more = max(4, held)
        fresh = [x.new_zeros(x.shape[1], more, self.page, x.shape[3]) for x in (k, v)]
        self.pools = [torch.cat([p, f], 1) for p, f in zip(self.pools, fresh, strict=True)] if self.pools else fresh
        self._free.extend(range(held + more - 1, held - 1, -1))

    def _write(self, sequence: int, k: torch.Tensor, v: torch.Tensor) -> None:
        done, total = 0, k.shape[1]
        while done < total:
            at = self.lengths[sequence]
            count = min(self.page - at % self.page, total - done)
            page = self.tables[sequence][at // self.page]
            place = slice(at % self.page, at % self.page + count)
            for pool, new in zip(self.pools, (k, v), strict=True):
                pool[:, page, place] = new[:, done : done + count].detach()
            self.lengths[sequence] += count
            done += count

    def free(self, sequence: int) -> None:
        """Give the pages of a sequence back; its length becomes 0."""
        if not 0 <= sequence < len(self.lengths):
            raise AttometerError(f"sequence: got {sequence}, expected 0 to {len(self.lengths) - 1}")
        self._free.extend(self.tables[sequence])
        self.tables[sequence], self.lengths[sequence] = [], 0

    def table(self, first: int, last: int) -> torch.Tensor:
        """Return page numbers [b, last - first]; a sequence without that page shows page 0, which its length hides."""
        rows = [[row[k] if k < len(row) else 0 for k in range(first, last)] for row in self.tables]
        return torch.tensor(rows, device=self.pools[0].device)


def _check_tokens(k: torch.Tensor, v: torch.Tensor, held: list[tuple[int, int, int, torch.dtype]]) -> None:
    if k.dim() != 4 or v.dim() != 4 or k.shape[:3] != v.shape[:3] or k.dtype != v.dtype:
        raise AttometerError(
            f"v: got {name_of(v.dtype)} of shape {list(v.shape)}, expected {name_of(k.dtype)} "
            f"[b, g, t, e] with the b, g, t of k {list(k.shape)}"
        )
    for name, new, known in zip("kv", (k, v), held, strict=False):
        got = (new.shape[0], new.shape[1], new.shape[3], new.dtype)
        if got != known:
            raise AttometerError(f"{name}: got {_tokens(got)}, expected the cache's {_tokens(known)}")


def _tokens(what: tuple[int, int, int, torch.dtype]) -> str:
    return f"{name_of(what[3])} [{what[0]}, {what[1]}, t, {what[2]}]"
