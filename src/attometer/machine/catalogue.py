"""Machines by name or from a file; only the file that is asked for is parsed in full."""

import os
import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from attometer.errors import AttometerError, nearest, unknown
from attometer.machine.figure import Figure
from attometer.machine.hardware import Machine
from attometer.machine.names import matching, plain, sized

# A machine is a page of text; anything larger is the wrong file.
_LIMIT = 1 << 20

# Words that stand for many machines, with examples of one.
_TOO_FEW = {
    **dict.fromkeys(
        ("cuda", "auto", "local", "mps", "rocm"), '"h100-sxm" or "rtx-4090"; "this" is this machine, once calibrated'
    ),
    "hgx": '"hgx-h100" or "hgx-b200"',
    "dgx": '"dgx-h100" or "dgx-spark"',
    "nvl72": '"gb200-nvl72" or "gb300-nvl72"',
    "cpu": '"epyc-9654" or "ryzen-9950x", or a file of your own',
    "gpu": '"h100-sxm" or "rtx-4090"',
    "tpu": '"tpu-v5e" or "tpu-v6e"',
    "mac": '"apple-m4-max" or "apple-m3-ultra"',
}


def machine(name: str | Path) -> Machine:
    """Return a machine of the catalogue by its id or an alias, or read one from a `.toml` file of the same form.

    Names are read as people and drivers write them: case, spaces and the maker's name do not matter. Raises AttometerError
    for a name that fits no machine (the nearest is suggested) or several, and for a file that is missing, malformed or
    holds a wrong key (named by its path).

    >>> machine("H100").id, machine("NVIDIA GeForce RTX 4090").usable_bytes, machine("NVIDIA A100 80GB PCIe").id
    ('h100-sxm', 25757220864, 'a100-80gb-pcie')
    """
    if isinstance(name, Path) or name.endswith(".toml"):
        return _from_file(Path(name))
    wanted = name.strip().lower().replace(" ", "-").replace("_", "-")
    if wanted == "this":
        return _measured()
    ids = machines()
    if wanted in ids:
        return _shipped(wanted)
    aliases = _aliases()
    if wanted in aliases:
        return _shipped(aliases[wanted])
    if name.strip().isdecimal():
        raise AttometerError(f'"{name}" is a number: a device\'s name stands after it, as in {name.strip()}x-h100-sxm')
    if re.fullmatch(r"[\d.]+\s*(gi?b?|t[ib]*b)?", name.strip(), re.IGNORECASE):
        raise AttometerError(
            f'"{name}" is a size of memory; name the device, or describe it in a file: docs/how-to/machine.md'
        )
    found, size = _meant(name, ids), sized(name)
    if found is None and size is not None:
        return _of_size(machine(size[0]), size[1])
    if found is None:
        raise unknown("hardware", name, ids, {plain(identity): identity for identity in ids})
    return _shipped(found)


def _of_size(one: Machine, gigabytes: int) -> Machine:
    """Return the machine with so much memory: itself, a CPU beside it, or one of unified memory in another size.

    Raises AttometerError where a chip comes with another size than that.
    """
    if one.kind == "cpu":
        size = Figure(value=gigabytes, unit="GiB", source="as asked", status="derived")
        return _variant(one, gigabytes, {"capacity": size})
    have = one.memory_bytes / 1e9
    if abs(have - gigabytes) < 0.05 * gigabytes:
        return one
    of = one.memory
    share = next((share for most, share in of.shares or () if gigabytes <= most), None)
    if share is None:
        most = f"comes with up to {of.shares[-1][0]} GB" if of.shares else f"has {have:g} GB"
        raise AttometerError(f'"{one.id}" {most}, not {gigabytes}; a file of your own may say so')
    sizes = {
        "capacity": None if of.capacity is None else of.capacity.model_copy(update={"value": gigabytes}),
        "usable": None if of.usable is None else of.usable.model_copy(update={"value": gigabytes * share}),
    }
    return _variant(one, gigabytes, sizes)


def _variant(one: Machine, gigabytes: int, sizes: dict[str, Figure | None]) -> Machine:
    named = {"id": f"{one.id}-{gigabytes}gb", "name": f"{one.name} {gigabytes} GB", "of": one.id}
    return one.model_copy(update={**named, "memory": one.memory.model_copy(update=sizes)})


def this_folder() -> Path:
    """Return the user's folder of what `attometer calibrate --quick` measured on this machine."""
    home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".local" / "share"
    return Path(home) / "attometer" / "this"


def _measured() -> Machine:
    path = this_folder() / "this.toml"
    if not path.is_file():
        raise AttometerError('"this" machine was not measured yet; run: attometer calibrate --quick')
    return _from_file(path)


