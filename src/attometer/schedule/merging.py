"""Merging partial results of a streamed axis: the operator that follows from the corrections, and that it is associative.

A chunk of the stream leaves the values of its reductions, and sums corrected up to its own values of these. Two chunks
merge as two steps of the stream do: a reduction folds both values, and each sum is corrected from its own chunk's value
to the folded one, c(own, folded), before both are added.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sympy

from attometer.program.expression import Expression
from attometer.program.printer import expression_text
from attometer.schedule.incremental import NEW, OLD, algebra
from attometer.schedule.running import Running

_SIGN = {"sum": "{} + {}", "prod": "{} · {}", "max": "max({}, {})", "min": "min({}, {})"}
Chunk = Mapping[str, sympy.Expr]


@dataclass(frozen=True)
class Merge:
    """How two partial results become one: for each accumulator its fold, and the corrections of both sides by reduction.

    Printing it gives one line per accumulator, of chunks 1 and 2.
    """

    parts: tuple[tuple[str, str, tuple[tuple[str, Expression], ...]], ...]

    @property
    def associative(self) -> bool:
        """Whether (1 ⊕ 2) ⊕ 3 = 1 ⊕ (2 ⊕ 3), proved with symbols for the chunks; folds are exact, so that they are.

        The folded reductions are symbols of their own, the same for both orders: only the corrections are in question.
        """
        return all(_associative(carried) for _, _, carried in self.parts if carried)

    def __str__(self) -> str:
        lines = []
        for name, kind, carried in self.parts:
            sides = []
            for side in "12":
                factors = [_between(c, f"{r}_{side}", r) for r, c in carried]
                sides.append(" ".join([f"{name}_{side}", *factors]))
            lines.append(f"{name} = {_SIGN[kind].format(*sides)}")
        return "; ".join(lines)


def merge_of(running: Iterable[Running]) -> Merge:
    """Return the operator that merges what reductions along a stream leave for two of its chunks.

    >>> from attometer.mechanisms import mechanism
    >>> from attometer.schedule.reading import cascade
    >>> from attometer.schedule.running import Passes
    >>> passes = Passes(cascade(mechanism("softmax").program), frozenset({"O"}), frozenset(), ("j",))
    >>> found = merge_of(passes.running_for_targets.values())
    >>> print(found)
    P.max = max(P.max_1, P.max_2); P.sum = P.sum_1 exp(P.max_1 - P.max) + P.sum_2 exp(P.max_2 - P.max); O = O_1 ...
    >>> found.associative
    True
    """
    return Merge(tuple((p.name, r.step.kind, p.carried) for r in running for p in r.parts))


@lru_cache(maxsize=256)
def _associative(carried: tuple[tuple[str, Expression], ...]) -> bool:
    """Whether sums that are corrected so add up alike in both orders."""
    one, two, three = ({name: _symbol(f"{name} {n}") for name in ("", *dict(carried))} for n in (1, 2, 3))
    first, last, both = ({name: _symbol(f"{name} {n}") for name, _ in carried} for n in (12, 23, 123))

    def merged(left: Chunk, right: Chunk, level: Chunk) -> Chunk:
        sides = [side[""] * sympy.Mul(*(_moved(c, side[r], level[r]) for r, c in carried)) for side in (left, right)]
        return {**level, "": sympy.Add(*sides)}

    apart = sympy.expand(
        merged(merged(one, two, first), three, both)[""] - merged(one, merged(two, three, last), both)[""]
    )
    return bool(apart == 0 or sympy.simplify(apart) == 0)


def _symbol(name: str) -> sympy.Symbol:
    return sympy.Symbol(name, real=True)


def _moved(factor: Expression, old: sympy.Expr, new: sympy.Expr) -> sympy.Expr:
    found = algebra(factor)
    assert found is not None
    return found.xreplace({_symbol(OLD): old, _symbol(NEW): new})


def _between(factor: Expression, old: str, new: str) -> str:
    return expression_text(factor).replace(f"{OLD}[]", old).replace(f"{NEW}[]", new)
