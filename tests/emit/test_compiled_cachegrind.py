"""Cache lines of compiled nests under valgrind's cachegrind, beside the words that their tiles are counted to move."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from attometer.cli import app
from attometer.emit import build
from attometer.emit.cachegrind import LINE, block, cache_of, line_traffic
from attometer.errors import AttometerError
from attometer.program import parse_mask
from attometer.report.io.compiled import CompiledLines, compiled_lines

machine_code = pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")
valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind on the path")
SIZES = {"b": 1, "h": 1, "g": 1, "n": 192, "m": 192, "d": 32, "e": 32}


@pytest.mark.parametrize("words", [32, 100, 4096, 98304, 1_000_003])
def test_a_cache_holds_at_most_the_words_and_most_of_them(words) -> None:
    made = cache_of(words)
    sets = made.bytes // LINE // made.ways
    assert made.bytes == sets * made.ways * LINE
    assert sets & (sets - 1) == 0
    assert 0.98 * 4 * words - LINE < made.bytes <= 4 * words
    with pytest.raises(AttometerError, match="less than two lines"):
        cache_of(31)


@machine_code
@valgrind
@pytest.mark.slow
def test_a_cache_of_everything_fetches_each_line_once() -> None:
    moved = line_traffic("flash2", SIZES, (192, 192), 1 << 20)
    inputs = 3 * 192 * 32 * 4
    # Less some lines that were drawn last and are still held; with the stack, and what allocation touches.
    assert 0.9 * inputs <= moved.reads <= 1.5 * inputs
    packed = 2 * 192 * 32 * 4 + 192 * 32 * 4
    assert packed <= moved.bytes - inputs <= 6 * packed  # the scores' tile too


@machine_code
@valgrind
@pytest.mark.slow
@pytest.mark.parametrize(("name", "M"), [("flash2", 2048), ("flash_backward_fused", 4096)])
def test_lines_through_twice_the_words_are_near_the_count(name, M) -> None:
    sizes = {"n": 192, "m": 192, "d": 32, "e": 32, "copies": 1, "stack": 1}
    made = compiled_lines(name, sizes, M)
    assert isinstance(made, CompiledLines)
    narrow, wide = (x.bytes / 4 / made.counted for x in made.lines)
    assert wide < narrow
    assert 0.9 < wide < 1.6  # below 1: twice the words hold some tiles from one step of the nest to the next


@machine_code
@valgrind
@pytest.mark.slow
def test_what_a_mask_hides_is_not_fetched() -> None:
    full, half = (line_traffic("flash2", SIZES, (12, 16), 2048, mask) for mask in (None, parse_mask("causal")))
    assert 0.45 < half.bytes / full.bytes < 0.7


@machine_code
def test_schedules_that_do_not_fit_or_have_no_nest() -> None:
    sizes = {"n": 64, "m": 64, "d": 64, "e": 64, "copies": 1, "stack": 1}
    assert compiled_lines("naive", sizes, 4096) is None
    said = compiled_lines("flash2", sizes, 64)
    assert said == f"flash2 compiled: its smallest tiles hold {_least():,} words, more than M = 64"


def _least() -> int:
    rows, keys = block("flash2")
    return rows * (64 + 64 + keys + 2) + keys * 64


@machine_code
@valgrind
@pytest.mark.slow
def test_on_the_command_line() -> None:
    asked = "io softmax -n 64 -d 16 -M 2048 --schedule flash2 --schedule naive --verify --compiled"
    done = CliRunner().invoke(app, asked.split())
    assert done.exit_code == 0, done.output
    assert "flash2: count" in done.stdout
    assert "flash2 compiled" in done.stdout
    made = json.loads(CliRunner().invoke(app, [*asked.split(), "--json"]).stdout)
    (row,) = made["compiled"]
    assert row["counted_bytes"] == 4 * row["counted_words"]
    assert [x["cache_bytes"] for x in row["caches"]] == [8192, 16384]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("--compiled", "--compiled goes with --verify"),
        ("--verify --compiled --schedule naive", "no compiled nest among naive"),
        ("--verify --compiled --schedule flash2", "counting cache lines needs valgrind"),
    ],
)
def test_what_is_refused_in_one_line(asked, message, tmp_path) -> None:
    command = [sys.executable, "-m", "attometer", "io", "softmax", "-n", "64", "-d", "16", "-M", "2048", *asked.split()]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": str(tmp_path)}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_size_that_takes_minutes_is_refused() -> None:
    with pytest.raises(AttometerError, match="cachegrind would take minutes"):
        line_traffic("flash2", SIZES | {"n": 1_000_000}, (12, 16), 2048)
