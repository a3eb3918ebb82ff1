"""K. Doan (2025): the work and depth tables of cases 1 to 5.

The essay counts a load and a store as operations, adds the depths of all rows up, and takes logarithms of powers of
two; ours is ⌈log2 n⌉. A sum adds into a zero, as its pseudocode does, so a contraction of n numbers costs n.
"""

from functools import partial
from typing import Any

import sympy

from attometer.ledger.checks import Exactly, Formula, Row
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import accumulated, at, cost, n, program, row
from attometer.sizes import clog2

log = clog2(n)
_SERIAL = "the two loads do not wait for one another, so the critical path is one step shorter"
_TREE = "a tree sums n numbers with n - 1 additions; the loop of its case 4 adds n times, into a zero"


def claims() -> tuple[Claim, ...]:
    """Return the claims of the tables of cases 1 to 5."""
    return (*_map(), *_sum(), *_tensor(), *_matmul(), *_softmax())


def _row(case: str, name: str, tensor: str, depth: Any, work: Any, label: str, why: str = "") -> Claim:
    """Claim one row of a table: depth and work of the operation that makes `tensor`, adding into a zero."""
    tree = row(case, tensor).work
    other = Otherwise("balanced tree", lambda: (row(case, tensor).levels, tree)) if why else None
    return Claim(
        f"000.{case}.{name}", f"case {_NUMBERS[case]}, row {label}", f"{label}: depth | work",
        Row(_printed(depth), _printed(work)), lambda: (row(case, tensor).levels, accumulated(row(case, tensor))),
        other, why,
    )  # fmt: skip


_NUMBERS = {"map": 1, "sum": 2, "tensor_product": 3, "matmul": 4, "softmax": 5}


def _printed(value: Any) -> Exactly:
    return value if isinstance(value, Exactly) else Exactly(value)


def _serial(case: str) -> sympy.Expr:
    return cost(case, loads=True, serial=True).depth


def _critical(case: str) -> sympy.Expr:
    return cost(case, loads=True).depth


def _summed(case: str) -> sympy.Expr:
    """Return the work of all rows, loads and stores included, sums adding into a zero."""
    return sympy.Add(*(accumulated(part) for part in cost(case, loads=True).rows))


def _depth(case: str, value: Any) -> Claim:
    return Claim(
        f"000.{case}.depth", f"case {_NUMBERS[case]}, TOTAL", "total depth", _printed(value), partial(_serial, case),
        Otherwise("critical path", partial(_critical, case)), _SERIAL,
    )  # fmt: skip


def _orders(case: str, depth: str, work: str) -> tuple[Claim, ...]:
    place = f"case {_NUMBERS[case]}, ASYMP"
    return (
        Claim(f"000.{case}.order.depth", place, "asymptotic depth", Exactly(depth), partial(_order, case, "depth")),
        Claim(f"000.{case}.order.work", place, "asymptotic work", Exactly(work), partial(_order, case, "work")),
    )


def _order(case: str, of: str) -> str:
    return str(cost(case, loads=True).order(of=of))


def _map() -> tuple[Claim, ...]:
    return (
        _row("map", "load_a", "load A", 1, n, "LOAD a"),
        _row("map", "load_b", "load B", 1, n, "LOAD b"),
        _row("map", "mul", "C", 1, n, "MUL"),
        _row("map", "store", "store C", 1, n, "STORE"),
        _depth("map", 4),
        Claim("000.map.work", "case 1, TOTAL", "total work", Exactly(4 * n), partial(_summed, "map")),
        *_orders("map", "O(1)", "O(n)"),
    )


def level(number: int) -> sympy.Expr:
    """Return the additions of one level of a tree over n = 2^k numbers: the difference of two trees."""
    tree = row("sum", "C").work
    return sympy.expand(tree.subs(n, n / 2 ** (number - 1)) - tree.subs(n, n / 2**number))


