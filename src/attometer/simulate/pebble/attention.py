"""The vertices of `attention_dag` by row, key and column, and the orders in which attention is run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionRow:
    """Numbers of the vertices of query row `i` in `attention_dag`: m·d scores, m - 1 sums, then e chains of m + 1."""

    n: int
    m: int
    d: int
    e: int
    i: int

    @property
    def start(self) -> int:
        """Number of the row's first vertex."""
        inputs = self.n * self.d + self.m * (self.d + self.e)
        return inputs + self.i * (self.m * self.d + self.m - 1 + self.e * (self.m + 1))

    def product(self, j: int, c: int) -> int:
        """Number of the score of key j after c + 1 multiply-adds; the last holds the exponential."""
        return self.start + j * self.d + c

    def total(self, j: int) -> int:
        """Number of the row sum after key j, which is the first exponential for j = 0."""
        return self.start + self.m * self.d + j - 1 if j else self.product(0, self.d - 1)

    def accumulator(self, j: int, x: int) -> int:
        """Number of output column x after key j; j = m is the division."""
        return self.start + self.m * self.d + self.m - 1 + x * (self.m + 1) + j


def flash_order(n: int, m: int, d: int, e: int, rows: int) -> tuple[int, ...]:
    """Return FlashAttention-2's order of `attention_dag(n, m, d, e)`: for each tile of query rows, stream the keys.

    The scores of one key are used at once, for the row sums and the accumulators: they never go to slow memory.

    >>> len(flash_order(2, 2, 1, 1, rows=1)), flash_order(1, 2, 1, 1, rows=1)
    (12, (5, 8, 6, 7, 9, 10))
    """
    order: list[int] = []
    for top in range(0, n, rows):
        tile = [AttentionRow(n, m, d, e, i) for i in range(top, min(top + rows, n))]
        for j in range(m):
            for row in tile:
                order += [*(row.product(j, c) for c in range(d)), *([row.total(j)] if j else [])]
            order += [row.accumulator(j, x) for row in tile for x in range(e)]
        order += [row.accumulator(m, x) for row in tile for x in range(e)]
    return tuple(order)
