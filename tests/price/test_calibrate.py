"""Calibration recovers known coefficients from files, scores them on rows held out, and validate scores any folder."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured import row, write
from typer.testing import CliRunner

from attometer.cli import app
from attometer.errors import AttometerError
from attometer.machine import machine
from attometer.price.calibrate import calibrate_class, fit_physics
from attometer.price.classes import class_of
from attometer.price.features import collective_counts
from attometer.price.figures import figures
from attometer.price.load import Table, load
from attometer.price.predict import predict
from attometer.price.refit import refit
from attometer.price.tables import Calibration, save
from attometer.price.validate import validate

TRUTH = {"floor": 9e-6, "memory": 0.7, "row": 700.0}


def rows(count: int, seed: int = 0, **cells: object) -> list[dict[str, str]]:
    """Norms whose times follow the class's own form with TRUTH and 2 % of noise."""
    random = np.random.default_rng(seed)
    made, names = [], class_of("operation").coefficients
    c = {each.name: np.array([TRUTH.get(each.name, each.prior)]) for each in names}
    for index in range(count):
        where = ("h100-sxm", "h200-sxm")[index % 2]
        tokens, width = int(10 ** random.uniform(2, 5)), 1024 * int(random.integers(1, 9))
        x = {"bytes": 4.0 * tokens * width, "flops": 0.0, "rows": float(tokens), "width": float(width)}
        x |= figures(machine(where), "bf16")
        model = class_of("operation").model
        seconds = model({k: np.array([v]) for k, v in x.items()}, c)["total"][0] * np.exp(random.normal(0, 0.02))
        made.append(
            row(
                source_id="cudnn_norms", engine="cudnn", hw_id=where, batch=tokens, hidden_size=width,
                extra="norm=rms_norm", value=seconds * 1e3, split_group=f"g{seed}-{index}", model=f"w{width}", **cells,
            )
        )  # fmt: skip
    return made


def test_the_fitter_recovers_the_coefficients_that_made_the_rows(tmp_path: Path) -> None:
    table = load(write(tmp_path / "rows.csv", rows(300))).tables["operation"]
    found = fit_physics(table)
    names = [each.name for each in class_of("operation").coefficients]
    for logs in found.cells.values():
        values = dict(zip(names, np.exp(logs), strict=True))
        assert {name: values[name] for name in TRUTH} == pytest.approx(TRUTH, rel=0.15)


def test_twenty_rows_of_a_new_machine_move_its_coefficients(tmp_path: Path) -> None:
    # a machine whose floor is three times that of the others: its rows move the family that was fitted without them
    table = load(write(tmp_path / "rows.csv", rows(300))).tables["operation"]
    slow = replace(
        table, seconds=table.seconds + 2 * TRUTH["floor"], labels=table.labels | {"machine": np.full(300, "l40s")}
    )
    known, new = fit_physics(table), np.arange(300) < 20
    family = str(table.labels["family"][0])
    before, after = (score(each, slow.where(~new)) for each in (known, refit(known, slow.where(new), "l40s")))
    assert before > 20
    assert after < 6
    assert refit(known, slow.where(new), "l40s").find(family, "l40s")[1].startswith("unseen machine")


def test_what_belongs_to_a_machine_alone_says_nothing_of_others() -> None:
    # a host whose bridge between devices takes four times as long as a pair's way
    each, random = class_of("collective"), np.random.default_rng(0)
    sizes, devices = (each.ravel() for each in np.meshgrid(2.0 ** np.arange(10, 31), (2.0, 4.0, 8.0)))
    made = [collective_counts("all_gather", *one, one[1]) for one in zip(sizes, devices, strict=True)]
    x = {name: np.array([one[name] for one in made]) for name in made[0]}
    x |= {name: np.full(len(sizes), value) for name, value in figures(machine("l40s"), "bf16").items()}
    x["shots"] = np.zeros(len(sizes))
    c = {one.name: np.array([4.0 if one.name == "bridge" else one.prior]) for one in each.coefficients}
    seconds = each.model(x, c)["total"] * np.exp(random.normal(0, 0.02, len(sizes)))
    names = {"family": "nccl|all_gather", "machine": "l40s"}
    labels = {name: np.full(len(sizes), value) for name, value in names.items()}
    labels["group"] = np.arange(len(sizes)).astype(str)
    found = fit_physics(Table("collective", x, seconds, labels))
    bridge = [one.name for one in each.coefficients].index("bridge")
    here, elsewhere = (np.exp(found.find("nccl|all_gather", where)[0][bridge]) for where in ("l40s", "rtx-3090"))
    assert here == pytest.approx(4, rel=0.15)
    assert elsewhere == pytest.approx(1, rel=0.05)


