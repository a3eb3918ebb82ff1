"""Predictions against measurements that anyone brings: a folder of CSV files in the schema of `load`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError, extras
from attometer.price.classes import class_of
from attometer.price.kernels import Array
from attometer.price.load import Loaded, Table, load
from attometer.price.predict import Predicted, predict
from attometer.price.scores import Score, score
from attometer.price.tables import among, calibration
from attometer.view.printed import Printed
from attometer.view.style import save
from attometer.view.table import Table as Shown

Texts = NDArray[np.str_]

#: terms that are no times
_COUNTS = ("total", "waves", "splits", "each", "touched", "residual", "longest")


@dataclass(frozen=True)
class Line:
    """One line of the report: what it groups, its score, and the share of rows inside the 90 % interval."""

    what: tuple[str, ...]
    score: Score
    coverage: float


@dataclass(frozen=True)
class Worst:
    """A row far off: where it stands, times in seconds, and what the prediction was made of."""

    place: str
    kind: str
    family: str
    machine: str
    measured: float
    predicted: float
    situation: str
    measured_for: str
    largest: str


@dataclass(frozen=True)
class Validation(Printed):
    """The report: lines by class, by class × part, by class × machine × engine; the worst rows; rows left out."""

    folder: str
    rows: int
    classes: tuple[Line, ...]
    parts: tuple[Line, ...]
    cells: tuple[Line, ...]
    worst: tuple[Worst, ...]
    left_out: dict[str, int]
    points: dict[str, tuple[Array, Array]]

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as plain values for JSON; times in seconds, errors in per cent."""
        lines = {
            name: [
                {"what": list(line.what), **_finite(asdict(line.score)), "coverage": line.coverage} for line in group
            ]
            for name, group in (("classes", self.classes), ("parts", self.parts), ("cells", self.cells))
        }
        worst = [asdict(each) for each in self.worst]
        return {"folder": self.folder, "rows": self.rows, **lines, "worst": worst, "left_out": self.left_out}

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))

    def tables(self) -> list[Shown]:
        """Return the report as tables."""
        head = ("rows", "groups", "median %", "mean %", "p90 %", "bias %", "in 90 %")
        reasons = sorted(self.left_out.items(), key=lambda pair: -pair[1])
        note = (
            "errors are |predicted / measured - 1| on time, one vote per split group; `fitted` rows are of groups the "
            "coefficients were fitted on, `new point` and `new block` are not",
        )
        return [
            Shown(f"{self.rows:,} rows of {self.folder}", ("class", *head), tuple(map(_cells, self.classes)), note),
            Shown("by class and part", ("class", "part", *head), tuple(map(_cells, self.parts))),
            Shown(
                "by class, machine and engine", ("class", "machine", "engine", *head), tuple(map(_cells, self.cells))
            ),
            Shown(
                "worst rows",
                ("row", "class", "machine", "family", "measured", "predicted", "situation", "mostly"),
                tuple(map(_worst_cells, self.worst)),
            ),
            Shown(
                "rows that cannot be predicted, by reason", ("rows", "reason"), tuple((n, why) for why, n in reasons)
            ),
        ]

    def tables_of(self) -> tuple[Shown, ...]:
        """Return the report as tables."""
        return tuple(self.tables())

    def plot(self, path: str | Path, which: int = 0) -> Path:
        """Draw predicted against measured time of every class into a .png, .svg or .pdf file."""
        with extras("figures need"):
            from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 7), layout="constrained")
        axes = figure.subplots()
        for name, (measured, predicted) in self.points.items():
            axes.loglog(measured, predicted, ".", markersize=1.5, label=class_of(name).title)
        ends = [min(m.min() for m, _ in self.points.values()), max(m.max() for m, _ in self.points.values())]
        axes.loglog(ends, ends, "k-", linewidth=0.8)
        axes.set(xlabel="measured (s)", ylabel="predicted (s)")
        axes.legend(markerscale=6, fontsize=7)
        return save(figure, path)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _cells(line: Line) -> tuple[Any, ...]:
    s = line.score
    return (
        *line.what,
        s.rows,
        s.groups,
        *(f"{v:.1f}" for v in (s.median, s.mean, s.p90, s.bias)),
        f"{line.coverage:.0%}",
    )


