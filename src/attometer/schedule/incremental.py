"""What algebra lets a running reduction be corrected instead of computed again, proved symbolically.

A sum of terms g(x, r), where r is itself a reduction along the same axis that still runs, is carried along when
g(x, r') = c(r, r') g(x, r) for every x: the sum so far is multiplied by c when r moves to r'. For exp(x - r), c is
exp(r - r'), which is the online softmax. A factor of the term that the axis does not run through is not even carried:
it multiplies the finished sum (the division of attention by its row sums).
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import sympy
from sympy.core.function import AppliedUndef

from attometer.program.expression import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Position,
    Ref,
    factors_of,
)
from attometer.program.printer import expression_text

OLD, NEW = "old", "new"
"""Names of a reduction's value before and after a step, in the factor that corrects what was summed with it."""

Inline = Callable[[str], Expression | None]

_TO_SYMPY: dict[str, Callable[..., sympy.Expr]] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "sqrt": sympy.sqrt,
    "rsqrt": lambda x: 1 / sympy.sqrt(x),
    "square": lambda x: x**2,
    "pow": sympy.Pow,
    "tanh": sympy.tanh,
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
}

_HOMOGENEOUS = ("abs", "relu")
"""f(c x) = c f(x) for every c > 0."""


def correction(term: Expression, reduction: str, inline: Inline) -> Expression | None:
    """Return c(old, new) with term(new) = c · term(old), an expression over `old` and `new`; None when there is none.

    `inline(name)` is the expression behind an element-wise value, None for what is not looked into.

    >>> from attometer.program.printer import expression_text
    >>> term = Call("exp", (Binary("-", Ref("S", ()), Ref("m", ())),))
    >>> expression_text(correction(term, "m", lambda name: None))
    'exp(old[] - new[])'
    >>> correction(Binary("-", Ref("S", ()), Ref("m", ())), "m", lambda name: None) is None
    True
    """
    return _correction(expanded(term, inline), reduction)


@lru_cache(maxsize=512)
def _correction(term: Expression, reduction: str) -> Expression | None:
    value = algebra(term)
    if value is None:
        return None
    own = _symbol(reduction)
    if _moves_apart(value, own):
        return None
    old, new = sympy.Symbol(OLD, real=True), sympy.Symbol(NEW, real=True)
    ratio = sympy.powsimp(sympy.expand(value.subs(own, new) / value.subs(own, old)))
    if not ratio.free_symbols <= {old, new}:
        ratio = sympy.simplify(ratio)
    return _notation(ratio) if ratio.free_symbols <= {old, new} else None


def _moves_apart(value: sympy.Expr, own: sympy.Symbol) -> bool:
    """Return whether numbers show that no factor corrects `value` where `own` moves: simplifying a large quotient takes minutes.

    The factor would be the same at other values of all else, and whatever a function without algebra is: here a sine.
    """
    if any({own} < f.free_symbols for f in value.atoms(AppliedUndef)):
        return True
    # Numbers that stand for infinity would drown all others.
    value = value.xreplace(
        {c: sympy.Rational(9, 4) * sympy.sign(c) for c in value.atoms(sympy.Number) if abs(c) > 1000}
    )
    others = sorted(value.free_symbols - {own}, key=str)
    unknown = {f.func.__name__ for f in value.atoms(AppliedUndef)}
    sines = {name: _sine(1 + 0.37 * k) for k, name in enumerate(sorted(unknown))}
    at = sympy.lambdify([own, *others], value, modules=[sines, "numpy"])
    rng = np.random.default_rng(0)
    found = []
    with np.errstate(all="ignore"):
        for point in rng.uniform(0.4, 1.6, (2, len(others))).astype(complex):
            found.append(np.complex128(at(1.2 + 0j, *point)) / np.complex128(at(0.7 + 0j, *point)))
    apart = abs(found[0] - found[1]) / abs(found[0])
    return bool(np.isfinite(apart) and apart > 1e-6)


def _sine(scale: float) -> Callable[..., complex]:
    return lambda *arguments: complex(np.sin(scale * sum(a * (1 + k) for k, a in enumerate(arguments))) + 2.5)


def expanded(node: Expression, inline: Inline) -> Expression:
    """Return `node` with the element-wise values in it written out."""
    match node:
        case Ref():
            inner = _behind(node, inline)
            return node if inner is None else expanded(inner, inline)
        case Negative(operand=operand):
            return Negative(expanded(operand, inline))
        case Binary(op=op, left=left, right=right):
            return Binary(op, expanded(left, inline), expanded(right, inline))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(expanded(a, inline) for a in arguments))
    return node


def _behind(node: Expression, inline: Inline) -> Expression | None:
    """Return what is behind a value that is read at its own place."""
    plain = isinstance(node, Ref) and all(isinstance(part, Name) for part in node.indices)
    return inline(node.tensor) if plain and isinstance(node, Ref) else None


def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, real=True)


