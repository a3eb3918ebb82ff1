"""What the page holds of the catalogue's mechanisms."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import sympy

from attometer.count import count
from attometer.count.evaluate import usual
from attometer.count.formulas import compiled
from attometer.count.order import order
from attometer.count.paths.path_length_formula import path_length_formula
from attometer.errors import AttometerError
from attometer.masks import Mask
from attometer.masks.random_keys import Random
from attometer.mechanisms import Mechanism, mechanisms
from attometer.mechanisms.subject import Subject, subject
from attometer.program import Program, size
from attometer.report.show import path_formula
from attometer.view.numbers import formula

QUANTITIES = ("work", "depth", "flop", "peak")
"""What is counted of every mechanism; where it takes positions to positions and a closed form is known, `path` comes last."""
SIZES = {"b": 1, "h": 16, "n": 16384, "d": 128}
"""Where the sliders of the mechanisms stand first; other sizes are the mechanism's defaults, or follow from these."""


def mechanism_data(what: Subject) -> dict[str, Any]:
    """Return a mechanism's text, citation, and what it costs: as formulas, orders, and JavaScript of its sizes.

    `js` is None where a mask's pairs have no closed form.

    >>> mechanism_data("softmax")["orders"]["depth"]
    'O(log(d) + log(n))'
    """
    one = subject(what)
    cost = count(one)
    found = {q: cost.quantity(q) for q in QUANTITIES}
    formulas = {q: formula(e) for q, e in found.items()}
    orders = {q: str(cost.order(of=q)) for q in QUANTITIES}
    hops = path_length_formula(one)
    if hops is not None:
        found["path"] = _compilable(hops.longest)
        formulas["path"], orders["path"] = path_formula(one), str(order(_general(hops.longest)))
    names = sorted({str(s) for e in found.values() for s in e.free_symbols})
    try:
        script = compiled(found, tuple(names)).javascript("f", listed=True)
    except AttometerError:
        script = None
    return {
        "title": one.title,
        "result": one.result,
        "text": str(one.program),
        "citation": one.citation,
        "notes": one.notes,
        "formulas": formulas,
        "orders": orders,
        "sizes": names,
        "start": _start(one, names),
        "js": script,
        "masks": [drawn(mask) for mask in _masks(one.program)],
    }


def _general(longest: sympy.Expr) -> sympy.Expr:
    """Return hops of the general case: "2, or 1 where the mask allows every pair" without the condition."""
    return longest.args[-1][0] if isinstance(longest, sympy.Piecewise) else longest


def _compilable(longest: sympy.Expr) -> sympy.Expr:
    """Return hops without a condition: numbers of pairs that are unlike differ by at least one.

    >>> n, k = size("n"), size("k")
    >>> [_compilable(sympy.Piecewise((1, sympy.Eq(n, k)), (2, True))).subs({n: 8, k: v}) for v in (7, 8)]
    [2, 1]
    """
    if not isinstance(longest, sympy.Piecewise):
        return longest
    (fewer, when), (more, _) = longest.args
    apart = sympy.Max(when.lhs - when.rhs, when.rhs - when.lhs)
    return fewer + (more - fewer) * sympy.Min(1, sympy.ceiling(apart))


DRAWN = 32
"""Queries and keys of a drawn mask."""
SHRUNK = {"w": 8, "l": 6, "c": 2, "B": 8, "t": 2, "k": 4}
"""Sizes of masks as they are drawn; written numbers above a quarter of the queries become 3."""


def drawn(mask: Mask) -> dict[str, Any]:
    """Return a mask at sizes that can be seen: its text, the text at those sizes, and a row of bits for each query.

    >>> from attometer.masks import causal
    >>> drawn(causal())["rows"][:2]
    ['80000000', 'c0000000']
    """

    def small(value: Any) -> Any:
        found = sympy.sympify(value).xreplace({size(name): sympy.Integer(v) for name, v in SHRUNK.items()})
        return (min(int(found), 3) if found > DRAWN // 4 else int(found)) if found.is_Integer else found

    def fitting(atom: Mask) -> Mask:
        if isinstance(atom, Random):
            return replace(atom, count=small(atom.count))
        return atom.resized(tuple(small(value) for _, value, _ in atom.sizes()))

    shown = mask.mapped(fitting)
    rows = ["".join("01"[bool(seen)] for seen in row) for row in shown.matrix(DRAWN)]
    return {"text": str(mask), "shown": str(shown), "rows": [f"{int(row, 2):0{DRAWN // 4}x}" for row in rows]}


def _masks(program: Program) -> list[Mask]:
    """Return the masks of a program's statements, each once."""
    return list(dict.fromkeys(s.where.mask for s in program.statements if s.where is not None))


def _start(one: Mechanism, names: list[str]) -> dict[str, int]:
    given = {**SIZES, **one.defaults}
    return {n: usual([n], given).get(n, given.get(n, 64)) for n in names}


@lru_cache(maxsize=1)
def catalogue_data() -> dict[str, Any]:
    """Return every mechanism of the catalogue."""
    return {name: mechanism_data(name) for name in mechanisms()}
