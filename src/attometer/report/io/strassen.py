"""The scores by Strassen's recursion beside what the standard product needs: words moved, and where the two cross."""

from dataclasses import dataclass
from typing import Any

from attometer.count.traffic.strassen import standard_scores_words, strassen_scores_words
from attometer.schedule.strassen import strassen_plan
from attometer.view.numbers import Cell
from attometer.view.report import Block, Report
from attometer.view.table import Table

_WIDEST = 48


@dataclass(frozen=True)
class StrassenReport(Report):
    """Words of QKᵀ by Strassen's recursion and the standard product's lower bound, at d and at wider heads."""

    n: int
    M: int
    rows: tuple[tuple[int, int, int, int], ...]
    crossing: int | None

    def page(self) -> list[Block]:
        """Return the table and the width from which the recursion wins."""
        rows = tuple(
            (d, levels, own, bound, Cell(own / bound, f"{own / bound:.3g}×")) for d, levels, own, bound in self.rows
        )
        won = (
            f"the recursion is below it from d = {self.crossing:,}" if self.crossing else f"never up to d = 2^{_WIDEST}"
        )
        notes = (
            "bound: 2 n² d / √M - 2M and the inputs and output, for any order of the standard n² d products",
            f"{won} (powers of two, n = max(n, d)): its additions are streamed through the fast memory",
        )
        columns = ("d", "levels", "Strassen's words", "standard bound", "ratio")
        return [Table(f"QKᵀ by Strassen's recursion: n = {self.n:,}, M = {self.M:,}", columns, rows, notes)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        keys = ("d", "levels", "strassen", "bound")
        rows = [dict(zip(keys, row, strict=True)) for row in self.rows]
        return {"n": self.n, "M": self.M, "rows": rows, "crossing": self.crossing}


def io_strassen(*, n: int, d: int, M: int) -> StrassenReport:
    """Return what QKᵀ moves by Strassen's recursion on d × d blocks, and from which width that is below the standard bound.

    Raises AttometerError when M is below 3 words.

    >>> io_strassen(n=4096, d=64, M=4096).rows[0]
    (64, 1, 348127232, 33546240)
    """
    widths = sorted({d, *(d << k for k in (2, 4, 8))})
    rows = tuple(_row(n, width, M) for width in widths)
    wins = (w for w in (1 << k for k in range(_WIDEST + 1)) if _below(max(n, w), w, M))
    return StrassenReport(n, M, rows, next(wins, None))


def _row(n: int, d: int, M: int) -> tuple[int, int, int, int]:
    length = max(n, d)
    return d, strassen_plan(d, M).levels, strassen_scores_words(length, d, M), standard_scores_words(length, d, M)


def _below(n: int, d: int, M: int) -> bool:
    return strassen_plan(d, M).levels > 0 and strassen_scores_words(n, d, M) < standard_scores_words(n, d, M)
