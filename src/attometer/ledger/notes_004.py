"""The claims of Brief Notes on Attention Efficiency (2025-02-07)."""

from functools import partial

import sympy

from attometer.count import order
from attometer.ledger.checks import Exactly, Formula, Says
from attometer.ledger.claim import Claim, Otherwise, Source
from attometer.ledger.programs import b, cost, d, entries, h, n, program, total

SOURCE = Source(
    id="004",
    title="Brief Notes on Attention Efficiency",
    author="anonymous notes",
    where="2025-02-07",
)


def claims() -> tuple[Claim, ...]:
    """Return the claims in the order of the notes."""
    return (*_reported(), *_derivation(), *_conclusion())


def _heads(expression: sympy.Expr) -> sympy.Expr:
    """Return a count over h heads of width d with the width of the model, k = d/h, in its place."""
    return expression.xreplace({d: d / h})


def _products() -> sympy.Expr:
    """Return the multiplications of both products, over all heads and sequences."""
    return sympy.expand(b * _heads(cost("attention").flops("mac")))


def _all() -> sympy.Expr:
    return sympy.expand(b * total("projections", "mac") + _products())


def _reported() -> tuple[Claim, ...]:
    memory = "O(bnd + bhn² + d²)"
    return (
        Claim(
            "004.time", "How Efficient is Self Attention?", "multi-headed attention takes Θ(bnd²) time (Shazeer 2019)",
            Formula(b * n * d**2, "Θ(bnd²)"), lambda: order(_all().xreplace({n: d})).expression.xreplace({d**3: n * d**2}),
            Otherwise("n not bounded by d", lambda: order(_all()).expression),
            "the paper assumes n ≤ d, where bn²d is no more than bnd²",
        ),
        Claim(
            "004.memory", "How Efficient is Self Attention?", f"and {memory} memory",
            Formula(b * n * d + b * h * n**2 + d**2, memory), lambda: order(_memory()).expression,
        ),
    )  # fmt: skip


def _memory() -> sympy.Expr:
    """Return the entries of weights, queries, keys, values, outputs and materialised scores."""
    weights = sympy.Add(*(tensor.size for tensor in program("projections").weights))
    vectors = _heads(sympy.Add(*(entries("attention", name) for name in "QKVO")))
    return sympy.expand(weights + b * vectors + b * entries("attention", "S"))


def _derivation() -> tuple[Claim, ...]:
    k = d / h
    return (
        Claim(
            "004.projection.head", "time, first point", "a projection to k dimensions takes roughly bndk multiplications",
            Formula(b * n * d * k, "bndk"), lambda: b * total("projections", "mac") / 4 / h,
        ),
        Claim(
            "004.projection.constant", "time, first point", "ignoring the small constant h of bnd·d/h, we get bnd²",
            Formula(b * n * d**2, "bnd²"), lambda: (b * total("projections", "mac") / 4 / h).xreplace({h: sympy.Integer(1)}),
            Otherwise("all h heads, nothing ignored", lambda: b * total("projections", "mac") / 4),
            "the h heads of a projection take bnd² together, exactly",
        ),
        Claim(
            "004.projections", "time, first point", "three projections are applied: bnd² in order",
            Formula(3 * b * n * d**2, "3bnd²"), lambda: b * total("projections", "mac") * sympy.Rational(3, 4),
            Otherwise("with the output projection", lambda: b * total("projections", "mac")),
            "the output projection, a fourth of the same size, is left out",
        ),
        Claim(
            "004.scores", "time, second point", "queries by keys involves bkn² multiplications",
            Formula(b * k * n**2, "bkn²"), lambda: _products() / 2 / h,
            Otherwise("all h heads", lambda: _products() / 2), "for each head; the heads together take bdn²",
        ),
        Claim(
            "004.values", "time, second point", "weights by values also involves bkn² multiplications",
            Formula(b * k * n**2, "bkn²"), lambda: _products() / 2 / h,
            Otherwise("all h heads", lambda: _products() / 2), "for each head; the heads together take bdn²",
        ),
        Claim(
            "004.sum", "time, third point", "the sum is bnd² + bkn²",
            Formula(b * n * d**2 + b * k * n**2, "bnd² + bkn²"),
            lambda: order(b * total("projections", "mac")).expression + order(_products() / h).expression,
            Otherwise("all h heads", lambda: order(_all()).expression),
            "projections with h ignored and products of one head: over all heads the second term is bdn²",
        ),
        Claim(
            "004.total", "time, third point", "with k ≈ d we would have bnd² + bdn²",
            Formula(b * n * d**2 + b * d * n**2, "bnd² + bdn²"), lambda: order(_all()).expression,
        ),
    )  # fmt: skip


def _conclusion() -> tuple[Claim, ...]:
    return (
        Claim(
            "004.first", "time", "if d >> n the first term dominates the second (n = d/100)",
            Says("dominates"), partial(_dominates, sympy.Rational(1, 100)),
        ),
        Claim(
            "004.quadratic.n", "conclusion", "the commonly reported complexity, without projections, is quadratic in n only",
            Exactly((2, 1)), lambda: _degrees(_products()),
        ),
        Claim(
            "004.quadratic.both", "conclusion", "the overall work is quadratic both in d and in n",
            Exactly((2, 2)), lambda: _degrees(_all()),
        ),
    )  # fmt: skip


def _dominates(ratio: sympy.Rational) -> tuple[bool, str]:
    share = sympy.cancel((_products() / (_all() - _products())).xreplace({n: ratio * d}))
    return share < sympy.Rational(1, 10), f"the products take {float(share):.2%} of the projections"


def _degrees(expression: sympy.Expr) -> tuple[int, int]:
    polynomial = sympy.expand(expression)
    return int(sympy.degree(polynomial, n)), int(sympy.degree(polynomial, d))
