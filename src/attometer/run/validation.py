"""One table of what the arguments must be: argument, what is expected, and what was got instead."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from attometer.errors import AttometerError, unknown
from attometer.program import Mask
from attometer.run.biases import Terms, terms

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call, before they are known to fit."""

    q: Any
    k: Any
    v: Any
    mask: Any
    bias: Terms
    scale: Any


def plain(q: Any, k: Any, v: Any, scale: Any = None) -> Call:
    """Return a call without mask and bias."""
    return Call(q, k, v, None, terms(None), scale)


@dataclass(frozen=True)
class Rule:
    """A condition on a call: the argument it speaks of, what it expects, and how to say what came instead."""

    argument: str
    expected: Callable[[Call], str]
    got: Callable[[Call], str]
    holds: Callable[[Call], bool]


def name_of(dtype: torch.dtype) -> str:
    """Return a dtype's name without its module.

    >>> name_of(torch.float32)
    'float32'
    """
    return str(dtype).removeprefix("torch.")


def check_tensors(**given: object) -> None:
    """Raise AttometerError naming the first argument that is no tensor.

    >>> check_tensors(features=torch.ones(2, 2))
    """
    for name, value in given.items():
        if not isinstance(value, torch.Tensor):
            raise AttometerError(f"{name}: got {type(value).__name__}, expected a tensor")


def _tensor(name: str) -> tuple[Rule, ...]:
    def own(call: Call) -> Any:
        return getattr(call, name)

    return (
        Rule(name, lambda c: "a tensor", lambda c: type(own(c)).__name__, lambda c: isinstance(own(c), torch.Tensor)),
        Rule(
            name,
            lambda c: "4 axes [batch, heads, length, width]",
            lambda c: f"shape {list(own(c).shape)}",
            lambda c: own(c).dim() == 4,
        ),
        Rule(
            name,
            lambda c: f"one of {', '.join(map(name_of, DTYPES))}",
            lambda c: f"dtype {name_of(own(c).dtype)}",
            lambda c: own(c).dtype in DTYPES,
        ),
    )


def _alike(name: str, what: str, other: str, read: Callable[[Any], object]) -> Rule:
    return Rule(
        name,
        lambda c: f"{other}'s {_said(read(getattr(c, other)))}",
        lambda c: f"{what} {_said(read(getattr(c, name)))}",
        lambda c: read(getattr(c, name)) == read(getattr(c, other)),
    )


def _said(value: object) -> str:
    return name_of(value) if isinstance(value, torch.dtype) else str(value)


def _fits(call: Call, values: torch.Tensor | None) -> bool:
    b, h, n, _ = call.q.shape
    if values is None:
        return True
    return values.dim() == 4 and all(x in (1, y) for x, y in zip(values.shape, (b, h, n, call.k.shape[2]), strict=True))


def _wanted_bias(call: Call) -> str:
    b, h, n, _ = call.q.shape
    return f"[{b} or 1, {h} or 1, {n} or 1, {call.k.shape[2]} or 1]"


def _bias_tensors(call: Call) -> list[torch.Tensor]:
    return [x for x in (call.bias.additive, call.bias.sinks, call.bias.seen) if x is not None]


RULES: tuple[Rule, ...] = (
    *_tensor("q"),
    *_tensor("k"),
    *_tensor("v"),
    _alike("k", "dtype", "q", lambda x: x.dtype),
    _alike("v", "dtype", "q", lambda x: x.dtype),
    _alike("k", "device", "q", lambda x: x.device),
    _alike("v", "device", "q", lambda x: x.device),
    _alike("k", "batch", "q", lambda x: x.shape[0]),
    _alike("v", "batch", "q", lambda x: x.shape[0]),
    _alike("k", "width", "q", lambda x: x.shape[3]),
    _alike("v", "length", "k", lambda x: x.shape[2]),
    _alike("v", "heads", "k", lambda x: x.shape[1]),
    Rule("q", lambda c: "a width of at least 1", lambda c: "width 0", lambda c: c.q.shape[3] > 0),
    Rule(
        "k",
        lambda c: f"a number of heads that divides q's {c.q.shape[1]}",
        lambda c: f"{c.k.shape[1]} heads",
        lambda c: c.k.shape[1] > 0 and c.q.shape[1] % c.k.shape[1] == 0,
    ),
    Rule(
        "mask",
        lambda c: "a mask such as attometer.causal(), its text, a tensor, or None",
        lambda c: type(c.mask).__name__,
        lambda c: c.mask is None or isinstance(c.mask, Mask | str),
    ),
    Rule(
        "scale",
        lambda c: "a number, or None for 1/sqrt(d)",
        lambda c: repr(c.scale),
        lambda c: c.scale is None or (isinstance(c.scale, int | float) and not isinstance(c.scale, bool)),
    ),
    Rule(
        "bias",
        _wanted_bias,
        lambda c: f"an additive bias of shape {list(c.bias.additive.shape)}",  # type: ignore[union-attr]
        lambda c: _fits(c, c.bias.additive),
    ),
    Rule(
        "mask",
        _wanted_bias,
        lambda c: f"a tensor of shape {list(c.bias.seen.shape)}",  # type: ignore[union-attr]
        lambda c: _fits(c, c.bias.seen),
    ),
    Rule(
        "bias",
        lambda c: f"{c.q.shape[1]} slopes, one for each head",
        lambda c: f"{len(c.bias.slopes or ())} slopes",
        lambda c: c.bias.slopes is None or len(c.bias.slopes) == c.q.shape[1],
    ),
    Rule(
        "bias",
        lambda c: f"sinks of shape [{c.q.shape[1]}]",
        lambda c: f"sinks of shape {list(c.bias.sinks.shape)}",  # type: ignore[union-attr]
        lambda c: c.bias.sinks is None or tuple(c.bias.sinks.shape) == (c.q.shape[1],),
    ),
    Rule(
        "bias",
        lambda c: f"q's device {c.q.device}",
        lambda c: f"device {', '.join(str(x.device) for x in _bias_tensors(c))}",
        lambda c: all(x.device == c.q.device for x in _bias_tensors(c)),
    ),
    Rule(
        "bias",
        lambda c: "a floating dtype (a boolean mask goes in mask=)",
        lambda c: f"dtype {', '.join(name_of(x.dtype) for x in _bias_tensors(c))}",
        lambda c: all(x.dtype in DTYPES for x in _bias_tensors(c) if x is not c.bias.seen),
    ),
)
"""Checked in this order; the first that fails is reported."""


def check(call: Call, rules: tuple[Rule, ...] = RULES) -> None:
    """Raise AttometerError for the first rule that `call` breaks.

    >>> x = torch.zeros(1, 2, 3, 4)
    >>> check(plain(x, x.double(), x))
    Traceback (most recent call last):
    attometer.errors.AttometerError: k: got dtype float64, expected q's float32
    """
    for rule in rules:
        if not rule.holds(call):
            raise AttometerError(f"{rule.argument}: got {rule.got(call)}, expected {rule.expected(call)}")


def check_name(what: str, name: str, known: tuple[str, ...]) -> None:
    """Raise AttometerError with the nearest known name if `name` is not among them."""
    if name not in known:
        raise unknown(what, str(name), known)
