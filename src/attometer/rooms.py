"""Rooms that share a name with their verb: `attometer.count` is a package and is also called as the function."""

import sys
from types import ModuleType
from typing import Any


class CallableRoom(ModuleType):
    """A package that can be called as its function of the same name, whichever of the two was imported first."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function that has the package's own name."""
        return vars(self)[self.__name__.rpartition(".")[2]](*arguments, **options)


def make_callable(name: str) -> None:
    """Let the package `name` be called as the function it holds under its own name.

    >>> import attometer.count
    >>> callable(attometer.count)
    True
    """
    sys.modules[name].__class__ = CallableRoom
