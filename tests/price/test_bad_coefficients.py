"""Wrong machine and coefficient files of the calibrated machine are refused by file and field: exit 2, never a traceback."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attometer.errors import AttometerError
from attometer.machine import machine
from attometer.plan import plan
from attometer.plan.predicted import predicted
from attometer.price.classes import class_of
from attometer.price.fit import prior
from attometer.price.own import check_own
from attometer.price.predict import PLAIN, kernel_seconds
from attometer.price.quick import Facts, machine_text
from attometer.price.tables import Calibration, calibration, save

KINDS = ("passes", "cpu_gemm", "cpu_operation", "cpu_attention", "decode")
HEAD = "source_id,split_group,hw_id,engine,mode,metric,value,unit,tier,dtype,extra\n"
GEMM = "this_gemm,g,this,torch 2.13,kernel_fwd,latency,{},ms,A,{},m=1000;n=1000;k=1000\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    where = tmp_path / "attometer" / "this"
    where.mkdir(parents=True)
    rates = {"fp32": 100e9, "bf16": 200e9, "memory": 10e9}
    (where / "this.toml").write_text(machine_text(rates, Facts("made up", "cpu", 1, 16e9)))
    (where / "measured.csv").write_text(HEAD + GEMM.format(20, "fp32") + GEMM.format(10, "bf16"))
    for kind in KINDS:
        logs = prior(class_of(kind).coefficients)
        save(Calibration(kind, {"*": logs, "torch|": logs}, {"torch|@this": logs}, width={"unseen shape": 2.0}), where)
    calibration.cache_clear()
    return where


def edit(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edited(folder: Path) -> None:
        plain = json.loads((folder / name).read_text())
        change(plain)
        (folder / name).write_text(json.dumps(plain))

    return edited


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edited(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return edited


def written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


WRONG = {
    "bandwidth 0": (replaced("this.toml", "value = 10.00", "value = 0"), "memory.bandwidth.value: a positive finite"),
    "no bandwidth": (replaced("this.toml", "bandwidth", "#"), "does not state memory.bandwidth"),
    "unknown figure": (
        replaced("this.toml", "bandwidth", "bandwith"),
        'bandwith: unknown key; did you mean "bandwidth"',
    ),
    "peak too low": (
        replaced("this.toml", "value = 200.00", "value = 150"),
        "peak.bf16: 150 GFLOP/s is below the 200 that",
    ),
    "no peak": (replaced("this.toml", "bf16 =", "fp16 ="), "peak.bf16: missing, but"),
    "no JSON": (written("cpu_gemm.json", "{"), "cpu_gemm.json"),
    "a list": (written("passes.json", "[]"), 'passes.json": dict is needed, got list'),
    "missing": (edit("cpu_gemm.json", lambda d: d.pop("pooled")), 'cpu_gemm.json", pooled: missing'),
    "unknown key": (edit("cpu_gemm.json", lambda d: d.update(cels={})), 'unknown key cels; did you mean "cells"'),
    "other units": (edit("cpu_gemm.json", lambda d: d["coefficients"].update(floor="ms")), "coefficients: "),
    "other order": (edit("cpu_gemm.json", lambda d: d["order"].reverse()), "order: "),
    "of another class": (
        edit("cpu_gemm.json", lambda d: d.update(kind="decode")),
        "kind: cpu_gemm is needed, got decode",
    ),
    "a coefficient 0": (
        edit("decode.json", lambda d: d["cells"]["torch|@this"].__setitem__(0, 0)),
        "cells.torch|@this: ",
    ),
    "too few": (edit("decode.json", lambda d: d["cells"]["torch|@this"].pop()), "positive numbers are needed"),
    "a width below 0": (
        edit("passes.json", lambda d: d["width"].update({"unseen shape": -1})),
        "width.unseen shape: a positive number is needed, got -1",
    ),
    "no table": (edit("passes.json", lambda d: d.update(cells=3)), "cells: dict is needed, got int"),
    "no arrays": (written("decode.npz", "x"), 'decode.npz" cannot be read'),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_file_and_field(case: str, folder: Path) -> None:
    change, message = WRONG[case]
    change(folder)
    calibration.cache_clear()
    # the command prints such an error in one line and leaves with 2
    with pytest.raises(AttometerError, match=re.escape(message)):
        predicted(plan("gpt2", "this", context=64))


def test_right_files_are_used(folder: Path) -> None:
    check_own(machine("this"), folder)
    found = kernel_seconds("passes", "torch|", "this", kernels=1.0, layers=0.0, passes=0.0)
    assert found.seconds[0] == pytest.approx(1.0)
    assert np.log(found.high / found.seconds)[0] == pytest.approx(2.0 * PLAIN)


def test_shipped_coefficients_are_right(tmp_path: Path) -> None:
    shutil.copytree(Path(str(calibration.__wrapped__.__globals__["folder"]())), tmp_path / "copy")
    for path in sorted((tmp_path / "copy").glob("*.json")):
        assert calibration(path.stem, tmp_path / "copy").pooled
    with pytest.raises(AttometerError, match="unknown class of work"):
        calibration("gem")