def _meant(name: str, ids: tuple[str, ...]) -> str | None:
    """Return the id of the machine that `name` means, None where it fits none."""
    if Path(name).suffix.lower() in (".yaml", ".yml", ".json"):
        raise AttometerError(f'hardware files are TOML, got "{name}"; docs/how-to/machine.md shows one')
    if name.strip().lower() in _TOO_FEW:
        raise AttometerError(f'"{name}" names no one machine: say which, as in {_TOO_FEW[name.strip().lower()]}')
    heads = _heads()
    found = matching(name, {i: (str(heads[i]["name"]), *heads[i]["aliases"]) for i in ids})
    if len(found) > 1:
        raise AttometerError(f'hardware "{name}" fits several machines: {", ".join(found)}')
    return found[0] if found else None


@lru_cache(maxsize=1)
def machines() -> tuple[str, ...]:
    """Return the ids of the catalogue, sorted."""
    return tuple(sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml")))


def _folder() -> Any:
    return files("attometer") / "data" / "hardware"


@lru_cache(maxsize=128)
def _shipped(identity: str) -> Machine:
    text = (_folder() / f"{identity}.toml").read_text(encoding="utf-8")
    return _validated(identity, _parsed(text, identity), f"{identity}.toml")


@lru_cache(maxsize=256)
def kin(identity: str) -> tuple[str, str, str]:
    """Return vendor, architecture and type of memory of a shipped machine, "" where its file states none; no more is read.

    >>> kin("h100-sxm"), kin("tpu-v6e")
    (('NVIDIA', 'Hopper', 'HBM3'), ('Google', '', 'HBM'))
    """
    text = (_folder() / f"{identity}.toml").read_text(encoding="utf-8")
    head = tomllib.loads(text.split("\n[", 1)[0])
    memory = tomllib.loads(text.partition("\n[memory]\n")[2].partition("\n[")[0])
    return str(head["vendor"]), str(head.get("architecture", "")), str(memory.get("type", ""))


@lru_cache(maxsize=1)
def _heads() -> dict[str, dict[str, Any]]:
    """Return the head of each file, up to its first table: name, vendor, kind, aliases."""
    texts = {identity: (_folder() / f"{identity}.toml").read_text(encoding="utf-8") for identity in machines()}
    return {identity: tomllib.loads(text.split("\n[", 1)[0]) for identity, text in texts.items()}


def _aliases() -> dict[str, str]:
    """Map every alias to its id."""
    return {alias: identity for identity, head in _heads().items() for alias in head["aliases"]}


def _from_file(path: Path) -> Machine:
    if not path.is_file():
        raise AttometerError(f'hardware file "{path}" does not exist or is not a file')
    if path.stat().st_size > _LIMIT:
        raise AttometerError(f'hardware file "{path}" holds {path.stat().st_size:,} bytes; at most {_LIMIT:,} are read')
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AttometerError(f'hardware file "{path}" cannot be read as text: {error}') from error
    return _validated(path.stem, _parsed(text, str(path)), str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise AttometerError(f'hardware file "{where}" is not TOML: {str(error).lower()}') from error


def _validated(identity: str, data: dict[str, Any], where: str) -> Machine:
    try:
        return Machine.model_validate({"id": identity, **_with_sources(data)})
    except ValidationError as error:
        raise AttometerError(f'hardware file "{where}": {_first(error, data)}') from error


def _with_sources(data: dict[str, Any]) -> dict[str, Any]:
    """Write the full text of each source into the figures that name it by its key."""
    sources = data.get("sources")
    if not isinstance(sources, dict):
        return data
    texts = {key: "; ".join(map(str, text)) if isinstance(text, list) else text for key, text in sources.items()}
    groups = {key: _resolved(value, texts) for key, value in data.items() if key != "sources"}
    return groups


def _resolved(group: Any, texts: dict[str, Any]) -> Any:
    if not isinstance(group, dict):
        return group
    return {field: _sourced(figure, texts) for field, figure in group.items()}


def _sourced(figure: Any, texts: dict[str, Any]) -> Any:
    if isinstance(figure, dict) and isinstance(figure.get("source"), str) and figure["source"] in texts:
        return {**figure, "source": texts[figure["source"]]}
    return figure


def _first(error: ValidationError, data: dict[str, Any]) -> str:
    """Say the first error with the path of its key, the value and the nearest right name."""
    first = error.errors()[0]
    location = [part for part in first["loc"] if part not in ("int", "float")]
    path = ".".join(["$", *map(str, location)])
    if first["type"] == "extra_forbidden":
        return f"{path}: unknown key{nearest(str(location[-1]), _keys(location[:-1]))}"
    if first["type"] == "missing":
        return f"{path}: missing"
    message = first["msg"].removeprefix("Value error, ")
    value = "" if message.startswith("un") else f", got {_shortened(first['input'])}"
    return f"{path}: {message[0].lower()}{message[1:]}{value}"


def _keys(location: list[int | str]) -> list[str]:
    model: type[BaseModel] = Machine
    for part in location:
        model = _model(model, str(part))
    return [key for key in model.model_fields if key != "id"]


def _model(parent: type[BaseModel], field: str) -> type[BaseModel]:
    annotation = parent.model_fields[field].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    # Annotated[Figure, ...] | None: the figure is the first member of the union
    figure: type[BaseModel] = annotation.__args__[0].__origin__  # type: ignore[union-attr]
    return figure


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
