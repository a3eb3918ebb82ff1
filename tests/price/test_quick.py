"""Quick calibration: rows, machine file and coefficients of this machine, whole or not at all; no clock is read here."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from attometer.errors import AttometerError
from attometer.machine import Figure, machine
from attometer.machine.hardware import Peak
from attometer.models import model
from attometer.plan import plan
from attometer.plan.predicted import predicted
from attometer.price import price, quick_cases
from attometer.price import quick as module
from attometer.price.calibrate import fit_physics
from attometer.price.features import by_columns, on_machine, own_words
from attometer.price.figures import known
from attometer.price.load import LABELS, Table
from attometer.price.own import own_type
from attometer.price.predict import kernel_seconds
from attometer.price.quick import Facts, fitted, measure
from attometer.price.quick_cases import PRODUCTS, Case
from attometer.price.tables import calibration

FACTS = Facts("pretended", "cpu", 1, 16e9)
GFLOPS = {"fp32": 60e9, "bf16": 120e9}
AHEAD = 1.25  # what passes take beside the sum of their kernels


def pretend(cells: dict[str, str]) -> float:
    """Seconds of a machine of 60 GFLOP/s in fp32 and 10 GB/s, 5 µs at least."""
    extra = dict(part.split("=") for part in cells.get("extra", "").split(";") if part)
    size = 4 if cells["dtype"] == "fp32" else 2
    if cells["source_id"] == "this_gemm":
        m, n, k = (int(extra[name]) for name in "mnk")
        return 5e-6 + 2 * m * n * k / GFLOPS[cells["dtype"]]
    if cells["source_id"] == "this_operation":
        heads = int(cells.get("n_heads", 0)) * int(cells.get("head_dim", 0))
        width = int(cells.get("hidden_size") or cells.get("ffn_hidden") or cells.get("vocab") or heads)
        return 5e-6 + int(extra["tokens"]) * width * 8 / 10e9
    if cells["source_id"] == "this_pass":
        L, w, b, n = (int(cells[name]) for name in ("n_layers", "hidden_size", "batch", "seq_len"))
        tokens, times = (b if "decode" in cells["mode"] else b * n), (3 if "train" in cells["mode"] else 1)
        return AHEAD * times * (2 * tokens * (12 * L * w * w) / GFLOPS[cells["dtype"]] + L * 6e-5)
    b, h, d = (int(cells[name]) for name in ("batch", "n_heads", "head_dim"))
    if cells["mode"] == "kernel_decode":
        return 5e-6 + b * h * int(cells["kv_len"]) * 2 * d * size / 10e9
    s = int(cells["seq_len"])
    return 5e-6 + (2.5 if "bwd" in cells["mode"] else 1) * b * h * 4 * s * s * d / 30e9


@pytest.fixture(scope="module")
def cells() -> list[dict[str, str]]:
    return [case.cells for case in quick_cases.cases("cpu")]


@pytest.fixture(scope="module")
def written(cells: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, module.Quick]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home))
        new = quick_cases.pages().cells, [2**26 / 10e9 + 2**26 / 2e9] * 3
        return home, fitted([*((each, [pretend(each)] * 3) for each in cells), new], FACTS)


@pytest.fixture
def this(written: tuple[Path, module.Quick], monkeypatch: pytest.MonkeyPatch) -> Iterator[module.Quick]:
    monkeypatch.setenv("XDG_DATA_HOME", str(written[0]))
    known.cache_clear()
    yield written[1]
    known.cache_clear()


def case(name: str, run: object = None) -> Case:
    return Case({"name": name}, run or (lambda: name))  # type: ignore[arg-type]


def test_this_machine_is_written_and_predicts_unseen_sizes(this: module.Quick) -> None:
    assert (this.rounds, this.complete) == (3, True)
    place = machine("this")
    assert place.peak_rate("fp32") == pytest.approx(60e9, rel=0.05)
    assert place.bandwidth == pytest.approx(10e9, rel=0.05)
    assert place.memory.fresh is not None
    assert float(place.memory.fresh.amount) == pytest.approx(2e9, rel=0.05)
    ask = functools.partial(kernel_seconds, "cpu_gemm", "torch|fp32|", "this", left_bytes=4, right_bytes=4, fresh=0,
                            crowded=0, spanned=0)  # fmt: skip
    for m, n, k in ((300, 900, 700), (900, 900, 900), (1500, 700, 1100)):
        assert (m, n, k) not in PRODUCTS
        assert ask(m=m, n=n, k=k).seconds[0] == pytest.approx(2 * m * n * k / 60e9, rel=0.1)
    folder = Path(this.folder)
    assert {path.name for path in folder.parent.iterdir()} == {"this"}
    assert {"this.toml", "measured.csv", "passes.json", "cpu_gemm.json"} <= {path.name for path in folder.iterdir()}
    assert set(this.ends) == {"cpu_attention", "cpu_gemm", "cpu_operation", "decode", "passes"}
    assert "1 thread: " in str(this)
    assert "60 GFLOP/s" in str(this)


@pytest.mark.parametrize("mode", ["prefill", "decode", "train"])
@pytest.mark.usefixtures("this")
def test_passes_stand_on_this_machine(mode: str) -> None:
    made = predicted(plan("gpt2", "this", context=256, mode=mode))
    assert made is not None
    assert (made.situation, made.engine, made.way, made.borrowed) == ("this machine", "torch", "kernels", ())
    assert made.low < made.seconds < made.high
    assert sum(made.terms.values()) == pytest.approx(made.seconds)
    tokens, times = (1 if mode == "decode" else 256), (3 if mode == "train" else 1)
    products = times * 2 * tokens * 12 * 12 * 768**2 / GFLOPS["bf16"]
    assert made.seconds > products
    if mode == "prefill":
        assert price(model("gpt2"), "this", engine="torch", n=256).seconds == pytest.approx(made.seconds)


@pytest.mark.usefixtures("this")
def test_training_computes_layers_again_and_other_types_have_no_prediction() -> None:
    plain, again = (predicted(plan("gpt2", "this", context=256, mode="train", checkpoint=c)) for c in (False, True))
    assert plain is not None
    assert again is not None
    forward = predicted(plan("gpt2", "this", context=256))
    assert forward is not None
    assert 0.5 * forward.seconds < again.seconds - plain.seconds < 1.5 * forward.seconds
    narrow = plan("gpt2", "this", context=256, weights_dtype="int4")
    assert narrow.predicted is None
    assert narrow.unpredicted == str(narrow.to_dict()["unpredicted"])
    assert "no predicted time: this machine was measured in fp32 and bf16, not in 8 bits" in " ".join(
        str(narrow).split()
    )
    assert own_type(32, machine("this")) == "fp32"
    assert own_type(16, machine("this")) == "bf16"
    with pytest.raises(AttometerError, match="measured in fp32 and bf16, not in 4 bits"):
        own_type(4.5, machine("this"))


def test_a_pass_is_its_kernels_times_a_factor_and_gaps() -> None:
    rng = np.random.default_rng(0)
    kernels, layers = np.exp(rng.uniform(-9, -1, 40)), rng.integers(1, 13, 40).astype(float)
    seconds = 1.25 * kernels + 2e-4 * layers + 4e-4
    labels = {name: np.array(["x"] * 40) for name in LABELS} | {"group": np.arange(40).astype(str)}
    found = fit_physics(Table("passes", {"kernels": kernels, "layers": layers, "passes": np.ones(40)}, seconds, labels))
    assert np.exp(found.cells["x@x"]) == pytest.approx([1.25, 2e-4, 4e-4], rel=0.1)


def test_drift_of_the_machine_is_taken_out() -> None:
    slow = [1.0]

    def timed(run: object) -> float:
        slow[0] *= 1.01  # a machine that becomes slower with every sample
        return slow[0] * {"reference": 1e-3, "a": 2e-3, "b": 3e-3}[run()]  # type: ignore[operator]

    samples, usual, complete = measure([case("a"), case("b")], timed, lambda: "reference", 0, lambda share: None)
    assert complete
    assert len(usual) == 4
    a, b = (np.array(each) for each in samples)
    assert len(a) == 3
    assert a == pytest.approx(np.full(3, 2), rel=0.05)
    assert b / a == pytest.approx(np.full(3, 1.5 * 1.01))


def test_a_reference_that_waited_for_others_shifts_nothing() -> None:
    calls: list[object] = []

    def timed(run: object) -> float:
        calls.append(run())
        waited = calls[-1] == "reference" and calls.count("reference") == 3
        return {"reference": 1e-3, "a": 2e-3}[calls[-1]] * (20 if waited else 1)  # type: ignore[index]

    samples, usual, _ = measure([case("a")], timed, lambda: "reference", 0, lambda share: None)
    assert max(usual) == pytest.approx(2e-2)
    assert samples == [pytest.approx([2.0] * 3)]


def rate(value: float) -> Figure:
    return Figure(value=value, unit="GFLOP/s", source="-", status="measured")


def test_columns_are_walked_where_a_type_has_no_kernel() -> None:
    x = {"m": 8.0, "n": 1024.0, "k": 4096.0, "right_bytes": 2.0}
    slow = machine("h100-sxm").model_copy(update={"peak": Peak(fp32=rate(60.0), bf16=rate(16.0))})
    fast = machine("h100-sxm").model_copy(update={"peak": Peak(fp32=rate(60.0), bf16=rate(120.0))})
    # rows of 2 KiB: lines of one column share half of the places, and two rows lie on a page
    assert by_columns(x, "bf16", "inputs", slow) == {"crowded": 4096 * 2048, "spanned": 4096 * 2048}
    none = {"crowded": 0.0, "spanned": 0.0}
    assert by_columns(x, "bf16", "inputs", fast) == by_columns(x, "bf16", "weights", slow) == none
    assert by_columns(x, "fp32", "inputs", slow) == none


def test_large_results_have_new_pages_each() -> None:
    where = machine("h100-sxm")
    memory = where.memory.model_copy(update={"fresh": Figure(value=1.0, unit="GB/s", source="-", status="measured")})
    cpu = where.model_copy(update={"kind": "cpu", "memory": memory})
    x = {"rows": 1024.0, "width": 16384.0}  # 64 MiB in 32 bits, 32 in 16
    made = {
        (op, size, back): on_machine("operation", x, own_words(op, size, back), cpu)[1]["fresh"] * 1e9 / 2**20
        for op, size, back in (
            ("act_fn", 4, 0),
            ("optimizer", 4, 0),
            ("optimizer", 2, 0),
            ("loss", 2, 0),
            ("loss", 2, 1),
        )
    }
    assert list(made.values()) == pytest.approx([64, 128, 192, 128, 160])
    assert on_machine("operation", x | {"rows": 256.0}, own_words("act_fn", 4), cpu)[1]["fresh"] == 0


def test_rounds_last_as_long_as_asked_and_progress_ends_at_one() -> None:
    now, told = [0.0], []

    def timed(run: object) -> float:
        now[0] += 1.0
        return 1.0 if run() == "slow" else 1e-3

    cases = [case("a"), case("a"), case("slow"), case("a")]
    samples, _, _ = measure(cases, timed, lambda: 0, 30.0, told.append, clock=lambda: now[0])
    assert len(samples[0]) == 7
    assert len(samples[2]) == 1
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert 0 < told[0] < 0.1


def test_stopping_early_keeps_what_is_done(
    cells: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    calls: list[object] = []

    def interrupted(run: object) -> float:
        calls.append(run)
        if len(calls) > 90:
            raise KeyboardInterrupt
        return 1e-3

    samples, _, complete = measure([case("a")] * 60, interrupted, lambda: 0, 0, lambda share: None)
    assert not complete
    assert [len(each) for each in samples] == [2] * 18 + [1] * 42
    made = fitted([(each, [pretend(each)]) for each in cells[:70]] + [(each, []) for each in cells[70:]], FACTS, False)
    assert (made.cases, made.rounds, made.complete) == (70, 1, False)
    assert "stopped early" in str(made)
    assert machine("this").bandwidth > 0


def test_what_is_too_little_or_fails_writes_nothing(
    cells: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(AttometerError, match="nothing was written"):
        fitted([(each, []) for each in cells], FACTS)
    with pytest.raises(AttometerError, match="nothing was written"):
        fitted([(each, [1e-3] if each["source_id"] == "this_gemm" else []) for each in cells], FACTS)

    def failing(*arguments: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(module, "save", failing)
    with pytest.raises(OSError, match="no room"):
        fitted([(each, [pretend(each)]) for each in cells[:70]], FACTS)
    assert not list(tmp_path.rglob("*.*"))


def test_a_new_calibration_takes_the_place_of_the_old(
    cells: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for slower in (1.0, 2.0):
        fitted([(each, [slower * pretend(each)]) for each in cells[:40]], FACTS)
        assert machine("this").peak_rate("fp32") == pytest.approx(60e9 / slower, rel=0.05)
        held = calibration("cpu_gemm", tmp_path / "attometer" / "this")
        assert list(held.cells) == sorted(held.cells)
    assert [path.name for path in (tmp_path / "attometer").iterdir()] == ["this"]


def test_this_is_asked_for_by_name_before_it_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(AttometerError, match="run: attometer calibrate --quick"):
        machine("this")
