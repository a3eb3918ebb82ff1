"""M. Brenndoerfer (2025): interactions, the three stages, and the FLOP table Out[6]."""

from functools import partial
from typing import Any

import sympy

from attometer.count.model_cost import model_cost
from attometer.ledger.checks import Exactly, Near, Rounded, Row, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import at, cost, d, entries, h, n, row, total
from attometer.models import model

_OUT6 = (
    (128, 25_214_976, "0.025"),
    (512, 403_439_616, "0.403"),
    (1024, 1_613_758_464, "1.614"),
    (2048, 6_455_033_856, "6.455"),
    (4096, 25_820_135_424, "25.820"),
    (8192, 103_280_541_696, "103.281"),
)


def claims() -> tuple[Claim, ...]:
    """Return the claims about interactions and operations."""
    return (*_interactions(), *_stages(), *_totals(), *_function(), *_table(), *_around_the_table())


def flops(length: int, width: int = 768) -> sympy.Expr:
    """Return what the article's `attention_flops` returns: multiplications of both products and 3 per score."""
    return total("attention", "article", h=1, n=length, d=width)


def _pairs(length: int) -> sympy.Expr:
    return at(entries("attention", "S"), h=1, n=length)


def _interactions() -> tuple[Claim, ...]:
    grids = tuple(
        Claim(
            f"001.out2.{length}", "Out[2]", f"n={length}: {length**2} interactions",
            Exactly(length**2), partial(_pairs, length),
        )
        for length in (8, 16, 32)
    )  # fmt: skip
    talks = tuple(
        Claim(
            f"001.room.{people}",
            "The Quadratic Bottleneck",
            f"everyone talks with everyone else: {people} people, {people**2:,} conversations",
            Exactly(people**2),
            partial(_pairs, people),
            Otherwise("with everyone else: nobody talks to themselves", partial(_others, people)),
            "attention pairs a token with itself too; in the room of the analogy nobody is their own partner",
        )
        for people in (10, 100)
    )
    return (*grids, *talks)


def _others(people: int) -> sympy.Expr:
    return _pairs(people) - people


def _per_entry(quantity: str) -> sympy.Expr:
    part = row("fused_matmul", "D")
    adds = part.work - part.macs
    return sympy.cancel((part.macs if quantity == "multiplications" else adds) / part.entries)


def _stages() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.scores.shape", "Stage 1", "n rows and n columns: an n × n grid of scores",
            Exactly(n**2), lambda: at(entries("attention", "S"), h=1),
        ),
        Claim(
            "001.scores.entry", "Stage 1", "each entry requires d_k multiplications and d_k - 1 additions",
            Row(Exactly(d), Exactly(d - 1)), lambda: (_per_entry("multiplications"), _per_entry("additions")),
        ),
        Claim(
            "001.scores.total", "Stage 1", "with n² entries the total operation count is n²·d_k",
            Exactly(n**2 * d), lambda: row("fused_matmul", "D").macs,
            Otherwise("additions counted too", lambda: row("fused_matmul", "D").work),
            "the sentence before counts multiplications and additions; n²·d_k is the multiplications alone",
        ),
        Claim(
            "001.scores.double", "Stage 1, note", "total FLOPs is roughly double the multiplications (d_k = 64)",
            Rounded("2"), lambda: total("fused_matmul", "unit", n=1024, d=64) / total("fused_matmul", "mac", n=1024, d=64),
        ),
        Claim(
            "001.softmax.row", "Stage 2", "each row requires approximately 3n operations (exponentiate, sum, divide)",
            Exactly(3 * n), lambda: total("softmax", "article"),
            Otherwise("every operation, maximum and its subtraction included", lambda: cost("softmax").work),
            "three operations a score leave out the row maximum and its subtraction, which every stable softmax does",
        ),
        Claim(
            "001.softmax.order", "Stage 2", "with n rows the softmax total is O(n²)",
            Exactly("O(n^2)"), lambda: str(_order(_softmax_work())),
        ),
        Claim(
            "001.softmax.small", "Stage 2", "softmax is dominated by the score computation when d_k is large",
            Says("dominated"), lambda: _small(at(_softmax_work() / total("attention", "unit", h=1), n=1024, d=64)),
        ),
        Claim(
            "001.output.total", "Stage 3", "each of n·d_v outputs needs n multiply-accumulates: n²·d_v in total",
            Exactly(n**2 * d), lambda: at(row("attention", "O").macs, h=1),
        ),
        Claim(
            "001.output.equal", "Stage 3", "this step is just as expensive as score computation",
            Exactly(h * n**2 * d), lambda: row("attention", "S.product").macs,
        ),
    )  # fmt: skip


def _softmax_work() -> sympy.Expr:
    return sum(part.work for part in cost("attention").rows if part.name.startswith("P")).xreplace(
        {h: sympy.Integer(1)}
    )


def _order(expression: sympy.Expr) -> Any:
    from attometer.count import order

    return order(expression)


