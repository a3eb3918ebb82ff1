"""The claims of datarekha, Why is standard self-attention O(n²) in sequence length, and how is it addressed?"""

from functools import partial

import sympy

from attometer.count import count, order
from attometer.ledger.checks import Between, Exactly, Formula, Rounded, Says
from attometer.ledger.claim import Claim, Otherwise, Source
from attometer.ledger.io_values import words
from attometer.ledger.programs import at, cost, d, entries, flash_tile, h, n, row, total
from attometer.machine import machine
from attometer.mechanisms import mechanism
from attometer.models import model

SOURCE = Source(
    id="003",
    title="Why is standard self-attention O(n^2) in sequence length, and how is it addressed?",
    author="datarekha",
    where="datarekha interview questions",
)
MIB, MB, GIB, GB = 2**20, 10**6, 2**30, 10**9


def claims() -> tuple[Claim, ...]:
    """Return the claims in the order of the answer."""
    return (*_scores(), *_cache(), *_methods())


def _matrix(length: int) -> sympy.Expr:
    """Return the bytes of one head's scores in fp32."""
    return 4 * at(entries("attention", "S"), h=1, n=length)


def _scores() -> tuple[Claim, ...]:
    return (
        Claim(
            "003.compute", "How to think about it", "computing QKᵀ requires O(n² d) multiply-accumulates",
            Exactly(n**2 * d), lambda: row("fused_matmul", "D").macs,
        ),
        Claim(
            "003.memory", "How to think about it", "storing it requires O(n²) memory",
            Exactly("O(n^2)"), lambda: str(order(at(entries("attention", "S"), h=1))),
        ),
        Claim(
            "003.stored", "The short answer", "an n-by-n score matrix that must be stored",
            Says("must be stored"), _must_be_stored,
            why="streamed key/value tiles (FlashAttention, which the answer lists) keep one tile of scores",
        ),
        Claim(
            "003.n4096", "How to think about it", "n = 4096 with 32-bit floats: 64 MB per head",
            Rounded("64", MIB, " MB"), partial(_matrix, 4096),
            Otherwise("MB of 10^6 bytes", lambda: _matrix(4096) * sympy.Rational(MIB, MB)),
            "64 MiB; the next figure takes GB as 10^9 bytes",
        ),
        Claim(
            "003.n32000", "Why it matters", "at n = 32000 the score matrix is ~4 GB per head",
            Rounded("4", GB, " GB"), partial(_matrix, 32000),
            Otherwise("GiB", lambda: _matrix(32000) * sympy.Rational(GB, GIB)),
        ),
        Claim(
            "003.infeasible", "Why it matters", "infeasible without approximation (n = 32000)",
            Says("infeasible"), _infeasible, why="FlashAttention is exact and needs no score matrix",
        ),
        Claim(
            "003.fine", "Why it matters", "at n = 1000 quadratic is fine",
            Says("fine"), lambda: (_matrix(1000) < 10**7, f"{float(_matrix(1000) / MB):.0f} MB per head"),
        ),
        Claim(
            "003.dominant", "How to think about it", "times heads and layers it becomes the dominant memory cost (GPT-2, n = 4096)",
            Says("dominant"), _dominant,
        ),
        Claim(
            "003.heads", "How to think about it", "multiply by h heads and N layers",
            Exactly(h * n**2), lambda: entries("attention", "S"),
        ),
    )  # fmt: skip


def _must_be_stored() -> tuple[bool, str]:
    short, long = flash_tile(4096), flash_tile(32768)
    return long > short, f"{long:,} words of fast memory hold a tile at n = 4,096 and at n = 32,768"


def _infeasible() -> tuple[bool, str]:
    scores, exact = _matrix(32000), 4 * at(row("attention", "O").entries, h=1, n=32000, d=64)
    return (
        exact > scores,
        f"exact attention without a score matrix writes {float(exact / MB):.1f} MB, not {float(scores / MB):,.0f}",
    )


def _dominant() -> tuple[bool, str]:
    small = model("gpt2")
    scores = 12 * small.depth * _matrix(4096)
    weights = 4 * sum(
        stack.count * part.copies * sum(tensor.size for tensor in part.program.weights)
        for stack in small.layers
        for part in stack.layer.parts
    )
    return (
        scores > weights,
        f"{float(scores / GB):.1f} GB of scores, {float(weights / GB):.2f} GB of weights in its layers",
    )


def _cache() -> tuple[Claim, ...]:
    return (
        Claim(
            "003.cache.token", "Why it matters", "the KV cache grows as O(n) per token generated",
            Exactly("O(n)"), lambda: str(_grown(cached(n + 1) - cached(n))),
            Otherwise("entries read for each token", lambda: str(_grown(cached(n)))),
            "each token adds the same 2gd entries; it is the reading of the cache that is O(n) per token",
        ),
        Claim(
            "003.cache.total", "Why it matters", "which is O(n²) total for a full generation",
            Exactly("O(n^2)"), lambda: str(_grown(cached(n))),
            Otherwise("entries read in all", lambda: str(_grown(_read_in_all()))),
            "the cache holds O(n) entries at the end; O(n²) entries are read in all",
        ),
    )  # fmt: skip


def cached(length: sympy.Expr) -> sympy.Expr:
    """Return the entries of the key/value cache of one layer at a length."""
    held = count(mechanism("decode")).memory
    assert held is not None
    return held.cache.xreplace({sympy.Symbol("m", integer=True, positive=True): length})


def _read_in_all() -> sympy.Expr:
    step = sympy.Symbol("t", integer=True, positive=True)
    return sympy.summation(sympy.expand(cached(step)), (step, 1, n))


