"""`compare`: mechanisms side by side at one length and width, and the lengths at which one overtakes another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import lcm
from typing import Any

import sympy

from attometer.count import Cost, count, order
from attometer.count.conventions import convention
from attometer.count.evaluate import usual
from attometer.count.paths.path_length_formula import path_length_formula
from attometer.errors import AttometerError, positive_int, unknown
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.subject import Subject, subject
from attometer.program import size
from attometer.report.crossover import Crossover, crossovers, searched_to
from attometer.view.numbers import Cell, exact, ratio
from attometer.view.report import Block, Report
from attometer.view.table import Table

# A recurrent network, a feed-forward layer and the essay's single head are as wide as the model, not as one head.
_WIDTH = sympy.Mul(size("h"), size("d"))


@dataclass(frozen=True)
class Compared:
    """One side of a comparison: a mechanism, or several one after the other, at the sizes of the comparison.

    Attributes:
        name: as it was asked for, `projections+ffn` for several.
        parts: the mechanisms.
        cost: their cost, in symbols.
        sizes: numbers for every symbol.
    """

    name: str
    parts: tuple[Mechanism, ...]
    cost: Cost
    sizes: Mapping[str, int]

    @property
    def bound(self) -> dict[sympy.Symbol, sympy.Expr]:
        """The sizes as substitutions."""
        return {size(k): sympy.Integer(v) for k, v in self.sizes.items()}

    def at(self, expression: sympy.Expr) -> Any:
        """Return a count at the sizes: an int wherever it is whole."""
        value = expression.xreplace(self.bound)
        return int(value) if value.is_Integer else value

    @cached_property
    def product(self) -> sympy.Expr:
        """Multiply-accumulates of the largest matrix product."""
        return max((row.macs for row in self.cost.rows), key=self.at)

    @property
    def path(self) -> str:
        """The longest path between two positions, a number where a closed form is known."""
        forms = [path_length_formula(part) for part in self.parts]
        if len(forms) != 1 or forms[0] is None:
            return "-"
        return exact(self.at(sympy.sympify(forms[0].longest)))

    @property
    def result(self) -> str:
        """Whether it computes what it defines, or stands in for softmax attention."""
        return next((part.result for part in self.parts if part.approximates), self.parts[0].result)

    @property
    def own(self) -> str:
        """The sizes that only this mechanism has, such as a window."""
        return ", ".join(f"{k} = {v:,}" for k, v in self.sizes.items() if k not in _SHARED)


_SHARED = ("b", "h", "n", "m", "d", "e", "D")


@dataclass(frozen=True)
class Comparison(Report):
    """Mechanisms side by side; printing it gives the table and the crossovers.

    Attributes:
        compared: the mechanisms, the first being the one that speed-ups refer to.
        crossings: where one overtakes another, solved and checked.
        convention: what `speed-up` and the crossovers count.
        sizes: the sizes that all of them share.
    """

    compared: tuple[Compared, ...]
    crossings: tuple[Crossover, ...]
    convention: str
    sizes: Mapping[str, int]

    @cached_property
    def table(self) -> Table:
        """What each mechanism counts, and how many times fewer operations that is than the first."""
        first = self.compared[0]
        base = first.at(first.cost.flops(self.convention))
        at = ", ".join(f"{k} = {v:,}" for k, v in self.sizes.items())
        columns = ("mechanism", "sizes", "one product", "article", self.convention, f"{first.name}/this")
        notes = (
            "one product: multiply-accumulates of the largest matrix product alone (n^2 d in softmax attention)",
            *(f"{name}: {convention(name).reason}" for name in dict.fromkeys(("article", self.convention))),
            f"{first.name}/this: how many times fewer operations than {first.name}, by {self.convention}; not a measured speed",
            *(f"{one.name} is as wide as the model: {_wide(one)}" for one in self.compared if _wide(one)),
        )
        return Table(f"counts at {at}", columns, tuple(self._row(one, base) for one in self.compared), notes)

    def _row(self, one: Compared, base: Any) -> tuple[Any, ...]:
        counted = one.at(one.cost.flops(self.convention))
        speed = None if not counted or not base else Cell(float(base / counted), ratio(base, counted))
        return one.name, one.own or None, one.at(one.product), one.at(one.cost.flops("article")), counted, speed

    @cached_property
    def growth(self) -> Table:
        """How work, depth and the path between positions grow."""
        rows = tuple(
            (one.name, one.result, str(order(one.cost.work)), str(order(one.cost.depth)), one.path)
            for one in self.compared
        )
        notes = (
            "result: itself, or what it stands in for and differs from",
            "path: hops between the two farthest positions at this n (- where no form is known)",
        )
        return Table("growth", ("mechanism", "result", "work", "depth", "path"), rows, notes)

    def to_dict(self) -> dict[str, Any]:
        """Return the table and the crossovers as plain values."""
        return {
            "sizes": dict(self.sizes),
            "convention": self.convention,
            "counts": self.table.to_dict(),
            "growth": self.growth.to_dict(),
            "crossovers": [c.to_dict() for c in self.crossings],
        }

    @property
    def lines(self) -> tuple[str, ...]:
        """The crossovers in words, with the exact counts around each; and who never cross."""
        return tuple(line for pair in combinations(self.compared, 2) for line in self._between(*pair))

    def _between(self, one: Compared, other: Compared) -> list[str]:
        found = [c for c in self.crossings if (c.first, c.second) == (one.name, other.name)]
        if found:
            return [line for c in found for line in _described(c)]
        here = [c.at(c.cost.flops(self.convention)) for c in (one, other)]
        cheaper = one.name if here[0] < here[1] else other.name
        verdict = "they cost the same" if here[0] == here[1] else f"{cheaper} costs less"
        upto = searched_to(one.cost.flops(self.convention) - other.cost.flops(self.convention))
        return [f"{one.name} and {other.name}: no crossover{upto}; {verdict} at n = {self.sizes['n']:,}"]

    @property
    def heading(self) -> str:
        """What the crossovers count."""
        return f"crossovers by {self.convention}, other sizes as above"

    def page(self) -> list[Block]:
        """Return the counts, the growth, and the crossovers in words."""
        return [self.table, self.growth, "\n".join([self.heading, *self.lines])]

    def explain(self, name: str) -> str:
        """Return where one mechanism's count comes from: formula, numbers, convention and source.

        Raises AttometerError for a name that is not compared.
        """
        one = next((one for one in self.compared if one.name == name), None)
        if one is None:
            raise unknown("compared mechanism", name, [one.name for one in self.compared])
        return one.cost.explain(self.convention, **one.sizes)


def compare(
    *names: Subject,
    n: int = 16384,
    d: int = 64,
    h: int | None = None,
    of: str = "flop",
    crossings: bool = True,
    **sizes: int,
) -> Comparison:
    """Compare mechanisms at one length and width, and solve for the lengths at which one overtakes another.

    Args:
        names: two or more of: names of the catalogue (`projections+ffn` is both, one after the other), files of notation,
            `-` for standard input, Programs.
        n: tokens.
        d: width of a head; with h = 1, the width of the model.
        h: heads; when not given one, or the fewest that the key heads of every mechanism divide. A recurrent or feed-forward layer
            is h d wide.
        of: the convention of speed-up and crossovers: flop, unit, flop_all, flop_outer, mac or article.
        crossings: solve for the crossovers too.
        **sizes: other sizes, such as `w=128` for windows or `b=8`.

    Returns:
        A Comparison; print it, or take its `table`, `crossings` or `to_dict()`.

    Raises:
        AttometerError: fewer than two names, an unknown name, size or convention, or a size that is not positive.

    >>> found = compare("softmax", "rnn", n=2048, d=768)
    >>> print(found.crossings[0])
    softmax = rnn at n = d h = 768: softmax costs less below, rnn above
    """
    chosen = convention(of).name
    asked: dict[str, tuple[Mechanism, ...]] = {}
    for number, parts in enumerate(map(_mechanisms, _names(names)), start=1):
        name = "+".join(part.name for part in parts)
        asked[f"{name} {number}" if name in asked else name] = parts
    _check_sizes(asked.values(), {"n": n, "d": d, "h": 1 if h is None else h, **sizes})
    groups = (sizes.get("g", part.defaults.get("g", 1)) for parts in asked.values() for part in parts)
    shared = {"n": n, "d": d, "h": lcm(*groups) if h is None else h, **sizes}
    compared = tuple(_compared(name, parts, shared) for name, parts in asked.items())
    found: list[Crossover] = []
    for one, other in combinations(compared, 2) if crossings else ():
        numbers = {s: int(v) for s, v in {**other.bound, **one.bound}.items()}
        pair = ((one.name, one.cost.flops(chosen)), (other.name, other.cost.flops(chosen)))
        found += crossovers(*pair, numbers, chosen)
    return Comparison(compared, tuple(found), chosen, shared)


def _names(names: Sequence[Subject]) -> tuple[Subject, ...]:
    asked = tuple(dict.fromkeys(names))
    if len(asked) < 2:
        raise AttometerError(f"compare needs at least two different mechanisms, got {len(asked)}")
    return asked


def _mechanisms(what: Subject) -> tuple[Mechanism, ...]:
    parts: list[Subject] = [part.strip() for part in what.split("+")] if isinstance(what, str) else [what]
    return tuple(map(subject, parts))


def _check_sizes(asked: Iterable[Sequence[Mechanism]], given: Mapping[str, Any]) -> None:
    known = {str(s) for parts in asked for part in parts for s in part.program.symbols} | set(_SHARED)
    known -= {"D"}
    if "D" in given:
        raise AttometerError("size D is h d in a comparison; pass h and d")
    for name, value in given.items():
        if name not in known:
            raise unknown("size", name, known, {"heads": "h", "kv_heads": "g"})
        positive_int(f"size {name}", value)


def _compared(name: str, parts: tuple[Mechanism, ...], shared: Mapping[str, int]) -> Compared:
    """Bind a mechanism to the sizes of the comparison, model-wide layers to the width h d."""
    widened = [_as_wide_as_the_model(count(part)) for part in parts]
    cost = Cost(name, tuple(row for c in widened for row in c.rows), sympy.Add(*(c.depth for c in widened)))
    bound: dict[str, int] = {}
    for part in parts:
        known = {str(s) for s in part.program.symbols}
        given = usual(known - set(part.defaults), {"D": shared["h"] * shared["d"], **shared})
        bound |= part.sizes(**given | {k: v for k, v in shared.items() if k in known})
    bound |= {k: shared[k] for k in ("h", "d")}
    return Compared(name, parts, cost, {k: v for k, v in bound.items() if k != "D"})


def _as_wide_as_the_model(cost: Cost) -> Cost:
    names = {str(s) for s in cost.symbols}
    if "h" in names or not names & {"d", "D"}:
        return cost
    wide = {size("d"): _WIDTH, size("D"): _WIDTH}
    return replace(
        cost, rows=tuple(row.xreplace(wide) for row in cost.rows), depth=cost.depth.xreplace(wide), memory=None
    )


def _wide(one: Compared) -> str:
    own = {str(s) for part in one.parts for s in part.program.symbols}
    return "" if "h" in own or not own & {"d", "D"} else f"h d = {one.at(_WIDTH):,}"


def _described(crossing: Crossover) -> list[str]:
    counts = [f"n = {n:,}: {_short(a)} and {_short(b)}" for n, a, b in crossing.counts]
    return [str(crossing), f"  exactly {'; '.join(counts)} ({crossing.method})"]


def _short(value: sympy.Expr) -> str:
    return f"{int(value):,}" if value.is_Integer else f"{float(value):,.1f}"
