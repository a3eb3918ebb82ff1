"""The order of growth O(...) of a count, derived from its expression."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Add, Max, Min, Mul, ceiling, floor, log

from attometer.algebra import Expr
from attometer.errors import unknown
from attometer.masks.counts import SizeGuard
from attometer.sizes import clog2, scan_depth, scan_work, size
from attometer.view.printed import Printed


@dataclass(frozen=True)
class Order(Printed):
    """`O(expression)`, constants dropped.

    >>> from attometer.sizes import size
    >>> print(Order(size("n") ** 2))
    O(n^2)
    """

    expression: Expr

    def __str__(self) -> str:
        return f"O({str(self.expression).replace('**', '^').replace('*', ' ')})"


def order(expression: sympy.Expr, *symbols: str) -> Order:
    """Return the growth of `expression`, in the named symbols alone or in all of them together.

    Raises AttometerError for a symbol the expression does not have.

    >>> n, d = size("n"), size("d")
    >>> print(order(4 * n**2 * d + n * d**2 + 7 * n)), print(order(4 * n**2 * d + n, "n")), print(order((n - 1) / (d - 1)))
    O(d^2 n + d n^2)
    O(n^2)
    O(n/d)
    (None, None, None)
    """
    present = {str(s) for s in expression.free_symbols}
    for name in symbols:
        if name not in present and name not in _COMMON:
            raise unknown("size", name, present)
    chosen = {size(s) for s in symbols} or expression.free_symbols
    grown = sympy.expand(_smooth(sympy.expand(expression), chosen))
    # A count is positive, so what is subtracted (the corner of a window, say) never makes it grow.
    growths = {_growth(term, chosen) for term in Add.make_args(grown) if not term.as_coeff_Mul()[0].is_negative}
    kept = [g for g in growths if not any(h != g and _dominates(h, g) for h in growths)]
    return Order(Add(*(_monomial(g) for g in kept)) if kept else sympy.Integer(1))


_COMMON = frozenset("bhgnmdeDLw")

Growth = frozenset[tuple[sympy.Expr, sympy.Expr]]
"""Each base (a symbol, or a logarithm of symbols) with its exponent."""


def _smooth(node: Any, chosen: Iterable[sympy.Expr]) -> sympy.Expr:
    """Replace roundings, logarithms of integers, minima and maxima by what they grow like."""
    if not node.args:
        return node
    if hasattr(node.func, "growth"):
        return _smooth(sympy.expand(node.func.growth(*node.args)), chosen)
    if hasattr(node.func, "mask"):
        return _smooth(
            node.func.mask.order(*node.args[:2]) if node.func.what == "pairs" else node.args[_ARGUMENT[node.func.what]],
            chosen,
        )
    arguments = [_smooth(a, chosen) for a in node.args]
    match node:
        case floor() | ceiling() | scan_work() | SizeGuard():
            return arguments[0]
        case clog2() | scan_depth():
            grown = Add(*(t for t in Add.make_args(arguments[0]) if not t.is_number)) or arguments[0]
            return sympy.expand_log(log(grown), force=True)
        case Min():
            return min(arguments, key=lambda a: _weight(a, chosen))
        case Max():
            return Add(*arguments)  # within a factor of the number of arguments
    if node.is_Pow and arguments[1].is_negative and arguments[0].is_Add:
        divisor = Add(*(t for t in Add.make_args(arguments[0]) if not t.is_number))
        return divisor ** arguments[1]  # 1/(w - 1) is at most 2/w
    if node.is_Pow and arguments[1].has(log) and arguments[0] == 2:
        return (
            sympy.exp(arguments[1] * log(2))
            .xreplace({log(2): sympy.Integer(1)})
            .replace(sympy.exp, lambda x: _unlog(x))
        )
    return node.func(*arguments)


_ARGUMENT = {"rows": 0, "longest_row": 1, "columns": 1, "longest_column": 0}


def _unlog(exponent: sympy.Expr) -> sympy.Expr:
    return Mul(*(t.args[0] if isinstance(t, log) else sympy.exp(t) for t in Add.make_args(exponent)))


def _weight(expression: sympy.Expr, chosen: Iterable[sympy.Expr]) -> tuple[int, int, str]:
    """Order candidates of a minimum by how fast they grow; sequence lengths outgrow windows and widths."""
    degrees = [sum(p for b, p in _growth(t, chosen) if b.is_Symbol) for t in Add.make_args(sympy.expand(expression))]
    lengths = any(str(s) in ("n", "m") for s in expression.free_symbols & set(chosen))
    return int(lengths), max(map(int, degrees), default=0), str(expression)


def _growth(term: sympy.Expr, chosen: Iterable[sympy.Expr]) -> Growth:
    powers = term.as_powers_dict()
    return frozenset(
        (base, exponent)
        for base, exponent in powers.items()
        if base.free_symbols & set(chosen) and (base.is_Symbol or base.has(log))
    )


def _dominates(one: Growth, other: Growth) -> bool:
    """Return whether `one` grows at least as fast as `other` in every symbol."""
    symbols = {s for base, _ in one | other for s in base.free_symbols}
    return all(_degree(one, s) >= _degree(other, s) for s in symbols)


def _degree(growth: Growth, symbol: sympy.Expr) -> tuple[sympy.Expr, sympy.Expr]:
    power = Add(*(p for base, p in growth if base == symbol))
    logs = Add(*(p for base, p in growth if base != symbol and symbol in base.free_symbols))
    return power, logs


def _monomial(growth: Growth) -> sympy.Expr:
    return Mul(*(base**exponent for base, exponent in growth))
