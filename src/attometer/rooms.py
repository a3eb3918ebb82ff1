"""Rooms that share a name with their verb: `attometer.count` is a package and is also called as the function."""

import sys
from types import ModuleType
from typing import Any


class CallableRoom(ModuleType):
    """A package that can be called as its function of the same name, whichever of the two was imported first."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function that has the package's own name."""
        return self.__wrapped__(*arguments, **options)

    @property
    def __wrapped__(self) -> Any:
        """The function: `inspect.signature` and editors follow this name to its parameters."""
        return vars(self)[self.__name__.rpartition(".")[2]]


def make_callable(name: str) -> None:
    """Let the package `name` be called as the function it holds under its own name, with its signature and docstring.

    >>> import inspect
    >>> import attometer.machine
    >>> attometer.machine("h100").id, str(inspect.signature(attometer.machine))
    ('h100-sxm', '(name: str | pathlib.Path) -> attometer.machine.hardware.Machine')
    """
    room = sys.modules[name]
    room.__class__ = CallableRoom
    # Without the examples, which run where the function stands.
    said = (vars(room)[name.rpartition(".")[2]].__doc__ or "").partition(">>>")[0].rstrip()
    room.__doc__ = f"{said}\n\nThe room of this verb: {room.__doc__}"
