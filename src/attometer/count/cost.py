"""Cost: what a Program costs, as exact expressions per operation and in total. Printing it prints the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, cast, overload

import numpy as np
import sympy
from numpy.typing import NDArray
from sympy import Add

from attometer.algebra import Expr
from attometer.count.conventions import CONVENTIONS, Convention, Row, Weight
from attometer.count.conventions import convention as as_convention
from attometer.count.evaluate import Sizes, bindings, check_sizes, evaluate
from attometer.count.memory.footprint import Memory
from attometer.count.order import Order, order
from attometer.count.work.work_depth import together
from attometer.errors import AttometerError, unknown
from attometer.program.conditions import Condition
from attometer.view.numbers import Cell
from attometer.view.report import Report
from attometer.view.table import Table


@dataclass(frozen=True)
class Cost(Report):
    """The exact cost of a program: work, depth, FLOPs by convention and memory, per operation and in total.

    Attributes:
        name: what was counted.
        rows: one per operation, in order.
        depth: critical path in operations (or the rows added up, when counted with `serial=True`).
        memory: entries held, in words.
        traffic: words moved between fast and slow memory under a schedule; None without one.
        assumptions: how it was counted, in words.
        sizes: size symbols of the program, whether or not a quantity depends on them.
        conditions: what must hold of the sizes for the counts to be those of a program.
    """

    name: str
    rows: tuple[Row, ...]
    depth: Expr
    memory: Memory | None = None
    traffic: Any = None
    assumptions: tuple[str, ...] = ()
    sizes: frozenset[sympy.Symbol] = frozenset()
    conditions: tuple[Condition, ...] = ()

    @cached_property
    def work(self) -> Expr:
        """Scalar operations, every one counted as 1."""
        total: Expr = Add(*(row.work for row in self.rows))
        return total

    @cached_property
    def parallelism(self) -> Expr:
        """Work over depth: how many processors can be kept busy on average, and the cut-off p* of Brent's bound."""
        return self.work / self.depth

    @cached_property
    def scalars(self) -> dict[str, Expr]:
        """How many scalar operations of each kind: `add`, `exp`, `softmax.max` in a softmax, `product.mul` in a product.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> count(parse("Y[i,k] = A[i,j] * B[j,k]")).scalars
        {'product.mul': i*j*k, 'product.add': i*j*k - i*k}
        """
        return together(row.scalars for row in self.rows)

    def flops(self, convention: str | Convention | Mapping[str, Weight] = "flop") -> Expr:
        """Return operations by a convention: unit, flop, flop_all, flop_outer, mac, article, or one of your own.

        Raises AttometerError when the convention, or a kind of operation in its weights, is unknown.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> count(parse("Y[i,k] = A[i,j] * B[j,k]")).flops("flop")
        2*i*j*k
        >>> count(parse("P[j] = softmax[j](S[j])")).flops({"exp": 10, "div": 4})
        14*j
        """
        chosen = as_convention(convention)
        total: Expr = Add(*(chosen.of(row) for row in self.rows))
        return total

    def order(self, *symbols: str, of: str = "work") -> Order:
        """Return O(...) of `work`, `depth` or a convention, in the named symbols alone or in all together.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> print(count(parse("Y[i,k] = A[i,j] * B[j,k]")).order())
        O(i j k)
        """
        return order(self.quantity(of), *symbols)

    def quantity(self, name: str) -> Expr:
        """Return one quantity by name: work, depth, parallelism, a convention, or a field of `memory`."""
        if name in ("work", "depth", "parallelism"):
            return cast(Expr, getattr(self, name))
        if name in CONVENTIONS:
            return self.flops(name)
        if self.memory is not None and name in self.memory.__dataclass_fields__:
            return cast(Expr, getattr(self.memory, name))
        memory_names = list(self.memory.__dataclass_fields__) if self.memory is not None else []
        raise unknown("quantity", name, ["work", "depth", "parallelism", *CONVENTIONS, *memory_names])

    def _repr_latex_(self) -> str:
        shown = {name: self.quantity(name) for name in ("work", "depth", "flop")}
        lines = [rf"\text{{{name}}} &= {sympy.latex(found)}" for name, found in shown.items()]
        return "$\\displaystyle \\begin{aligned} " + " \\\\ ".join(lines) + " \\end{aligned}$"

    def at(self, **sizes: Any) -> "CostAt":
        """Return every quantity at `sizes`: exact ints, or arrays when a size is an integer array.

        Sizes that are not given follow the usual reading: m = n, e = d, g = h, b = 1.

        Raises:
            AttometerError: a size is unknown, missing, or not a positive integer.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> count(parse("Y[i,k] = A[i,j] * B[j,k]")).at(i=2, j=3, k=4).work
        40
        """
        check_sizes(self.symbols | self.sizes, sizes)
        for condition in self.conditions:
            given = all(str(s) in sizes for s in condition.value.free_symbols)
            if given and not _all_positive(condition.value, sizes):
                raise condition.refusal(sizes)
        return CostAt(self, dict(sizes))

    @cached_property
    def symbols(self) -> frozenset[sympy.Symbol]:
        """The size symbols of every quantity."""
        held = vars(self.memory).values() if self.memory is not None else ()
        return frozenset().union(*(e.free_symbols for e in (self.work, self.depth, *held)))

    def explain(self, name: str, **sizes: int) -> str:
        """Return where a quantity comes from: formula, substituted numbers, value, convention and source.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> print(count(parse("Y[i,k] = A[i,j] * B[j,k]")).explain("flop", i=2, j=3, k=4))
        flop = 2*i*j*k
        at i = 2, j = 3, k = 4: 48
        convention: 2 per multiply-accumulate of matrix products only: what torch's FLOP counter prints
        source: counted from the operations of the program
          Y: 2*i*j*k
        assumes only the pairs a mask allows
        assumes any number of readers at once (CREW)
        """
        expression = self.quantity(name)
        lines = [f"{name} = {expression}"]
        check_sizes(self.symbols | self.sizes, sizes)
        if sizes:
            bound = bindings(frozenset(expression.free_symbols), sizes)
            numbers = ", ".join(f"{k} = {v}" for k, v in bound.items())
            lines.append(f"at {numbers}: {_number(evaluate(expression, sizes))}")
        reason = CONVENTIONS[name].reason if name in CONVENTIONS else _REASONS.get(name, "entries (words), by liveness")
        lines += [f"convention: {reason}", "source: counted from the operations of the program"]
        per_row = CONVENTIONS[name].of if name in CONVENTIONS else _PER_ROW.get(name)
        if per_row is not None:
            lines += [f"  {row.name}: {per_row(row)}" for row in self.rows if per_row(row) != 0]
        return "\n".join([*lines, *(f"assumes {a}" for a in self.assumptions)])

    def __add__(self, other: "Cost") -> "Cost":
        """One after the other: work and depth add up; memory is not defined for the pair."""
        assumptions = tuple(dict.fromkeys(self.assumptions + other.assumptions))
        return Cost(
            f"{self.name} + {other.name}", self.rows + other.rows, self.depth + other.depth,
            assumptions=assumptions, sizes=self.sizes | other.sizes, conditions=self.conditions + other.conditions,
        )  # fmt: skip

    def __mul__(self, times: int | sympy.Expr) -> "Cost":
        """The same thing `times` times, one after the other."""
        number = isinstance(times, int | sympy.Expr) and not isinstance(times, bool)
        if not number or sympy.sympify(times).is_nonpositive:
            raise AttometerError(f"a cost is multiplied by a positive integer or a size, got {times!r:.60}")
        factor = sympy.sympify(times)
        rows = tuple(row.scaled(factor) for row in self.rows)
        sizes = self.sizes | {s for s in factor.free_symbols if s.is_Symbol}
        return Cost(
            f"{times} × {self.name}", rows, factor * self.depth,
            assumptions=self.assumptions, sizes=sizes, conditions=self.conditions,
        )  # fmt: skip

    __rmul__ = __mul__

    def to_dict(self) -> dict[str, Any]:
        """Return expressions as text, ready for JSON."""
        return {
            "name": self.name,
            "work": str(self.work),
            "depth": str(self.depth),
            "orders": {"work": str(self.order()), "depth": str(self.order(of="depth"))},
            **{name: str(self.flops(name)) for name in CONVENTIONS},
            "memory": {k: str(v) for k, v in vars(self.memory).items()} if self.memory else None,
            "operations": [
                {**{k: str(getattr(row, k)) for k in _ROW}, "scalars": {k: str(v) for k, v in row.scalars.items()}}
                for row in self.rows
            ],
            "assumptions": list(self.assumptions),
        }

    def page(self) -> list[Table]:
        """Return the table of operations."""
        rows = [(row.name, row.work, row.levels, 2 * row.macs) for row in self.rows]
        total = ("total", self.work, self.depth, self.flops("flop"))
        texts = tuple((name, *map(str, counts)) for name, *counts in (*rows, total))
        return [Table(self.name, ("operation", "work", "depth", "flop"), texts)]


