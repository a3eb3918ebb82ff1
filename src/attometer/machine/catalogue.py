"""Machines by name or from a file; only the file that is asked for is parsed in full."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from attometer.errors import AttometerError, nearest, unknown
from attometer.machine.hardware import Machine

# A machine is a page of text; anything larger is the wrong file.
_LIMIT = 1 << 20


def machine(name: str | Path) -> Machine:
    """Return a machine of the catalogue by its id or an alias, or read one from a `.toml` file of the same form.

    Names ignore case; spaces and underscores read as hyphens. Raises AttometerError for an unknown name (the nearest is
    suggested) and for a file that is missing, malformed or holds a wrong key (named by its path).

    >>> machine("H100").id, machine("rtx 4090").memory_bytes
    ('h100-sxm', 24000000000)
    """
    if isinstance(name, Path) or name.endswith(".toml"):
        return _from_file(Path(name))
    wanted = name.strip().lower().replace(" ", "-").replace("_", "-")
    ids = machines()
    if wanted in ids:
        return _shipped(wanted)
    aliases = _aliases()
    if wanted in aliases:
        return _shipped(aliases[wanted])
    raise unknown("hardware", name, ids)


def machines() -> tuple[str, ...]:
    """Return the ids of the catalogue, sorted."""
    return tuple(sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml")))


def _folder() -> Any:
    return files("attometer") / "data" / "hardware"


@lru_cache(maxsize=128)
def _shipped(identity: str) -> Machine:
    text = (_folder() / f"{identity}.toml").read_text(encoding="utf-8")
    return _validated(identity, _parsed(text, identity), f"{identity}.toml")


@lru_cache(maxsize=1)
def _aliases() -> dict[str, str]:
    """Map every alias to its id from the head of each file, up to its first table."""
    table: dict[str, str] = {}
    for identity in machines():
        head = (_folder() / f"{identity}.toml").read_text(encoding="utf-8").split("\n[", 1)[0]
        table.update(dict.fromkeys(tomllib.loads(head)["aliases"], identity))
    return table


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
