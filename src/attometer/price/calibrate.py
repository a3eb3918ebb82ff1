"""Coefficients from measured rows: fit, hold out, leave each machine out, choose the residual, calibrate intervals.

The figures that are printed come from fits that never saw the rows they are scored on; what is shipped is fitted on
all rows with the same settings. Training trees needs CatBoost (the extra `calibrate`); using them needs NumPy alone.
"""

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError
from attometer.price.classes import class_of
from attometer.price.fit import fit, prior
from attometer.price.intervals import coverage, width
from attometer.price.kernels import Array
from attometer.price.load import Loaded, Table
from attometer.price.predict import PLAIN, inputs, predict
from attometer.price.refit import LOCAL, MOVE, OWN, refit, spreads, votes
from attometer.price.residual import Trees, columns, pairs_of, tokens
from attometer.price.scores import Score, score
from attometer.price.split import fraction
from attometer.price.tables import ANY, SITUATIONS, Calibration, are_siblings, calibration, hashes, save
from attometer.view.table import Table as Shown

SEED = 20261126
_TREES, _DEPTH, _RATE, _L2 = 1200, 7, 0.12, 3
_FEW = 800  # rows below which trees are fewer and flatter
_SOME = 3000  # rows below which each tree sees a draw of rows and columns
_DRAWN = {"bootstrap_type": "Bernoulli", "subsample": 0.6, "rsm": 0.5}
_ENOUGH = 15  # rows of an engine that decide whether the residual helps it
_REFIT = 20  # rows of a new machine that its refit reads
_CELL = 5  # groups below which a machine and engine are no cell of their own
_KIN = 0.5  # of a prior's width: how far a family strays from its engine's others
_HELD = 0.01  # where all machines are pooled, what belongs to each alone stays as expected
_LEAVE = 3000  # rows that a leave-out fit reads at most


@dataclass(frozen=True)
class Report:
    """The errors of one class: in sample, held out (physics, with residual), blocks, left-out machines, coverage."""

    kind: str
    calibration: Calibration
    scores: dict[str, Score]
    coverage: dict[str, float]
    cells: dict[str, Score]  # held-out rows by machine and engine

    def shown(self, name: str) -> str:
        """Return median and mean of a score, or a dash where nothing was scored."""
        return str(self.scores[name]) if name in self.scores else "-"

    @property
    def as_shipped(self) -> str:
        """Say whether the shipped coefficients of the class came out again: `same`, `other` or `none`."""
        try:
            shipped = calibration(self.kind)
        except AttometerError:  # of other coefficients than the class now has
            return "other"
        if not shipped.cells:
            return "none"
        same = shipped.cells.keys() == self.calibration.cells.keys() and all(
            np.allclose(shipped.cells[cell], logs, atol=0.02) for cell, logs in self.calibration.cells.items()
        )
        return "same" if same else "other"


