"""Attometer: what attention costs, counted exactly before it runs.

Names load their rooms on first use, so that `import attometer` stays light.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attometer.count import Convention, Cost, best_tiles, count
    from attometer.count.bounds.program import bounds
    from attometer.count.derive import derive
    from attometer.errors import AttometerError
    from attometer.ledger.ledger import ledger as claims
    from attometer.machine import machine, machines
    from attometer.mechanisms import mechanism, mechanisms
    from attometer.mechanisms.subject import gradient
    from attometer.models import model, models
    from attometer.plan import devices, plan, planner, sweep
    from attometer.price import price
    from attometer.price.calibrate import calibrate
    from attometer.price.validate import validate
    from attometer.program import (
        Mask,
        Program,
        band,
        block,
        block_causal,
        causal,
        chunked,
        document,
        fixed,
        global_,
        parse,
        prefix,
        random,
        size,
        strict,
        strided,
        window,
    )
    from attometer.report.compare import compare
    from attometer.report.figures.draw import draw_all as figures
    from attometer.report.io.report import io_report as io
    from attometer.report.listing import listing as list  # noqa: F401 (not in __all__)
    from attometer.report.measure.report import measure
    from attometer.report.other_tools import explain_tool
    from attometer.report.page import write_page as page
    from attometer.report.pebble.report import pebble
    from attometer.report.scale import scale
    from attometer.report.shares import shares
    from attometer.report.show import show
    from attometer.run.compiling import compile
    from attometer.run.verb import run
    from attometer.schedule import schedule
    from attometer.simulate import interpret

__version__ = "0.1.0"

# Where each name lives; after a colon, what it is called there.
_ROOMS = {
    "AttometerError": "errors",
    "Convention": "count",
    "Cost": "count",
    "Mask": "program",
    "Program": "program",
    "band": "program",
    "best_tiles": "count",
    "block": "program",
    "block_causal": "program",
    "bounds": "count.bounds.program",
    "calibrate": "price.calibrate",
    "causal": "program",
    "chunked": "program",
    "claims": "ledger.ledger:ledger",
    "compare": "report.compare",
    "compile": "run.compiling",
    "count": "count",
    "derive": "count.derive",
    "devices": "plan",
    "document": "program",
    "explain_tool": "report.other_tools",
    "figures": "report.figures.draw:draw_all",
    "fixed": "program",
    "global_": "program",
    "gradient": "mechanisms.subject",
    "interpret": "simulate",
    "io": "report.io.report:io_report",
    "list": "report.listing:listing",
    "machine": "machine",
    "machines": "machine",
    "measure": "report.measure.report",
    "mechanism": "mechanisms",
    "mechanisms": "mechanisms",
    "model": "models",
    "models": "models",
    "page": "report.page:write_page",
    "parse": "program",
    "pebble": "report.pebble.report",
    "plan": "plan",
    "planner": "plan",
    "prefix": "program",
    "price": "price",
    "random": "program",
    "run": "run",
    "scale": "report.scale",
    "schedule": "schedule",
    "shares": "report.shares",
    "show": "report.show",
    "size": "program",
    "strict": "program",
    "strided": "program",
    "sweep": "plan",
    "validate": "price.validate",
    "window": "program",
}

__all__ = [
    "AttometerError",
    "Convention",
    "Cost",
    "Mask",
    "Program",
    "__version__",
    "band",
    "best_tiles",
    "block",
    "block_causal",
    "bounds",
    "calibrate",
    "causal",
    "chunked",
    "claims",
    "compare",
    "compile",
    "count",
    "derive",
    "devices",
    "document",
    "explain_tool",
    "figures",
    "fixed",
    "global_",
    "gradient",
    "interpret",
    "io",
    "machine",
    "machines",
    "measure",
    "mechanism",
    "mechanisms",
    "model",
    "models",
    "page",
    "parse",
    "pebble",
    "plan",
    "planner",
    "prefix",
    "price",
    "random",
    "run",
    "scale",
    "schedule",
    "shares",
    "show",
    "size",
    "strict",
    "strided",
    "sweep",
    "validate",
    "window",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'attometer' has no attribute {name!r}")
    where, _, own = _ROOMS[name].partition(":")
    room = import_module(f"attometer.{where}")
    # A room called as its verb: importing it bound the package under this name, and the package is callable.
    return room if where == name else getattr(room, own or name)


def __dir__() -> Sequence[str]:
    # `list` is no name of a star import: what is written after it would lose the builtin.
    return sorted({*__all__, *_ROOMS})