def _grown(entries_held: sympy.Expr) -> object:
    return order(sympy.expand(entries_held), "n")


def _order(name: str, of: str = "work") -> str:
    return str(count(mechanism(name)).order("n", of=of))


def _methods() -> tuple[Claim, ...]:
    place = "Approaches to reduce cost"
    sparse = tuple(
        Claim(f"003.methods.{name}", place, f"sparse attention ({title}): O(n)", Exactly("O(n)"), partial(_order, name))
        for name, title in (("longformer", "Longformer"), ("bigbird", "BigBird"))
    )
    return (
        *sparse,
        Claim(
            "003.methods.flash.compute", place, "FlashAttention: O(n²) compute",
            Exactly("O(n^2)"), lambda: str(order(total("attention", "flop"), "n")),
        ),
        Claim(
            "003.methods.flash.memory", place, "FlashAttention: O(n) memory",
            Exactly("O(n)"), lambda: str(order(sum(entries("attention", name) for name in "QKVO"), "n")),
        ),
        Claim("003.methods.linear", place, "linear attention: O(n)", Exactly("O(n)"), partial(_order, "linear")),
        Claim(
            "003.methods.window", place, "sliding window of size w: O(n w)", Exactly("O(n w)"),
            lambda: str(count(mechanism("sliding_window")).order("n", "w")),
        ),
        Claim(
            "003.methods.positions.cheaper", place, "ALiBi / RoPE: O(n²) but cheaper constant (ALiBi)",
            Says("cheaper"), partial(_cheaper, "alibi", "disentangled"),
            Otherwise("than attention without positions", partial(_cheaper, "alibi", "softmax")),
            "learned relative positions cost products of their own, a bias one addition a score: more than none",
        ),
        Claim(
            "003.methods.positions.rope", place, "ALiBi / RoPE: O(n²) but cheaper constant (RoPE)",
            Says("cheaper"), partial(_cheaper, "rope", "disentangled"),
            Otherwise("than attention without positions", partial(_cheaper, "rope", "softmax")),
            "learned relative positions cost products of their own, a rotation a few operations an entry: more than none",
        ),
        Claim(
            "003.methods.alibi.score", place, "relative bias added at score level (ALiBi)",
            Says("at score level"), partial(_at_scores, "alibi"),
        ),
        Claim(
            "003.methods.rope.score", place, "relative bias added at score level (RoPE)",
            Says("at score level"), partial(_at_scores, "rope"),
            why="RoPE rotates queries and keys before their product",
        ),
        Claim(
            "003.methods.matrix", place, "ALiBi / RoPE: no extra matrix",
            Says("no n × n matrix more"), _no_extra_matrix,
        ),
        Claim(
            "003.speedup", "below the table", "FlashAttention: roughly 3–5× wall-clock speed-up over naive (A100, n = 4096, d = 64)",
            Between("3–5×", 3, 5, suffix="×"), partial(_speedup, 40),
            Otherwise("at 25 % of the peak rate", partial(_speedup, 25)),
            "naive words at full bandwidth over FlashAttention's products at its share of the peak, 25 to 40 % (Dao 2023, "
            "abstract); `attometer measure` times both on your machine",
        ),
        Claim(
            "003.methods.exact", "below the table", "FlashAttention has the same algorithmic complexity",
            Formula(n**2 * d * 2, "2n²d"), lambda: at(cost("attention").flops("mac"), h=1),
        ),
    )  # fmt: skip


def _cheaper(name: str, other: str) -> tuple[bool, str]:
    sizes = {"b": 1, "h": 8, "g": 8, "n": 4096, "m": 4096, "d": 64, "e": 64, "p": 512}
    beside, positioned = (at(count(mechanism(one)).work, **sizes) for one in (other, name))
    return positioned < beside, f"×{float(positioned / beside):.4f} of the operations of {other}"


def _speedup(percent: int) -> sympy.Rational:
    """Return the time of the naive nest, which is that of its words, over FlashAttention's at a share of the peak rate."""
    a100 = machine("a100-40gb-sxm")
    fast = int(a100.amount("memory.shared_memory")) // 2
    moved = sympy.Rational(2 * int(words("naive", 4096, 64, fast)), int(a100.amount("memory.bandwidth")))
    products = at(total("attention", "flop"), h=1, n=4096, d=64)
    return moved / (products / sympy.Rational(int(a100.peak_rate("fp16")) * percent, 100))


def _at_scores(name: str) -> tuple[bool, str]:
    """Compare the element-wise work on pairs of tokens with that of attention without positions."""
    positioned, plain = _work_on_pairs(name), _work_on_pairs("softmax")
    return positioned > plain, f"{positioned} element-wise operations a score, {plain} without positions"


def _work_on_pairs(name: str) -> sympy.Expr:
    parts = [part.work / part.entries for part in count(mechanism(name)).rows if part.kind == "map"]
    pairs = [part.entries for part in count(mechanism(name)).rows if part.kind == "map"]
    return sympy.Add(
        *(work for work, entries_made in zip(parts, pairs, strict=True) if sympy.degree(entries_made, n) == 2)
    )


def _no_extra_matrix() -> tuple[bool, str]:
    held = {name: _matrices(name) for name in ("softmax", "alibi", "rope")}
    return len(set(held.values())) == 1, f"{held['softmax']} operations make an n × n matrix in each"


def _matrices(name: str) -> int:
    return sum(sympy.degree(part.entries, n) == 2 for part in count(mechanism(name)).rows)