def _worst_cells(each: Worst) -> tuple[Any, ...]:
    borrowed = f", borrowed from {each.measured_for}" if each.measured_for != each.family else ""
    times = f"{each.measured:.3g} s", f"{each.predicted:.3g} s"
    place = " ".join(each.place.split("/")[-1:])
    return place, each.kind, each.machine, each.family[:40], *times, each.situation + borrowed, each.largest


def validate(folder: str | Path, calibrated: Path | None = None, worst: int = 15) -> Validation:
    """Score the predictions of every measured row of a folder.

    `calibrated` is a folder of coefficients instead of the shipped ones. Raises AttometerError as `load` does, and when
    no row can be predicted.
    """
    return score_tables(str(folder), load(folder), calibrated, worst)


def score_tables(name: str, loaded: Loaded, calibrated: Path | None = None, worst: int = 15) -> Validation:
    """Score tables of counts that are loaded already; see `validate`."""
    if not loaded.rows:
        reasons = ", ".join(f"{why} ({n})" for why, n in sorted(loaded.left_out.items())) or "no rows"
        raise AttometerError(f'no row of "{name}" can be predicted: {reasons}')
    found = {kind: (table, _predict(table, calibrated)) for kind, table in loaded.tables.items()}
    classes, parts, cells = [], [], []
    for kind, (table, made) in found.items():
        labels, title = table.labels, class_of(kind).title
        part = _parts(table, calibrated)
        everything = np.full(len(table), "")
        classes += [_line((title,), table, made, everything == "")]
        parts += [_line((title, each), table, made, part == each) for each in sorted(set(map(str, part)))]
        pairs = np.char.add(np.char.add(labels["machine"], "\n"), labels["engine"])
        cells += [
            _line((title, *each.split("\n")), table, made, pairs == each) for each in sorted(set(map(str, pairs)))
        ]
    points = {kind: (table.seconds, made.seconds) for kind, (table, made) in found.items()}
    far = _farthest(found, worst)
    return Validation(
        name, loaded.rows, tuple(classes), tuple(parts), tuple(cells), tuple(far), loaded.left_out, points
    )


def _predict(table: Table, calibrated: Path | None) -> Predicted:
    labels = table.labels
    known = calibration(table.kind, calibrated)
    return predict(known, table.x, labels["family"], labels["machine"], labels["block"])


def _parts(table: Table, calibrated: Path | None) -> Texts:
    known = calibration(table.kind, calibrated)
    fitted = among(table.labels["group"], "group", known.groups)
    block = among(table.labels["block"], "block", known.blocks)
    parts: Texts = np.select([fitted, block], ["fitted", "new point"], "new block")
    return parts


def _line(what: tuple[str, ...], table: Table, made: Predicted, mask: NDArray[np.bool_]) -> Line:
    seconds = table.seconds[mask]
    inside = (made.low[mask] <= seconds) & (seconds <= made.high[mask])
    return Line(what, score(made.seconds[mask], seconds, table.labels["group"][mask]), float(inside.mean()))


def _farthest(found: dict[str, tuple[Table, Predicted]], count: int) -> list[Worst]:
    rows = []
    for kind, (table, made) in found.items():
        off = np.abs(np.log(made.seconds / table.seconds))
        for i in np.argsort(-off)[:count]:
            parts = {name: float(v[i]) for name, v in made.terms.items() if name not in _COUNTS}
            largest = max(parts, key=parts.__getitem__, default="")
            text = {name: str(table.labels[name][i]) for name in ("place", "family", "machine")}
            each = Worst(
                text["place"], kind, text["family"], text["machine"], float(table.seconds[i]), float(made.seconds[i]),
                str(made.situation[i]), str(made.measured_for[i]), largest,
            )  # fmt: skip
            rows.append((float(off[i]), each))
    return [each for _, each in sorted(rows, key=lambda pair: -pair[0])[:count]]
