"""`attometer show`, `compare` and `figures` on the command line: text, JSON, and bad input with exit code 2."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_show_prints_the_page(command: Callable[..., Any]) -> None:
    done = command("show", "softmax")
    assert done.returncode == 0
    assert done.stdout == (Path(__file__).parent / "golden" / "show_softmax.txt").read_text(encoding="utf-8")


def test_show_gives_json_and_numbers(command: Callable[..., Any]) -> None:
    done = command("show", "longformer", "--json", "--at", "n=1024,d=64", "--set", "w=128")
    assert done.returncode == 0
    held = json.loads(done.stdout)
    assert (held["name"], held["approximates"]) == ("longformer", None)
    # 1024 queries see 129 keys each, less the window's two cut corners, plus one global row and column beyond it
    assert held["at"]["mac"] == 2 * 64 * (1024 * 129 - 64 * 65 + 2 * (1024 - 65))


def test_compare_prints_the_articles_table(command: Callable[..., Any]) -> None:
    done = command("compare", "softmax", "linear", "sliding_window", "-n", "16384", "-d", "768")
    assert done.returncode == 0
    out = done.stdout
    assert "206,158,430,208" in out
    assert "softmax = linear at n = d + 1/2 = 768.50" in out


def test_compare_takes_heads_sizes_and_a_convention(command: Callable[..., Any]) -> None:
    options = ["--heads", "12", "-d", "64", "--of", "mac", "--sizes", "w=128", "--json"]
    done = command("compare", "softmax", "rnn", "sliding_window", *options)
    assert done.returncode == 0
    held = json.loads(done.stdout)
    assert held["convention"] == "mac"
    assert held["crossovers"][0]["root"] == "768"
    assert held["counts"]["rows"][2]["sizes"] == "w = 128"


def test_figures_says_what_it_wrote(command: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = command("figures", "--out", str(tmp_path), "--formats", "svg", "--on", "l4", "--json")
    assert done.returncode == 0
    held = json.loads(done.stdout)
    assert held["hardware"] == ["l4"]
    assert sorted(Path(p).name for p in held["paths"]) == sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "sofmax"], 'unknown mechanism "sofmax"; did you mean "softmax"?'),
        (
            ["show", "softmax", "--set", "name=3"],
            'unknown parameter of mechanism "softmax" "name"; known: causal, e, m, mask',
        ),
        (["show", "softmax", "--set", "at=3"], '--set does not take "at"; use --at'),
        (["show", "softmax", "--at", "n=0"], 'size "n" must be a positive integer, got 0'),
        (["compare", "softmax"], "compare needs at least two different mechanisms, got 1"),
        (["compare", "softmax", "rnn", "-n", "-5"], "size n must be a positive integer, got -5"),
        (["compare", "softmax", "rnn", "--sizes", "of=3"], '--sizes does not take "of"; use --of'),
        (["compare", "softmax", "rnn", "--sizes", "names=3"], 'unknown size "names"; known: b, d, e, h, m, n'),
        (["figures", "--out", "/dev/null/x"], 'folder "/dev/null/x" cannot be made: not a directory'),
        (["figures", "--out", "f", "--formats", "jpg"], 'unknown format "jpg"; known: pdf, png, svg'),
        (["figures", "--out", "f", "--on", "h1000"], 'unknown hardware "h1000"'),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    command: Callable[..., Any],
    arguments: list[str],
    message: str,
    tmp_path: Path,
) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"attometer: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
