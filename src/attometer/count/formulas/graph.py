"""Formulas as one graph of integer operations, in which equal subexpressions are one node.

A SymPy expression is lowered once to whole-number operations (a fraction is a numerator and a denominator until it is
divided exactly or rounded), and combined further without SymPy. What is built is then written as Python, NumPy or
JavaScript by `attometer.count.formulas.compiled`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from math import gcd, lcm
from typing import Any, TypeAlias

import sympy

from attometer.count.formulas.functions import SYMPY
from attometer.errors import AttometerError
from attometer.masks.counts import SizeGuard
from attometer.sizes import clog2

Node: TypeAlias = int
"""The number of a node in its graph."""

Quotient: TypeAlias = tuple[Node, Node]
"""A numerator and a denominator."""


class Graph:
    """Builds formulas; equal ones get equal numbers.

    Operations: `int`, `size`, `add`, `mul`, `floordiv`, `ceildiv`, `div`, `min`, `max`, `pow2`, `if` (`a ≤ b`, then,
    else) and `call` of a function of the table or of a counting function.

    >>> g = Graph()
    >>> n = g.size("n")
    >>> g.add(n, n) == g.mul(g.number(2), n)
    True
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[Any, ...]] = []
        self.counting: dict[str, Any] = {}
        self._numbers: dict[tuple[Any, ...], Node] = {}
        self._lowered: dict[tuple[sympy.Expr, tuple[tuple[str, Node], ...]], Quotient] = {}

    def _node(self, *key: Any) -> Node:
        if key not in self._numbers:
            self._numbers[key] = len(self.nodes)
            self.nodes.append(key)
        return self._numbers[key]

    def number(self, value: Any) -> Node:
        """Return a whole number."""
        return self._node("int", int(value))

    def size(self, name: str) -> Node:
        """Return the size called `name`."""
        return self._node("size", name)

    def value(self, node: Node) -> int | None:
        """Return the value of a constant, None for anything else."""
        kind, *rest = self.nodes[node]
        return rest[0] if kind == "int" else None

    def add(self, *terms: Node) -> Node:
        """Return a sum; like terms are collected, and sizes that all terms share are taken out."""
        amounts: Counter[tuple[Node, ...]] = Counter()
        for term in terms:
            for constant, factors in self._terms(term):
                amounts[factors] += constant
        left = {factors: amount for factors, amount in amounts.items() if amount}
        if not left:
            return self.number(0)
        shared = self._shared(left)
        if not shared:
            return self._sum(left)
        inside = {tuple(self._without(factors, shared)): amount for factors, amount in left.items()}
        return self.mul(*shared.elements(), self._sum(inside))

    def _sum(self, terms: Mapping[tuple[Node, ...], int]) -> Node:
        # A constant comes last, as people write it.
        products = [self.mul(self.number(terms[factors]), *factors) for factors in sorted(terms, reverse=True)]
        return products[0] if len(products) == 1 else self._node("add", *products)

    def _terms(self, node: Node) -> Iterable[tuple[int, tuple[Node, ...]]]:
        kind, *rest = self.nodes[node]
        if kind == "int":
            return [(rest[0], ())]
        if kind == "add":
            return [term for inner in rest for term in self._terms(inner)]
        if kind == "mul":
            sums = [f for f in rest if self.nodes[f][0] == "add"]
            if len(sums) == 1:  # a sum that was taken apart before: b (x + y) is b x + b y again
                others = self._product([f for f in rest if f != sums[0]])
                inner = self._terms(sums[0])
                return [(others[0] * c, tuple(sorted((*others[1], *f)))) for c, f in inner]
            constant, factors = self._product(rest)
            return [(constant, tuple(factors))]
        return [(1, (node,))]

    def _shared(self, terms: Mapping[tuple[Node, ...], int]) -> Counter[Node]:
        """Return the sizes that every term has as factors, where there are several terms."""
        if len(terms) < 2:
            return Counter()
        common: Counter[Node] | None = None
        for factors in terms:
            found = Counter(f for f in factors if self.nodes[f][0] == "size")
            common = found if common is None else common & found
        return common or Counter()

    @staticmethod
    def _without(factors: Iterable[Node], shared: Counter[Node]) -> list[Node]:
        left = Counter(factors)
        left.subtract(shared)
        return sorted(left.elements())

    def mul(self, *factors: Node) -> Node:
        """Return a product."""
        constant, rest = self._product(factors)
        if constant == 0 or not rest:
            return self.number(constant)
        if constant != 1:
            rest = [self.number(constant), *rest]
        return rest[0] if len(rest) == 1 else self._node("mul", *rest)

    def _product(self, factors: Iterable[Node]) -> tuple[int, list[Node]]:
        constant, rest = 1, list[Node]()
        for factor in factors:
            kind, *inner = self.nodes[factor]
            if kind == "int":
                constant *= inner[0]
            elif kind == "mul":
                more, others = self._product(inner)
                constant, rest = constant * more, rest + others
            else:
                rest.append(factor)
        return constant, sorted(rest)

    def ceildiv(self, a: Node, b: Node) -> Node:
        """Return ⌈a / b⌉ for a positive b."""
        top, bottom = self.value(a), self.value(b)
        if bottom == 1:
            return a
        if top is not None and bottom is not None:
            return self.number(-(-top // bottom))
        return self._node("ceildiv", a, b)

    def floordiv(self, a: Node, b: Node) -> Node:
        """Return ⌊a / b⌋ for a positive b."""
        top, bottom = self.value(a), self.value(b)
        if bottom == 1:
            return a
        if top is not None and bottom is not None:
            return self.number(top // bottom)
        return self._node("floordiv", a, b)

    def minimum(self, *nodes: Node) -> Node:
        """Return the smallest."""
        return self._extreme("min", min, nodes)

    def maximum(self, *nodes: Node) -> Node:
        """Return the largest."""
        return self._extreme("max", max, nodes)

    def _extreme(self, kind: str, of: Any, nodes: Iterable[Node]) -> Node:
        numbers = [v for n in nodes if (v := self.value(n)) is not None]
        rest = sorted({n for n in nodes if self.value(n) is None})
        constants = [self.number(of(numbers))] if numbers else []
        return (constants + rest)[0] if len(constants + rest) == 1 else self._node(kind, *constants, *rest)

    def if_at_most(self, a: Node, b: Node, then: Node, otherwise: Node) -> Node:
        """Return `then` where a ≤ b, else `otherwise`."""
        return then if then == otherwise else self._node("if", a, b, then, otherwise)

    def call(self, name: str, *arguments: Node) -> Node:
        """Return a function of the table `FUNCTIONS` at whole arguments."""
        return self._node("call", name, *arguments)

    def exact(self, expression: Any, sizes: Mapping[str, Node] | None = None) -> Node:
        """Return a SymPy expression that is a whole number, with its symbols replaced by nodes; others stay sizes."""
        top, bottom = self.quotient(sympy.sympify(expression), sizes or {})
        return self.floordiv(top, bottom)

    def rounded_up(self, expression: Any, sizes: Mapping[str, Node] | None = None) -> Node:
        """Return a SymPy expression rounded up to a whole number."""
        top, bottom = self.quotient(sympy.sympify(expression), sizes or {})
        return self.ceildiv(top, bottom)

    def quotient(self, expression: sympy.Expr, sizes: Mapping[str, Node]) -> Quotient:
        """Return a SymPy expression as a numerator over a denominator.

        Raises AttometerError for a function that formulas do not know.
        """
        key = (expression, tuple(sorted(sizes.items())))
        if key not in self._lowered:
            self._lowered[key] = self._lower(expression, sizes)
        return self._lowered[key]

    def _lower(self, e: sympy.Expr, sizes: Mapping[str, Node]) -> Quotient:
        one = self.number(1)
        if e.is_Integer:
            return self.number(e), one
        if e.is_Rational:
            return self.number(e.p), self.number(e.q)
        if e.is_Symbol:
            return (sizes[e.name] if e.name in sizes else self.size(e.name)), one
        if isinstance(e, sympy.Add):
            return self._add(self._together([self.quotient(a, sizes) for a in e.args]))
        if isinstance(e, sympy.Mul):
            parts = [self.quotient(a, sizes) for a in e.args]
            return self._reduced(self.mul(*(t for t, _ in parts)), self.mul(*(b for _, b in parts)))
        if isinstance(e, sympy.Pow):
            return self._power(e, sizes)
        if isinstance(e, sympy.Min | sympy.Max):
            tops, bottom = self._together([self.quotient(a, sizes) for a in e.args])
            return (self.minimum if isinstance(e, sympy.Min) else self.maximum)(*tops), bottom
        if isinstance(e, sympy.floor):
            return self.floordiv(*self.quotient(e.args[0], sizes)), one
        if isinstance(e, sympy.ceiling):
            return self.ceildiv(*self.quotient(e.args[0], sizes)), one
        if isinstance(e, SizeGuard):
            self.counting[e.func.__name__] = e.func
            return self.call(e.func.__name__, *self.quotient(e.args[0], sizes)), one
        return self._function(e, sizes), one

    def _power(self, e: sympy.Expr, sizes: Mapping[str, Node]) -> Quotient:
        base, exponent = e.args
        if exponent.is_Integer:
            top, bottom = self.quotient(base, sizes)
            times = abs(int(exponent))
            above, below = self.mul(*[top] * times), self.mul(*[bottom] * times)
            return (above, below) if exponent > 0 else (below, above)
        if base == 2 and isinstance(exponent, clog2):
            return self._node("pow2", self.exact(exponent, sizes)), self.number(1)
        raise _unknown(e)

    def _function(self, e: sympy.Expr, sizes: Mapping[str, Node]) -> Node:
        """Lower a function of the table, one that knows its own formula (`lowered`), or the counting of a mask."""
        arguments = [self.exact(a, sizes) for a in e.args]
        if type(e) in SYMPY:
            return self.call(SYMPY[type(e)], *arguments)
        closed: Node | None = e.func.lowered(self, tuple(arguments)) if hasattr(e.func, "lowered") else None
        if closed is not None:
            return closed
        if not hasattr(e.func, "mask"):
            raise _unknown(e)
        name = f"{e.func.__name__}_{abs(hash(e.func.mask)):x}"
        self.counting[name] = e.func
        return self.call(name, *arguments)

    def _together(self, parts: list[Quotient]) -> tuple[list[Node], Node]:
        """Bring quotients to one denominator."""
        bottoms = {b for _, b in parts}
        if len(bottoms) == 1:
            return [t for t, _ in parts], bottoms.pop()
        numbers = [self.value(b) for b in bottoms]
        if all(v is not None for v in numbers):
            common = lcm(*(v for v in numbers if v is not None))
            return [self.mul(self.number(common // (self.value(b) or 1)), t) for t, b in parts], self.number(common)
        whole = self.mul(*sorted(bottoms))
        return [self.mul(t, *(b for b in sorted(bottoms) if b != own)) for t, own in parts], whole

    def _add(self, parts: tuple[list[Node], Node]) -> Quotient:
        return self.add(*parts[0]), parts[1]

    def _reduced(self, top: Node, bottom: Node) -> Quotient:
        """Divide out what numerator and denominator share as factors."""
        if self.value(bottom) == 1:
            return top, bottom
        (a, above), (b, below) = self._product([top]), self._product([bottom])
        shared, common = Counter(above) & Counter(below), gcd(a, b) or 1
        return (
            self.mul(self.number(a // common), *self._without(above, shared)),
            self.mul(self.number(b // common), *self._without(below, shared)),
        )


def _unknown(expression: sympy.Expr) -> AttometerError:
    return AttometerError(f'formulas cannot be compiled with "{type(expression).__name__}", as in {expression!s:.60}')
