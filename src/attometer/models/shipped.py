"""Names of the configurations that come with the package."""

from functools import lru_cache
from importlib.resources import files
from pathlib import Path


@lru_cache(maxsize=1)
def shipped() -> tuple[str, ...]:
    """Return the names of the shipped models, sorted.

    >>> "llama-3.1-8b" in shipped()
    True
    """
    return tuple(sorted(p.name.removesuffix(".json") for p in _folder().iterdir() if p.name.endswith(".json")))


def shipped_path(name: str) -> Path:
    """Return the path of a shipped configuration."""
    return _folder() / f"{name}.json"


def _folder() -> Path:
    return Path(str(files("attometer"))) / "data" / "models"
