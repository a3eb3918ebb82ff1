"""Shipped coefficients moved to a machine that they lack by few of its rows: twenty do what a formula cannot.

Every family on a machine is moved alike, and then each that has rows by less; the fit is the one of `fit`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from attometer.errors import AttometerError
from attometer.price.classes import class_of
from attometer.price.fit import fit
from attometer.price.kernels import Array, Coefficient
from attometer.price.load import Loaded, Table
from attometer.price.predict import predict
from attometer.price.scores import Score, score
from attometer.price.split import fraction
from attometer.price.tables import Calibration, are_siblings, calibration, save
from attometer.view.table import Table as Shown

OWN = 1 / 3  # of a prior's width: how far one machine's family strays from the rest
MOVE = 0.6  # how far a machine's families stray together
LOCAL = 1.5  # how far what belongs to a machine alone strays


def spreads(coefficients: tuple[Coefficient, ...], spread: float, local: float) -> Array:
    """Return the width of each coefficient's prior, in its own widths: `local` for those of a machine alone."""
    found: Array = np.array([local if each.local else spread for each in coefficients])
    return found


def votes(table: Table) -> Array:
    """Return each row's vote, shape (rows,): the rows of a split group share one."""
    _, inverse, count = np.unique(table.labels["group"], return_inverse=True, return_counts=True)
    shares: Array = 1 / count[inverse]
    return shares


def refit(known: Calibration, table: Table, machine: str) -> Calibration:
    """Return a calibration that is moved to one machine by few of its rows: all its families, then each that has rows.

    Physics is fitted to what the residual leaves of the rows, since it will be multiplied by it.
    """
    each, labels = class_of(table.kind), table.labels
    kin = any(are_siblings(machine, other) for other in known.moved)
    given = replace(known, moved=known.moved | {machine: np.zeros(len(each.coefficients))})
    logs = np.array([given.find(str(family), machine)[0] for family in labels["family"]])
    seconds = table.seconds / predict(given, table.x, labels["family"], labels["machine"]).terms["residual"]
    one, spread = np.zeros(len(table), dtype=np.int64), spreads(each.coefficients, OWN if kin else MOVE, LOCAL)
    moved = fit(each.model, each.coefficients, table.x, seconds, one, logs, spread, weight=votes(table))
    names, first, of = np.unique(labels["family"], return_index=True, return_inverse=True)
    logs = logs + moved
    apart = fit(each.model, each.coefficients, table.x, seconds, of, logs, OWN, weight=votes(table))
    near = {f"{name}@{machine}": own for name, own in zip(names, logs[first] + apart, strict=True)}
    return replace(given, moved=given.moved | {machine: moved[0]}, near=given.near | near)


@dataclass(frozen=True)
class Refitted:
    """By class and machine: the score of the shipped coefficients, and of each half of the rows after a refit to the other."""

    source: str
    lines: tuple[tuple[str, str, Score, Score], ...]
    kept: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return errors in per cent as plain values for JSON."""
        made = [
            {"class": kind, "machine": machine, "rows": shipped.rows, "shipped": [shipped.median, shipped.mean],
             "refitted": [after.median, after.mean]}
            for kind, machine, shipped, after in self.lines
        ]  # fmt: skip
        return {"source": self.source, "refits": made, "kept": list(self.kept)}

    def __str__(self) -> str:
        notes = (
            "median / mean % error on time; refitted: each half of the rows is predicted after a refit to the other half",
            *(f"{each} has shipped coefficients of its own: --from without --refit fits it anew" for each in self.kept),
        )
        head = ("class", "machine", "rows", "shipped", "refitted")
        lines = tuple((class_of(k).title, m, str(s.rows), str(s), str(after)) for k, m, s, after in self.lines)
        return str(Shown(f"refitted to {self.source}", head, lines, notes))


def refitted(source: str, loaded: Loaded, to: Path | None = None, kinds: list[str] | None = None) -> Refitted:
    """Move the shipped coefficients to every machine of the tables that they lack; write them to the folder `to`.

    Raises AttometerError for an unknown class, and when no row is of a machine that shipped coefficients lack.
    """
    lines: list[tuple[str, str, Score, Score]] = []
    kept: list[str] = []
    for kind in kinds or loaded.tables:
        class_of(kind)
        if kind not in loaded.tables:
            raise AttometerError(f'no row of "{source}" is of the class {kind}; found: {", ".join(loaded.tables)}')
        known, table = calibration(kind), loaded.tables[kind]
        for machine in sorted(set(map(str, table.labels["machine"]))):
            rows = table.where(table.labels["machine"] == machine)
            if any(cell.endswith(f"@{machine}") for cell in known.cells):
                kept.append(f"{machine} ({kind})")
                continue
            half = np.array([fraction(f"refit {group}") < 0.5 for group in rows.labels["group"]])
            after = np.array(_seconds(known, rows))
            for out in (half, ~half):
                if out.any() and not out.all():
                    after[out] = _seconds(refit(known, rows.where(~out), machine), rows.where(out))
            before, near = (score(s, rows.seconds, rows.labels["group"]) for s in (_seconds(known, rows), after))
            lines.append((kind, machine, before, near))
            known = refit(known, rows, machine)
        if to is not None:
            save(known, to)
    if not lines:
        raise AttometerError(
            f'every machine of "{source}" has shipped coefficients: calibrate without --refit fits anew'
        )
    return Refitted(source, tuple(lines), tuple(kept))


def _seconds(known: Calibration, table: Table) -> Array:
    return predict(known, table.x, table.labels["family"], table.labels["machine"]).seconds
