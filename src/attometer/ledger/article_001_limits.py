"""M. Brenndoerfer (2025): what fits a GPU and how long it takes, Out[17] and Out[19]."""

from functools import partial
from math import ceil, isqrt, sqrt

import sympy

from attometer.engines.recipe import recipe
from attometer.ledger.article_001_memory import GB, GIB, SMALL, Shape, matrices
from attometer.ledger.checks import Between, Check, Exactly, Rounded, Row, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import row, total
from attometer.machine import machine

_OUT17 = (
    ("RTX 3090", "rtx-3090", 24, 7_637),
    ("A100 40GB", "a100-40gb-sxm", 40, 9_860),
    ("A100 80GB", "a100-80gb-sxm", 80, 13_944),
    ("H100 80GB", "h100-sxm", 80, 13_944),
)
_OUT19 = (
    (512, "0.03", "15,894,572"),
    (1024, "0.13", "7,947,286"),
    (2048, "0.52", "3,973,643"),
    (4096, "2.06", "1,986,821"),
    (8192, "8.25", "993,411"),
    (16384, "32.99", "496,705"),
    (32768, "131.94", "248,353"),
)
# the article's own figure for an A100 in this table
_OPERATIONS_PER_SECOND = 150 * 10**12


def claims() -> tuple[Claim, ...]:
    """Return the claims about memory limits and time."""
    return (*_one_layer(), *_longest(), *_code(), *_times(), *_around_the_times())


def _one_layer() -> tuple[Claim, ...]:
    layer = Shape(SMALL.heads, SMALL.width, 1)
    decimal = sympy.Rational(GIB, GB)
    why = "12 × 8192² × 2 bytes are 1.5 GiB; the next listing takes a GB as 10^9 bytes"
    return (
        Claim(
            "001.limits.gpus", "GPU Memory Constraints", "modern GPUs have 16 GB to 80 GB (the largest of H100, H200, MI300X and B200)",
            Between("16 GB to 80 GB", 16, 80, GB, " GB"), _largest_memory,
            why="the H200 (141 GB), the MI300X and the B200 were on sale when the article was updated",
        ),
        Claim(
            "001.limits.layer", "GPU Memory Constraints", "one layer of 12 heads at 8192 tokens in fp16 takes ≈ 1.5 GB",
            Rounded("1.5", GIB, " GB"), partial(matrices, layer, 8192),
            Otherwise("GB of 10^9 bytes", lambda: matrices(layer, 8192) * decimal), why,
        ),
        Claim(
            "001.limits.model", "GPU Memory Constraints", "for a 12-layer model approximately 18 GB of attention matrices",
            Rounded("18", GIB, " GB"), partial(matrices, SMALL, 8192),
            Otherwise("GB of 10^9 bytes", lambda: matrices(SMALL, 8192) * decimal), why,
        ),
        Claim(
            "001.limits.adam", "GPU Memory Constraints", "optimizer states are often 2x the model size for Adam",
            Rounded("2", suffix="x"), lambda: _adam("adamw-fp32"),
            Otherwise("beside 16-bit weights", lambda: _adam("adamw")), "two fp32 states for each weight, which itself may have 2 bytes",
        ),
    )  # fmt: skip


def _adam(name: str) -> sympy.Rational:
    """Return the bytes of Adam's states over those of the weights, by a training recipe."""
    used = recipe(name)
    return sympy.Rational(int(used.states), 4 if used.weights == "fp32" else 2)


def _largest_memory() -> int:
    return max(machine(name).memory_bytes for name in ("h100-sxm", "h200-sxm", "mi300x", "b200"))


def longest(hardware: str, shape: Shape = SMALL) -> int:
    """Return the length at which the attention matrices fill 70 % of a GPU's memory (GB of 10^9 bytes)."""
    room = sympy.Rational(7, 10) * machine(hardware).memory_bytes
    return isqrt(int(room / matrices(shape, 1)))


def _longest() -> tuple[Claim, ...]:
    rows = tuple(
        Claim(
            f"001.out17.{hardware}", "Out[17]", f"{name}: memory (GB) and maximum sequence length of GPT-2 Small",
            Row(Exactly(memory), Exactly(printed)), partial(_fits, hardware),
        )
        for name, hardware, memory, printed in _OUT17
    )  # fmt: skip
    texts = tuple(
        Claim(
            f"001.out17.text.{hardware}", "below Out[17]", f"{name} can handle approximately {tokens}K tokens",
            Rounded(tokens, 1000, "K"), partial(longest, hardware),
            why=f"its own table prints {printed}; {tokens}K is about what a single layer allows",
        )
        for name, hardware, tokens, printed in (
            ("an RTX 3090", "rtx-3090", "27", "7,637"),
            ("an A100 80GB", "a100-80gb-sxm", "50", "13,944"),
        )
    )  # fmt: skip
    return (*rows, *texts)


