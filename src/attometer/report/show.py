"""`show`: everything that is known about one mechanism, on one page."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sympy

from attometer.count import CONVENTIONS, Cost, count, order
from attometer.count.evaluate import usual
from attometer.count.paths.path_length import path_length
from attometer.count.paths.path_length_formula import path_length_formula
from attometer.errors import AttometerError
from attometer.mechanisms.mechanism import Mechanism
from attometer.mechanisms.subject import Subject, gradient_of, subject
from attometer.program import Program
from attometer.program.expression import Along, Statement
from attometer.report.pairs import legend, pair_names, shortened
from attometer.view.numbers import amount, flop, formula, size_in_bytes
from attometer.view.report import Block, Report
from attometer.view.table import Table

_HELD = {
    "inputs": "words of data read",
    "weights": "learned parameters",
    "cache": "words of keys and values kept from earlier tokens",
    "outputs": "words of results",
    "matrices": "words of the largest tensor over pairs of positions",
    "peak": "words alive at once, every result written out",
    "saved": "words kept for a backward pass",
    "checkpointed": "words kept when the backward pass computes again",
}
# Positions at which a path length without a closed form is searched.
_SEARCHED = 64
_WINDOW = 8
_WORD = 2
_LENGTHS = ("w", "t", "l", "c", "B")


@dataclass(frozen=True)
class Shown(Report):
    """A mechanism with what it costs. Printing it gives the page; `tables` are its parts.

    Attributes:
        mechanism: what is shown.
        cost: its exact cost, in symbols.
        sizes: numbers for the size symbols, empty when none were given.
        gradient: whether the gradients of the mechanism asked for are shown.
    """

    mechanism: Mechanism
    cost: Cost
    sizes: Mapping[str, int]
    gradient: bool = False

    @cached_property
    def operations(self) -> Table:
        """Work, depth and FLOPs of every operation."""
        names = pair_names(self.mechanism.program)
        rows = [
            (row.name, row.kind, *(formula(shortened(e, names)) for e in (row.work, row.levels, 2 * row.macs)))
            for row in self.cost.rows
        ]
        return Table(
            "cost of each operation", ("operation", "kind", "work", "depth", "flop"), tuple(rows), legend(names)
        )

    @cached_property
    def totals(self) -> Table:
        """Work, depth and FLOPs of the whole by every convention, each with its order of growth."""
        names = pair_names(self.mechanism.program)
        wanted = ("work", "depth", *(name for name in CONVENTIONS if name != "unit"))
        rows = [
            (name, _cell(shortened(self.cost.quantity(name), names)), str(self.cost.order(of=name))) for name in wanted
        ]
        other = _by_tournament(self.mechanism.program)
        if other is not None:
            cost = count(other)
            rows += [
                (f"{q}, select", _cell(shortened(cost.quantity(q), names)), str(cost.order(of=q))) for q in wanted[:2]
            ]
        reasons = (
            *((_SELECT,) if other is not None else ()),
            f"work: {CONVENTIONS['unit'].reason}",
            "depth: the longest chain of operations, sums as balanced trees",
            *(f"{name}: {CONVENTIONS[name].reason}" for name in wanted if name in CONVENTIONS),
        )
        return Table("in total", ("quantity", "formula", "order"), tuple(rows), reasons)

    @cached_property
    def memory(self) -> Table:
        """Entries held, each with its order of growth."""
        names = pair_names(self.mechanism.program)
        held = {name: self.cost.quantity(name) for name in _HELD}
        rows = [(name, _cell(shortened(e, names)), str(order(e)), _HELD[name]) for name, e in held.items() if e != 0]
        notes = ("words: multiply by the bytes of one (2 for fp16 and bf16, 4 for fp32)",)
        return Table("memory", ("quantity", "words", "order", "what it counts"), tuple(rows), notes)

    @cached_property
    def parameters(self) -> Table:
        """The mechanism's parameters: value, default and meaning."""
        rows = [(name, str(p.value), str(p.default), p.meaning) for name, p in self.mechanism.parameters.items()]
        return Table("parameters", ("name", "value", "default", "meaning"), tuple(rows))

    @cached_property
    def numbers(self) -> Table | None:
        """Every quantity at the sizes given; None without sizes."""
        if not self.sizes:
            return None
        at = self.cost.at(**self.sizes)
        wanted = ["work", "depth", *(c for c in CONVENTIONS if c != "unit"), *_HELD]
        rows = [
            (name, number, _read(name, number))
            for name, number in ((name, getattr(at, name)) for name in wanted if self.cost.quantity(name) != 0)
        ]
        given = ", ".join(f"{k} = {v:,}" for k, v in self.sizes.items())
        return Table(f"at {given}", ("quantity", "number", "that is"), tuple(rows))

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The hops that information needs between positions: a formula where one is known, and a search at a small n."""
        if self.gradient:
            return ("none: gradients flow from every position to those that it saw",)
        found = [f"{k}" for k in [path_formula(self.mechanism), _path_searched(self.mechanism)] if k]
        return tuple(found) or ("none: the result has no axis of positions, or every position is computed by itself",)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of the page, in order."""
        own = self.parameters if self.mechanism.parameters else None
        return tuple(t for t in (self.operations, self.totals, self.numbers, self.memory, own) if t is not None)

    @property
    def heading(self) -> str:
        """Name, title, and what the result is."""
        return f"{self.mechanism.name}: {self.mechanism.title} ({self.mechanism.result})"

    @property
    def ending(self) -> tuple[str, ...]:
        """Path length, how it was counted, notes and citation."""
        lines = [f"path length: {line}" for line in self.path]
        lines += [f"counted: {'; '.join(self.cost.assumptions)}"]
        lines += [f"note: {self.mechanism.notes}"] if self.mechanism.notes else []
        return (*lines, f"source: {self.mechanism.citation}")

    def to_dict(self) -> dict[str, Any]:
        """Return the page as plain values, formulas as text."""
        made = self.mechanism
        return {
            "name": made.name,
            "title": made.title,
            "approximates": made.approximates,
            "notation": str(made.program),
            "cost": self.cost.to_dict(),
            "at": None if self.numbers is None else self.cost.at(**self.sizes).to_dict(),
            "path_length": list(self.path),
            "parameters": self.parameters.to_dict()["rows"],
            "notes": made.notes,
            "citation": made.citation,
        }

    @property
    def written_out(self) -> tuple[str, ...]:
        """The maxima that are too long for a table, a term on each line."""
        names = pair_names(self.mechanism.program)
        found = {name: shortened(self.cost.quantity(name), names) for name in ("depth", *_HELD)}
        return tuple(
            "\n".join((f"{name}, the largest of", *(f"  {formula(term)}" for term in _terms(e))))
            for name, e in found.items()
            if _terms(e)
        )

    def page(self) -> list[Block]:
        """Return heading, notation, the tables, what is too long for them, and the ending."""
        return [self.heading, str(self.mechanism.program), *self.tables, *self.written_out, "\n".join(self.ending)]

    def explain(self, name: str) -> str:
        """Return where a quantity comes from: formula, numbers at the sizes given, convention and source."""
        return self.cost.explain(name, **self.sizes)


