"""Quick calibration: rows, machine file and coefficients of this machine, whole or not at all; no clock is read here."""

import functools
from pathlib import Path

import pytest

pytest.importorskip("torch")

from attometer.errors import AttometerError
from attometer.machine import machine
from attometer.price import quick as module
from attometer.price.figures import known
from attometer.price.predict import kernel_seconds
from attometer.price.quick import PRODUCTS, quick

GFLOPS = {"fp32": 60e9, "bf16": 120e9}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(module, "SETS", (1 << 14, 1 << 18, 1 << 22))
    known.cache_clear()
    return tmp_path / "attometer" / "this"


def pretend(case: module.Case) -> float:
    """Seconds of a machine of 60 GFLOP/s in fp32 and 10 GB/s, 5 µs at least."""
    cells = case.cells
    if cells["source_id"] == "this_gemm":
        m, n, k = (int(part.split("=")[1]) for part in cells["extra"].split(";"))
        return 5e-6 + 2 * m * n * k / GFLOPS[cells["dtype"]]
    if cells["source_id"] == "this_copy":
        return 5e-6 + 64 * 8 * int(cells["hidden_size"]) / 10e9
    s, d = int(cells["seq_len"]), int(cells["head_dim"])
    return 5e-6 + int(cells["batch"]) * int(cells["n_heads"]) * 4 * s * s * d / 30e9


@pytest.fixture
def timed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(module._cases())
    times = {id(case.run): pretend(case) for case in cases}
    monkeypatch.setattr(module, "_cases", lambda: iter(cases))
    monkeypatch.setattr(module, "_timed", lambda run: times.get(id(run), 1e-4))


@pytest.mark.usefixtures("timed")
def test_this_machine_is_written_and_predicts_unseen_sizes(home: Path) -> None:
    made = quick(seconds=0)
    assert (made.rounds, made.complete, made.folder) == (3, True, str(home))
    this = machine("this")
    assert this.peak_rate("fp32") == pytest.approx(60e9, rel=0.05)
    assert this.bandwidth == pytest.approx(10e9, rel=0.05)
    ask = functools.partial(
        kernel_seconds, "gemm", "torch 2.13|fp32|", "this", left_bytes=4, right_bytes=4, out_bytes=2
    )
    for m, n, k in ((300, 900, 700), (900, 900, 900), (1500, 700, 1100)):
        assert (m, n, k) not in PRODUCTS
        assert ask(m=m, n=n, k=k).seconds[0] == pytest.approx(2 * m * n * k / 60e9, rel=0.3)
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_stopping_early_keeps_what_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = list(module._cases())
    times, calls = {id(case.run): pretend(case) for case in cases}, []

    def interrupted(run: object) -> float:
        calls.append(run)
        if len(calls) > 1.7 * len(cases):
            raise KeyboardInterrupt
        return times.get(id(run), 1e-4)

    monkeypatch.setattr(module, "_cases", lambda: iter(cases))
    monkeypatch.setattr(module, "_timed", interrupted)
    made = quick(seconds=0)
    assert (made.rounds, made.complete) == (1, False)
    assert machine("this").bandwidth > 0


def test_stopping_at_once_writes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(run: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_measure", lambda *arguments: interrupted(arguments))
    with pytest.raises(AttometerError, match="nothing was written"):
        quick(seconds=0)
    assert not home.exists()


@pytest.mark.usefixtures("home")
def test_this_is_asked_for_by_name_before_it_is_measured() -> None:
    with pytest.raises(AttometerError, match="run: attometer calibrate --quick"):
        machine("this")
