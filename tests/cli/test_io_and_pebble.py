"""`io` and `pebble` on the command line: numbers, figures, and bad input in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from attometer.cli import app
from attometer.errors import AttometerError


def test_io_prints_json_and_draws(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command(
        "io",
        "softmax",
        "-n",
        "64",
        "-d",
        "8",
        "-M",
        "256",
        "--mask",
        "causal & window(16)",
        "--json",
        "--plot",
        "io.svg",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert (tmp_path / "io.svg").read_text().startswith("<?xml")


def test_io_verifies(command: Callable[..., Any]) -> None:
    done = command(
        "io", "gqa", "-n", "64", "-d", "8", "-M", "512", "--sizes", "h=4,g=2", "--schedule", "flash2", "--verify"
    )
    assert done.returncode == 0, done.stderr
    assert "flash2: count" in done.stdout
    assert "== simulated" in done.stdout


def test_pebble_says_the_optimum(command: Callable[..., Any]) -> None:
    done = command("pebble", "softmax", "--sizes", "n=1,d=1,m=2", "-M", "4", "--json")
    assert json.loads(done.stdout)["cost"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "1"], "too small"),
        (
            ["io", "softmax", "-n", "64", "-d", "8", "-M", "256", "--mask", "casual"],
            'unknown mask "casual"; did you mean "causal"?',
        ),
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "256", "--schedule", "flash3"], 'unknown schedule "flash3"'),
        (["io", "rnn", "-n", "64", "-d", "8", "-M", "256", "--schedule", "flash2"], "softmax attention"),
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "256", "--plot", "x.bmp"], ".png, .svg or .pdf"),
        (["pebble", "softmax", "--sizes", "n=2", "-M", "5"], "d"),
        (["pebble", "softmax", "--sizes", "n=2,d=0", "-M", "5"], 'size "d" must be a positive integer, got 0'),
        (["pebble", "softmax", "--sizes", "n=2,d=1", "-M", "1"], "too small"),
        (["pebble", "softmax", "--sizes", "n=64,d=64", "-M", "100"], "above the limit of 2,000"),
        (["pebble", "softmax", "--sizes", "n=6,d=4", "-M", "20"], "the exact solver takes at most"),
        (["pebble", "sofmax", "--sizes", "n=2,d=1", "-M", "5"], 'did you mean "softmax"?'),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    command: Callable[..., Any], arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_options_that_a_variant_does_not_read_are_refused_by_name() -> None:
    small = ("io", "softmax", "-n", "64", "-d", "8", "-M", "1000")
    for extra, message in (
        (("--others", "--mask", "causal"), "--others does not take --mask; it takes name, -M, -n, -d, --json"),
        (("--others", "--plot", "x.png"), "--others does not take --plot"),
        (("--others", "-m", "9"), "--others does not take -m"),
        (("--others", "--splits"), "--others does not take --splits"),
        (("--splits", "--backward"), "--splits does not take --backward"),
        (("--splits", "--schedule", "flash2"), "--splits does not take --schedule"),
        (("--splits", "--verify"), "--splits does not take --verify"),
    ):
        refused = CliRunner().invoke(app, [*small, *extra])
        assert isinstance(refused.exception, AttometerError)
        assert str(refused.exception).startswith(message)
    other = CliRunner().invoke(app, ["io", "gqa", "-n", "64", "-d", "8", "-M", "1000", "--splits"])
    assert str(other.exception) == '--splits starts from one head of softmax, got "gqa"'
    for extra in (("--on", "nosuch"), ("--batch", "2"), ("--explain",)):
        checked = CliRunner().invoke(app, ["plan", "gpt2", "--check", *extra])
        assert str(checked.exception) == f"--check does not take {extra[0]}; it takes model, --json"
    assert CliRunner().invoke(app, ["plan", "gpt2", "--check", "--json"]).exit_code == 0


def test_the_example_of_the_help_runs_and_heads_that_do_not_divide_are_named() -> None:
    shared = CliRunner().invoke(app, ["io", "gqa", "-n", "64", "-d", "8", "-M", "2000", "--schedule", "flash2"])
    assert shared.exit_code == 0
    assert "8 × 4 heads" in shared.output
    refused = CliRunner().invoke(app, ["io", "gqa", "-n", "64", "-d", "8", "-M", "2000", "--sizes", "h=4"])
    assert str(refused.exception) == "sizes do not divide: h = 4, g = 8; g must divide h"


def test_a_figure_that_cannot_be_written_is_refused_before_the_report(tmp_path: Path) -> None:
    for command in (
        ["io", "softmax", "-n", "64", "-d", "8", "-M", "300"],
        ["pebble", "softmax", "--sizes", "n=2,d=1", "-M", "5"],
    ):
        for path, message in (("x.jpg", "must end in .png, .svg or .pdf"), ("nodir/x.png", 'folder "')):
            refused = CliRunner().invoke(app, [*command, "--plot", str(tmp_path / path)])
            assert refused.output == ""
            assert message in str(refused.exception)
            assert not list(tmp_path.iterdir())