def algebra(node: Expression) -> sympy.Expr | None:
    """Return an expression over real symbols, one per value read; None where a function has no closed algebra here."""
    match node:
        case Number(value=value):
            return sympy.nsimplify(value)
        case Name(name=name):
            return sympy.Symbol(name, positive=True)
        case Position(index=index):
            return _symbol(f"pos({index})")
        case Ref(tensor=name, indices=indices):
            return _symbol(name if all(isinstance(part, Name) for part in indices) else expression_text(node))
        case Negative(operand=operand):
            inner = algebra(operand)
            return None if inner is None else -inner
        case Call(function=function, arguments=arguments):
            parts = [algebra(a) for a in arguments]
            if any(p is None for p in parts):
                return None
            if function in _HOMOGENEOUS:
                return _homogeneous(function, parts[0])
            if function not in _TO_SYMPY:
                return sympy.Function(function, real=True)(*parts)
            return _TO_SYMPY[function](*parts)
        case Binary(op=op, left=left, right=right):
            a, b = algebra(left), algebra(right)
            if a is None or b is None:
                return None
            return {"+": a + b, "-": a - b, "*": a * b}[op] if op != "/" else a / b
    return None


def _homogeneous(function: str, inside: sympy.Expr) -> sympy.Expr:
    """Return f(inside), its positive factors before it: of relu(exp(x - r) - exp(-r)), exp(-r)."""
    factors = sympy.Mul.make_args(sympy.factor_terms(sympy.expand(inside)))
    before, rest = (sympy.Mul(*(f for f in factors if bool(f.is_positive) is out)) for out in (True, False))
    return before * sympy.Function(function, real=True)(rest)


def _notation(value: sympy.Expr) -> Expression | None:
    """Return a SymPy expression over OLD and NEW in the notation; None where it has no word for it."""
    if value.is_Symbol:
        return Ref(value.name, ())
    if value.is_Integer or value.is_Float:
        return Number(int(value) if value.is_Integer else float(value))
    if value.is_Rational:
        return Binary("/", Number(int(value.p)), Number(int(value.q)))
    if isinstance(value, sympy.exp | sympy.log):
        return _call(type(value).__name__, value.args[0])
    if value.is_Add:
        return _sum(value)
    if value.is_Mul:
        numerator, denominator = value.as_numer_denom()
        if denominator != 1:
            return _binary("/", _notation(numerator), _notation(denominator))
        first, *rest = value.args
        return _binary("*", _notation(first), _notation(sympy.Mul(*rest)))
    if value.is_Pow:
        base, power = value.as_base_exp()
        if power == -1:
            return _binary("/", Number(1), _notation(base))
        return _call("sqrt", base) if power == sympy.Rational(1, 2) else _pow(base, power)
    return None


def _sum(value: sympy.Expr) -> Expression | None:
    positive = [a for a in value.args if not a.could_extract_minus_sign()]
    negative = [-a for a in value.args if a.could_extract_minus_sign()]
    result: Expression | None = None
    for op, terms in (("+", positive), ("-", negative)):
        for term in terms:
            inner = _notation(term)
            if inner is None:
                return None
            result = (Negative(inner) if op == "-" else inner) if result is None else Binary(op, result, inner)
    return result


def _call(function: str, argument: sympy.Expr) -> Expression | None:
    inner = _notation(argument)
    return None if inner is None else Call(function, (inner,))


def _pow(base: sympy.Expr, power: sympy.Expr) -> Expression | None:
    inner, exponent = _notation(base), _notation(power)
    return None if inner is None or exponent is None else Call("pow", (inner, exponent))


def _binary(op: str, left: Expression | None, right: Expression | None) -> Expression | None:
    return None if left is None or right is None else Binary(op, left, right)


Factors = list[tuple[bool, Expression]]


def products(node: Expression, inline: Inline, outside: Callable[[Expression], bool]) -> list[Factors]:
    """Return a sum of products equal to `node`, opened only as far as sets factors that are `outside` the sum free.

    >>> weight = Binary("/", Ref("E", ()), Ref("l", ()))
    >>> term = Binary("*", Ref("P", ()), Ref("V", ()))
    >>> found = products(term, {"P": weight}.get, lambda f: f == Ref("l", ()))
    >>> [[(inverse, f.tensor) for inverse, f in factors] for factors in found]
    [[(False, 'E'), (True, 'l'), (False, 'V')]]
    """
    factors = factors_of(node)
    for at, (inverse, factor) in enumerate(factors):
        inner = _behind(factor, inline) if not inverse else None
        parts = _terms(inner) if inner is not None else []
        if any(_frees(part, inline, outside) for part in parts):
            before, after = factors[:at], factors[at + 1 :]
            opened = [_product([*before, (False, part), *after]) for part in parts]
            return [found for each in opened for found in products(each, inline, outside)]
    return [factors]


def _frees(node: Expression, inline: Inline, outside: Callable[[Expression], bool]) -> bool:
    """Whether a product has a factor outside the sum, directly or behind an element-wise value."""
    for inverse, factor in factors_of(node):
        if outside(factor):
            return True
        inner = _behind(factor, inline) if not inverse else None
        if inner is not None and any(_frees(part, inline, outside) for part in _terms(inner)):
            return True
    return False


def _terms(node: Expression) -> list[Expression]:
    """Return the terms of a sum."""
    match node:
        case Binary(op="+", left=left, right=right):
            return [*_terms(left), *_terms(right)]
        case Binary(op="-", left=left, right=right):
            return [*_terms(left), *(Negative(t) for t in _terms(right))]
    return [node]


def _product(factors: Factors) -> Expression:
    """Return the product of factors, those that divide after the others."""
    above = [f for inverse, f in factors if not inverse] or [Number(1)]
    below = [f for inverse, f in factors if inverse]
    result = above[0]
    for factor in above[1:]:
        result = Binary("*", result, factor)
    for factor in below:
        result = Binary("/", result, factor)
    return result


product_of = _product
