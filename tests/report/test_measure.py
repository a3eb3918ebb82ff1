"""`attometer measure`: what is asked is checked, a killed run continues, and the arithmetic on the times is right."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from attometer.errors import AttometerError
from attometer.report.measure.fit import Range, crossings, growth
from attometer.report.measure.prediction import PRINTED, flops

pytest.importorskip("torch")

from attometer.report.measure.report import Measured, MeasureReport, Options, measure

SMALL = ["-n", "16,32", "--dtype", "fp32", "--heads", "1", "-d", "4", "--repeats", "2"]


def row(mechanism: str, n: int, seconds: float, cpu: float | None = None, spread: float = 0.0) -> Measured:
    time = Range(seconds, seconds * (1 - spread), seconds * (1 + spread))
    return Measured(mechanism, n, time, cpu or seconds, 2**20, 3, "sdpa", flops(mechanism, b=1, h=8, n=n, d=64))


def report(*rows: Measured) -> MeasureReport:
    names = list(dict.fromkeys(r.mechanism for r in rows))
    where = {"machine": "a machine", "device": "cpu", "torch": "2.13", "threads": 1}
    return MeasureReport(Options.of(names, [r.n for r in rows]), rows, 1e11, 1024, where, (0.5, 0.75))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.3])
def test_growth_finds_the_power(power: float) -> None:
    fit = growth({n: 7e-9 * n**power for n in (100, 300, 900, 5000)})
    assert fit is not None
    assert fit.exponent == pytest.approx(power)
    assert fit.scale == pytest.approx(7e-9)
    assert fit.residual == pytest.approx(0, abs=1e-9)


def test_growth_gives_the_residual() -> None:
    # errors of +r, -2r, +r in ln(time) at equal steps of ln(n) are orthogonal to any line, so all of them remain
    r = 0.1
    fit = growth({n: n**2 * math.exp(e) for n, e in zip((10, 20, 40), (r, -2 * r, r), strict=True)})
    assert fit is not None
    assert fit.exponent == pytest.approx(2)
    assert fit.residual == pytest.approx(r * math.sqrt(2))


def test_growth_needs_two_lengths_and_three_for_a_residual() -> None:
    assert growth({10: 1.0}) is None
    fit = growth({10: 1.0, 20: 4.0})
    assert fit is not None
    assert (round(fit.exponent, 9), fit.residual, fit.points) == (2.0, None, 2)


def test_crossings_are_interpolated_between_measured_lengths() -> None:
    linear = {n: Range(1e-6 * n, 0.9e-6 * n, 1.1e-6 * n) for n in (256, 512, 4096)}
    square = {n: Range(1e-9 * n**2, 0.9e-9 * n**2, 1.1e-9 * n**2) for n in (256, 512, 2048, 4096)}
    (found,) = crossings(("linear", linear), ("square", square))
    assert (found.faster, found.below, found.above, found.clear) == ("linear", 512, 4096, True)
    assert found.n == pytest.approx(1000)
    (back,) = crossings(("square", square), ("linear", linear))
    assert (back.faster, back.n) == ("linear", pytest.approx(1000))


def test_crossings_see_every_change_and_doubt_overlapping_ranges() -> None:
    times = {n: Range(t, t / 2, 2 * t) for n, t in {1: 1.0, 2: 3.0, 4: 1.0}.items()}
    level = {n: Range(2.0, 2.0, 2.0) for n in (1, 2, 4)}
    assert [(c.faster, c.clear) for c in crossings(("zigzag", times), ("level", level))] == [
        ("level", False),
        ("zigzag", False),
    ]
    assert crossings(("level", level), ("level too", level)) == ()


def test_predictions_are_counts() -> None:
    assert flops("softmax", b=2, h=3, n=100, d=8) == 2 * 3 * 4 * 100**2 * 8
    assert flops("softmax_naive", b=2, h=3, n=100, d=8) == flops("softmax", b=2, h=3, n=100, d=8)
    assert flops("softmax_causal", b=1, h=1, n=100, d=8) == 4 * 8 * 100 * 101 // 2
    pairs = 256 * 257 // 2 + (1024 - 256) * 256
    assert flops("sliding_window", b=1, h=1, n=1024, d=8) == 4 * 8 * pairs


def test_the_articles_formulas_give_its_numbers() -> None:
    at = {p.mechanism: p.at(16384, 768) for p in PRINTED}
    assert {k: v and round(v, 1) for k, v in at.items()} == {
        "linear": 21.3, "sparse_transformer_strided": 128.0, "sliding_window": 64.0, "softmax": None,
    }  # fmt: skip


def test_speedups_and_words() -> None:
    made = report(
        row("softmax", 512, 1.0, 4.0), row("linear", 512, 2.0), row("softmax", 2048, 16.0), row("linear", 2048, 8.0)
    )
    assert [made.speedup(r) for r in made.rows] == [None, 0.5, None, 2.0]
    assert made.cpu_speedup(made.rows[1]) == 2.0
    counted = [flops(x, b=1, h=8, n=2048, d=64) for x in ("softmax", "linear")]
    assert made.predicted(made.rows[3]) == pytest.approx((counted[0] or 0) / (counted[1] or 1))
    text = str(made)
    assert "linear is faster from n ≈ 1,024 (between 512 and 2,048)" in text
    assert "torch.mm of 1024² in bf16 at 100.0 GFLOP/s, same run; load average 0.5 before, 0.8 after" in text
    assert "n^2.00" in text
    assert "linear over softmax" in text
    assert "21×" in text
    assert "64×" not in text  # no sliding window was measured


def test_one_side_faster_everywhere_is_said_without_a_crossing() -> None:
    made = report(
        row("softmax", 512, 1.0), row("linear", 512, 0.5), row("softmax", 1024, 4.0), row("linear", 1024, 1.0)
    )
    assert "faster at every measured n, 512 to 1,024" in str(made)
    alone = report(row("softmax", 512, 1.0), row("linear", 512, 1.5))
    assert "slower at n = 512" in str(alone)
    assert "growth with n" not in str(alone)


def test_command_prints_json_and_progress_apart(command: Callable[..., Any]) -> None:
    done = command("measure", "softmax", "linear", *SMALL, "--threads", "1", "--json")
    assert done.returncode == 0
    held = json.loads(done.stdout)
    assert [(r["mechanism"], r["n"], r["samples"]) for r in held["rows"]] == [
        ("softmax", 16, 2), ("linear", 16, 2), ("softmax", 32, 2), ("linear", 32, 2),
    ]  # fmt: skip
    assert all(0 < r["time"]["least"] <= r["time"]["median"] <= r["time"]["most"] for r in held["rows"])
    assert held["where"]["threads"] == 1
    assert held["ceiling"]["flops_per_second"] > 0
    assert set(held["growth"]) == {"softmax", "linear"}
    assert held["remarks"][-1] == "2 samples: the median of fewer than three says little"
    assert "round 2 of 2 measured" in done.stderr


def test_a_killed_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "results.jsonl"
    options = Options.of(["softmax", "linear"], "16,32", dtype="fp32", heads=1, d=4, repeats=2)
    whole = measure(options, out=out)
    lines = out.read_text().splitlines(keepends=True)
    assert len(lines) == 2 * (1 + 2 * 2)
    out.write_text("".join(lines[:7]) + lines[7][:40])
    continued = measure(options, out=out)
    again = out.read_text().splitlines(keepends=True)
    assert again[:7] == lines[:7]
    assert "7 samples are of an earlier run" in str(continued)
    assert len(again) == len(lines)
    out.write_text("".join(lines))
    monkeypatch.setattr("attometer.run.bench.measuring._once", None)  # nothing is left to run
    assert measure(options, out=out).rows == whole.rows


def test_samples_of_another_machine_are_left_out(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    options = Options.of(["linear"], "16", dtype="fp32", heads=1, d=4, repeats=1)
    measure(options, out=out)
    foreign = [json.dumps({**json.loads(x), "torch": "1.0", "seconds": 9e9}) for x in out.read_text().splitlines()]
    out.write_text("\n".join(foreign) + "\n")
    made = measure(options, out=out)
    assert made.rows[0].time.most < 9e9
    assert f"2 samples in {out} are of another machine, device, torch or thread count, and are left out" in made.remarks
    assert len(out.read_text().splitlines()) == 4


def test_another_kind_of_file_is_not_written_to(command: Callable[..., Any], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for content in ("# notes\n", '{"n": 3}\n', "[1]\n"):
        out = tmp_path / "notes.md"
        out.write_text(content)
        done = command("measure", "softmax", *SMALL, "--out", str(out))
        assert done.returncode == 2
        assert f"attometer: results {out}: line 1 is not a sample; give another file" in done.stderr
        assert out.read_text() == content


@pytest.mark.gpu
def test_a_gpu_is_timed_by_its_own_events() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    made = measure(Options.of(["softmax", "linear"], "256,512", heads=2, repeats=2, device="cuda"))
    assert made.where["device"] == torch.cuda.get_device_name()
    assert all(r.time.least > 0 and r.peak and r.peak >= 2 * r.n * 64 * 2 for r in made.rows)


def test_threads_are_given_back() -> None:
    import torch

    before = torch.get_num_threads()
    measure(Options.of(["linear"], "16", dtype="fp32", heads=1, d=4, repeats=1, threads=before + 1))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sofmax"], 'unknown mechanism to measure "sofmax"; did you mean "softmax"?'),
        (["-n", "512,abc"], "-n must be a positive integer, got abc; as in 4096, 128k"),
        (["-n", "0"], "-n must be a positive integer, got 0; as in 4096, 128k"),
        (["-n", "512,,1024"], "-n must be a positive integer, got"),
        (["-n", "-5"], "got -5"),
        (["--dtype", "bf17"], 'unknown dtype "bf17"; did you mean "bf16"?'),
        (["--impl", "tilled"], 'unknown impl "tilled"; did you mean "tiled"?'),
        (["linear", "--impl", "tiled"], "--impl tiled says nothing to linear; leave it out, or add softmax"),
        (["decode", "--backward"], "--backward does not go with decode: a decode step has no gradients"),
        (["hyperattention", "-n", "100"], "needs n to be a multiple of B = 256, got n = 100"),
        (["--repeats", "0"], "repeats must be a positive integer, got 0"),
        (["--threads", "0"], "threads must be a positive integer, got 0"),
        (["--heads", "0"], "heads must be a positive integer, got 0"),
        (["--device", "gpu"], 'device must be cpu, cuda or cuda:NUMBER, got "gpu"'),
        (["--plot", "time.txt"], 'figure "time.txt" must end in .png, .svg or .pdf'),
        (["--plot", "/nowhere/time.svg"], 'folder "/nowhere" of figure "time.svg" does not exist'),
        (["softmax", "-n", "16", "--impl", "flex", "--backward"], 'impl "flex" does not support gradients on CPU'),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(command: Callable[..., Any], arguments: list[str], words: str) -> None:
    done = command("measure", *arguments)
    assert done.returncode == 2
    said = done.stderr
    assert words in said
    assert said.startswith("attometer: ")
    assert said.count("\n") == 1


def test_a_busy_machine_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    options = Options.of(["linear"], "16", dtype="fp32", heads=1, d=4, repeats=3, threads=2)
    monkeypatch.setattr("os.getloadavg", lambda: (3.25, 1.0, 1.0))
    busy = "the machine was busy: load average 3.2 on 2 processors before the first sample"
    assert measure(options).remarks == (
        f"{busy}; with more threads than idle processors times mean little: use --threads 1",
    )
    assert measure(replace(options, threads=1)).remarks == (busy,)
    monkeypatch.setattr("os.getloadavg", lambda: (0.25, 1.0, 1.0))
    assert measure(options).remarks == ()


def test_lengths_from_python() -> None:
    assert Options.of(["softmax", "softmax"], [64, 32, 64]).lengths == (32, 64)
    assert Options.of(["softmax", "softmax"], [64]).mechanisms == ("softmax",)
    with pytest.raises(AttometerError, match="got none"):
        Options.of(["softmax"], [])


def test_plot_names_machine_and_powers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from attometer.report.measure.plot import plot

    made = report(row("softmax", 512, 1.0, spread=0.1), row("softmax", 1024, 4.0, spread=0.1))
    drawn = plot(made, tmp_path / "time.svg").read_text(encoding="utf-8")
    assert "softmax, n^2.00" in drawn
    assert "measured on a machine" in drawn
    single = replace(made, rows=made.rows[:1])
    assert plot(single, tmp_path / "time.png").read_bytes().startswith(b"\x89PNG")


def test_a_ceiling_is_never_below_what_was_measured() -> None:
    fast, slow = row("softmax", 512, 1e-12), row("softmax", 512, 1.0)
    assert report(slow).tables[0].notes[0].startswith("ceiling: torch.mm of 1024² in ")
    rate = flops("softmax", b=1, h=8, n=512, d=64)
    assert rate is not None
    assert (
        report(fast)
        .tables[0]
        .notes[0]
        .startswith(f"ceiling: {rate * 1e12 / 1e9:,.1f} GFLOP/s, measured here; torch.mm of")
    )


ATT = Path(__file__).parents[2] / "examples" / "relu.att"


def test_a_file_of_notation_is_compiled_and_held_against_softmax(command: Callable[..., Any]) -> None:
    done = command("measure", "softmax", str(ATT), "gqa,g=1", *SMALL, "--json")
    assert done.returncode == 0
    held = {(r["mechanism"], r["n"]): r for r in json.loads(done.stdout)["rows"]}
    own = held[str(ATT), 32]
    assert own["runs_with"] == held["gqa,g=1", 32]["runs_with"] == "compiled"
    # Two products of n × n × d for each head, as softmax attention has.
    assert own["flops"] == held["softmax", 32]["flops"] == 2 * 2 * 32 * 32 * 4
    assert own["predicted_speedup"] == 1


def test_its_backward_pass_runs_too(command: Callable[..., Any]) -> None:
    done = command("measure", str(ATT), *SMALL, "--backward", "--json")
    assert done.returncode == 0
    assert [r["n"] for r in json.loads(done.stdout)["rows"]] == [16, 32]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nope.att", "nope.att: no such file"),
        ("gqa,g", 'sizes are written as in mine.att,w=64; got "g" in "gqa,g"'),
        (str(ATT.with_name("multi_token.att")), 'has a size "u", which measure does not tell; write '),
    ],
)
def test_what_cannot_be_measured_says_why(command: Callable[..., Any], name: str, words: str) -> None:
    done = command("measure", name, *SMALL)
    assert done.returncode == 2
    assert words in done.stderr
