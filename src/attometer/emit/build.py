"""From C++ to a loaded library: the system's compiler, and a cache that only its user can write."""

import atexit
import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

from attometer.errors import AttometerError, unknown

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-fvisibility=hidden")
_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl")
_BF16 = (*_AVX512, "avx512_bf16")
TARGETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "amx": (("-march=native", "-mamx-tile", "-mamx-bf16", "-DATTOMETER_AMX"), (*_BF16, "amx_tile", "amx_bf16")),
    "avx512bf16": (("-march=native",), _BF16),
    "avx512": (("-march=native", "-mno-avx512bf16"), _AVX512),
    "avx2": (("-mavx2", "-mfma", "-mf16c"), ("avx2", "fma", "f16c")),
    "native": (("-march=native",), ()),
    "plain": ((), ()),
}
"""Instruction sets, fastest first: the compiler's flags, and what the processor must have."""
MULTIPLY_BF16 = ("amx", "avx512bf16")
"""Those that multiply bf16; tile registers do nothing else, so that other units have no use for the first."""
CPU_INFO = Path("/proc/cpuinfo")
REQUEST_STATE, TILE_DATA = 0x1023, 18  # of arch_prctl: ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
ARCH_PRCTL = 158  # the number of that system call on x86-64


class Unit(Protocol):
    """What is compiled at once: its name, the tensors' type, whether products are formed in bf16, flags of its own."""

    @property
    def schedule(self) -> str:
        """Return its name."""

    @property
    def dtype(self) -> str:
        """Return the type of its tensors."""

    @property
    def bf16(self) -> bool:
        """Return whether it needs instructions for bf16."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Return flags of the compiler that it needs."""

    def __hash__(self) -> int:
        """Return the same number for equal units."""

    def text(self) -> str:
        """Return its C++."""


@dataclass(frozen=True)
class Compiler:
    """The system's compiler by its path; size and time of change tell its version without running it."""

    path: str
    stamp: str


@cache
def processor() -> tuple[str, frozenset[str]]:
    """Return the processor's name and features, empty where the system does not tell."""
    if not CPU_INFO.exists():
        return platform.processor() or platform.machine(), frozenset()
    held: dict[str, str] = {}
    for line in CPU_INFO.read_text().splitlines():
        key, _, value = line.partition(":")
        held.setdefault(key.strip(), value.strip())
    return held.get("model name", platform.machine()), frozenset(held.get("flags", held.get("Features", "")).split())


@cache
def tiles_permitted() -> bool:
    """Return whether Linux lets this process use AMX's tile registers; it has to be asked for them."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    answer: int = ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_STATE, TILE_DATA)
    return answer == 0


def missing(target: str) -> str | None:
    """Return why an instruction set cannot be used here, or None."""
    if lacking := _lacking(target, *processor()):
        return lacking
    if target == "amx" and not tiles_permitted():
        return "the system does not let this process use tile registers (arch_prctl refused them)"
    return None


@lru_cache(maxsize=64)  # asked for at each call
def _lacking(target: str, name: str, features: frozenset[str]) -> str | None:
    wide = platform.machine() in ("x86_64", "AMD64")
    if not features >= set(TARGETS[target][1]) or not (wide or target in ("native", "plain")):
        return f"{name} lacks it"
    return None


def targets() -> tuple[str, ...]:
    """Return the instruction sets that this processor runs, fastest first."""
    return tuple(name for name in TARGETS if missing(name) is None)


@lru_cache(maxsize=4)
def _found(wanted: str | None, path: str | None) -> Compiler | None:
    for name in (wanted,) if wanted else COMPILERS:
        held = shutil.which(name, path=path)
        if held:
            real = os.stat(os.path.realpath(held))
            return Compiler(held, f"{os.path.realpath(held)} {real.st_size} {real.st_mtime_ns}")
    return None


def compiler() -> Compiler | None:
    """Return the compiler: $CXX, or the first of `COMPILERS` on the path; None where there is none."""
    return _found(os.environ.get("CXX"), os.environ.get("PATH"))


def unsupported() -> str | None:
    """Return what this machine lacks to run machine code, or None."""
    if os.name != "posix":
        return f"{platform.system()}: kernels are compiled on Linux and macOS"
    return None if compiler() else "a machine without a C++ compiler (looked for $CXX, g++, clang++, c++)"


def cache_folder() -> Path:
    """Return the folder of compiled kernels: $ATTOMETER_CACHE, or attometer in the user's cache folder."""
    return _folder(*(os.environ.get(name) for name in ("ATTOMETER_CACHE", "XDG_CACHE_HOME", "HOME")))


@lru_cache(maxsize=16)
def _folder(given: str | None, caches: str | None, home: str | None) -> Path:
    return Path(given) if given else Path(caches or (Path(home) if home else Path.home()) / ".cache") / "attometer"


