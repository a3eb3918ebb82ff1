"""AddressSanitizer and UndefinedBehaviorSanitizer find nothing in the nests, whatever the shape, mask and type."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attometer.emit import build

GCC = build.unsupported() is None and "g++" in (build.compiler() or build.Compiler("", "")).path
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not GCC, reason="the sanitizers' libraries are asked of g++")]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("script", ["sanitized.py", "sanitized_programs.py"])
def test_nothing_is_found(script, dtype, tmp_path) -> None:
    held = build.compiler()
    assert held is not None
    asked = [held.path, "-print-file-name=libasan.so"]
    library = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    environment = os.environ | {
        "LD_PRELOAD": library, "ASAN_OPTIONS": "detect_leaks=0", "ATTOMETER_CACHE": str(tmp_path),
    }  # fmt: skip
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1", "-O0")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / script), dtype, *flags],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "clean"
