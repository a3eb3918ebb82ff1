"""A referee for attention functions: anyone can point it at their own.

Needs torch (`pip install attometer[torch]`), and loads it when a name is first used. From the command line:
`python -m attometer.testing --impl tiled`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attometer.errors import AttometerError, extras

if TYPE_CHECKING:
    from attometer.testing.calling import Unsupported
    from attometer.testing.peers import PEERS, peer
    from attometer.testing.referee import CHECKS, check_attention
    from attometer.testing.report import Outcome, Report

__all__ = ["CHECKS", "PEERS", "Outcome", "Report", "Unsupported", "check_attention", "peer"]

_FILES = {
    "CHECKS": "referee",
    "PEERS": "peers",
    "Outcome": "report",
    "Report": "report",
    "Unsupported": "calling",
    "check_attention": "referee",
    "peer": "peers",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'attometer.testing' has no attribute {name!r}")
    try:
        with extras(f"attometer.testing.{name} needs"):
            return getattr(import_module(f"attometer.testing.{_FILES[name]}"), name)
    except AttometerError as error:  # what `hasattr` and `from ... import` expect
        raise AttributeError(str(error)) from None
