"""The C++ of the nests: every node of a schedule is in it, and what the compiler and the C entry point refuse."""

import ctypes
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attometer.emit import build
from attometer.emit.call import Call, Operand
from attometer.emit.source import KERNELS, TYPES, Unit, source
from attometer.errors import AttometerError
from attometer.schedule import schedule
from attometer.schedule.nest import Loop

compiled = pytest.mark.skipif(build.unsupported() is not None, reason=f"no machine code: {build.unsupported()}")
UNIT = Unit("flash2", "float32", False)


@pytest.mark.parametrize("name", KERNELS)
def test_every_step_of_the_nest_is_written(name) -> None:
    text = source(Unit(name, "float32", False))
    for line in str(schedule(name)).splitlines()[1:]:
        assert f"// {line}" in text
    steps = [node for phase in schedule(name).phases[-1:] for node in _nodes(phase) if hasattr(node, "text")]
    for step in steps:
        assert f"// {step.text}\n" in text.split("struct ", 1)[1]


def _nodes(node):
    if isinstance(node, Loop):
        for inner in node.body:
            yield from _nodes(inner)
    else:
        yield node


def test_what_has_no_machine_code_is_named() -> None:
    with pytest.raises(AttometerError, match='unknown compiled schedule "flash1"'):
        source(Unit("flash1", "float32", False))
    with pytest.raises(AttometerError, match='unknown compiled type "float8"'):
        source(Unit("flash2", "float8", False))


def call(**changes) -> Call:
    """Return a call of zeros' shape that a kernel refuses for what `changes` say, or for its null pointers."""
    made = Call(b=1, h=2, g=1, n=3, m=5, d=4, e=4, threads=1, tile_rows=6, tile_columns=64, splits=1, budget=1 << 20)
    made.scale = 0.5
    room = (ctypes.c_float * 256)()
    made.room = room
    for name in ("q", "k", "v", "o", "lse"):
        setattr(made, name, Operand(ctypes.addressof(room), 40, 20, 4, 1))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def answer(made: Call | None, size: int = ctypes.sizeof(Call)) -> int:
    return build.library(UNIT).attometer_run(None if made is None else ctypes.byref(made), size)


@compiled
def test_the_entry_point_answers_and_never_crashes() -> None:
    assert answer(call()) == 0
    assert answer(None) == 1
    assert answer(call(), 8) == 1
    for name in ("q", "k", "v", "o", "lse"):
        assert answer(call(**{name: Operand(None, 40, 20, 4, 1)})) == 1, name
        room = (ctypes.c_char * 64)()
        assert answer(call(**{name: Operand(ctypes.addressof(room) + 1, 40, 20, 4, 1)})) == 3, name
        assert answer(call(**{name: Operand(ctypes.addressof(room), 40, 1 << 60, 4, 1)})) == 2, name
    for name in ("b", "h", "g", "n", "m", "d", "e", "threads", "tile_rows", "tile_columns", "splits"):
        for value in (0, -1, 1 << 40, -(1 << 63), (1 << 63) - 1):
            assert answer(call(**{name: value})) == 2, (name, value)
    assert answer(call(g=3)) == 2
    assert answer(call(scale=float("nan"))) == 2
    assert answer(call(intervals=2)) == 1
    assert answer(call(intervals=-1)) == 2
    assert answer(call(budget=-5)) == 0


@compiled
@pytest.mark.slow
def test_processes_that_compile_at_once_and_folders_of_others(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path / "own"))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: build.library.__wrapped__(UNIT), range(2)))
    path = build.library_path(UNIT, build.best_target(UNIT))
    assert path.parent == tmp_path / "own"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".cpp", ".so"]
    # In a folder of its own: the loader gives back what it already holds under a name.
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path / "cut"))
    path = build.library_path(UNIT, build.best_target(UNIT))
    path.write_bytes(b"cut short")
    path.chmod(0o700)
    build.library.__wrapped__(UNIT)
    assert path.stat().st_size > 1000
    # Nothing is taken from where others may write.
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("ATTOMETER_CACHE", str(shared))
    with pytest.warns(UserWarning, match="shared may be written by others"):
        elsewhere = build.library_path(UNIT, build.best_target(UNIT))
    assert elsewhere.parent != shared
    path.chmod(0o777)
    assert not build.trusted(path)


@compiled
def test_a_broken_compiler_is_named_with_its_words(tmp_path, monkeypatch) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: no room' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("ATTOMETER_CACHE", str(tmp_path))
    with pytest.raises(AttometerError, match="broken could not compile flash2: error: no room"):
        build.library.__wrapped__(UNIT)
    assert not [p for p in os.listdir(tmp_path) if p.endswith(".so")]


@compiled
def test_instruction_sets_that_the_processor_lacks_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(build, "processor", lambda: ("an old one", frozenset()))
    with pytest.raises(AttometerError, match="instruction set avx512: an old one lacks it; it has native, plain"):
        build.library.__wrapped__(UNIT, "avx512")
    with pytest.raises(AttometerError, match='unknown instruction set "avx51"'):
        build.library.__wrapped__(UNIT, "avx51")
    with pytest.raises(AttometerError, match="products in bf16 need avx512_bf16"):
        build.best_target(Unit("flash2", "bfloat16", True))


@compiled
def test_tile_registers_are_used_where_the_system_permits(monkeypatch) -> None:
    needed = {name for _, names in build.TARGETS.values() for name in names}
    monkeypatch.setattr(build, "processor", lambda: ("one with AMX", frozenset(needed)))
    monkeypatch.setattr(build, "tiles_permitted", lambda: True)
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    assert build.best_target(Unit("flash2", "bfloat16", True)) == "amx"
    assert build.best_target(UNIT) == "avx512bf16"
    monkeypatch.setattr(build, "tiles_permitted", lambda: False)
    assert build.best_target(Unit("flash2", "bfloat16", True)) == "avx512bf16"
    with pytest.raises(AttometerError, match="instruction set amx: the system does not let this process use tile"):
        build.library.__wrapped__(UNIT, "amx")


REFUSED = """
import ctypes
stack = ctypes.create_string_buffer(8192)  # of signals: too small for the state of tile registers, so that Linux refuses them
ctypes.CDLL(None).sigaltstack((ctypes.c_void_p * 3)(ctypes.addressof(stack), 0, len(stack)), None)
from test_source import Unit, build, call
unit = Unit("flash2", "bfloat16", True)
path = build.library_path(unit, "amx")
assert not build.tiles_permitted() and build.best_target(unit) == "avx512bf16"
made = call()
print(ctypes.CDLL(str(path)).attometer_run(ctypes.byref(made), ctypes.c_int64(ctypes.sizeof(made))))
"""


@compiled
def test_a_kernel_without_permission_answers_and_does_not_crash() -> None:
    if lacking := build.missing("amx"):
        pytest.skip(f"amx: {lacking}")
    build.library(Unit("flash2", "bfloat16", True), "amx")
    held = subprocess.run(
        [sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    assert held.stdout.strip() == "5", held.stderr


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("target", build.TARGETS)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_instruction_set_compiles(name, target, dtype) -> None:
    if lacking := build.missing(target):
        pytest.skip(f"{target}: {lacking}")
    build.library(Unit(name, dtype, dtype == "bfloat16" and target in build.MULTIPLY_BF16), target)
