"""Every command and snippet that README.md and docs/*.md show is run as it stands, and must succeed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"```(\w+)([^\n]*)\n(.*?)```", re.DOTALL)

# `make` builds the environment that this test already runs in; CI runs both commands itself.
SETUP = ("make ", "git clone", "cd ", "pip install")


def blocks(language: str) -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        for tag, info, body in _BLOCK.findall(document.read_text()):
            if tag == language and "no-run" not in info:
                found.append((document.name, body))
    return found


def commands() -> list[tuple[str, str]]:
    lines = [(name, line.strip()) for name, body in blocks("sh") for line in body.splitlines()]
    return [(n, line) for n, line in lines if line and not line.startswith("#") and not line.startswith(SETUP)]


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "140"}


@pytest.mark.docs
@pytest.mark.parametrize(("document", "command"), commands(), ids=lambda x: x[:60])
def test_command(document: str, command: str, tmp_path: Path) -> None:
    line = shlex.split(command, comments=True)
    cwd = ROOT if any(part.startswith(("benchmarks/", "examples/", "docs/")) for part in line) else tmp_path
    done = subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment(), timeout=280)
    # `plan` answers 1 for "does not fit": an answer, not a failure.
    allowed = (0, 1) if line[:2] == ["attometer", "plan"] else (0,)
    assert done.returncode in allowed, f"{document}: {command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert done.stdout.strip()


@pytest.mark.docs
@pytest.mark.parametrize(("document", "code"), blocks("python"), ids=lambda x: x[:40].replace("\n", " "))
def test_snippet(document: str, code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=280,
    )
    assert done.returncode == 0, f"{document}\n{done.stderr}"


@pytest.mark.docs
def test_readme_is_short_and_has_commands() -> None:
    assert len(DOCUMENTS[0].read_text().splitlines()) <= 150
    assert commands()