_LONG = 100


def _terms(expression: sympy.Expr) -> list[sympy.Expr]:
    """Return the terms of a maximum that is longer than a line of a table."""
    if not isinstance(expression, sympy.Max) or len(formula(expression)) <= _LONG:
        return []
    return sorted((term for term in expression.args if term != 0), key=lambda term: (len(str(term)), str(term)))


_SELECT = "select: the k largest by a tournament (Knuth, volume 3, section 5.2.3); topk is a bitonic network over all (Batcher 1968)"


def _by_tournament(program: Program) -> Program | None:
    """Return the program with each topk as a tournament; None without one."""

    def changed(statement: Statement) -> Statement:
        along = statement.expression
        if not (isinstance(along, Along) and along.function == "topk"):
            return statement
        return replace(statement, expression=replace(along, function="select"))

    made = tuple(map(changed, program.statements))
    return None if made == program.statements else replace(program, statements=made)


def _cell(expression: sympy.Expr) -> str:
    terms = _terms(expression)
    return f"the largest of {len(terms)} terms, below" if terms else formula(expression)


def show(
    what: Subject,
    /,
    *,
    at: Mapping[str, int] | None = None,
    gradient: bool = False,
    loads: bool = False,
    **parameters: object,
) -> Shown:
    """Show one mechanism: notation, cost, orders, memory, path length, citation.

    Args:
        what: a mechanism of the catalogue, a file of notation, `-` for notation on standard input, or a Program.
        gradient: show the Program of its gradients instead.
        loads: count a load per entry of the inputs and a store per entry of the outputs too, in work and depth.
        at: sizes at which to give numbers too, as in `{"n": 8192, "h": 12, "d": 64}`.
        **parameters: the mechanism's own parameters, as in `causal=True` or `w=128`; of your own notation, sizes.

    Returns:
        A Shown; print it, or take its `tables` or `to_dict()`.

    Raises:
        AttometerError: an unknown name, parameter or size, with the nearest; or a bad value.

    >>> page = show("softmax")
    >>> print(page.heading)
    softmax: multi-head softmax attention (itself)
    >>> print(page.ending[0])
    path length: longest 1, mean 1 over pairs both ways
    """
    if at is not None and not isinstance(at, Mapping):
        raise AttometerError(f"at must map sizes to numbers, as in {{'n': 8192}}, got {at!r:.80}")
    made = subject(what, **parameters)
    made = gradient_of(made) if gradient else made
    return Shown(made, count(made, loads=loads), _sizes(made, at or {}), gradient)


