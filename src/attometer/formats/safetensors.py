"""Headers of safetensors files: names, types, shapes and bytes of the tensors; their data is never read."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from attometer.errors import AttometerError
from attometer.view.files import read_json

# The format's own limit (huggingface/safetensors, src/tensor.rs).
LARGEST_HEADER = 100_000_000
INDEX = "model.safetensors.index.json"
MOST_FILES = 4096
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U16": 16,
    "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file: its type as the file names it, its shape, its bytes."""

    type: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint, by name, over all its files."""

    where: str
    tensors: Mapping[str, StoredTensor]

    @property
    def total(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    def by_type(self) -> dict[str, int]:
        """Return the bytes of each type, largest first."""
        sizes: dict[str, int] = {}
        for tensor in self.tensors.values():
            sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.size
        return dict(sorted(sizes.items(), key=lambda pair: -pair[1]))


def read_safetensors(path: str | Path) -> Checkpoint:
    """Read the header of one safetensors file.

    Raises AttometerError naming the file: missing, cut off, or a header that contradicts itself or the file's size.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            start = stream.read(8)
            if len(start) < 8:
                raise AttometerError(
                    f"{file}: is cut off: a safetensors file begins with 8 bytes of length, got {len(start)}"
                )
            (length,) = struct.unpack("<Q", start)
            if not 2 <= length <= min(LARGEST_HEADER, size - 8):
                raise AttometerError(
                    f"{file}: is no safetensors file, or is cut off: its header would be {length:,} of {size:,} bytes"
                )
            text = stream.read(length)
    except OSError as error:
        raise AttometerError(f"{file}: cannot be read: {error.strerror or error}") from None
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise AttometerError(f"{file}: is no safetensors file: its header is not JSON") from None
    if not isinstance(header, dict):
        raise AttometerError(f"{file}: is no safetensors file: its header is no object")
    tensors = {name: _tensor(file, name, entry) for name, entry in header.items() if name != "__metadata__"}
    _check_extent(file, header, size - 8 - length)
    return Checkpoint(str(file), tensors)


def _tensor(file: Path, name: str, entry: Any) -> StoredTensor:
    values = entry if isinstance(entry, dict) else {}
    shape, offsets, kind = _naturals(values.get("shape")), _naturals(values.get("data_offsets")), values.get("dtype")
    if shape is None or len(shape) > 16 or offsets is None or len(offsets) != 2 or kind not in _BITS:
        raise AttometerError(f'{file}: tensor "{name[:80]}" has no valid dtype, shape and data_offsets')
    size = offsets[1] - offsets[0]
    if size != -(-prod(shape) * _BITS[kind] // 8):
        raise AttometerError(f'{file}: tensor "{name[:80]}" of {kind} {shape} takes {size:,} bytes by its offsets')
    return StoredTensor(kind, tuple(shape), size)


def _naturals(values: Any) -> list[int] | None:
    whole = isinstance(values, list) and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in values)
    return values if whole else None


def _check_extent(file: Path, header: dict[str, Any], room: int) -> None:
    spans = sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    at = 0
    for start, end in spans:
        if start != at:
            raise AttometerError(f"{file}: its tensors overlap or leave a hole at byte {at:,}")
        at = end
    if at != room:
        raise AttometerError(f"{file}: is cut off or too long: its tensors take {at:,} bytes, {room:,} are there")


def read_folder(folder: str | Path) -> Checkpoint | None:
    """Read the headers of the checkpoint in a folder: the files that its index names, else every safetensors file.

    Returns None where the folder holds none. Raises AttometerError for files that are missing, contradict the index, or
    whose bytes are not those that the index adds up.
    """
    base = Path(folder)
    index = base / INDEX
    if index.is_file():
        return _indexed(base, index)
    files = sorted(base.glob("*.safetensors"))
    if not files:
        return None
    return _joined(str(base), files[:MOST_FILES])


def _joined(where: str, files: list[Path]) -> Checkpoint:
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        own = read_safetensors(file).tensors
        twice = next((name for name in own if name in tensors), None)
        if twice is not None:
            raise AttometerError(f'{file}: tensor "{twice[:80]}" stands in another file of the folder too')
        tensors |= own
    return Checkpoint(where, tensors)


def _indexed(base: Path, index: Path) -> Checkpoint | None:
    values = read_json(index)
    names = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(names, dict) or not all(isinstance(file, str) and "/" not in file for file in names.values()):
        raise AttometerError(f"{index}: weight_map must name a file for each tensor")
    files = [base / name for name in sorted(set(names.values()))]
    missing = [file.name for file in files if not file.is_file()]
    total = (values.get("metadata") or {}).get("total_size")
    if missing:
        if len(missing) < len(files):
            raise AttometerError(f"{index}: names {missing[0]}, which is not in the folder")
        # The index alone, as people keep it beside a configuration: it says the bytes, not the tensors'.
        if isinstance(total, int) and total > 0:
            return Checkpoint(str(index), {"*": StoredTensor("all", (), total)})
        return None
    found = _joined(str(base), files)
    if set(found.tensors) != set(names):
        odd = sorted(set(found.tensors) ^ set(names))[0]
        raise AttometerError(f'{index}: tensor "{odd[:80]}" stands in the index or in the files, not in both')
    if isinstance(total, int) and total != found.total:
        raise AttometerError(f"{index}: total_size is {total:,}, its tensors take {found.total:,} bytes")
    return found
