"""Fitted coefficients as data: per family, per family on one machine, residual trees, interval widths, provenance."""

import io
import json
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from attometer.errors import AttometerError, nearest
from attometer.machine import machines
from attometer.machine.catalogue import kin
from attometer.price.classes import class_of
from attometer.price.figures import known
from attometer.price.fit import prior
from attometer.price.kernels import Array
from attometer.price.residual import Trees
from attometer.price.split import fraction
from attometer.view.files import read_json, write_atomically

#: how far a prediction stands from what was measured, nearest first
SITUATIONS = ("seen", "unseen shape", "unseen machine (sibling)", "unseen machine (lone)", "unseen engine", "no rows")


#: the family that stands for all of a class, where no measured family is like the one asked for
ANY = "*"
_LOGS = ("pooled", "moved", "near", "cells")  # what a file keeps of a calibration as coefficients by name
_PLAIN = ("trust", "width", "coverage", "errors", "provenance")
_ALIKE = 0.15  # share of words in common below which a family is like no other


@dataclass(frozen=True)
class Calibration:
    """What calibration knows of one class: logarithms of coefficients by family and by `family@machine`.

    `moved` are the logarithms by which a machine's coefficients differ from its families' own, `near` coefficients by
    `family@machine` that few rows moved, too few to call the machine seen.

    `residual` and `spread` are trees (or None) for the correction of log time and for the logarithm of its size;
    `trust` scales the residual by situation (and by `engine NAME`), `width` is its scaled quantile by situation;
    `blocks` and `groups` are hashes of the rows fitted on; `coverage` and `errors` are what calibration printed;
    `provenance` says sources, rows, date and script.
    """

    kind: str
    pooled: dict[str, Array]
    cells: dict[str, Array]
    moved: dict[str, Array] = field(default_factory=dict)
    near: dict[str, Array] = field(default_factory=dict)
    residual: Trees | None = None
    spread: Trees | None = None
    trust: dict[str, float] = field(default_factory=dict)
    width: dict[str, float] = field(default_factory=dict)
    blocks: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    groups: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    coverage: dict[str, float] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def machines(self, family: str) -> list[str]:
        """Return the machines that a family was measured on."""
        return self._machines.get(family, [])

    @cached_property
    def _machines(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for cell in self.cells:
            family, _, machine = cell.partition("@")
            found.setdefault(family, []).append(machine)
        return found

    def nearest(self, family: str, machine: str) -> str:
        """Return the measured family that shares most words with `family`, of those that ran on the machine's vendor's.

        A tie goes to one measured on `machine`, then to the one measured on most architectures. It is `*`, all families
        together, where none is alike.
        """
        vendor = _kind(machine)[0]

        def likeness(name: str) -> tuple[float, bool, int, str]:
            kinds = {_kind(each) for each in self.machines(name)}
            return _alike(name, family), f"{name}@{machine}" in self.cells, len(kinds), name

        near = [name for name in self.pooled if vendor in {_kind(each)[0] for each in self.machines(name)}]
        best = max(near or (name for name in self.pooled if name != ANY), key=likeness, default=None)
        return ANY if best is None or likeness(best)[0] < _ALIKE else best

    def find(self, family: str, machine: str) -> tuple[Array, str, str]:
        """Return coefficients (logarithms), the situation, and the family that they were measured for.

        The machine's own cell; else the mean of its architecture's, else the family's pooled values, moved as the machine's
        other families are; else those of the nearest family, which is named; without any rows the priors.
        """
        if not self.pooled:
            return prior(class_of(self.kind).coefficients), "no rows", ""
        found = self.nearest(family, machine) if family not in self.pooled else family
        own = self.cells.get(f"{found}@{machine}")
        kin = [
            self.cells[f"{found}@{each}"] - self.moved.get(each, 0.0)
            for each in self.machines(found)
            if are_siblings(each, machine) and machine in self.moved
        ] or [self.cells[f"{found}@{each}"] for each in self.machines(found) if are_siblings(each, machine)]
        near = np.mean(kin, axis=0) if kin else self.pooled[found]
        logs = own if own is not None else near + self.moved.get(machine, 0.0)
        if self.kind == "operation" and found not in (family, ANY) and ANY in self.pooled:
            # a layer's steps are unlike one another (sampling and a norm): one lends as far as its name is alike
            common = self.pooled[ANY] + self.moved.get(machine, 0.0)
            logs = common + _alike(found, family) * (logs - common)
        logs = self.near.get(f"{family}@{machine}", logs)
        if found != family:
            return logs, "unseen engine", found
        if own is not None:
            return logs, "unseen shape", found
        return logs, "unseen machine (sibling)" if kin else "unseen machine (lone)", found


@lru_cache(maxsize=4096)
def _words(family: str) -> frozenset[str]:
    """Return the words of a family; FlashAttention in its spellings is `flash attn`."""
    text = re.sub(r"flash_?attention[-_v]*|(?<![a-z])fa(?=\d)", "flash attn ", family.lower())
    return frozenset(re.split(r"[\s|_:-]+", text)) - {""}


@lru_cache(maxsize=4096)
def _alike(one: str, other: str) -> float:
    """Return the share of the words of two families that both have."""
    first, second = _words(one), _words(other)
    return len(first & second) / len(first | second)


@lru_cache(maxsize=4096)
def are_siblings(one: str, other: str) -> bool:
    """Say whether two machines share an architecture and a class of memory (HBM or not).

    >>> are_siblings("b200", "gb300"), are_siblings("b200", "h100-sxm"), are_siblings("b200", "rtx-5090")
    (True, False, False)
    """
    first, second = _kind(one), _kind(other)
    return bool(first[1]) and first == second


@lru_cache(maxsize=256)
def _kind(name: str) -> tuple[str, str, str]:
    """Return a machine's vendor, the family of its architecture and the class of its memory, "" where they are unknown."""
    vendor, architecture, memory = "", "", ""
    if name in machines():
        vendor, architecture, memory = kin(name)
    elif (found := known(name)) is not None:
        vendor, architecture, memory = found.vendor, found.architecture or "", found.memory.type or ""
    return vendor, architecture.split(" ")[0], memory[:3]  # Blackwell Ultra is kin to Blackwell


def hashes(names: NDArray[np.str_], kind: str) -> NDArray[np.uint32]:
    """Return 32 bits for each distinct name of a kind (`block` or `group`), sorted: which rows were fitted on."""
    found = {int(fraction(f"{kind} {name}") * 2**32) for name in set(map(str, names))}
    return np.array(sorted(found), dtype=np.uint32)


def among(names: NDArray[np.str_], kind: str, known: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Say of each name whether its hash is among the known ones."""
    unique, inverse = np.unique(names, return_inverse=True)
    each = np.array([int(fraction(f"{kind} {name}") * 2**32) for name in unique], dtype=np.uint32)
    found: NDArray[np.bool_] = np.isin(each, known)[inverse]
    return found


def folder() -> Path:
    """Return the folder of shipped calibrations."""
    return Path(str(files("attometer") / "data" / "price"))


def save(calibration: Calibration, where: Path) -> None:
    """Write a calibration as `KIND.json` and `KIND.npz`, each at once or not at all."""
    where.mkdir(parents=True, exist_ok=True)
    plain = _plain(calibration)
    arrays: dict[str, Any] = {"blocks": calibration.blocks, "groups": calibration.groups}
    for name, trees in (("residual", calibration.residual), ("spread", calibration.spread)):
        if trees is not None:
            arrays |= {f"{name}_{key}": value for key, value in trees.packed().items()}
    text = json.dumps(plain, indent=0, separators=(",", ":"), allow_nan=False)
    text = text.replace(",\n", ",").replace("[\n", "[").replace("\n]", "]").replace("],", "],\n").replace("},", "},\n")
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    write_atomically(where / f"{calibration.kind}.npz", packed.getvalue())
    write_atomically(where / f"{calibration.kind}.json", text + "\n")


def _plain(calibration: Calibration) -> dict[str, Any]:
    """Return what a calibration's file holds: what is not here is no key of one."""
    names = [each.name for each in class_of(calibration.kind).coefficients]
    return {
        "kind": calibration.kind,
        "provenance": calibration.provenance,
        "coefficients": {each.name: each.unit for each in class_of(calibration.kind).coefficients},
        "order": names,
        **{part: {name: _rounded(logs) for name, logs in sorted(getattr(calibration, part).items())} for part in _LOGS},
        "trust": calibration.trust,
        "width": {name: round(value, 4) for name, value in calibration.width.items()},
        "coverage": calibration.coverage,
        "errors": calibration.errors,
    }


def _rounded(logs: Array) -> list[float]:
    return [float(f"{value:.4g}") for value in np.exp(logs)]


@lru_cache(maxsize=64)
def calibration(kind: str, where: Path | None = None) -> Calibration:
    """Return the calibration of a class, shipped or from a folder; priors alone when the class has none.

    Raises AttometerError for an unknown class and for a file that is wrong, by file and key.
    """
    class_of(kind)
    path = (where or folder()) / f"{kind}.json"
    if not path.is_file():
        return Calibration(kind, {}, {})
    plain, count = _read(kind, path), len(class_of(kind).coefficients)
    arrays = _arrays(path.with_suffix(".npz"))
    read: dict[str, Any] = {part: plain.get(part, {}) for part in _PLAIN}
    for part in _LOGS:
        read[part] = {
            name: _logs(path, f"{part}.{name}", values, count) for name, values in plain.get(part, {}).items()
        }
    read |= {part: Trees.unpacked(arrays, part) for part in ("residual", "spread")}
    read |= {part: arrays.get(part, np.zeros(0, np.uint32)) for part in ("blocks", "groups")}
    return Calibration(kind, **read)


def _read(kind: str, path: Path) -> dict[str, Any]:
    """Return what a coefficient file holds, each key of its kind and each figure possible."""
    plain, known = read_json(path), _plain(Calibration(kind, {}, {}))
    if not isinstance(plain, dict):
        raise AttometerError(f'coefficient file "{path}": dict is needed, got {type(plain).__name__}')
    for key in plain:
        if key not in known:
            raise AttometerError(f'coefficient file "{path}": unknown key {key}{nearest(key, known)}')
    for key, value in plain.items():
        if not isinstance(value, type(known[key])):
            wanted = type(known[key]).__name__
            raise AttometerError(f'coefficient file "{path}", {key}: {wanted} is needed, got {type(value).__name__}')
    for key in ("kind", "order", "pooled", "cells"):
        if key not in plain:
            raise AttometerError(f'coefficient file "{path}", {key}: missing')
    for key in ("kind", "order", "coefficients"):
        if plain.get(key, known[key]) != known[key]:
            raise AttometerError(f'coefficient file "{path}", {key}: {known[key]} is needed, got {plain[key]}')
    for key, least in (("width", 0.0), ("trust", -1.0)):
        for name, value in plain.get(key, {}).items():
            if not isinstance(value, int | float) or not least < value < float("inf"):
                above = "positive" if least == 0 else "finite"
                raise AttometerError(
                    f'coefficient file "{path}", {key}.{name}: a {above} number is needed, got {value}'
                )
    return plain


def _arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return dict(np.load(path))
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise AttometerError(f'coefficient file "{path}" cannot be read: {str(error).splitlines()[0]}') from error


def _logs(path: Path, key: str, values: Any, count: int) -> Array:
    right = isinstance(values, list) and len(values) == count
    if not right or not all(isinstance(value, int | float) and 0 < value < float("inf") for value in values):
        raise AttometerError(f'coefficient file "{path}", {key}: {count} positive numbers are needed, got {values}')
    logs: Array = np.log(np.array(values, dtype=np.float64))
    return logs