@dataclass(frozen=True)
class Calibrated:
    """The reports of all classes, the rows left out by reason, and whether the shipped coefficients came out again."""

    source: str
    reports: tuple[Report, ...]
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return errors, coverage and provenance by class as plain values for JSON."""
        classes = {
            report.kind: {
                "errors": report.calibration.errors,
                "coverage": {name: _round(value) for name, value in report.coverage.items()},
                "cells": {name: [_round(each.median), _round(each.mean)] for name, each in report.cells.items()},
                "width": report.calibration.width,
                "trust": report.calibration.trust,
                "provenance": report.calibration.provenance,
                "as_shipped": report.as_shipped,
            }
            for report in self.reports
        }
        return {"source": self.source, "classes": classes, "left_out": self.left_out}

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))

    def tables(self) -> list[Shown]:
        """Return the errors side by side, coverage by situation, each left-out machine, and rows left out."""
        notes = (
            "median / mean % error on time, one vote per split group; in sample and held out: fitted on rows that the "
            "split rule leaves, with the residual; sibling, lone, engine: rows of a machine or engine left out whole",
        )
        lines = tuple((class_of(r.kind).title, *map(r.shown, COLUMNS.values()), r.as_shipped) for r in self.reports)
        head = ("class", *COLUMNS, "shipped")
        machines = tuple(
            (class_of(r.kind).title, name.removeprefix("without "), str(each))
            for r in self.reports
            for name, each in r.scores.items()
            if name.startswith("without")
        )
        covered = tuple(
            (class_of(r.kind).title, *(_percent(r.coverage.get(name)) for name in SITUATIONS[:5])) for r in self.reports
        )
        reasons = tuple((n, why) for why, n in sorted(self.left_out.items(), key=lambda pair: -pair[1]))
        return [
            Shown(f"calibrated on {self.source}", head, lines, notes),
            Shown("rows inside the 90 % interval", ("class", *SITUATIONS[:5]), covered),
            Shown("held out, by tier and by machine and engine", _CELLS, tuple(map(_cells, self.reports))),
            Shown("leaving one machine out", ("class", "machine", "median / mean %"), machines),
            Shown("rows left out, by reason", ("rows", "reason"), reasons),
        ]


#: column of a table of errors → the score that it shows
COLUMNS = {
    "physics": "physics held out",
    "in sample": "in sample",
    "held out": "held out",
    "points": "points",
    "blocks": "blocks",
    "sibling": "unseen machine (sibling)",
    "lone": "unseen machine (lone)",
    f"lone, {_REFIT} rows": f"unseen machine (lone) after {_REFIT} rows",
    "engine": "unseen engine",
}
_CELLS = ("class", "tier A", "tier B", "cells", "within 8 / 15 %", "worst", "its median / mean %")


def _cells(report: Report) -> tuple[Any, ...]:
    """Return a class's line: tiers apart, and how many cells (of 5 groups or more) lie within 8 and 15 %."""
    cells = {name: each for name, each in report.cells.items() if each.groups >= _CELL}
    near = sum(each.median <= 8 and each.mean <= 15 for each in cells.values())
    worst = max(cells, key=lambda name: cells[name].median, default="-")
    tiers = report.shown("tier A"), report.shown("tier B")
    return class_of(report.kind).title, *tiers, len(cells), near, worst, str(cells.get(worst, "-"))


def _percent(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.0%}"


