"""What a shell is offered after Tab."""

import os
import subprocess
import sys

import pytest

from attometer.cli import complete


def test_names_are_completed_with_the_number_of_machines_before_them() -> None:
    assert complete.machines("8x-h200-s") == ["8x-h200-sxm"]
    assert complete.models("LLAMA-3.1-8") == ["llama-3.1-8b"]
    assert complete.models_and_machines("gpt2") == complete.models("gpt2")
    assert complete.tools("hf") == ["hf-mem"]
    assert complete.mechanisms("no such") == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("attometer plan llama-3.1-8", "llama-3.1-8b"),
        ("attometer plan gpt2 --on h200", "h200-sxm"),
        ("attometer show sli", "sliding_window"),
    ],
)
def test_the_shell_asks_the_command(typed: str, offered: str) -> None:
    words = typed.split()
    asked = {"_ATTOMETER_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    code = "import sys; sys.argv[0] = 'attometer'; from attometer.cli import app; app(prog_name='attometer')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asked, check=False
    )
    assert offered in done.stdout.split(), done.stderr