@cache
def _private(folder: str) -> Path:
    """Return `folder` if it is this user's and nobody else may write it, else one of this process alone, with a warning."""
    path = Path(folder)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = _shared(path) or ("" if os.access(path, os.W_OK | os.X_OK) else "cannot be written")
    except OSError:
        why = "cannot be written"
    if not why:
        return path
    warnings.warn(
        f"compiled kernels are not kept: {path} {why}; ATTOMETER_CACHE names a folder of your own", stacklevel=2
    )
    own, process = tempfile.mkdtemp(prefix="attometer-"), os.getpid()
    atexit.register(lambda: shutil.rmtree(own, ignore_errors=True) if os.getpid() == process else None)
    return Path(own)


def _shared(path: Path) -> str:
    """Return why what lies at a path may be another's work; empty where it is this user's and nobody else may write it."""
    held = path.stat()
    if hasattr(os, "getuid") and held.st_uid != os.getuid():
        return "belongs to another user"
    return "may be written by others" if held.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def trusted(path: Path) -> bool:
    """Return whether a file is there that is this user's and nobody else may write."""
    try:
        return not _shared(path)
    except OSError:
        return False


def kept_folder() -> Path:
    """Return the folder that holds what is kept, which nobody else may write."""
    return _private(str(cache_folder()))


def best_target(unit: Unit) -> str:
    """Return the fastest instruction set that can form the unit's products."""
    for name in targets():
        if name in MULTIPLY_BF16 if unit.bf16 else name != "amx":
            return name
    raise AttometerError(f"products in bf16 need avx512_bf16, which {processor()[0]} lacks")


def has_bf16() -> bool:
    """Return whether this processor multiplies bf16."""
    return any(name in MULTIPLY_BF16 for name in targets())


def _command(unit: Unit, target: str, held: Compiler) -> tuple[str, ...]:
    return held.path, *FLAGS, *unit.flags, *TARGETS[target][0], *_quiet(held)


def _quiet(held: Compiler) -> list[str]:
    return ["-Wno-psabi"] if "clang" not in held.path else []


def library_path(unit: Unit, target: str, extra: tuple[str, ...] = ()) -> Path:
    """Return where the unit's machine code is kept: named by a digest of source, compiler, flags and processor."""
    return _kept_at(unit, target, extra, _compiler(), processor(), str(cache_folder()))


@lru_cache(maxsize=256)  # asked for by every call that chooses an implementation
def _kept_at(
    unit: Unit, target: str, extra: tuple[str, ...], held: Compiler, cpu: tuple[str, frozenset[str]], folder: str
) -> Path:
    name, features = cpu
    said = "\0".join(
        [unit.text(), held.stamp, *_command(unit, target, held)[1:], *extra, name, " ".join(sorted(features))]
    )
    digest = hashlib.sha256(said.encode()).hexdigest()[:24]
    return _private(folder) / f"{unit.schedule}-{unit.dtype}-{target}-{digest}.so"


def _compiler() -> Compiler:
    held = compiler()
    lacks = unsupported()
    if held is None or lacks:
        raise AttometerError(f'impl "compiled" does not support {lacks}; use "tiled", or "auto" to choose')
    return held


def built(unit: Unit) -> bool:
    """Return whether the unit's machine code is kept already."""
    return unsupported() is None and trusted(library_path(unit, best_target(unit)))


@lru_cache(maxsize=64)
def library(unit: Unit, target: str | None = None, extra: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Return the unit's library, compiled if it is not kept yet (seconds); `extra` are flags, as of a sanitizer.

    Raises AttometerError without a compiler, with its words where it fails, and for instructions the processor lacks.
    """
    name = target or best_target(unit)
    if name not in TARGETS:
        raise unknown("instruction set", name, TARGETS)
    if lacking := missing(name):
        raise AttometerError(f"instruction set {name}: {lacking}; it has {', '.join(targets())}")
    path = library_path(unit, name, extra)
    if not trusted(path):
        _compile(unit, name, extra, path)
    try:
        held = ctypes.CDLL(str(path))
    except OSError:  # cut short by a full disk, say
        _compile(unit, name, extra, path)
        held = ctypes.CDLL(str(path))
    held.attometer_run.argtypes = (ctypes.c_void_p, ctypes.c_int64)
    held.attometer_run.restype = ctypes.c_int
    return held


def _compile(unit: Unit, target: str, extra: tuple[str, ...], path: Path) -> None:
    held = _compiler()
    # Under a name of its own, then renamed: processes that compile at once each see a whole file.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder:
        text, made = Path(folder) / f"{path.stem}.cpp", Path(folder) / path.name
        text.write_text(unit.text())
        _run([*_command(unit, target, held), *extra, str(text), "-o", str(made)], unit.schedule, made)
        made.chmod(0o700)
        os.replace(text, path.with_suffix(".cpp"))
        os.replace(made, path)


def program(text: str, to: Path) -> None:
    """Compile the C++ of a program without instructions beyond the usual ones, for `to` a path in a private folder."""
    held, written = _compiler(), to.with_suffix(".cpp")
    written.write_text(text)
    command = [held.path, "-O2", "-std=c++17", *_quiet(held), str(written), "-o", str(to), "-ldl"]
    _run(command, to.name, to)


def _run(command: list[str], what: str, made: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not made.exists():
        said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise AttometerError(f"{command[0]} could not compile {what}: {said[0] if said else 'it said nothing'}")
