"""Derivatives of the element-wise functions, as expressions of the notation."""

from collections.abc import Callable
from typing import TypeAlias

from attometer.program.expression import Binary, Call, Expression, Negative, Number

Rule: TypeAlias = Callable[[tuple[Expression, ...], Expression], tuple[Expression | None, ...]]
"""From the arguments and the value to the derivative by each argument; None where it is zero wherever it exists."""


def derivatives(function: str, arguments: tuple[Expression, ...], value: Expression) -> tuple[Expression | None, ...]:
    """Return the derivative of `function` by each argument; `value` is its value, which some are made of.

    At a kink it is one of the limits: relu has 0 at 0, `maximum` and `minimum` of equal numbers follow the second.

    >>> from attometer.program.expression import Name
    >>> from attometer.program.printer import expression_text
    >>> [expression_text(d) for d in derivatives("tanh", (Name("x"),), Name("y"))]
    ['1 - square(y)']
    """
    return _RULES[function](arguments, value)


def times(*factors: Expression) -> Expression:
    """Return a product."""
    product = factors[0]
    for factor in factors[1:]:
        product = Binary("*", product, factor)
    return product


def _one(rule: Callable[[Expression, Expression], Expression]) -> Rule:
    return lambda arguments, value: (rule(arguments[0], value),)


def _call(function: str, *arguments: Expression) -> Expression:
    return Call(function, arguments)


def _complement(x: Expression) -> Expression:
    return Binary("-", Number(1), x)


def _silu(x: Expression, y: Expression) -> Expression:
    gate = _call("sigmoid", x)
    return Binary("+", gate, times(y, _complement(gate)))


def _gelu(x: Expression, y: Expression) -> Expression:
    # Φ(x) + x φ(x); 0.7071… is 1/√2 and 0.3989… is 1/√(2π).
    below = times(Number(0.5), Binary("+", Number(1), _call("erf", times(x, Number(0.7071067811865476)))))
    density = times(Number(0.3989422804014327), _call("exp", times(_call("square", x), Negative(Number(0.5)))))
    return Binary("+", below, times(x, density))


def _pow(arguments: tuple[Expression, ...], value: Expression) -> tuple[Expression | None, ...]:
    base, exponent = arguments
    lower = _call("pow", base, Binary("-", exponent, Number(1)))
    return times(exponent, lower), times(value, _call("log", base))


_NONE: Rule = lambda arguments, value: (None,) * len(arguments)  # noqa: E731 - a line of the table
_ERF = 1.1283791670955126
"""2/√π."""

_RULES: dict[str, Rule] = {
    "exp": _one(lambda x, y: y),
    "log": _one(lambda x, y: Binary("/", Number(1), x)),
    "sqrt": _one(lambda x, y: Binary("/", Number(0.5), y)),
    "rsqrt": _one(lambda x, y: times(Negative(Number(0.5)), y, _call("square", y))),
    "tanh": _one(lambda x, y: _complement(_call("square", y))),
    "sigmoid": _one(lambda x, y: times(y, _complement(y))),
    "silu": _one(_silu),
    "gelu": _one(_gelu),
    "relu": _one(lambda x, y: _call("less", Number(0), x)),
    "softplus": _one(lambda x, y: _call("sigmoid", x)),
    "cos": _one(lambda x, y: Negative(_call("sin", x))),
    "sin": _one(lambda x, y: _call("cos", x)),
    "sign": _NONE,
    "abs": _one(lambda x, y: _call("sign", x)),
    "square": _one(lambda x, y: times(Number(2), x)),
    "erf": _one(lambda x, y: times(Number(_ERF), _call("exp", Negative(_call("square", x))))),
    "floor": _NONE,
    "maximum": lambda arguments, value: (
        _call("less", arguments[1], arguments[0]),
        _complement(_call("less", arguments[1], arguments[0])),
    ),
    "minimum": lambda arguments, value: (
        _call("less", arguments[0], arguments[1]),
        _complement(_call("less", arguments[0], arguments[1])),
    ),
    "pow": _pow,
    "less": _NONE,
    "equal": _NONE,
}