def _sum() -> tuple[Claim, ...]:
    place = "case 2, row "
    return (
        Claim(
            "000.sum.load", place + "LOAD", "LOAD: depth | work", Row(Exactly(1), Formula(n / 2, "n/2")),
            lambda: (row("sum", "load A").levels, row("sum", "load A").work),
            why="n numbers are loaded; case 1 charges n for it",
        ),
        Claim(
            "000.sum.first", place + "PAIRWISE + (first)", "first PAIRWISE +: work", Formula(n / 4, "n/4"),
            partial(level, 1), why="n/2 pairs are added first, as its own text says",
        ),
        Claim(
            "000.sum.second", place + "PAIRWISE + (second)", "second PAIRWISE +: work", Formula(n / 8, "n/8"),
            partial(level, 2), why="n/4 pairs of pairs come second, as its own text says",
        ),
        Claim(
            "000.sum.last", place + "PAIRWISE + (last)", "last PAIRWISE +: depth | work", Row(Exactly(1), Exactly(1)),
            lambda: (at(row("sum", "C").levels, n=2), at(row("sum", "C").work, n=2)),
        ),
        _row("sum", "store", "store C", 1, 1, "STORE"),
        Claim(
            "000.sum.depth", "case 2, TOTAL", "total depth", Formula(log + 1, "(logn)+1"), partial(_serial, "sum"),
            why="a load, log n levels and a store; its rows n/4 to 1 are one level too few",
        ),
        Claim(
            "000.sum.work", "case 2, TOTAL", "total work", Exactly(n + 1),
            lambda: cost("sum", loads=True).work, why="n loads, n - 1 additions and a store; its own rows sum to n",
        ),
        *_orders("sum", "O(log(n))", "O(n)"),
        Claim(
            "000.sum.text.first", "case 2, step 1", "there are n/2 pairs of adjacent numbers",
            Formula(n / 2, "n/2"), partial(level, 1),
        ),
        Claim(
            "000.sum.text.second", "case 2, step 2", "there are n/4 pairs of pairs", Formula(n / 4, "n/4"),
            partial(level, 2),
        ),
        Claim(
            "000.sum.text.steps", "case 2, step 4", "after log2(n) steps there is a single number",
            Formula(log, "log_2(n)"), lambda: cost("sum").depth,
        ),
    )  # fmt: skip


def _tensor() -> tuple[Claim, ...]:
    return (
        _row("tensor_product", "load_a", "load A", 1, n**2, "LOAD a"),
        _row("tensor_product", "load_b", "load B", 1, n**2, "LOAD b"),
        _row("tensor_product", "mul", "C", 1, n**3, "MUL"),
        _row("tensor_product", "store", "store C", 1, n**3, "STORE"),
        _depth("tensor_product", 4),
        Claim(
            "000.tensor_product.work", "case 3, TOTAL", "total work", Exactly(2 * n**2 + 2 * n**3),
            partial(_summed, "tensor_product"),
        ),
        *_orders("tensor_product", "O(1)", "O(n^3)"),
        Claim(
            "000.tensor_product.cubic", "case 3", "two matrices with one shared axis make a cubic tensor",
            Exactly(n**3), lambda: program("tensor_product").tensors["C"].size,
        ),
    )  # fmt: skip


def _matmul() -> tuple[Claim, ...]:
    return (
        _row("matmul", "load_a", "load A", 1, n**2, "LOAD a"),
        _row("matmul", "load_b", "load B", 1, n**2, "LOAD b"),
        _row("matmul", "tensor", "C", 1, n**3, "TENSOR"),
        _row("matmul", "contract", "D", Formula(log, "log n"), n**3, "CONTRACT", _TREE),
        _row("matmul", "store", "store D", 1, n**2, "STORE"),
        _depth("matmul", Formula(log + 4, "(logn)+4")),
        Claim(
            "000.matmul.work", "case 4, TOTAL", "total work", Exactly(2 * n**2 + 2 * n**3), partial(_summed, "matmul"),
            Otherwise("balanced tree", lambda: cost("matmul", loads=True).work),
            "its own rows sum to 3n² + 2n³: the STORE is forgotten; with n³ - n² additions the printed total is right",
        ),
        *_orders("matmul", "O(log(n))", "O(n^3)"),
    )  # fmt: skip


def _softmax() -> tuple[Claim, ...]:
    return (
        _row("softmax", "load", "load S", 1, n, "LOAD"),
        _row("softmax", "max", "P.max", Formula(log, "log n"), n, "MAX", _TREE),
        _row("softmax", "sub", "P.shift", 1, n, "SUB"),
        _row("softmax", "exp", "P.exp", 1, n, "EXP"),
        _row("softmax", "sum", "P.sum", Formula(log, "log n"), n, "SUM", _TREE),
        _row("softmax", "div", "P", 1, n, "DIV"),
        _row("softmax", "store", "store P", 1, n, "STORE"),
        Claim(
            "000.softmax.depth", "case 5, TOTAL", "total depth", Formula(2 * log + 5, "2log n+5"),
            partial(_serial, "softmax"), Otherwise("critical path", partial(_critical, "softmax")),
        ),
        Claim(
            "000.softmax.work", "case 5, TOTAL", "total work", Exactly(7 * n), lambda: _softmax_work(),
            Otherwise("balanced tree", lambda: cost("softmax", loads=True).work), _TREE,
        ),
        *_orders("softmax", "O(log(n))", "O(n)"),
    )  # fmt: skip


def _softmax_work() -> sympy.Expr:
    return _summed("softmax")
