"""`io` and `pebble` on the command line: numbers, figures, and bad input in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "attometer", *arguments], capture_output=True, text=True, cwd=cwd)


def test_io_prints_json_and_draws(tmp_path: Path) -> None:
    done = run(
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


def test_io_verifies() -> None:
    done = run(
        "io", "gqa", "-n", "64", "-d", "8", "-M", "512", "--sizes", "h=4,g=2", "--schedule", "flash2", "--verify"
    )
    assert done.returncode == 0, done.stderr
    assert "flash2: count" in done.stdout
    assert "== simulated" in done.stdout


def test_pebble_says_the_optimum() -> None:
    done = run("pebble", "softmax", "--sizes", "n=1,d=1,m=2", "-M", "4", "--json")
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
        (["io", "rnn", "-n", "64", "-d", "8", "-M", "256"], "softmax attention"),
        (["io", "softmax", "-n", "64", "-d", "8", "-M", "256", "--plot", "x.bmp"], ".png, .svg or .pdf"),
        (["pebble", "softmax", "--sizes", "n=2", "-M", "5"], "d"),
        (["pebble", "softmax", "--sizes", "n=2,d=0", "-M", "5"], 'size "d" must be a positive integer, got 0'),
        (["pebble", "softmax", "--sizes", "n=2,d=1", "-M", "1"], "too small"),
        (["pebble", "softmax", "--sizes", "n=64,d=64", "-M", "100"], "above the limit of 2,000"),
        (["pebble", "softmax", "--sizes", "n=6,d=4", "-M", "20"], "the exact solver takes at most"),
        (["pebble", "sofmax", "--sizes", "n=2,d=1", "-M", "5"], 'did you mean "softmax"?'),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
