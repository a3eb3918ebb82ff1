"""What reaches a terminal: any encoding, readers that leave early, names that hold escape sequences, exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import attometer as am
from attometer.cli import ASK, DRAW, MEASURE, PROVE, app
from attometer.models.shipped import shipped_path
from attometer.view.terminal import has_colours, shaded

HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202eevil"


def test_help_names_every_panel_and_every_command(command: Callable[..., Any]) -> None:
    done = command("--help")
    assert done.returncode == 0
    out = done.stdout
    for panel in (ASK, PROVE, MEASURE, DRAW):
        assert f"\n{panel}:\n" in out
    for command in app.registered_commands:
        assert f"\n  {(command.name or command.callback.__name__)} " in out  # type: ignore[union-attr]


def test_an_encoding_without_the_signs_gets_what_is_nearest() -> None:
    command = [sys.executable, "-m", "attometer", "show", "softmax"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"[log2(n)]" in done.stdout
    assert b"?" not in done.stdout


@pytest.mark.parametrize(("context", "code"), [("1024", 0), ("100000", 1)])
def test_a_reader_that_leaves_changes_no_exit_code(context: str, code: int) -> None:
    # 1 is the answer "does not fit", and the reader is gone before it is written.
    command = [sys.executable, "-m", "attometer", "plan", "llama-3.1-8b", "--on", "l4", "--context", context]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(), process.stderr.read()) == (code, b"")


def test_a_fault_of_our_own_is_no_answer_of_plan(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attometer.mechanisms.catalogue.build", lambda *a, **k: 1 / 0)
    done = command("show", "softmax")
    assert done.returncode == 70
    assert "ZeroDivisionError" in done.stderr


@pytest.fixture
def hostile_config(tmp_path: Path) -> Path:
    config = json.loads(shipped_path("gpt2").read_text())
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    path = folder / "config.json"
    path.write_text(json.dumps(config | {HOSTILE: 1, "torch_dtype": "float16"}))
    return path


def harmless(*printed: str) -> str:
    assert not {"\x1b", "\x07", "\u202e"} & set("".join(printed))
    return "".join(printed)


@pytest.mark.parametrize(
    "options", [["--on", "l4"], ["--check"], ["--on", "l4", "--explain"], ["--on", "l4", "--json"]]
)
def test_names_in_files_steer_no_terminal(
    command: Callable[..., Any], hostile_config: Path, options: list[str]
) -> None:
    done = command("plan", str(hostile_config), *options)
    assert "evil" in harmless(done.stdout, done.stderr)


@pytest.mark.parametrize("key", ["model_type", "hidden_size", "torch_dtype"])
def test_values_in_files_steer_no_terminal(command: Callable[..., Any], tmp_path: Path, key: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(shipped_path("gpt2").read_text()) | {key: HOSTILE}))
    done = command("plan", str(path))
    assert done.returncode == 2
    assert "evil" in harmless(done.stdout, done.stderr)


def test_a_machine_from_a_file_steers_no_terminal(command: Callable[..., Any], tmp_path: Path) -> None:
    text = (Path(am.__file__).parent / "data" / "hardware" / "l4.toml").read_text(encoding="utf-8")
    lines = [f"name = {json.dumps(HOSTILE)}" if line.startswith("name = ") else line for line in text.splitlines()]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    place = am.machine(path)
    assert place.name == HOSTILE
    done = command("plan", "gpt2", "--on", str(path))
    assert done.returncode == 0
    assert "\\x1b[31m\\u202eevil" in harmless(done.stdout, done.stderr)
    harmless(str(place), str(am.plan("gpt2", place)))


def test_what_an_encoding_lacks_is_written_as_what_is_nearest() -> None:
    shown = "A prefill takes 328 µs; 2 × L4; ⌈log2(n)⌉; k – 1; Ω".encode("ascii", errors="attometer.nearest")
    assert shown == b"A prefill takes 328 us; 2 x L4; [log2(n)]; k - 1; ?"


@pytest.mark.parametrize(
    "asked", ["list models", "show softmax", "pebble softmax --sizes n=1,d=1,m=2 -M 4", "claims --summary"]
)
def test_json_says_its_schema(asked: str) -> None:
    told = json.loads(CliRunner().invoke(app, [*asked.split(), "--json"]).stdout)
    assert told["schema"] == 1


@pytest.mark.parametrize(
    ("tty", "said", "colours"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_have_them(
    monkeypatch: pytest.MonkeyPatch, tty: bool, said: dict[str, str], colours: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: tty, raising=False)
    assert has_colours() is colours
    bare = am.plan("gpt2", context=1024).text(80)
    assert "\x1b[32mfits\x1b[0m on" in shaded(bare)
    assert "\x1b[1mmemory" in shaded(bare)
    assert re.sub("\x1b\\[[0-9]+m", "", shaded(bare)) == bare
