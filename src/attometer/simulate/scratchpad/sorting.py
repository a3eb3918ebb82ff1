"""An external merge sort executed through a fast memory of M words, every word counted."""

import heapq
from collections.abc import Iterator, Sequence

Record = tuple[float, int]


class _Memory:
    """Slow memory: reading or writing a record moves its two words."""

    def __init__(self, M: int) -> None:
        self.M, self.words, self.held, self.most = M, 0, 0, 0

    def read(self, run: Sequence[Record]) -> Iterator[Record]:
        for record in run:
            self.words += 2
            self.held += 2
            self.most = max(self.most, self.held)
            yield record

    def write(self, records: Iterator[Record]) -> list[Record]:
        written = []
        for record in records:
            written.append(record)
            self.words += 2
            self.held -= 2
        return written


def merge_sort(keys: Sequence[float], M: int) -> tuple[list[int], int, int]:
    """Return (places in ascending order of key, words moved, most words held) of a sort with M words of fast memory.

    >>> merge_sort([3.0, 1.0, 2.0], 6)
    ([1, 2, 0], 12, 6)
    """
    memory, length = _Memory(M), M // 2
    records = [(key, place) for place, key in enumerate(keys)]
    runs = [
        memory.write(iter(sorted(memory.read(records[start : start + length]))))
        for start in range(0, len(records), length)
    ]
    while len(runs) > 1:
        ways = M // 2 - 1
        runs = [
            memory.write(heapq.merge(*(memory.read(run) for run in runs[k : k + ways])))
            for k in range(0, len(runs), ways)
        ]
    return [place for run in runs for _, place in run], memory.words, memory.most
