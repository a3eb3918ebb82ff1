"""Measurement files: CSV (plain or .xz) in one schema, read row by row; what is wrong is said by file, row and column."""

import csv
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path

from attometer.errors import AttometerError

#: columns without which no row can be read; every other column may be absent and reads as empty
NEEDED = ("source_id", "split_group", "hw_id", "engine", "mode", "metric", "value", "unit", "tier")

#: metric → (unit as it begins → factor to base units); a metric that is not here is not a time
UNITS = {
    name: units
    for names, units in (
        ("latency e2e_latency prefill_latency decode_step_latency step_time", {"ms": 1e-3, "s": 1.0, "us": 1e-6}),
        ("ttft tpot ttft_median tpot_median ttft_min", {"ms": 1e-3, "s": 1.0, "us": 1e-6}),
        ("prefill_tokens_per_s decode_tokens_per_s generation_speed output_throughput", {"tokens/s": 1.0}),
        ("train_tokens_per_s train_tokens_per_s_per_gpu", {"tokens/s": 1.0}),
        ("sequences_per_s sequences_per_s_per_gpu", {"sequences/s": 1.0}),
        ("samples_per_s", {"samples/s": 1.0}),
        ("achieved_tflops model_tflops_per_gpu hardware_tflops_per_gpu", {"TFLOP/s": 1e12, "GFLOP/s": 1e9}),
        ("achieved_bandwidth", {"GB/s": 1e9, "TB/s": 1e12}),
        ("mfu hfu", {"%": 1e-2}),
    )
    for name in names.split()
}


class Incomplete(Exception):
    """A row lacks a column that its class needs."""


class Unpriced(Exception):
    """A row states no time, or is excluded by a rule; the text is the reason."""


@dataclass(frozen=True)
class Row:
    """One measured row, with its place as `file row 12`."""

    cells: dict[str, str]
    place: str

    def text(self, column: str) -> str:
        """Return a column's text, empty when it is absent."""
        return self.cells.get(column) or ""

    def number(self, column: str, default: float | None = None) -> float:
        """Return a column's number; without a default an empty cell is Incomplete. Refuses what is no number."""
        text = self.text(column) or self.extra.get(column, "")
        if not text:
            if default is None:
                raise Incomplete(column)
            return default
        return self._parsed(column, text)

    def _parsed(self, column: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError as error:
            raise AttometerError(f'{self.place}, column {column}: "{text}" is not a number') from error
        if not isfinite(value):
            raise AttometerError(f'{self.place}, column {column}: "{text}" is not finite')
        return value

    @cached_property
    def extra(self) -> dict[str, str]:
        """The key=value pairs of the columns `extra` and `parallelism`."""
        text = f"{self.text('extra')};{self.text('parallelism')}"
        return dict(re.findall(r"([A-Za-z_0-9.]+)=([^;,() ]*)", text))

    def option(self, name: str) -> str:
        """Return the text of a key of `extra` or `parallelism`; Incomplete when it is absent."""
        if name not in self.extra:
            raise Incomplete(name)
        return self.extra[name]

    @property
    def value(self) -> float:
        """The measured value in base units (seconds, per second, FLOP/s, bytes/s, a share)."""
        metric, unit = self.text("metric"), self.text("unit")
        known = UNITS[metric]
        factor = next(
            (scale for name, scale in known.items() if re.match(rf"{re.escape(name)}(?![A-Za-z])", unit)), None
        )
        if factor is None:
            raise AttometerError(
                f'{self.place}, column unit: "{unit}" is no unit of {metric}; known: {", ".join(known)}'
            )
        number = self._parsed("value", self.text("value"))
        if number <= 0:
            raise AttometerError(f"{self.place}, column value: {metric} must be above 0, got {number:g}")
        return number * factor


def read(folder: str | Path) -> Iterator[Row]:
    """Yield the rows of every `.csv` and `.csv.xz` file of a folder (or of one file), in the order of their names.

    Raises AttometerError for a folder without such files and for a file that lacks a needed column.
    """
    path = Path(folder)
    files = [path] if path.is_file() else sorted(p for p in path.glob("*.csv*") if p.name.endswith((".csv", ".csv.xz")))
    if not files:
        raise AttometerError(f'"{folder}" holds no .csv or .csv.xz files')
    for file in files:
        yield from _rows(file)


def _rows(file: Path) -> Iterator[Row]:
    opener = lzma.open if file.name.endswith(".xz") else open
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise AttometerError(f"{file}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}")
            for number, cells in enumerate(reader, 2):
                if None in cells:
                    raise AttometerError(f"{file} row {number}: more cells than columns")
                yield Row(cells, f"{file} row {number}")
    except (UnicodeDecodeError, csv.Error, lzma.LZMAError, EOFError) as error:
        raise AttometerError(f"{file} cannot be read as CSV: {str(error).lower()}") from error
