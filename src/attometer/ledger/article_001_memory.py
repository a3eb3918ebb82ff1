"""M. Brenndoerfer (2025): attention memory, Out[9] and the text around it."""

from functools import partial
from typing import NamedTuple

import sympy

from attometer.ledger.checks import Exactly, Rounded, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import at, d, entries, h, n

GIB, GB = 2**30, 10**9
_FP16, _FP32 = 2, 4


class Shape(NamedTuple):
    """A model of the article: heads, head width and layers."""

    heads: int
    width: int
    layers: int


SMALL, MEDIUM, LARGE = Shape(12, 64, 12), Shape(16, 64, 24), Shape(20, 64, 36)
_OUT9 = (
    ("Small", SMALL, 512, "0.11"),
    ("Small", SMALL, 2048, "1.27"),
    ("Small", SMALL, 8192, "18.56"),
    ("Medium", MEDIUM, 512, "0.28"),
    ("Medium", MEDIUM, 2048, "3.38"),
    ("Medium", MEDIUM, 8192, "49.50"),
)


def claims() -> tuple[Claim, ...]:
    """Return the claims about memory."""
    return (*_formulas(), *_table(), *_around_the_table(), *_heatmap())


def matrices(shape: Shape, length: int, size: int = _FP16) -> sympy.Expr:
    """Return the bytes of the attention matrices of all heads and layers."""
    return shape.layers * size * at(entries("attention", "S"), h=shape.heads, n=length)


def held(shape: Shape, length: int, size: int = _FP16) -> sympy.Expr:
    """Return the bytes that the article's `attention_memory_gb` counts: Q, K, V, matrices and output, every layer."""
    tensors = sum(entries("attention", name) for name in "QKVSO")
    return shape.layers * size * at(tensors, h=shape.heads, n=length, d=shape.width)


def _formulas() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.memory.fp32", "Attention Matrix Storage", "M_attn = 4·h·n² bytes in fp32",
            Exactly(4 * h * n**2), lambda: _FP32 * entries("attention", "S"),
        ),
        Claim(
            "001.memory.fp16", "Attention Matrix Storage", "in fp16 this halves to 2·h·n² bytes",
            Exactly(2 * h * n**2), lambda: _FP16 * entries("attention", "S"),
        ),
        Claim(
            "001.memory.quadruple", "Attention Matrix Storage", "doubling the sequence length quadruples the memory",
            Exactly(4), lambda: matrices(SMALL, 2048) / matrices(SMALL, 1024),
        ),
        Claim(
            "001.memory.qkv", "Total Memory Breakdown", "Q, K, V: each n × d, 3nd elements",
            Exactly(3 * n * d), lambda: at(sum(entries("attention", name) for name in "QKV"), h=1),
        ),
        Claim(
            "001.memory.scores", "Total Memory Breakdown", "attention scores: n² per head, h·n² in total",
            Exactly(h * n**2), lambda: entries("attention", "P"),
        ),
        Claim(
            "001.memory.output", "Total Memory Breakdown", "output before projection: n × d elements",
            Exactly(n * d), lambda: at(entries("attention", "O"), h=1),
        ),
        Claim(
            "001.memory.unit", "In[8]", "bytes divided by 1024³ are printed as GB: GPT-2 Small at 8,192 takes 18.56 GB",
            Rounded("18.56", GIB), partial(held, SMALL, 8192),
            Otherwise("GB of 10^9 bytes, as In[16] counts them", lambda: held(SMALL, 8192) * sympy.Rational(GIB, GB)),
            "In[8] divides by 2^30 and In[16] multiplies by 10^9, both under the name GB",
        ),
        Claim(
            "001.memory.linear", "Key Parameters", "more layers and larger batches take memory in proportion",
            Exactly(2), lambda: held(Shape(12, 64, 24), 1024) / held(SMALL, 1024),
        ),
    )  # fmt: skip


def _table() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"001.out9.{name.lower()}.{length}", "Out[9]", f"GPT-2 {name} at {length:,} tokens, fp16: memory (GB)",
            Rounded(printed, GIB), partial(held, shape, length),
        )
        for name, shape, length, printed in _OUT9
    )  # fmt: skip


def _around_the_table() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.out9.sixteen", "below Out[9]", "GPT-2 Small from 512 to 2048 tokens: roughly 16x",
            Rounded("16", suffix="x"), lambda: held(SMALL, 2048) / held(SMALL, 512),
            why="only the matrices grow 16x; Q, K, V and the output, which its code counts, grow 4x",
        ),
        Claim(
            "001.out9.from", "below Out[9]", "from ~0.2 GB at 512 tokens",
            Rounded("0.2", GIB, " GB"), partial(held, SMALL, 512), why="its own table prints 0.11",
        ),
        Claim(
            "001.out9.to", "below Out[9]", "to ~3 GB at 2048 tokens",
            Rounded("3", GIB, " GB"), partial(held, SMALL, 2048),
            why="its own table prints 1.27; 3.38 is GPT-2 Medium",
        ),
        Claim(
            "001.out9.medium", "below Out[9]", "for GPT-2 Medium the numbers are even larger",
            Says("larger"), lambda: _larger(held(MEDIUM, 2048), held(SMALL, 2048)),
        ),
        Claim(
            "001.out9.only", "below Out[9]", "these estimates cover only attention matrices (GPT-2 Small, 512: 0.11 GB)",
            Rounded("0.11", GIB, " GB"), partial(matrices, SMALL, 512),
            why="In[8] adds Q, K, V and the output, a third of the 0.11 at 512 tokens",
        ),
    )  # fmt: skip


def _larger(one: sympy.Expr, other: sympy.Expr) -> tuple[bool, str]:
    return one > other, f"×{float(one / other):.2f}"


def _heatmap() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.out10.order", "below Out[10]", "memory grows quadratically with sequence length",
            Exactly(2), lambda: sympy.degree(sum(entries("attention", name) for name in "QKVSO"), n),
        ),
        Claim(
            "001.out10.impact", "below Out[10]",
            "doubling from 2048 to 4096 tokens has a larger impact than moving from GPT-2 Small to GPT-2 Large",
            Says("larger"), _impact, why="Large has 5 times the head-layers of Small; against Medium it is true",
        ),
    )  # fmt: skip


def _impact() -> tuple[bool, str]:
    longer = held(SMALL, 4096) / held(SMALL, 2048)
    wider = held(LARGE, 2048) / held(SMALL, 2048)
    return longer > wider, f"×{float(longer):.2f} for twice the length, ×{float(wider):.2f} for Large"