def _sizes(made: Mechanism, given: Mapping[str, int]) -> dict[str, int]:
    """Fill in the mechanism's own defaults, one sequence, and one head where none is said."""
    if not given:
        return {}
    known = {str(s) for s in made.program.symbols}
    told = usual(known - set(made.defaults), {**({"h": 1} if "h" in known else {}), **given})
    return made.sizes(**told | dict(given))


def _read(name: str, number: Any) -> str:
    """Return a count in the unit a person thinks in."""
    if name in _HELD:
        return f"{size_in_bytes(_WORD * number)} in 16-bit words" if isinstance(number, int) else ""
    return flop(number) if name.startswith("flop") else amount(number) if isinstance(number, int) else ""


def path_formula(made: Mechanism) -> str:
    """Return the closed form of a mechanism's path length in words, empty where none is known."""
    found = path_length_formula(made)
    if found is None:
        return ""
    mean = formula(_plain(found.mean))
    # A long formula helps nobody on a page: the search below gives its value.
    averaged = f", mean {mean} over pairs {found.directions}" if len(mean) < 40 else ""
    said = "".join(f"; {who} says mean {formula(what)}" for who, what in found.conventions)
    return f"longest {formula(_plain(found.longest))}{averaged}{said}"


def _plain(expression: sympy.Expr) -> sympy.Expr:
    # "2, or 1 where the mask allows every pair": the general case says it without the condition.
    return expression.args[-1][0] if isinstance(expression, sympy.Piecewise) else expression


def _path_searched(made: Mechanism) -> str:
    try:
        found = path_length(made, _SEARCHED, **_small(made.defaults, {str(s) for s in made.program.symbols}))
    except AttometerError:
        # A program without a sequence of n positions, such as one decode step.
        return ""
    held = ", ".join(f"{k} = {v}" for k, v in (("n", found.n), *found.sizes))
    return (
        f"at {held}: longest {found.longest}, mean {float(found.mean):.4g} over {found.pairs:,} pairs"
        if found.pairs
        else ""
    )


def _small(defaults: Mapping[str, int], known: set[str]) -> dict[str, int]:
    """Scale windows and chunks down so that they are as short against the searched n as they are in use."""
    lengths = {k: v for k, v in defaults.items() if k in known and k in _LENGTHS}
    return {k: max(1, v * _WINDOW // max(lengths.values())) for k, v in lengths.items()}