def calibrate(
    source: str,
    loaded: Loaded,
    to: Path | None = None,
    kinds: list[str] | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Calibrated:
    """Fit every class of the tables (or those of `kinds`) and report; write the coefficients to the folder `to`.

    `tell` is given a line as each class is done. Raises AttometerError for an unknown class.
    """
    for kind in kinds or ():
        class_of(kind)
    reports = []
    for kind, table in loaded.tables.items():
        if not kinds or kind in kinds:
            report = calibrate_class(table)
            if to is not None:
                save(report.calibration, to)
            reports.append(report)
            tell(f"{kind}: {len(table):,} rows, held out {report.scores['held out']} %")
    return Calibrated(source, tuple(reports), loaded.left_out)


def calibrate_class(table: Table, residual: bool = True) -> Report:
    """Return the report of one class, its calibration fitted on all rows of the table."""
    part, group = table.labels["part"], table.labels["group"]
    fitted, held = part == "fit", part != "fit"
    first = fit_physics(table.where(fitted))
    scores = {"physics in sample": _scored(first, table.where(fitted))}
    scores["physics held out"] = _scored(first, table.where(held))
    apart = _left_out(table)
    roles = _roles(apart, table)
    first = _earned(first, table, fitted, held, apart) if residual else first
    scores |= {
        "in sample": _scored(first, table.where(fitted)),
        "held out": _scored(first, table.where(held)),
        "points": _scored(first, table.where(part == "point")),
        "blocks": _scored(first, table.where(part == "block")),
        **{f"tier {tier}": _scored(first, table.where(held & (table.labels["tier"] == tier))) for tier in "AB"},
    }
    scores = {name: each for name, each in scores.items() if each.groups or not name.startswith("tier")}
    widths, covered, spread = _intervals(first, table, held, apart, roles)
    scores |= _apart_scores(table, apart, roles, first.trust)
    whole = fit_physics(table)
    if first.residual is not None:
        whole = replace(whole, residual=train(whole, table), spread=spread, trust=first.trust)
    whole = replace(
        whole,
        width=widths,
        blocks=hashes(table.labels["block"], "block"),
        groups=hashes(group, "group"),
        coverage={name: round(value, 3) for name, value in covered.items() if np.isfinite(value)},
        errors={
            name: {"rows": s.rows, "median": _round(s.median), "mean": _round(s.mean)} for name, s in scores.items()
        },
        provenance=_provenance(table, len(set(group))),
    )
    return Report(table.kind, whole, scores, covered, _by_cell(first, table.where(held)))


def _by_cell(known: Calibration, table: Table) -> dict[str, Score]:
    labels = table.labels
    names = np.char.add(np.char.add(labels["machine"], " "), labels["engine"])
    seconds = _predicted(known, table) if len(table) else table.seconds
    return {
        str(name): score(seconds[rows], table.seconds[rows], labels["group"][rows])
        for name in np.unique(names)
        for rows in [names == name]
    }


def _round(value: float) -> float | None:
    return round(value, 2) if np.isfinite(value) else None


def _provenance(table: Table, groups: int) -> dict[str, Any]:
    sources = Counter(map(str, table.labels["source"]))
    return {
        "script": "attometer calibrate --from DIR",
        "date": date.today().isoformat(),
        "rows": len(table),
        "groups": groups,
        "sources": dict(sorted(sources.items())),
        "split": "attometer.price.split.held_out",
    }


def fit_physics(table: Table, rounds: int = 40, apart: float = OWN) -> Calibration:
    """Fit coefficients over the class, per engine, family, machine, and family on one machine: each is the next's prior.

    What belongs to a machine alone is fitted before its kernels are, and held where machines are pooled. `apart` is how
    far a family on one machine strays from the machine's others, in prior's widths.
    """
    each, labels, shares = class_of(table.kind), table.labels, votes(table)
    cell = np.char.add(np.char.add(labels["family"], "@"), labels["machine"])
    engine = np.array([family.split("|")[0] for family in labels["family"]])
    start = prior(each.coefficients)
    kernels, machines = np.tile(start, (len(table), 1)), np.zeros((len(table), len(start)))  # by row

    def moved(names: NDArray[np.str_], common: float, local: float) -> Array:
        of, spread = np.unique(names, return_inverse=True)[1], spreads(each.coefficients, common, local)
        base = kernels + machines
        return fit(each.model, each.coefficients, table.x, table.seconds, of, base, spread, rounds, shares)[of]

    kernels += moved(np.full(len(table), ANY), 1.0, _HELD)
    common = kernels[0].copy()
    if any(one.local for one in each.coefficients):
        machines += moved(labels["machine"], _HELD, LOCAL)
    for names, spread in ((engine, 1.0), (labels["family"], _KIN)):
        kernels += moved(names, spread, _HELD)
    machines += moved(labels["machine"], MOVE, MOVE)
    own = kernels + machines + moved(cell, apart, apart)
    return Calibration(
        table.kind,
        {ANY: common, **_by_name(labels["family"], kernels)},
        _by_name(cell, own),
        _by_name(labels["machine"], machines),
    )


def _by_name(names: NDArray[np.str_], rows: Array) -> dict[str, Array]:
    known, first = np.unique(names, return_index=True)
    return {str(name): rows[place] for name, place in zip(known, first, strict=True)}


def _predicted(calibration: Calibration, table: Table) -> Array:
    labels = table.labels
    return predict(calibration, table.x, labels["family"], labels["machine"]).seconds


def _scored(calibration: Calibration, table: Table) -> Score:
    if not len(table):
        return score(np.zeros(0), table.seconds, table.labels["group"])
    return score(_predicted(calibration, table), table.seconds, table.labels["group"])


def train(
    physics: Calibration, table: Table, target: Array | None = None, trees: int | None = None, depth: int | None = None
) -> Trees:
    """Train trees on the logarithm of measured over predicted time (or on `target`) of a table's rows."""
    from catboost import CatBoostRegressor

    few = len(table) < _FEW
    family, machine = table.labels["family"], table.labels["machine"]
    seconds, found = inputs(physics, table.x, family, machine)
    frequent = Counter(word for pair in zip(family, machine, strict=True) for word in tokens(*map(str, pair)))
    least = max(20, len(table) // 400)
    wanted = [word for word, count in sorted(frequent.items()) if least <= count < len(table)]
    names = (*found, *wanted)
    goal = np.clip(np.log(table.seconds / seconds), -1.5, 1.5) if target is None else target
    model = CatBoostRegressor(
        iterations=trees or (400 if few else _TREES), depth=depth or (5 if few else _DEPTH), learning_rate=_RATE,
        loss_function="RMSE", l2_leaf_reg=_L2, border_count=64, boosting_type="Plain", random_seed=SEED, verbose=0,
        thread_count=2, allow_writing_files=False, **(_DRAWN if len(table) < _SOME else {}),
    )  # fmt: skip
    model.fit(columns(names, found, *pairs_of(family, machine)), goal, sample_weight=votes(table))
    return _exported(model, names)


def _exported(model: Any, names: tuple[str, ...]) -> Trees:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        plain = json.loads(path.read_text())
    trees = plain["oblivious_trees"]
    depth = max((len(tree["splits"] or ()) for tree in trees), default=1) or 1
    feature, border = np.zeros((len(trees), depth), np.int16), np.full((len(trees), depth), np.inf, np.float32)
    leaf = np.zeros((len(trees), 2**depth), np.float32)
    for index, tree in enumerate(trees):
        splits = tree["splits"] or ()
        feature[index, : len(splits)] = [split["float_feature_index"] for split in splits]
        border[index, : len(splits)] = [split["border"] for split in splits]
        leaf[index, : 2 ** len(splits)] = tree["leaf_values"]
    scale, bias = plain["scale_and_bias"]
    leaf *= np.float32(scale)
    used = sorted({int(column) for column in feature.ravel()})
    place = np.zeros(len(names), np.int16)
    place[used] = np.arange(len(used))
    constant = np.zeros((1, 2**depth), np.float32)
    constant[0, 0] = bias[0] if isinstance(bias, list) else bias
    return Trees(
        tuple(names[column] for column in used),
        np.vstack([np.zeros((1, depth), np.int16), place[feature]]).astype(np.int16),
        np.vstack([np.full((1, depth), np.inf, np.float32), border]),
        np.vstack([constant, leaf]),
    )


@dataclass(frozen=True)
class Apart:
    """Rows predicted by a fit that never saw their machine or family: their indices, the table, physics and residual."""

    rows: NDArray[np.int64]
    table: Table
    known: Calibration
    physics: Array
    shift: Array

    def refitted(self, name: str, trust: dict[str, float]) -> Array:
        """Return seconds after a refit to few rows of the machine `name`; NaN for rows of their groups, or of too few rows."""
        seconds = np.full(len(self.table), np.nan)
        if name in self.table.labels["machine"] and len(self.table) > 2 * _REFIT:
            drawn, others = _few(self.table.labels["group"])
            near = refit(replace(self.known, trust=trust), self.table.where(_mask(len(self.table), drawn)), name)
            seconds[others] = _predicted(near, self.table.where(others))
        return seconds


def _left_out(table: Table) -> dict[str, Apart]:
    """Leave out each machine, then each quarter of the families; return rows by what was left out."""
    machines, family = table.labels["machine"], table.labels["family"]
    few = np.array([fraction(f"few {group}") for group in table.labels["group"]]) < _LEAVE / max(len(table), 1)
    quarter = np.array([int(4 * fraction(f"family {name}")) for name in family])
    masks = {name: machines == name for name in sorted(set(map(str, machines)))}
    masks |= {f"families {i}": quarter == i for i in range(4)}
    apart = {}
    for name, out in masks.items():
        kept = few & ~out
        if np.sum(out) < 10 or np.sum(kept) < 30:
            continue
        rest = table.where(kept)
        physics = fit_physics(rest, rounds=15)
        sample = np.flatnonzero(out & few) if np.sum(out & few) >= 10 else np.flatnonzero(out)
        part = table.where(_mask(len(table), sample))
        seconds = _predicted(physics, part)
        trees = train(physics, rest, trees=200, depth=5)
        known = replace(physics, residual=trees)
        apart[name] = Apart(sample, part, known, seconds, _shift(physics, trees, part))
    return apart


def _few(group: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return `_REFIT` rows of a machine, of as many groups as half of them allow, and which rows are of other groups."""
    names, of = np.unique(group, return_inverse=True)
    place = np.argsort(np.argsort([fraction(f"refit {name}") for name in names]))[of]
    along = np.argsort(of, kind="stable")
    turn = np.empty(len(of), dtype=np.int64)
    turn[along] = np.arange(len(of)) - np.searchsorted(of[along], of[along])
    order = np.lexsort((place, turn))
    drawn = order[place[order] <= len(names) / 2][:_REFIT]
    return drawn, ~np.isin(of, of[drawn])


def _mask(rows: int, chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(rows, dtype=np.bool_)
    mask[chosen] = True
    return mask


def _shift(physics: Calibration, trees: Trees, table: Table) -> Array:
    given = replace(physics, residual=trees, trust=dict.fromkeys(SITUATIONS, 1.0))
    both = predict(given, table.x, table.labels["family"], table.labels["machine"])
    return np.log(both.terms["residual"])


def _earned(
    physics: Calibration, table: Table, fitted: NDArray[np.bool_], held: NDArray[np.bool_], apart: dict[str, Apart]
) -> Calibration:
    """Return the calibration with a residual where it lowers the error of rows left out; without one where not."""
    rest, out = table.where(fitted), table.where(held)
    trees = train(physics, rest)
    shift = _shift(physics, trees, out)
    trust = {"seen": _weight(_predicted(physics, out), shift, out.seconds)}
    trust["unseen shape"] = trust["seen"]
    trust |= _by_engine(_predicted(physics, out), trust["seen"] * shift, out)
    roles = _roles(apart, table)
    for situation in ("unseen machine (sibling)", "unseen machine (lone)", "unseen engine"):
        chosen = [apart[name] for name, role in roles.items() if role == situation]
        if chosen:
            seconds = np.concatenate([each.physics for each in chosen])
            shifts = np.concatenate([each.shift for each in chosen])
            measured = np.concatenate([table.seconds[each.rows] for each in chosen])
            trust[situation] = _weight(seconds, shifts, measured)
    return replace(physics, residual=trees, trust=trust) if trust["seen"] else physics


def _by_engine(physics: Array, shift: Array, table: Table) -> dict[str, float]:
    """Return weights below 1 for engines whose held-out rows the residual does not help; half of the groups decide."""
    half = np.array([fraction(f"engine {group}") for group in table.labels["group"]]) < 0.5
    engines = np.array([family.split("|")[0] for family in table.labels["family"]])
    found = {}
    for engine in sorted(set(map(str, engines))):
        rows = half & (engines == engine)
        if rows.sum() >= _ENOUGH:
            found[f"engine {engine}"] = _weight(physics[rows], shift[rows], table.seconds[rows])
    return {name: weight for name, weight in found.items() if weight < 1}


def _roles(apart: dict[str, Apart], table: Table) -> dict[str, str]:
    names = set(map(str, table.labels["machine"]))
    return {
        name: "unseen engine"
        if name.startswith("families")
        else f"unseen machine ({'sibling' if any(are_siblings(name, o) for o in names - {name}) else 'lone'})"
        for name in apart
    }


def _weight(physics: Array, shift: Array, measured: Array) -> float:
    """Return the share of the residual that gives the least error on rows left out: 0, 1/4, 1/2, 3/4 or 1."""
    log = np.log(physics / measured)
    errors = {w: float(np.mean(np.minimum(np.abs(log + w * shift), 1.0))) for w in (0.0, 0.25, 0.5, 0.75, 1.0)}
    return min(errors, key=errors.__getitem__)


def _intervals(
    first: Calibration, table: Table, held: NDArray[np.bool_], apart: dict[str, Apart], roles: dict[str, str]
) -> tuple[dict[str, float], dict[str, float], Trees | None]:
    """Return quantiles and coverage by situation, and trees for the size of a residual.

    Sizes come from two fifths of the held-out groups, quantiles from the rest, and coverage from halves of that rest, each
    held against the quantile of the other.
    """
    out = table.where(held)
    draw = np.array([fraction(f"third {group}") for group in out.labels["group"]])
    first_part, middle, last = draw < 0.4, (draw >= 0.4) & (draw < 0.7), draw >= 0.7
    error = np.log(out.seconds / _predicted(first, out))
    size, spread = np.full(len(out), PLAIN), None
    if first.residual is not None and first_part.sum() > 50:
        target = np.log(np.abs(error[first_part]) + 0.01)
        spread = train(first, out.where(first_part), target=target, trees=120, depth=4)
        size = _sizes(replace(first, spread=spread), out)
    widths, covered = {}, {}
    for name, part in (("seen", "point"), ("unseen shape", "block")):
        rows = out.labels["part"] == part
        rows = rows if (rows & middle).sum() > 20 else np.ones(len(out), dtype=np.bool_)
        halves = rows & middle, rows & last
        if all(half.any() for half in halves):
            widths[name] = width(error[rows & ~first_part], size[rows & ~first_part])
            # each half is covered, or not, by what the other one says
            shares = [coverage(error[of], size[of], width(error[by], size[by])) for by, of in (halves, halves[::-1])]
            covered[name] = float(np.mean(shares))
    for situation in sorted(set(roles.values())):
        pairs = [_apart_error(table, apart[name], first, roles[name]) for name in roles if roles[name] == situation]
        errors = np.concatenate(pairs)
        even = np.arange(len(errors)) % 2 == 0
        widths[situation] = width(errors[even], np.full(even.sum(), PLAIN))
        covered[situation] = coverage(errors[~even], np.full((~even).sum(), PLAIN), widths[situation])
    return widths, covered, spread


def _sizes(given: Calibration, table: Table) -> Array:
    family, machine = table.labels["family"], table.labels["machine"]
    if given.spread is None:
        return np.full(len(table), PLAIN)
    _, found = inputs(given, table.x, family, machine)
    sizes: Array = np.exp(given.spread(columns(given.spread.names, found, *pairs_of(family, machine))))
    return sizes


def _apart_error(table: Table, each: Apart, first: Calibration, role: str) -> Array:
    error: Array = np.log(table.seconds[each.rows] / each.physics) - first.trust.get(role, 0.0) * each.shift
    return error


def _apart_scores(
    table: Table, apart: dict[str, Apart], roles: dict[str, str], trust: dict[str, float]
) -> dict[str, Score]:
    """Return the score of each left-out machine and, pooled, of each situation."""
    found: dict[str, Score] = {}
    blind = {name: each.physics * np.exp(trust.get(roles[name], 0.0) * each.shift) for name, each in apart.items()}
    near = {name: each.refitted(name, trust) for name, each in apart.items()}

    def scored(title: str, names: list[str], refitted: bool = False) -> None:
        rows = np.concatenate([apart[name].rows for name in names])
        made = np.concatenate([(near if refitted else blind)[name] for name in names])
        new = np.isfinite(made)
        seconds, of = made[new], rows[new]
        found[title] = score(seconds, table.seconds[of], table.labels["group"][of])

    for situation in sorted(set(roles.values())):
        names = [name for name, role in roles.items() if role == situation]
        scored(situation, names)
        scored(f"{situation} after {_REFIT} rows", names, refitted=True)
    for name in apart:
        if not name.startswith("families"):
            scored(f"without {name}", [name])
            scored(f"without {name} but for {_REFIT} rows", [name], refitted=True)
    found = {title: each for title, each in found.items() if each.groups}
    return found
