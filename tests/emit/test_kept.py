"""What was derived is found again by later processes, and never taken from where others may write."""

import json
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tests.emit.programs import SOFTMAX

import attometer as am
from attometer.emit import build, compiled, kept
from attometer.emit.program import Emitted, ProgramUnit, emitted
from attometer.errors import AttometerError
from attometer.program import parse

TEXT = "axis i: n, j: n\ninput A[i,k], B[j,k]\noutput Y[i]\nY[i] = sum[j](exp(A[i,k] * B[j,k]))   where causal(i, j)"
CALLED = """
import sys
from attometer.program import parse
from attometer.run.compiled_function import Compiled
function = Compiled(parse(sys.argv[1]))
print(function.inputs, str(function)[:40])
function.source()
from attometer.schedule import lean
print(lean.pieces.cache_info().misses)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path / "own"))
    forget()
    yield tmp_path / "own"
    forget()


def forget() -> None:
    """Forget what this process holds, as a new one does."""
    for held in (compiled.reading, compiled.gradients_of, compiled.machine_of, compiled._program):
        held.cache_clear()
    compiled.pieces.cache_clear()
    emitted.cache_clear()


def derivations() -> int:
    return compiled.pieces.cache_info().misses


def test_a_later_process_derives_nothing(folder) -> None:
    function = am.compile(TEXT)
    source, shown = function.source(), str(function)
    assert derivations() > 0
    forget()
    again = am.compile(TEXT)
    assert again.source() == source
    assert str(again) == shown
    assert derivations() == 0
    assert {p.name.split("-")[0] for p in folder.iterdir()} == {"text", "gradient", "nest"}
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()} == {0o600}


@pytest.mark.slow
def test_processes_share_what_is_kept(folder) -> None:
    def run() -> list[str]:
        done = subprocess.run([sys.executable, "-c", CALLED, TEXT], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    first, second = run(), run()
    assert first[0] == second[0]
    assert int(first[1]) > 0
    assert int(second[1]) == 0


def test_another_version_type_or_text_is_derived_anew(folder, monkeypatch) -> None:
    am.compile(TEXT).source()
    count = len([*folder.iterdir()])
    am.compile(TEXT).source(torch.float64)
    assert len([*folder.iterdir()]) == count + 1
    forget()
    monkeypatch.setattr(kept, "_makers", lambda rooms: b"another version")
    am.compile(TEXT).source()
    assert derivations() > 0


def test_data_of_the_package_is_kept_until_one_of_its_files_changes(folder, monkeypatch) -> None:
    made = []

    def make() -> dict[str, object]:
        made.append(1)
        return {"rows": (1, 2), "share": 0.1}

    held = {"rows": [1, 2], "share": 0.1}
    assert kept.kept_data("data", make) == kept.kept_data("data", make) == held
    assert len(made) == 1
    monkeypatch.setattr(kept, "_makers", lambda rooms: b"another version")
    assert kept.kept_data("data", make) == held
    assert len(made) == 2


def test_what_python_and_numba_compile_beside_the_sources_makes_nothing_anew(tmp_path, monkeypatch) -> None:
    digest = kept._makers.__wrapped__
    for name in ("algebra.py", "sizes.py"):
        (tmp_path / name).write_text("one = 1")
    monkeypatch.setattr(kept, "PACKAGE", tmp_path)
    before = digest(("",))
    (tmp_path / "__pycache__").mkdir()
    for name in ("sizes.cpython-311.pyc", "sizes.one-1.py311.nbi", "sizes.one-1.py311.1.nbc"):
        (tmp_path / "__pycache__" / name).write_bytes(b"compiled")
    assert digest(("",)) == before
    (tmp_path / "sizes.py").write_text("one = 2")
    assert digest(("",)) != before


def test_refusals_are_kept(folder, monkeypatch) -> None:
    def refuse(program: am.Program) -> None:
        raise AttometerError("no nest runs it")

    monkeypatch.setattr(compiled, "pieces", refuse)
    with pytest.raises(AttometerError, match="no nest runs it"):
        compiled.reading(TEXT)
    monkeypatch.undo()
    monkeypatch.setenv("ATTOMETER_CACHE", str(folder))
    with pytest.raises(AttometerError, match="no nest runs it"):
        compiled.reading(TEXT)


@pytest.mark.parametrize("held", [b"", b"{", b"[]", b'{"found": {"inputs": 3}}', b'{"found": {}}', b"\xff"])
def test_files_that_are_broken_are_made_anew(folder, held) -> None:
    source = am.compile(TEXT).source()
    whole = {p: p.read_bytes() for p in folder.iterdir()}
    for path in whole:
        path.write_bytes(held)
    forget()
    assert am.compile(TEXT).source() == source
    assert {p: p.read_bytes() for p in folder.iterdir()} == whole


def test_nothing_is_taken_from_where_others_may_write(folder) -> None:
    am.compile(TEXT)
    for path in folder.iterdir():
        path.write_text(json.dumps({"refused": "planted"}))
        path.chmod(0o666)
    forget()
    am.compile(TEXT)
    for path in folder.iterdir():
        path.chmod(0o600)
    folder.chmod(0o777)
    build._private.cache_clear()
    forget()
    with pytest.warns(
        UserWarning, match="compiled kernels are not kept: .*own may be written by others; ATTOMETER_CACHE"
    ):
        am.compile(TEXT)


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path / "file" / "cache"))
    forget()
    with pytest.warns(UserWarning, match="compiled kernels are not kept: .*cache cannot be written") as said:
        function = am.compile(TEXT)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forget()
        assert am.compile(TEXT).source() == function.source()
        if build.unsupported() is None:
            x = torch.rand(4, 3)
            assert function(x, x).shape == (4,)
    forget()


def test_machine_code_of_another_processor_is_another_file(folder, monkeypatch) -> None:
    if build.unsupported() is not None:
        pytest.skip(build.unsupported())
    unit = ProgramUnit(emitted(parse(TEXT), "float32").text, "float32")
    name, features = build.processor()
    own = build.library_path(unit, "native")
    assert build.library_path(unit, "plain") != own
    monkeypatch.setattr(build, "processor", lambda: (name, features - {"avx512f"} | {"another"}))
    assert build.library_path(unit, "native") != own
    assert "avx512" not in build.targets()


def test_what_is_kept_reads_as_it_was() -> None:
    for text in (TEXT, SOFTMAX, str(am.mechanism("bigbird").program)):
        made = emitted(parse(text), "float32")
        assert Emitted.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.slow
def test_all_that_derives_is_in_the_digest() -> None:
    code = "import sys, attometer.emit.program, attometer.program.keeping; print(*[m for m in sys.modules if m.startswith('attometer')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    rooms = {name.split(".")[1] for name in found if "." in name}
    # How things print, and names of rooms, change no code.
    assert rooms - {*kept.ROOMS} <= {"algebra", "sizes", "errors", "view", "rooms"}
