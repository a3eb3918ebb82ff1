"""A sweep is a plan at each point, files are whole, amounts are read in one place."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import attometer as am
from attometer.cli import app
from attometer.errors import AttometerError
from attometer.plan import planner
from attometer.view.amounts import amount, amounts

NAMES = ["llama-3.1-8b", "mixtral-8x7b", "gemma-2-2b", "deepseek-v4-flash", "jamba-v0.1", "t5-base", "llama-4-maverick"]
MODES = ["prefill", "decode", "train"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_a_grid_is_the_planner_pointwise(name: str, mode: str) -> None:
    asked = planner(name, "h200-sxm", mode=mode)
    contexts, batches = [1, 7, 2048, 4097, 131_072, 1_000_003], [1, 3, 300]
    grid = asked.grid(contexts, batches)
    for i, context in enumerate(contexts):
        for j, batch in enumerate(batches):
            one = asked(context, batch)
            assert (int(grid.bytes[i, j]), bool(grid.fits[i, j])) == (one.bytes, one.fits)
            assert int(grid.largest_context[j]) == one.largest_context
            for array, value in ((grid.seconds, one.seconds), (grid.compute_seconds, one.compute_seconds)):
                assert array[i, j] == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "gemma-2-2b", "t5-base"])
def test_a_plan_is_the_planner_at_one_point(name: str, mode: str) -> None:
    made = am.plan(name, "h200-sxm", context=3000, batch=2, mode=mode)
    one = planner(name, "h200-sxm", mode=mode)(3000, 2)
    assert (made.fits, made.memory.total, made.largest_context) == (one.fits, one.bytes, one.largest_context)
    assert made.time.seconds == pytest.approx(one.seconds, rel=1e-12)
    assert made.time.binds == one.binds


@given(st.sampled_from(NAMES), st.sampled_from(MODES), st.integers(1, 2**24), st.integers(1, 512))
def test_memory_never_falls_with_context_or_batch(name: str, mode: str, context: int, batch: int) -> None:
    asked = planner(name, mode=mode)
    here = asked.total(context, batch)
    assert here <= asked.total(context + 1, batch)
    assert here <= asked.total(context, batch + 1)


@given(st.sampled_from(NAMES), st.sampled_from(MODES), st.integers(1, 64))
def test_the_largest_context_is_the_last_that_fits(name: str, mode: str, batch: int) -> None:
    asked = planner(name, "h200-sxm", mode=mode)
    most = asked.largest_context(batch)
    assert most == 0 or asked.total(most, batch) <= asked.room
    assert asked.total(most + 1, batch) > asked.room


def test_the_command_writes_what_the_sweep_has(tmp_path: Path) -> None:
    table, picture = tmp_path / "s.csv", tmp_path / "s.png"
    options = ["--context", "8k,128k", "--batch", "1..4", "--csv", str(table), "--plot", str(picture), "--json"]
    done = CliRunner().invoke(app, ["sweep", "llama-3.1-8b", "--on", "h100-sxm", "a10", "--mode", "decode", *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [int(row["bytes"]) for row in rows] == [point["bytes"] for point in told["points"]]
    assert {(row["machine"], row["context"], row["batch"]) for row in rows} == {
        (on, c, b) for on in ("h100-sxm", "a10") for c in ("8192", "131072") for b in ("1", "2", "4")
    }
    assert told["largest_context"]["a10"]["1"] == planner("llama-3.1-8b", "a10", mode="decode").largest_context()
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("128k", 131_072),
        ("1M", 2**20),
        ("131,072", 131_072),
        ("1e5", 100_000),
        (" 8K ", 8192),
        ("1.5k", 1536),
        ("2Gi", 2**31),
    ],
)
def test_amounts_as_people_write_them(text: str, value: int) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "k", "1e99k9", "nan", "1..", "٣", "1e999"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(AttometerError, match=r"context must be a positive integer, got .*; as in 4096, 128k"):
        amount(text, "context")
    with pytest.raises(AttometerError, match="context is one number here, got 12,34; sweep takes lists and ranges"):
        amount("12,34", "context")


def test_lists_and_ranges() -> None:
    assert amounts("1k..1M") == tuple(2**k for k in range(10, 21))
    assert amounts("8k,32k,8k") == (8192, 32768)
    with pytest.raises(AttometerError, match=r"batch range 8\.\.1 falls; write 1\.\.8"):
        amounts("8..1", "batch")
    with pytest.raises(AttometerError, match='"128,256" is one amount or several; write 128256, or 128, 256'):
        amounts("128,256", "batch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--context", "x"], "context must be a positive integer"),
        (["--on", "h1000"], 'unknown hardware "h1000"'),
        (
            ["--on", "8x h100-sxm"],
            '"8x h100-sxm" is 8 devices; grids are of one device: ask plan or devices for several',
        ),
        (["--csv", "no/such/sweep.csv"], 'folder "no/such" of file "sweep.csv" does not exist'),
        (["--plot", "sweep.jpg"], "must end in .png, .svg or .pdf"),
    ],
)
def test_bad_input_of_the_command(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["sweep", "llama-3.1-8b", *arguments])
    assert message in str(done.exception)
    assert isinstance(done.exception, AttometerError)


def test_bad_input_of_the_library() -> None:
    asked = planner("gpt2")
    for contexts in ([], [0], [1.5], np.array([[1]]), [2**41]):
        with pytest.raises(AttometerError, match="context must be"):
            asked.grid(contexts)  # type: ignore[arg-type]
    with pytest.raises(AttometerError, match="at least one machine"):
        am.sweep("gpt2", [], context=1)


def test_the_picture_says_the_format_that_the_weights_are_counted_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    captions: list[str] = []
    monkeypatch.setattr("attometer.report.sweep_plot.source", lambda figure, said: captions.append(said) or figure)
    from attometer.report.sweep_plot import plot_sweep

    plot_sweep(am.sweep("gpt2", ["l4"], context=[128], batch=[1]), tmp_path / "sweep.png")
    assert captions == ["C compute binds, M memory binds, × does not fit; datasheet roofline; weights bf16, cache bf16"]
