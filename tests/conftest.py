"""What every test shares: one Hypothesis profile, the command as typed. Triton, where it is, interprets."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported, which torch may do first
settings.register_profile("attometer", deadline=None)  # a busy machine is not a fault
settings.load_profile("attometer")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs `attometer` with arguments as its process would, without the seconds that a process takes to start."""
    from attometer.cli import main

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        with monkeypatch.context() as typed:
            typed.setattr(sys, "argv", ["attometer", *arguments])
            if cwd is not None:
                typed.chdir(cwd)
            with pytest.raises(SystemExit) as ended:
                main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    return run