def score(known: Calibration, table: Table) -> float:
    made = predict(known, table.x, table.labels["family"], table.labels["machine"])
    return 100 * float(np.median(np.abs(made.seconds / table.seconds - 1)))


def test_rows_held_out_are_predicted_and_validate_tells_them_from_fitted_ones(tmp_path: Path) -> None:
    table = load(write(tmp_path / "rows.csv", rows(300))).tables["operation"]
    report = calibrate_class(table, residual=False)
    assert report.scores["held out"].median < 3
    assert report.scores["held out"].rows + report.scores["in sample"].rows == 300
    save(report.calibration, tmp_path / "made")
    new = tmp_path / "new"
    new.mkdir()
    write(new / "rows.csv", [*rows(300)[:20], *rows(60, seed=1), row(tier="C"), row(hw_id="")])
    made = validate(new, tmp_path / "made")
    parts = {line.what[1]: line.score.rows for line in made.parts}
    assert parts["fitted"] == 20
    assert sum(parts.values()) == 80
    assert made.classes[0].score.median < 3
    assert made.left_out == {"tier C (sanity only)": 1, "names no single machine": 1}
    json.dumps(made.to_dict(), allow_nan=False)
    assert "worst rows" in str(made)


def test_the_residual_is_kept_only_where_it_lowers_the_error_of_rows_left_out(tmp_path: Path) -> None:
    pytest.importorskip("catboost")
    made = rows(400)
    for cells in made:  # a step that the physics has no term for
        if int(cells["hidden_size"]) > 4096:
            cells["value"] = str(float(cells["value"]) * 1.5)
    table = load(write(tmp_path / "rows.csv", made)).tables["operation"]
    report = calibrate_class(table)
    assert report.calibration.residual is not None
    assert report.calibration.trust["unseen shape"] > 0
    assert report.scores["held out"].mean < report.scores["physics held out"].mean / 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["validate", "nowhere"], 'attometer: "nowhere" holds no .csv or .csv.xz files'),
        (["calibrate", "--from", "nowhere"], 'attometer: "nowhere" holds no .csv or .csv.xz files'),
    ],
)
def test_commands_refuse_a_folder_without_files(arguments: list[str], said: str, command: Callable[..., Any]) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stderr.strip(), done.stdout) == (2, said, "")


def test_validate_prints_json(tmp_path: Path) -> None:
    write(tmp_path / "rows.csv", rows(12))
    result = CliRunner().invoke(app, ["validate", str(tmp_path), "--json"])
    made = json.loads(result.stdout)
    assert made["rows"] == 12
    assert {"classes", "parts", "cells", "worst", "left_out"} <= set(made)


def test_calibrate_refits_machines_that_have_no_shipped_coefficients(tmp_path: Path) -> None:
    made = [each | {"hw_id": ("H20", "H100-SXM")[i % 2]} for i, each in enumerate(rows(80))]
    source, to = write(tmp_path / "rows.csv", made), tmp_path / "made"
    result = CliRunner().invoke(app, ["calibrate", "--from", str(source), "--refit", "--to", str(to), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [each["machine"] for each in found["refits"]] == ["h20"]
    assert found["refits"][0]["refitted"][0] < found["refits"][0]["shipped"][0]
    assert found["kept"] == ["h100-sxm (operation)"]
    assert "h20" in json.loads((to / "operation.json").read_text())["moved"]
    known = CliRunner().invoke(app, ["calibrate", "--from", str(write(tmp_path / "old.csv", rows(40))), "--refit"])
    assert isinstance(known.exception, AttometerError)
    assert "has shipped coefficients: calibrate without --refit" in str(known.exception)
