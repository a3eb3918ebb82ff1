"""Headers of GGUF files: what the model is, and the type and bytes of each tensor; their data is never read.

Source: the GGUF specification (ggml-org/ggml, docs/gguf.md), versions 2 and 3.
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from attometer.errors import AttometerError
from attometer.formats.safetensors import Checkpoint, StoredTensor
from attometer.formats.storage import FORMATS, stored_bytes

MAGIC = b"GGUF"
MOST_ENTRIES = 1_000_000
LONGEST_TEXT = 64 * 2**20
# Array values of this many elements and more are counted, not kept (a vocabulary).
KEPT = 4096
_PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_TYPES = {
    0: "fp32", 1: "fp16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1", 10: "q2_k", 11: "q3_k",
    12: "q4_k", 13: "q5_k", 14: "q6_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl",
    21: "iq3_s", 22: "iq2_s", 23: "iq4_xs", 24: "int8", 28: "fp64", 29: "iq1_m", 30: "bf16", 34: "tq1_0", 35: "tq2_0",
    39: "mxfp4",
}  # fmt: skip


@dataclass(frozen=True)
class GGUF:
    """The header of a GGUF file: metadata by key (long arrays as their length), and the tensors."""

    metadata: dict[str, Any]
    checkpoint: Checkpoint


class _Header:
    """A cursor over the file that refuses to run past its end."""

    def __init__(self, file: Path, stream: BinaryIO, size: int) -> None:
        self.file, self.stream, self.size = file, stream, size

    def take(self, count: int) -> bytes:
        data = self.stream.read(count) if 0 <= count <= LONGEST_TEXT else b""
        if len(data) != count:
            raise AttometerError(f"{self.file}: is cut off, or is no GGUF file: its header ends early")
        return data

    def number(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def text(self) -> str:
        return self.take(self.count(LONGEST_TEXT)).decode("utf-8", "replace")

    def count(self, most: int = MOST_ENTRIES) -> int:
        found = int(self.number("Q"))
        if found > most:
            raise AttometerError(f"{self.file}: is damaged: its header counts {found:,} of something")
        return found

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in _PLAIN:
            return self.number(_PLAIN[kind])
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY and depth < 4:
            inner, length = int(self.number("I")), self.count(16 * MOST_ENTRIES)
            if inner in _PLAIN and length > KEPT:
                self.skip(struct.calcsize(f"<{_PLAIN[inner]}") * length)
                return length
            values = [self.value(inner, depth + 1) for _ in range(length)]
            return values if length <= KEPT else length
        raise AttometerError(f"{self.file}: is damaged: a value of unknown type {kind}")

    def skip(self, count: int) -> None:
        if self.stream.tell() + count > self.size:
            raise AttometerError(f"{self.file}: is cut off: its header ends early")
        self.stream.seek(count, 1)


def read_gguf(path: str | Path) -> GGUF:
    """Read the header of a GGUF file. Raises AttometerError naming the file: missing, cut off, or damaged."""
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            return _read(_Header(file, stream, size))
    except OSError as error:
        raise AttometerError(f"{file}: cannot be read: {error.strerror or error}") from None


def _read(header: _Header) -> GGUF:
    if header.take(4) != MAGIC:
        raise AttometerError(f"{header.file}: is no GGUF file: it does not begin with GGUF")
    version = int(header.number("I"))
    if version not in (2, 3):
        raise AttometerError(f"{header.file}: is GGUF version {version}; 2 and 3 are read")
    tensors, entries = header.count(), header.count()
    metadata = {header.text(): header.value(int(header.number("I"))) for _ in range(entries)}
    found: dict[str, StoredTensor] = {}
    end = 0
    for _ in range(tensors):
        name, rank = header.text(), int(header.number("I"))
        if rank > 8:
            raise AttometerError(f'{header.file}: is damaged: tensor "{name[:80]}" has {rank} axes')
        shape = tuple(header.number("Q") for _ in range(rank))
        kind, offset = int(header.number("I")), int(header.number("Q"))
        if kind not in _TYPES:
            raise AttometerError(f'{header.file}: tensor "{name[:80]}" has the unknown type {kind}')
        form = FORMATS[_TYPES[kind]]
        found[name] = StoredTensor(form.name, shape, stored_bytes(prod(shape), form))
        end = max(end, offset + found[name].size)
    if header.stream.tell() + end > header.size:
        raise AttometerError(
            f"{header.file}: is cut off: its tensors end at byte {header.stream.tell() + end:,} of {header.size:,}"
        )
    return GGUF(metadata, Checkpoint(str(header.file), found))
