"""Attometer: what attention costs, counted exactly before it runs.

Names load their rooms on first use, so that `import attometer` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attometer.count import Cost, best_tiles, count
    from attometer.errors import AttometerError
    from attometer.machine import machine
    from attometer.mechanisms import mechanism
    from attometer.models import model
    from attometer.plan import plan
    from attometer.program import (
        Mask,
        Program,
        band,
        block,
        causal,
        chunked,
        document,
        fixed,
        global_,
        parse,
        prefix,
        random,
        size,
        strided,
        window,
    )
    from attometer.schedule import schedule
    from attometer.simulate import interpret

__version__ = "0.1.0"

_ROOMS = {
    "AttometerError": "errors",
    "Cost": "count",
    "Mask": "program",
    "Program": "program",
    "band": "program",
    "best_tiles": "count",
    "block": "program",
    "causal": "program",
    "chunked": "program",
    "count": "count",
    "document": "program",
    "fixed": "program",
    "global_": "program",
    "interpret": "simulate",
    "machine": "machine",
    "mechanism": "mechanisms",
    "model": "models",
    "parse": "program",
    "plan": "plan",
    "prefix": "program",
    "random": "program",
    "run": "run",
    "schedule": "schedule",
    "size": "program",
    "strided": "program",
    "window": "program",
}

__all__ = [
    "AttometerError",
    "Cost",
    "Mask",
    "Program",
    "__version__",
    "band",
    "best_tiles",
    "block",
    "causal",
    "chunked",
    "count",
    "document",
    "fixed",
    "global_",
    "interpret",
    "machine",
    "mechanism",
    "model",
    "parse",
    "plan",
    "prefix",
    "random",
    "run",
    "schedule",
    "size",
    "strided",
    "window",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'attometer' has no attribute {name!r}")
    room = import_module(f"attometer.{_ROOMS[name]}")
    # A room called as its verb: importing it bound the package under this name, and the package is callable.
    return room if name == _ROOMS[name] else getattr(room, name)


def __dir__() -> list[str]:
    return sorted(__all__)
