"""Key/value caches that grow in place: one contiguous buffer, or pages shared by sequences of unequal length."""

from collections.abc import Sequence

import torch

from attometer.errors import AttometerError, positive_int
from attometer.run.validation import name_of

CODES = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
"""The types of codes, each with its largest."""


def coded(x: torch.Tensor, codes: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes of x [..., width] and a scale [..., 1] in float32 for each of its rows, whose largest entry is the largest code.

    A row with NaN or an infinity is NaN wholly.

    >>> codes, scale = coded(torch.tensor([[1.0, -0.5, 0.25]]), torch.int8)
    >>> codes.tolist(), [round(x, 4) for x in decoded(codes, scale, torch.float32)[0].tolist()]
    ([[127, -64, 32]], [1.0, -0.5039, 0.252])
    """
    wide = x.detach().float()
    scale = wide.abs().amax(-1, keepdim=True) / CODES[codes]
    # The scale of a row of subnormal numbers is rounded so much that its largest would pass the largest code.
    units = (wide / torch.where(scale == 0, 1.0, scale)).nan_to_num(0.0).clamp(-CODES[codes], CODES[codes])
    return (units.round() if codes == torch.int8 else units).to(codes), scale


def decoded(codes: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return what codes [..., width] with scales [..., 1] stand for."""
    return (codes.to(torch.promote_types(dtype, torch.float32)) * scale).to(dtype)


class _Cache:
    """Tokens as they are kept: in the type that they come in, or as codes with a scale for each row of keys and of values."""

    def __init__(self, codes: torch.dtype | None) -> None:
        if codes is not None and codes not in CODES:
            raise AttometerError(f"codes: got {codes}, expected None or one of {', '.join(map(name_of, CODES))}")
        self.codes = codes
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    def _check(self, k: torch.Tensor, v: torch.Tensor) -> None:
        held = [] if self._last is None else [(x.shape[0], x.shape[1], x.shape[3], x.dtype) for x in self._last]
        _check_tokens(k, v, held)

    def _kept(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return what is kept of tokens that are checked."""
        if self._last is None:
            self._last = k[:, :, :0].detach(), v[:, :, :0].detach()
        if self.codes is None:
            return k.detach(), v.detach()
        (keys, key_scales), (values, value_scales) = coded(k, self.codes), coded(v, self.codes)
        return keys, values, key_scales, value_scales

    def plain(self, parts: Sequence[torch.Tensor], which: int) -> torch.Tensor:
        """Return the keys (0) or the values (1) of parts."""
        return parts[which] if self.codes is None else decoded(parts[which], parts[which + 2], self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Return the type that tokens came in."""
        return self._tokens[0].dtype

    @property
    def _tokens(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._last is None:
            raise AttometerError("cache: it is empty; append keys and values first")
        return self._last

    def sample(self, m: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tensors like m keys [b, g, m, d] and values [b, g, m, e], without their entries."""
        k, v = (x.new_empty(1).expand(*x.shape[:2], m, x.shape[3]) for x in self._tokens)
        return k, v


class ContiguousCache(_Cache):
    """Keys [b, g, m, d] and values [b, g, m, e] of m tokens, in buffers that double when full: appending costs O(1).

    With `codes` (torch.int8, torch.float8_e4m3fn) each row is kept as codes and a scale, about a quarter of float32 and half of bf16.

    >>> cache = ContiguousCache()
    >>> cache.append(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 3, 4))
    >>> cache.append(torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))
    >>> len(cache), cache.keys.shape
    (4, torch.Size([1, 2, 4, 4]))
    """

    def __init__(self, codes: torch.dtype | None = None) -> None:
        super().__init__(codes)
        self._length = 0
        self._buffers: list[torch.Tensor] = []

    def __len__(self) -> int:
        return self._length

    @property
    def keys(self) -> torch.Tensor:
        """Return a view of the keys [b, g, m, d]; of codes what they stand for."""
        return self.plain(self.parts, 0)

    @property
    def values(self) -> torch.Tensor:
        """Return a view of the values [b, g, m, e]; of codes what they stand for."""
        return self.plain(self.parts, 1)

    @property
    def parts(self) -> list[torch.Tensor]:
        """Return views of keys and values as they are kept, and of their scales [b, g, m, 1] if they are codes."""
        return self.between(0, self._length)

    def between(self, first: int, last: int) -> list[torch.Tensor]:
        """Return the parts of the tokens from `first` to `last`."""
        if not self._buffers:
            raise AttometerError("cache: it is empty; append keys and values first")
        return [x[:, :, first:last] for x in self._buffers]

    def append(self, k: torch.Tensor, v: torch.Tensor) -> None:
        """Append t tokens: k [b, g, t, d], v [b, g, t, e]; gradients are not kept."""
        self._check(k, v)
        parts = self._kept(k, v)
        needed = self._length + k.shape[2]
        if not self._buffers:
            self._buffers = [x.new_empty(*x.shape[:2], max(16, x.shape[2]), x.shape[3]) for x in parts]
        elif needed > self._buffers[0].shape[2]:
            self._buffers = [self._grown(x, needed) for x in self._buffers]
        for buffer, new in zip(self._buffers, parts, strict=True):
            buffer[:, :, self._length : needed] = new
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


class PagedCache(_Cache):
    """Keys and values in pages of `page` tokens from one pool; each of b sequences has its own length and page table.

    `codes` as of a `ContiguousCache`.

    Source: Kwon et al. 2023, Efficient Memory Management for LLM Serving with PagedAttention, arXiv:2309.06180.

    >>> cache = PagedCache(sequences=2, page=4)
    >>> cache.append(torch.ones(2, 1, 5, 8), torch.ones(2, 1, 5, 8), lengths=[5, 2])
    >>> cache.lengths, cache.pages_used
    ([5, 2], 3)
    """

    def __init__(self, sequences: int, page: int = 64, codes: torch.dtype | None = None) -> None:
        super().__init__(codes)
        for name, value in (("sequences", sequences), ("page", page)):
            positive_int(name, value)
        self.page = page
        self.lengths = [0] * sequences
        self.tables: list[list[int]] = [[] for _ in range(sequences)]
        self._free: list[int] = []
        self.pools: list[torch.Tensor] = []
        """Keys [g, pages, page, d] and values [g, pages, page, e], and if they are codes their scales [g, pages, page, 1]."""

    @property
    def pages_used(self) -> int:
        """Return the number of pages that sequences hold."""
        return sum(map(len, self.tables))

    def append(self, k: torch.Tensor, v: torch.Tensor, lengths: Sequence[int] | None = None) -> None:
        """Append k [b, g, t, d], v [b, g, t, e]; of sequence s only the first `lengths[s]` tokens (default all t)."""
        self._check(k, v)
        if k.shape[0] != len(self.lengths):
            raise AttometerError(f"k: got batch {k.shape[0]}, expected the cache's {len(self.lengths)}")
        counts = [k.shape[2]] * k.shape[0] if lengths is None else [int(x) for x in lengths]
        if len(counts) != k.shape[0] or any(not 0 <= c <= k.shape[2] for c in counts):
            raise AttometerError(f"lengths: got {counts}, expected {k.shape[0]} numbers from 0 to {k.shape[2]}")
        parts = self._kept(k, v)
        for sequence, count in enumerate(counts):
            self._reserve(sequence, self.lengths[sequence] + count, parts)
            self._write(sequence, [x[sequence, :, :count] for x in parts])

    def _reserve(self, sequence: int, length: int, parts: Sequence[torch.Tensor]) -> None:
        table = self.tables[sequence]
        while len(table) * self.page < length:
            if not self._free:
                self._grow(parts)
            table.append(self._free.pop())

    def _grow(self, parts: Sequence[torch.Tensor]) -> None:
        held = self.pools[0].shape[1] if self.pools else 0
        more = max(4, held)
        fresh = [x.new_zeros(x.shape[1], more, self.page, x.shape[3]) for x in parts]
        self.pools = [torch.cat([p, f], 1) for p, f in zip(self.pools, fresh, strict=True)] if self.pools else fresh
        self._free.extend(range(held + more - 1, held - 1, -1))

    def _write(self, sequence: int, parts: Sequence[torch.Tensor]) -> None:
        done, total = 0, parts[0].shape[1]
        while done < total:
            at = self.lengths[sequence]
            count = min(self.page - at % self.page, total - done)
            page = self.tables[sequence][at // self.page]
            place = slice(at % self.page, at % self.page + count)
            for pool, new in zip(self.pools, parts, strict=True):
                pool[:, page, place] = new[:, done : done + count]
            self.lengths[sequence] += count
            done += count

    def free(self, sequence: int) -> None:
        """Give the pages of a sequence back; its length becomes 0."""
        if not 0 <= sequence < len(self.lengths):
            raise AttometerError(f"sequence: got {sequence}, expected 0 to {len(self.lengths) - 1}")
        self._free.extend(self.tables[sequence])
        self.tables[sequence], self.lengths[sequence] = [], 0

    def gathered(self, first: int, last: int) -> list[torch.Tensor]:
        """Return the parts of the pages from `first` to `last` of every sequence, [b, g, tokens, width] each."""
        table = self.table(first, last)
        return [pool[:, table].flatten(2, 3).transpose(0, 1) for pool in self.pools]

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