def _fits(hardware: str) -> tuple[int, int]:
    return machine(hardware).memory_bytes // GB, longest(hardware)


def _code() -> tuple[Claim, ...]:
    rate = Rounded("150", 10**12, " TFLOP/s")
    return (
        Claim(
            "001.in18.flops", "In[18]", "Q@K^T and attention@V take 2·n·n·d FLOPs per layer (n=32,768, d=768)",
            Exactly(2 * 32768**2 * 768), partial(total, "attention", "flop", h=1, n=32768, d=768),
            why="2n²d are multiply-accumulates; the article's own note counts 2 FLOPs for each, as peak rates do",
        ),
        Claim(
            "001.in18.rate", "In[18]", "an A100 runs at 150 TFLOPS (100 is called typical)",
            rate, lambda: _OPERATIONS_PER_SECOND,
            Otherwise("datasheet peak, dense bf16", lambda: machine("a100-80gb-sxm").peak_rate("bf16")),
            "a sustained rate without a source: 48 % of the peak",
        ),
    )  # fmt: skip


def milliseconds(length: int, convention: str = "mac") -> sympy.Expr:
    """Return the article's time of GPT-2 Small's attention: operations of 12 layers at 150 × 10^12 a second."""
    operations = SMALL.layers * total("attention", convention, h=1, n=length, d=768)
    return sympy.Rational(operations, _OPERATIONS_PER_SECOND) * 1000


def _times() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"001.out19.{length}", "Out[19]", f"GPT-2 Small at {length:,} tokens: time (ms) and tokens per second",
            Row(Rounded(time, suffix=" ms"), Rounded(rate)), partial(_timed, length, "mac"),
            Otherwise("2 FLOPs per multiply-accumulate", partial(_timed, length, "flop")),
            "multiply-accumulates divided by a rate in FLOP/s: every time is half of what the rate gives",
        )
        for length, time, rate in _OUT19
    )  # fmt: skip


def _timed(length: int, convention: str) -> tuple[sympy.Expr, sympy.Expr]:
    time = milliseconds(length, convention)
    return time, 1000 * length / time


def _around_the_times() -> tuple[Claim, ...]:
    digits: Check = Between("approaches double-digit ms", 9, 99, suffix=" ms")
    return (
        Claim(
            "001.out19.fraction", "below Out[19]", "at 512 tokens attention completes in a fraction of a millisecond",
            Says("a fraction of a millisecond"), lambda: (milliseconds(512) < 1, f"{float(milliseconds(512)):.3f} ms"),
        ),
        Claim(
            "001.out19.digits", "below Out[19]", "at 32K tokens attention alone approaches double-digit milliseconds",
            digits, lambda: milliseconds(32768), why="its own table prints 131.94 ms; double digits come at 16K",
        ),
        Claim(
            "001.out19.training", "below Out[19]", "during training multiply these times by roughly 3x",
            Rounded("3", suffix="x"), _training, Otherwise("scores computed again, as FlashAttention does", _recomputing),
        ),
        Claim(
            "001.out19.quadratic", "below Out[20]", "processing time is quadratic in length",
            Exactly(4), lambda: milliseconds(32768) / milliseconds(16384),
        ),
        Claim(
            "001.out20.crossings", "below Out[20]", "the time crosses 100 ms, then 1 second, as the length grows",
            Says("crosses 100 ms, then 1 s"), _crossings, why="the curve that is drawn ends at 32,768 tokens, before the second",
        ),
    )  # fmt: skip


def _crossings() -> tuple[bool, str]:
    first, second = (ceil(sqrt(limit / milliseconds(1))) for limit in (100, 1000))
    crossed = (
        milliseconds(first - 1) < 100 <= milliseconds(first) < milliseconds(second - 1) < 1000 <= milliseconds(second)
    )
    return bool(crossed), f"at {first:,} and at {second:,} tokens"


def _training() -> sympy.Expr:
    """Return forward and backward multiplications over those of forward."""
    forward, backward = total("attention", "mac"), total("attention_backward", "mac")
    return sympy.cancel((forward + backward) / forward)


def _recomputing() -> sympy.Expr:
    return _training() + sympy.cancel(row("attention", "S.product").macs / total("attention", "mac"))
