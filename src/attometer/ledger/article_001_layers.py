"""M. Brenndoerfer (2025): the shares of a transformer layer, Out[22], and where attention takes over."""

from functools import partial

import sympy

from attometer.count.model_cost import model_cost
from attometer.ledger.checks import Between, Exactly, Rounded, Row, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import at, d, n, total
from attometer.machine import machine
from attometer.models import from_values, model

_WIDTH = 768
_OUT22 = (
    (256, "5.3", "31.6", "63.2"),
    (512, "10.0", "30.0", "60.0"),
    (1024, "18.2", "27.3", "54.5"),
    (2048, "30.8", "23.1", "46.2"),
    (4096, "47.1", "17.6", "35.3"),
)


def claims() -> tuple[Claim, ...]:
    """Return the claims about the parts of a layer."""
    return (*_table(), *_around_the_table(), *_crossovers(), *_parameters())


def _parts() -> tuple[sympy.Expr, sympy.Expr, sympy.Expr]:
    """Return the multiplications of attention proper, its projections and the feed-forward network."""
    attention = total("attention", "mac", h=1)
    return attention, total("projections", "mac"), total("feed_forward", "mac")


def shares(length: int) -> tuple[sympy.Expr, ...]:
    """Return the percentages of attention, projections and feed-forward network at d = 768."""
    parts = [at(part, n=length, d=_WIDTH) for part in _parts()]
    return tuple(100 * part / sum(parts) for part in parts)


def _table() -> tuple[Claim, ...]:
    rows = tuple(
        Claim(
            f"001.out22.{length}", "Out[22]", f"n={length}, d=768: attention, projections, FFN",
            Row(*(Rounded(share, suffix="%") for share in printed)), partial(shares, length),
        )
        for length, *printed in _OUT22
    )  # fmt: skip
    network = Claim(
        "001.in21.ffn", "In[21]", "the feed-forward network costs 2·n·d·4d",
        Exactly(8 * n * d**2), lambda: total("feed_forward", "mac"),
    )  # fmt: skip
    return (network, *rows)


def _share(length: int, part: int) -> sympy.Expr:
    return shares(length)[part]


def _around_the_table() -> tuple[Claim, ...]:
    def says(name: str, statement: str, printed: str, length: int, part: int, why: str = "") -> Claim:
        return Claim(
            f"001.out22.{name}", "below Out[22]", statement, Rounded(printed, suffix="%"), partial(_share, length, part),
            why=why,
        )  # fmt: skip

    return (
        says("attention256", "at 256 tokens attention accounts for only about 5%", "5", 256, 0),
        says("ffn256", "at 256 tokens the feed-forward network is around 69%", "69", 256, 2, "its own table prints 63.2%"),
        says("attention1024", "by 1024 tokens attention grows to roughly 17%", "17", 1024, 0, "its own table prints 18.2%"),
        says("attention4096", "at 4096 tokens it reaches approximately 45%", "45", 4096, 0, "its own table prints 47.1%"),
        Claim(
            "001.out22.nearly", "below Out[22]", "at 4096 tokens attention is nearly matching the FFN",
            Says("nearly matches"), _nearly, why="its own table has attention at 47.1% and the network at 35.3%",
        ),
        Claim(
            "001.out22.stable", "below Out[22]", "the share of projections remains relatively stable, as they are linear in n",
            Says("stable"), _stable, why="what is linear in n loses its share to what is quadratic",
        ),
        Claim(
            "001.out23.caption", "Out[23], alternative text", "attention grows from 20% to 50% (256 to 4096 tokens)",
            Row(Rounded("20", suffix="%"), Rounded("50", suffix="%")), lambda: (_share(256, 0), _share(4096, 0)),
            why="its own table has 5.3% and 47.1%",
        ),
    )  # fmt: skip


def _nearly() -> tuple[bool, str]:
    attention, _, network = shares(4096)
    return attention < network, f"attention {float(attention):.1f}%, FFN {float(network):.1f}%"


