"""Cost: what a Program costs, as exact expressions per operation and in total. Printing it prints the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy
from sympy import Add

from attometer.count.conventions import CONVENTIONS, Convention, Row, Weight
from attometer.count.conventions import convention as as_convention
from attometer.count.evaluate import Sizes, bindings, check_sizes, evaluate
from attometer.count.memory.footprint import Memory
from attometer.count.order import Order, order
from attometer.count.work.work_depth import together
from attometer.errors import AttometerError, unknown


@dataclass(frozen=True)
class Cost:
    """The exact cost of a program: work, depth, FLOPs by convention and memory, per operation and in total.

    Attributes:
        name: what was counted.
        rows: one per operation, in order.
        depth: critical path in operations (or the rows added up, when counted with `serial=True`).
        memory: entries held, in words.
        traffic: words moved between fast and slow memory under a schedule; None without one.
        assumptions: how it was counted, in words.
        sizes: size symbols of the program, whether or not a quantity depends on them.
    """

    name: str
    rows: tuple[Row, ...]
    depth: sympy.Expr
    memory: Memory | None = None
    traffic: Any = None
    assumptions: tuple[str, ...] = ()
    sizes: frozenset[sympy.Symbol] = frozenset()

    @cached_property
    def work(self) -> sympy.Expr:
        """Scalar operations, every one counted as 1."""
        return Add(*(row.work for row in self.rows))

    @cached_property
    def parallelism(self) -> sympy.Expr:
        """Work over depth: how many processors can be kept busy on average, and the cut-off p* of Brent's bound."""
        return self.work / self.depth

    @cached_property
    def scalars(self) -> dict[str, sympy.Expr]:
        """How many scalar operations of each kind: `add`, `exp`, `softmax.max` in a softmax, `product.mul` in a product.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> count(parse("Y[i,k] = A[i,j] * B[j,k]")).scalars
        {'product.mul': i*j*k, 'product.add': i*j*k - i*k}
        """
        return together(row.scalars for row in self.rows)

    def flops(self, convention: str | Convention | Mapping[str, Weight] = "flop") -> sympy.Expr:
        """Return operations by a convention: unit, flop, flop_all, mac, article, or one of your own.

        Raises AttometerError when the convention, or a kind of operation in its weights, is unknown.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> count(parse("Y[i,k] = A[i,j] * B[j,k]")).flops("flop")
        2*i*j*k
        >>> count(parse("P[j] = softmax[j](S[j])")).flops({"exp": 10, "div": 4})
        14*j
        """
        chosen = as_convention(convention)
        return Add(*(chosen.of(row) for row in self.rows))

    def order(self, *symbols: str, of: str = "work") -> Order:
        """Return O(...) of `work`, `depth` or a convention, in the named symbols alone or in all together.

        >>> from attometer.count import count
        >>> from attometer.program import parse
        >>> print(count(parse("Y[i,k] = A[i,j] * B[j,k]")).order())
        O(i j k)
        """
        return order(self.quantity(of), *symbols)

    def quantity(self, name: str) -> sympy.Expr:
        """Return one quantity by name: work, depth, parallelism, a convention, or a field of `memory`."""
        if name in ("work", "depth", "parallelism"):
            return getattr(self, name)
        if name in CONVENTIONS:
            return self.flops(name)
        if self.memory is not None and name in self.memory.__dataclass_fields__:
            return getattr(self.memory, name)
        memory_names = list(self.memory.__dataclass_fields__) if self.memory is not None else []
        raise unknown("quantity", name, ["work", "depth", "parallelism", *CONVENTIONS, *memory_names])

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
            assumptions=assumptions, sizes=self.sizes | other.sizes,
        )  # fmt: skip

    def __mul__(self, times: int | sympy.Expr) -> "Cost":
        """The same thing `times` times, one after the other."""
        number = isinstance(times, int | sympy.Expr) and not isinstance(times, bool)
        if not number or sympy.sympify(times).is_nonpositive:
            raise AttometerError(f"a cost is multiplied by a positive integer or a size, got {times!r:.60}")
        factor = sympy.sympify(times)
        rows = tuple(row.scaled(factor) for row in self.rows)
        sizes = self.sizes | {s for s in factor.free_symbols if s.is_Symbol}
        return Cost(f"{times} × {self.name}", rows, factor * self.depth, assumptions=self.assumptions, sizes=sizes)

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

    def __str__(self) -> str:
        header = ("operation", "work", "depth", "flop")
        body = [(row.name, str(row.work), str(row.levels), str(2 * row.macs)) for row in self.rows]
        total = ("total", str(self.work), str(self.depth), str(self.flops("flop")))
        return "\n".join([self.name, *_columns([header, *body, total])])

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


_ROW = ("name", "kind", "label", "work", "levels", "macs", "entries")
_REASONS = {
    "work": "every scalar operation counts 1; a sum of k terms is k-1 additions",
    "depth": "longest path; sums are balanced trees of ⌈log2 k⌉ levels; independent operations overlap",
    "parallelism": "work over depth",
}
_PER_ROW = {"work": lambda row: row.work, "depth": lambda row: row.levels}


@dataclass(frozen=True)
class CostAt:
    """A cost at given sizes: every quantity as an attribute, an int or an array."""

    cost: Cost
    sizes: Sizes

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = evaluate(self.cost.quantity(name), self.sizes)
        if (
            name != "parallelism"
            and not np.issubdtype(np.asarray(value).dtype, np.integer)
            and not isinstance(value, int)
        ):
            told = ", ".join(f"{k} = {v!s:.40}" for k, v in self.sizes.items())
            raise AttometerError(f"{name} is not a whole number at {told}: some size does not divide another")
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return every quantity as a number, ready for JSON."""
        names = ["work", "depth", *CONVENTIONS, *(vars(self.cost.memory) if self.cost.memory else [])]
        return {
            "name": self.cost.name,
            "sizes": {k: np.asarray(v).tolist() for k, v in self.sizes.items()},
            **{n: _plain(getattr(self, n)) for n in dict.fromkeys(names)},
        }

    def __str__(self) -> str:
        sizes = ", ".join(f"{k}={v}" for k, v in self.sizes.items())
        memory = ["peak", "saved"] if self.cost.memory else []
        names = ["work", "depth", "parallelism", "flop", "flop_all", "mac", "article", *memory]
        rows = [(n, _number(getattr(self, n)), _UNITS.get(n, "operations")) for n in names]
        return "\n".join([f"{self.cost.name} at {sizes}", *_columns(rows)])

    __repr__ = __str__


_UNITS = {
    "depth": "operations on the longest path",
    "parallelism": "operations at once, on average",
    "flop": "FLOP, matrix products only, 2 per multiply-accumulate",
    "flop_all": "FLOP, all operations",
    "mac": "multiply-accumulates",
    "article": "multiplications + 3 per score",
    "peak": "words alive at once",
    "saved": "words kept for backward",
}


def _plain(value: Any) -> Any:
    return (
        value if isinstance(value, int | float) else float(value) if isinstance(value, sympy.Expr) else value.tolist()
    )


def _number(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{float(value):,.1f}" if isinstance(value, float | sympy.Expr) else str(value)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
