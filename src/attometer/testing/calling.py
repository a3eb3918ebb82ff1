"""How the referee calls a function that it does not know: only with keywords that it takes."""

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch

from attometer.errors import AttometerError
from attometer.run.biases import Additive, Alibi, Bias, Sinks, SoftCap, Terms
from attometer.testing.oracle import Case

Function: TypeAlias = Callable[..., Any]


class Unsupported(AttometerError):
    """What an attention function raises for a property it does not claim; the referee counts it apart from failures."""


def given(bias: Terms) -> tuple[Bias, ...] | None:
    """Return the biases as `attention` takes them.

    >>> given(Terms(cap=2.0))
    (SoftCap(cap=2.0),)
    """
    found: list[Bias] = []
    if bias.additive is not None:
        found.append(Additive(bias.additive))
    if bias.slopes is not None:
        found.append(Alibi(bias.slopes))
    if bias.cap is not None:
        found.append(SoftCap(bias.cap))
    if bias.sinks is not None:
        found.append(Sinks(bias.sinks))
    return tuple(found) or None


def keywords(function: Function) -> set[str] | None:
    """Return the names that `function` takes, or None if it takes any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {"attn_mask", "scale"}  # a builtin such as torch's own
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else {p.name for p in parameters}


def call(function: Function, case: Case) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Call `function` on a case; raise Unsupported when the case needs a keyword that the function does not take."""
    known = keywords(function)
    wanted: dict[str, Any] = {}
    if case.mask is not None:
        wanted |= _mask(case, known)
    if case.bias.names():
        wanted["bias"] = given(case.bias)
    if case.scale is not None:
        wanted["scale"] = case.scale
    if case.lse:
        wanted["return_lse"] = True
    missing = [] if known is None else sorted(set(wanted) - known)
    if missing:
        raise Unsupported(f"the function takes no {', '.join(missing)}")
    found = function(case.q, case.k, case.v, **wanted)
    return found if isinstance(found, tuple) else (found, None)


def _mask(case: Case, known: set[str] | None) -> dict[str, Any]:
    if known is not None and "mask" not in known and "attn_mask" in known and case.mask is not None:
        seen = case.mask.matrix(case.q.shape[2], case.k.shape[2])
        return {"attn_mask": torch.tensor(np.array(seen))}
    return {"mask": case.mask}