def _stable() -> tuple[bool, str]:
    first, last = _share(256, 1), _share(4096, 1)
    return last > first * sympy.Rational(9, 10), f"from {float(first):.1f}% at 256 to {float(last):.1f}% at 4096"


def takes_over(rest: sympy.Expr) -> int:
    """Return the length from which attention proper costs more than `rest`, at d = 768."""
    return int(
        next(root for root in sympy.solve((_parts()[0] - rest).xreplace({d: sympy.Integer(_WIDTH)}), n) if root != 0)
    )


def _crossovers() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.limits.negligible", "Limitations", "at a few hundred tokens attention is negligible next to the network (n=256)",
            Says("negligible"), _negligible,
        ),
        Claim(
            "001.limits.crossover", "Limitations", "the crossover point occurs around 512-1024 tokens (attention = FFN, d=768)",
            Between("512-1024 tokens", 512, 1024, suffix=" tokens"), lambda: takes_over(_parts()[2]),
            why="attention equals the projections at n = 2d, the network at n = 4d and both at n = 6d",
        ),
        Claim(
            "001.summary.half", "Summary", "attention dominates at long contexts, consuming 50% or more of total FLOPs",
            Says("at some length"), _half,
        ),
        Claim(
            "001.bottleneck.everything", "The Attention Bottleneck",
            "attention often exceeds the feed-forward layers and everything else combined",
            Says("exceeds beyond some length"), _half,
        ),
    )  # fmt: skip


def _negligible() -> tuple[bool, str]:
    attention, _, network = shares(256)
    return attention < network / 10, f"{float(attention / network):.1%} of the network"


def _half() -> tuple[bool, str]:
    length = takes_over(_parts()[1] + _parts()[2])
    return _share(2 * length, 0) > 50, f"from n = {length:,} = {length // _WIDTH}d"


def _parameters() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.key.width", "Key Parameters", "model dimension: 768 (GPT-2 Small), 1024 (GPT-2 Medium)",
            Row(Exactly(768), Exactly(1024)), lambda: (model("gpt2").width, model("gpt2-medium").width),
        ),
        Claim(
            "001.key.depth", "In[8]", "GPT-2 Small has 12 layers, GPT-2 Medium 24",
            Row(Exactly(12), Exactly(24)), lambda: (model("gpt2").depth, model("gpt2-medium").depth),
        ),
        Claim(
            "001.key.layers", "Key Parameters", "a 24-layer model requires twice the resources of a 12-layer model",
            Exactly(2), lambda: _deeper(parts=False),
            Otherwise("the whole model, its embedding and head included", lambda: _deeper(parts=True)),
            "the layers double; the embedding and the head, which are not repeated, do not",
        ),
        Claim(
            "001.key.llama", "Key Parameters", "model dimension: 4096 (LLaMA 7B)", Exactly(4096), lambda: model("llama-2-7b").width,
        ),
        Claim(
            "001.in8.13b", "In[8]", "a 13B model: d = 5120, 40 heads, 40 layers (LLaMA 13B)",
            Row(Exactly(5120), Exactly(40), Exactly(40)), _thirteen,
        ),
        Claim(
            "001.key.throughput", "Key Parameters", "half precision often doubles throughput (A100: fp16 against tf32)",
            Exactly(2), lambda: _faster("tf32"),
        ),
    )  # fmt: skip


def _deeper(parts: bool) -> sympy.Expr:
    """Return the parameters of GPT-2 Small at 24 layers over those at 12: of its layers, or of the whole model."""
    small = model("gpt2")
    pair = [from_values({**small.values, "n_layer": layers}) for layers in (24, 12)]
    one = model_cost(small)
    outside = one.parameters - sum(row.layers * row.parameters for row in one.layers)
    return sympy.Rational(*(model_cost(read).parameters - (0 if parts else outside) for read in pair))


def _thirteen() -> tuple[int, int, int]:
    read = model("llama-2-13b")
    return read.width, read.values["num_attention_heads"], read.depth


def _faster(than: str) -> sympy.Expr:
    a100 = machine("a100-80gb-sxm")
    return sympy.Rational(a100.peak_rate("fp16"), a100.peak_rate(than))
