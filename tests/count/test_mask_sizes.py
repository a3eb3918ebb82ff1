"""A mask's size that is no size at the numbers is refused wherever formulas are evaluated, and changes nothing elsewhere."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy

from attometer.count import count
from attometer.count.formulas.compiled import compiled
from attometer.count.grids import on_grid
from attometer.errors import AttometerError
from attometer.masks import Mask, band, causal, chunked, fixed, global_, prefix, strided, window
from attometer.program import parse, size

N, W = size("n"), size("w")
REFUSED: list[tuple[Mask, int, str]] = [
    (strided(W - 54), 3, "mask strided(w - 54): stride is -51 at these sizes; it must be an integer of at least 1"),
    (chunked(W / 2), 9, "mask chunked(w / 2): chunk is 9/2 at these sizes; it must be an integer of at least 1"),
    (window(W // 8), 7, "mask window(w // 8): window is 0 at these sizes; it must be an integer of at least 1"),
    (band(W - 9, None), 8, "mask band(w - 9, *): left is -1 at these sizes; it must be an integer of at least 0"),
    (global_(W - 4), 4, "mask global(w - 4): count is 0 at these sizes; it must be an integer of at least 1"),
    (prefix(W / 3), 4, "mask prefix(w / 3): count is 4/3 at these sizes; it must be an integer of at least 1"),
    (fixed(W - 3, 1), 3, "mask fixed(w - 3, 1): stride is 0 at these sizes; it must be an integer of at least 1"),
]
EVALUATIONS: dict[str, Callable[[sympy.Expr, int], Any]] = {
    "numbers": lambda e, w: e.xreplace({N: sympy.Integer(8), W: sympy.Integer(w)}),
    "a grid": lambda e, w: on_grid(e, {N: np.array([4, 8]), W: np.array([[60], [w]])}),
    "compiled": lambda e, w: compiled({"x": e}, ("n", "w")).scalar(8, w),
    "compiled arrays": lambda e, w: compiled({"x": e}, ("n", "w")).vector(np.array([8, 9]), np.array([60, w])),
    "compiled floats": lambda e, w: compiled({"x": e}, ("n", "w")).floats(np.array([8.0]), np.array([float(w)])),
}


@pytest.mark.parametrize("how", EVALUATIONS)
@pytest.mark.parametrize(("mask", "w", "words"), REFUSED, ids=[str(r[0]) for r in REFUSED])
def test_what_is_no_size_is_refused(mask: Mask, w: int, words: str, how: str) -> None:
    for one in (mask, mask & causal(), mask | causal()):
        with pytest.raises(AttometerError, match=f"^{re.escape(words)}$"):
            EVALUATIONS[how](one.pairs(N), w)


def test_a_cost_refuses_it_too() -> None:
    program = parse("axis i: n, j: n\nS[i,j] = Q[i,d] * K[j,d]   where chunked(i, j, w/2)")
    cost = count(program)
    assert cost.at(n=8, w=4, d=1).work == chunked(2).pairs(8)
    with pytest.raises(AttometerError, match=r"^mask chunked\(w / 2\): chunk is 3/2 at these sizes"):
        _ = cost.at(n=8, w=3, d=1).work
    with pytest.raises(AttometerError, match=r"^mask chunked\(w / 2\): chunk is 3/2 at these sizes"):
        _ = cost.at(n=np.array([8, 9]), w=3, d=1).work


@pytest.mark.parametrize(
    ("mask", "w"), [(strided(W - 54), 57), (chunked(W / 2), 6), (band(W / 2, W / 2) | global_(2), 4)], ids=str
)
def test_what_is_a_size_counts_as_its_number(mask: Mask, w: int) -> None:
    formula = mask.pairs(N)
    wanted = [
        mask.mapped(lambda atom: atom.resized(tuple(_at(v, w) for _, v, _ in atom.sizes()))).pairs(n) for n in (5, 8)
    ]
    both = compiled({"x": formula}, ("n", "w"))
    assert [formula.xreplace({N: sympy.Integer(n), W: sympy.Integer(w)}) for n in (5, 8)] == wanted
    assert on_grid(formula, {N: np.array([5, 8]), W: w}).tolist() == wanted
    assert [both.scalar(n, w)[0] for n in (5, 8)] == wanted
    assert both.vector(np.array([5, 8]), w)[0].tolist() == wanted


def _at(value: Any, w: int) -> int:
    return int(sympy.sympify(value).xreplace({W: sympy.Integer(w)}))


def test_javascript_checks_it_too() -> None:
    text = compiled({"x": chunked(W / 2).pairs(N)}, ("n", "w")).javascript("f")
    assert "if (a % b !== 0 || a < 1 * b) throw new RangeError(" in text
    assert 'mask chunked(w / 2): chunk is " + a / b + " at these sizes' in text


def test_the_formula_prints_the_parameter_as_it_is() -> None:
    assert str(prefix(W / 2).pairs(N, 7)) == "n*Min(7, w/2)"
    assert str(chunked(W - 2).pairs(N)) == "(n - floor(n/(w - 2))*(w - 2))**2 + floor(n/(w - 2))*(w - 2)**2"