_ROW = ("name", "kind", "label", "work", "levels", "macs", "entries")
_REASONS = {
    "work": "every scalar operation counts 1; a sum of k terms is k-1 additions",
    "depth": "longest path; sums are balanced trees of ⌈log2 k⌉ levels; independent operations overlap",
    "parallelism": "work over depth",
}
_PER_ROW = {"work": lambda row: row.work, "depth": lambda row: row.levels}


Number: TypeAlias = int | NDArray[np.int64]
"""A count at sizes: an exact int, or an array when a size is one."""


class _Quantity:
    """One quantity of a cost at sizes, evaluated when it is asked for; `unit` says what is counted."""

    def __init__(self, unit: str) -> None:
        self.unit, self.name = unit, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, at: None, owner: type) -> "_Quantity": ...
    @overload
    def __get__(self, at: "CostAt", owner: type) -> Number: ...
    def __get__(self, at: "CostAt | None", owner: type) -> "Number | _Quantity":
        return self if at is None else at.whole(self.name)


@dataclass(frozen=True)
class CostAt(Report):
    """A cost at given sizes: every quantity as an attribute, an int or an array.

    Raises AttometerError, when asked, for a quantity that is not a whole number there or that the cost does not have.
    """

    cost: Cost
    sizes: Sizes

    work = _Quantity("operations")
    depth = _Quantity("operations on the longest path")
    unit = _Quantity("operations")
    flop = _Quantity("FLOP, matrix products only, 2 per multiply-accumulate")
    flop_all = _Quantity("FLOP, all operations")
    flop_outer = _Quantity("FLOP, matrix and outer products, 2 per multiply-accumulate")
    mac = _Quantity("multiply-accumulates")
    article = _Quantity("multiplications + 3 per score")
    inputs = _Quantity("words of data and caches read")
    weights = _Quantity("words of learned parameters")
    cache = _Quantity("words of keys and values of earlier tokens")
    outputs = _Quantity("words of results")
    matrices = _Quantity("words of the largest matrix over two positions")
    peak = _Quantity("words alive at once")
    saved = _Quantity("words kept for backward")
    checkpointed = _Quantity("words kept when the backward pass computes again")

    @property
    def parallelism(self) -> Any:
        """Work over depth: an exact fraction, or floats where a size is an array."""
        return evaluate(self.cost.parallelism, self.sizes)

    def whole(self, name: str) -> Number:
        """Return a quantity by name; AttometerError when there is none, or when it is not a whole number here."""
        value: Number = evaluate(self.cost.quantity(name), self.sizes)
        if not isinstance(value, int) and not np.issubdtype(np.asarray(value).dtype, np.integer):
            told = ", ".join(f"{k} = {v!s:.40}" for k, v in self.sizes.items())
            raise AttometerError(f"{name} is not a whole number at {told}: some size does not divide another")
        return value

    if not TYPE_CHECKING:  # a checker knows the names; at run time a wrong one is told the nearest

        def __getattr__(self, name):
            if name.startswith("_"):
                raise AttributeError(name)
            try:
                self.cost.quantity(name)
            except AttometerError as error:
                raise _NoQuantity(str(error)) from None
            return self.whole(name)

    def explain(self, name: str) -> str:
        """Return where a quantity comes from at these sizes, as `Cost.explain` does."""
        return self.cost.explain(name, **self.sizes)

    def to_dict(self) -> dict[str, Any]:
        """Return every quantity as a number, ready for JSON."""
        names = ["work", "depth", *CONVENTIONS, *(vars(self.cost.memory) if self.cost.memory else [])]
        return {
            "name": self.cost.name,
            "sizes": {k: np.asarray(v).tolist() for k, v in self.sizes.items()},
            **{n: np.asarray(self.whole(n)).tolist() for n in dict.fromkeys(names)},
        }

    def page(self) -> list[Table]:
        """Return the table of quantities."""
        sizes = ", ".join(f"{k}={v}" for k, v in self.sizes.items())
        memory = ["peak", "saved"] if self.cost.memory else []
        names = ["work", "depth", "flop", "flop_all", "mac", "article", *memory]
        rows = [(n, _cell(self.whole(n)), vars(CostAt)[n].unit) for n in names]
        rows.insert(2, ("parallelism", _cell(self.parallelism), "operations at once, on average"))
        return [Table(f"{self.cost.name} at {sizes}", ("quantity", "number", "of"), tuple(rows))]

    __repr__ = Report.__str__


class _NoQuantity(AttometerError, AttributeError):
    """A quantity that a cost does not have: bad input, and to Python a missing attribute."""


def _all_positive(size: sympy.Expr, sizes: Sizes) -> bool:
    try:
        value = np.asarray(evaluate(size, sizes))
    except AttometerError:
        return False
    return bool(np.issubdtype(value.dtype, np.integer) and (value > 0).all())


def _cell(value: Any) -> Any:
    return value if isinstance(value, int) else Cell(value, _number(value))


def _number(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{float(value):,.1f}" if isinstance(value, float | sympy.Expr) else str(value)