def _small(share: sympy.Expr) -> tuple[bool, str]:
    return share < sympy.Rational(1, 10), f"{float(share):.1%} of the operations at n=1024, d_k=64"


def _totals() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.total.order", "Putting It Together", "O(n²(d_k + d_v)) = O(n² d)",
            Exactly("O(d n^2)"), lambda: str(_order(total("attention", "flop", h=1))),
        ),
        Claim(
            "001.total.heads", "Putting It Together", "across h heads of d/h dimensions the total scales with the full d",
            Exactly(2 * n**2 * d), lambda: cost("attention").flops("mac").xreplace({d: d / h}),
        ),
        Claim(
            "001.scaling.n", "The Scaling Insight", "doubling n quadruples the computation",
            Exactly(4), lambda: sympy.Rational(flops(2048), flops(1024)),
        ),
        Claim(
            "001.scaling.d", "The Scaling Insight", "doubling d only doubles the computation",
            Rounded("2.0"), lambda: sympy.Rational(flops(1024, 1536), flops(1024, 768)),
        ),
        Claim(
            "001.scaling.thousand", "The Scaling Insight", "at n=1000, d=768 the n² = 1,000,000 factor far exceeds d",
            Says("far exceeds"), lambda: (_pairs(1000) > 768 * 100, f"{int(_pairs(1000)):,} against 768"),
        ),
    )  # fmt: skip


def _function() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.in4.multiplications", "In[4], docstring", "returns FLOPs (counting multiplications only)",
            Exactly(2 * n**2 * d + 3 * n**2), lambda: total("attention", "mac", h=1),
            why="the 3n² are exponentials, additions and divisions; multiplications only would be 2n²d",
        ),
        Claim(
            "001.in4.exact", "Implementation", "calculates the exact number of floating-point operations",
            Exactly(2 * n**2 * d + 3 * n**2), lambda: total("attention", "article", h=1),
            Otherwise("every operation", lambda: total("attention", "flop_all", h=1)),
            "half of the operations of a matrix product are additions, which it leaves out",
        ),
        Claim(
            "001.in4.projections", "In[4]", "Q, K, V projections 3·n·d², output projection n·d²",
            Exactly(4 * n * d**2), lambda: total("projections", "mac"),
        ),
    )  # fmt: skip


def _table() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"001.out6.{length}", "Out[6]", f"attention FLOPs at n={length:,}, d=768; in billions",
            Row(Exactly(printed), Rounded(billions, unit=10**9)), partial(_twice, length),
        )
        for length, printed, billions in _OUT6
    )  # fmt: skip


def _twice(length: int) -> tuple[sympy.Expr, sympy.Expr]:
    return flops(length), flops(length)


def _around_the_table() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.out6.text128", "below Out[6]", "at length 128 attention requires roughly 25 million operations",
            Rounded("25", 10**6, " million"), partial(flops, 128),
        ),
        Claim(
            "001.out6.text1024", "below Out[6]", "by 1024 tokens over 1.6 billion operations",
            Near("1.6", 10**9, word="over", suffix=" billion"), partial(flops, 1024),
        ),
        Claim(
            "001.out6.text8192", "below Out[6]", "at 8192 tokens this jumps to nearly 100 billion operations",
            Near("100", 10**9, word="nearly", suffix=" billion"), partial(flops, 8192),
            why="its own table prints 103.281: more than 100 billion",
        ),
        Claim(
            "001.out6.layers", "below Out[6]", "these numbers are per layer: a 12-layer transformer multiplies by 12",
            Exactly(12), _layers_of_gpt2,
        ),
        Claim(
            "001.out7.exponential", "Out[7], alternative text", "exponential growth of FLOPs from 128 to 8192",
            Says("exponential growth"), _growth,
            why="the count is a polynomial of degree 2 in n",
        ),
        Claim(
            "001.out7.quadruple", "below Out[7]", "512 to 1024 quadruples the computation, 1024 to 2048 again",
            Row(Exactly(4), Exactly(4)), lambda: (flops(1024) / flops(512), flops(2048) / flops(1024)),
        ),
        Claim(
            "001.out7.edge", "below Out[7]", "at the right edge nearly 100 billion operations for a single layer",
            Near("100", 10**9, word="nearly", suffix=" billion"), partial(flops, 8192),
            why="103.281 billion, more than 100",
        ),
    )  # fmt: skip


def _layers_of_gpt2() -> sympy.Expr:
    """Return the products of attention in GPT-2 Small, read from its configuration, over those of one layer of the text."""
    read = sum(
        row.layers * p.flops
        for row in model_cost(model("gpt2"), causal="full").layers
        for p in row.parts
        if p.name == "attention"
    )
    return sympy.cancel(at(read, b=1, n=1024, m=1024) / total("attention", "flop", h=12, n=1024, d=64))


def _growth() -> tuple[bool, str]:
    count = total("attention", "article", h=1, d=768)
    polynomial = count.is_polynomial(n)
    return not polynomial, f"polynomial of degree {sympy.degree(count, n)} in n"
