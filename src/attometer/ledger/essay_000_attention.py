"""K. Doan (2025): the work and depth table of case 6, attention with its projections.

Ours follows the essay's own definitions: a MATMUL is a TENSOR and a CONTRACT (its case 4), a SOFTMAX is its case 5
without load and store, rows add up.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import sympy

from attometer.count import order
from attometer.ledger.checks import Exactly, Formula, Row
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import accumulated, b, cost, d, n, row
from attometer.sizes import clog2

log_n, log_d = clog2(n), clog2(d)
_NAME = "projected_attention"
_TENSOR = "its case 4 makes a MATMUL of a TENSOR and a CONTRACT: one step more, and twice the work"


def claims() -> tuple[Claim, ...]:
    """Return the claims of the table of case 6."""
    return (*_rows(), *_totals(), *_orders())


def _own(*tensors: str) -> tuple[sympy.Expr, sympy.Expr]:
    """Return depth and work of rows one after another, sums adding into a zero."""
    parts = [row(_NAME, tensor) for tensor in tensors]
    return sympy.Add(*(part.levels for part in parts)), sympy.Add(*(accumulated(part) for part in parts))


def _loaded(*tensors: str) -> tuple[sympy.Expr, sympy.Expr]:
    """Return depth and work of loads in one step."""
    return sympy.Integer(1), sympy.Add(*(row(_NAME, f"load {tensor}").work for tensor in tensors))


_SOFTMAX = ("P.max", "P.shift", "P.exp", "P.sum", "P")


def _rows() -> tuple[Claim, ...]:
    def claim(name: str, label: str, depth: Exactly, work: Exactly, ours: Callable[[], Any], why: str = "") -> Claim:
        return Claim(
            f"000.attention.{name}", f"case 6, row {label}", f"{label}: depth | work", Row(depth, work), ours, why=why
        )

    own = partial
    return (
        claim("load_x", "LOAD X", Exactly(1), Formula(b * n * d, "bnd"), own(_loaded, "X")),
        claim("load_w", "LOAD Wq,Wk,Wv", Exactly(1), Formula(3 * d**2, "3d²"), own(_loaded, "Wq", "Wk", "Wv")),
        claim(
            "projections", "MATMUL Q, K, V", Formula(3 * log_d, "3log d"), Formula(3 * b * n * d**2, "3bnd²"),
            own(_own, "Q", "K", "V"), _TENSOR + "; independent of one another, the three take 1 + log d steps",
        ),
        claim(
            "scores", "MATMUL S", Formula(log_d, "log d"), Formula(b * n**2 * d, "bn²d"), own(_own, "R"), _TENSOR
        ),
        claim("scale", "DIV", Exactly(1), Formula(b * n**2, "bn²"), own(_own, "S")),
        claim(
            "softmax", "SOFTMAX", Formula(log_n, "log n"), Formula(b * n**2, "bn²"), own(_own, *_SOFTMAX),
            "its case 5 without LOAD and STORE: two logarithms and three steps, five operations a score",
        ),
        claim("output", "MATMUL O", Formula(log_n, "log n"), Formula(b * n**2 * d, "bn²d"), own(_own, "O"), _TENSOR),
        claim(
            "store", "STORE", Exactly(1), Formula(b * n * d, "bnd"),
            lambda: (row(_NAME, "store O").levels, row(_NAME, "store O").work),
        ),
    )  # fmt: skip


def _printed_rows() -> tuple[sympy.Expr, sympy.Expr]:
    """Return the sums of the printed depths and works of the rows."""
    pairs = [(claim.check.checks[0].value, claim.check.checks[1].value) for claim in _rows()]  # type: ignore[attr-defined]
    return sympy.Add(*(depth for depth, _ in pairs)), sympy.Add(*(work for _, work in pairs))


def _serial() -> sympy.Expr:
    """Return the depth of the rows one after another: two loads, the operations, a store."""
    return cost(_NAME, serial=True).depth + 3


def _work() -> sympy.Expr:
    return sympy.Add(*(accumulated(part) for part in cost(_NAME, loads=True).rows))


def _totals() -> tuple[Claim, ...]:
    printed = Formula(4 * log_d + 2 * log_n + 5, "4log d + 2log n + 5")
    critical = Otherwise("critical path", lambda: cost(_NAME, loads=True).depth)
    return (
        Claim(
            "000.attention.depth.rows", "case 6, TOTAL", "total depth, as the sum of the printed rows",
            printed, lambda: _printed_rows()[0], why="the rows sum to one step less",
        ),
        Claim(
            "000.attention.depth", "case 6, TOTAL", "total depth, by its own cases 4 and 5",
            printed, _serial, critical, "rows with the steps of their own cases; the critical path overlaps the projections",
        ),
        Claim(
            "000.attention.work.rows", "case 6, TOTAL", "total work, as the sum of the printed rows",
            Formula(b * n**2 * d, "≈ bn²d"), lambda: _printed_rows()[1],
            why="two products of bn²d each, and projections of 3bnd², which are not small unless n is far above d",
        ),
        Claim(
            "000.attention.work", "case 6, TOTAL", "total work, by its own cases 4 and 5",
            Formula(b * n**2 * d, "≈ bn²d"), _work,
            why="four products of bn²d operations and the projections; the output projection is not in the table",
        ),
    )  # fmt: skip


def _orders() -> tuple[Claim, ...]:
    return (
        Claim(
            "000.attention.order.depth", "case 6, ASYMP", "asymptotic depth O(log n + log d)",
            Exactly("O(log(d) + log(n))"), lambda: str(cost(_NAME, loads=True).order(of="depth")),
        ),
        Claim(
            "000.attention.order.work", "case 6, ASYMP", "asymptotic work O(bn²d)",
            Exactly("O(b d n^2)"), lambda: str(cost(_NAME).order()),
            why="the projections bnd² dominate for n below 1.5 d",
        ),
        Claim(
            "000.attention.order.n", "case 6", "in practice this usually means O(log sequence_length)",
            Exactly("O(log(n))"), lambda: str(order(cost(_NAME).depth, "n")),
        ),
    )  # fmt: skip
