"""M. Brenndoerfer (2025): efficient variants, Out[25], and the summary."""

from functools import partial
from typing import Any

import sympy

from attometer.count import count, order
from attometer.ledger.checks import Exactly, Near, Rounded, Row, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.programs import at, d, entries, flash_tile, h, n, term
from attometer.mechanisms import mechanism

_LENGTH, _WIDTH, _WINDOW = 16384, 768, 256
_OUT25: tuple[tuple[str, str, int, str, dict[str, int]], ...] = (
    ("standard", "attention", 206_158_430_208, "1.0", {}),
    ("linear", "linear_attention", 9_663_676_416, "21.3", {}),
    ("sparse", "sparse_attention", 1_610_612_736, "128.0", {"k": 128}),
    ("window", "sparse_attention", 3_221_225_472, "64.0", {"k": _WINDOW}),
)


def claims() -> tuple[Claim, ...]:
    """Return the claims about variants."""
    return (*_orders(), *_restructured(), *_table(), *_around_the_table(), *_summary())


def order_in_n(name: str, of: str = "work", **parameters: Any) -> str:
    """Return how a mechanism of the catalogue grows with the length."""
    return str(count(mechanism(name, **parameters)).order("n", of=of))


def _orders() -> tuple[Claim, ...]:
    linear = tuple(
        Claim(
            f"001.variants.{name}", "Efficient Attention Variants", f"{title}: linear complexity, O(n)",
            Exactly("O(n)"), partial(order_in_n, name),
        )
        for name, title in (
            ("linformer", "Linformer"),
            ("performer", "Performer"),
            ("linear", "Linear Transformer"),
            ("longformer", "Longformer"),
            ("bigbird", "BigBird"),
        )
    )  # fmt: skip
    return (
        *linear,
        Claim(
            "001.variants.learned", "Sparse Attention Patterns", "Sparse Transformers learn which positions to attend to",
            Says("learned"), _learned,
            why="the strided and fixed patterns of Child et al. (2019) are set in advance; nothing in them is learned",
        ),
        Claim(
            "001.variants.sparse", "Sparse Attention Patterns", "sparse attention reduces complexity to O(n·k)",
            Exactly(sympy.Symbol("k", integer=True, positive=True) * n * d), lambda: term("sparse_attention"),
        ),
        Claim(
            "001.variants.window", "Sparse Attention Patterns", "with a local window of 256 tokens effectively linear in n",
            Exactly("O(n)"), partial(order_in_n, "sliding_window", w=_WINDOW),
        ),
    )  # fmt: skip


def _restructured() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.variants.flash", "Memory and Caching Approaches", "Flash Attention: the same result with less memory",
            Says("less"), _flash,
        ),
        Claim(
            "001.variants.checkpointing", "Memory and Caching Approaches", "gradient checkpointing trades computation for memory",
            Says("less memory"), _checkpointing,
        ),
        Claim(
            "001.variants.cache", "Memory and Caching Approaches", "KV caching avoids recomputation during generation",
            Says("avoids"), _decoding,
        ),
    )  # fmt: skip


def _flash() -> tuple[bool, str]:
    words = flash_tile(_LENGTH)
    scores = at(entries("attention", "S"), h=1, n=_LENGTH)
    return words < scores, f"a tile of {words:,} words in place of {int(scores):,} scores at n={_LENGTH:,}"


def _checkpointing() -> tuple[bool, str]:
    held = count(mechanism("softmax")).memory
    assert held is not None
    return order(held.checkpointed, "n") != order(
        held.saved, "n"
    ), f"{held.checkpointed} entries in place of {held.saved}"


def _decoding() -> tuple[bool, str]:
    whole, step = count(mechanism("softmax")).order("n"), count(mechanism("decode")).order("m")
    return str(whole) == "O(n^2)" and str(step) == "O(m)", f"{step} for a token with m in the cache, {whole} without it"


def _learned() -> tuple[bool, str]:
    patterns = [mechanism(f"sparse_transformer_{kind}").program for kind in ("strided", "fixed")]
    weights = [tensor.name for pattern in patterns for tensor in pattern.weights]
    masks = [
        line.split(" where ")[1].strip()
        for pattern in patterns
        for line in str(pattern).splitlines()
        if " where " in line
    ]
    return bool(weights), f"no weights in {' or '.join(masks)}"


def variant(name: str, sizes: dict[str, int]) -> sympy.Expr:
    """Return the article's cost of a variant: the leading term of one product, at n=16,384, d=768."""
    return at(term(name), h=1, n=_LENGTH, d=_WIDTH, **sizes)


def _table() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"001.out25.{label}", "Out[25]", f"{label} at n=16,384, d=768: FLOPs and speedup",
            Row(Exactly(printed), Rounded(speedup, suffix="x")), partial(_compared, name, sizes),
        )
        for label, name, printed, speedup, sizes in _OUT25
    )  # fmt: skip


def _compared(name: str, sizes: dict[str, int]) -> tuple[sympy.Expr, sympy.Expr]:
    return variant(name, sizes), _speedup(name, sizes)


def _speedup(name: str, sizes: dict[str, int]) -> sympy.Expr:
    return sympy.Rational(variant("attention", {}), variant(name, sizes))


def _speedup_by_heads(heads: int) -> sympy.Expr:
    """Return the speedup of linear attention when each of `heads` heads has its own sum of keys and values."""
    linear = count(mechanism("linear")).flops("mac")
    softmax = count(mechanism("softmax")).flops("mac")
    sizes = {"b": 1, "h": heads, "g": heads, "n": _LENGTH, "m": _LENGTH, "d": _WIDTH // heads, "e": _WIDTH // heads}
    return sympy.Rational(at(softmax, **sizes), at(linear, **sizes))


def _around_the_table() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.out25.text.standard", "below Out[25]", "standard attention at 16K tokens: over 200 billion operations",
            Near("200", unit=10**9, suffix=" billion", word="over"), partial(variant, "attention", {}),
        ),
        Claim(
            "001.out25.text.linear", "below Out[25]", "linear attention achieves roughly a 21x speedup",
            Rounded("21", suffix="x"), partial(_speedup, "linear_attention", {}),
            Otherwise("12 heads of 64, as GPT-2 has", partial(_speedup_by_heads, 12)),
            "nd² takes one head as wide as the model; h heads cost nd²/h",
        ),
        Claim(
            "001.out25.text.k", "below Out[25]", "k = √n ≈ 128",
            Exactly(128), lambda: sympy.sqrt(_LENGTH),
        ),
        Claim(
            "001.out25.text.similar", "below Out[25]", "sparse attention achieves similar gains (to 21x)",
            Rounded("21", suffix="x"), partial(_speedup, "sparse_attention", {"k": 128}),
            why="its own table prints 128.0x, six times as much",
        ),
        Claim(
            "001.out25.text.window", "below Out[25]", "windowed attention provides approximately 64x speedup",
            Rounded("64", suffix="x"), partial(_speedup, "sparse_attention", {"k": _WINDOW}),
        ),
    )  # fmt: skip


def _summary() -> tuple[Claim, ...]:
    return (
        Claim(
            "001.summary.time", "Summary", "self-attention requires O(n² d) operations",
            Exactly(n**2 * d), lambda: at(term("attention"), h=1),
        ),
        Claim(
            "001.summary.memory", "Summary", "storing attention matrices requires O(h·n²) memory",
            Exactly(h * n**2), lambda: entries("attention", "S"),
        ),
    )  # fmt: skip
