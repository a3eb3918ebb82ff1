"""Functions along an index that are Programs of their own: their cost comes from their parts."""

from collections.abc import Callable

from attometer.program.expression import Binary, Call, Expression, Number, Ref

Emit = Callable[[str, Expression], Ref]
Fold = Callable[[str, str, Ref], Ref]


def expand(function: str, operand: Ref, length: Expression, emit: Emit, fold: Fold) -> Expression:
    """Return `function` of `operand` along its index as an element-wise expression over emitted parts.

    `emit(name, expression)` computes an element-wise part; `fold(name, kind, ref)` reduces one along the index.
    """
    return _EXPANSIONS[function](operand, length, emit, fold)


def _softmax(x: Ref, length: Expression, emit: Emit, fold: Fold) -> Expression:
    shifted = emit("shift", Binary("-", x, fold("max", "max", x)))
    exponential = emit("exp", Call("exp", (shifted,)))
    return Binary("/", exponential, fold("sum", "sum", exponential))


def _logsumexp(x: Ref, length: Expression, emit: Emit, fold: Fold) -> Expression:
    largest = fold("max", "max", x)
    exponential = emit("exp", Call("exp", (emit("shift", Binary("-", x, largest)),)))
    return Binary("+", Call("log", (fold("sum", "sum", exponential),)), largest)


def _rmsnorm(x: Ref, length: Expression, emit: Emit, fold: Fold) -> Expression:
    total = fold("sum", "sum", emit("square", Call("square", (x,))))
    return Binary("*", x, emit("scale", _inverse_root(total, length)))


def _layernorm(x: Ref, length: Expression, emit: Emit, fold: Fold) -> Expression:
    mean = emit("mean", Binary("/", fold("sum", "sum", x), length))
    centred = emit("centred", Binary("-", x, mean))
    total = fold("squares", "sum", emit("square", Call("square", (centred,))))
    return Binary("*", centred, emit("scale", _inverse_root(total, length)))


def _inverse_root(total: Ref, length: Expression) -> Expression:
    return Call("rsqrt", (Binary("+", Binary("/", total, length), Number(EPSILON)),))


EPSILON = 1e-6
"""Added to a variance before its inverse root is taken."""

_EXPANSIONS: dict[str, Callable[[Ref, Expression, Emit, Fold], Expression]] = {
    "softmax": _softmax,
    "logsumexp": _logsumexp,
    "rmsnorm": _rmsnorm,
    "layernorm": _layernorm,
}
