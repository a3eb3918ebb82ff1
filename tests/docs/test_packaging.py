"""What a package says of itself is true, and what is missing from a bare installation is said in one line."""

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

import attometer
from attometer.errors import EXTRAS, needs

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WITHOUT_TORCH = "import sys, runpy; sys.modules['torch'] = None; sys.argv = ['x']; runpy.{}, run_name='__main__')"


def test_versions_agree():
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1]
    assert attometer.__version__ == PROJECT["version"] == cited


def test_every_optional_package_is_in_the_extra_that_its_hint_names():
    extras = PROJECT["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(line.startswith(package) for line in extras[extra]), package


@pytest.mark.parametrize(
    ("prefix", "way"),
    [
        ("/srv/app/.venv", 'pip install "attometer[io]"'),
        ("/home/me/.local/share/pipx/venvs/attometer", 'pipx install --force "attometer[io]"'),
        (r"C:\Users\me\AppData\Roaming\uv\tools\attometer", 'uv tool install --force "attometer[io]"'),
        ("/home/me/.cache/uv/archive-v0/abc", 'uvx --from "attometer[io]" attometer'),
    ],
)
def test_the_hint_fits_how_it_was_installed(prefix, way):
    assert needs("this needs", "numba", "io", prefix) == f"this needs numba; install it with: {way}"


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ("run_module('attometer.testing'", 2),
        *((f"run_path({str(path)!r}", 1) for path in sorted((ROOT / "examples").glob("*.py"))),
    ],
    ids=lambda x: str(x).rpartition("/")[2],
)
def test_without_torch_one_line_says_what_to_install(run, code):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(run)], capture_output=True, text=True, env=os.environ, timeout=100
    )
    assert done.returncode == code
    assert len(done.stderr.strip().splitlines()) == 1
    assert 'install it with: pip install "attometer[torch]"' in done.stderr


ASKED_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import attometer as am
from attometer import testing
assert not hasattr(testing, "check_attention")
try:
    am.measure(["softmax"], "16")
except am.AttometerError as error:
    print(error)
"""


def test_python_says_what_to_install_and_hasattr_does_not_raise():
    done = subprocess.run([sys.executable, "-c", ASKED_WITHOUT_TORCH], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == 'measuring needs torch; install it with: pip install "attometer[torch]"'


def test_claims_say_what_a_bare_installation_leaves_out(monkeypatch):
    room = import_module("attometer.ledger.ledger")  # the package binds the function under this name
    made = room.ledger(source="004")
    assert "numba" not in made.summary
    monkeypatch.setattr(room, "find_spec", lambda name: None)
    assert made.by_document().page()[0].notes[0].endswith('numba; install it with: pip install "attometer[io]"')


def test_test_modules_have_names_of_their_own() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, times in names.items() if times > 1]
