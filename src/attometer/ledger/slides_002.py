"""The claims of B. Saha and C. Ye's talk, I/O Complexity of Attention, or How Optimal is FlashAttention?"""

import math
from functools import partial

import sympy

from attometer.count.bounds.attention import attention_sizes, compulsory
from attometer.ledger import slides_002_bounds
from attometer.ledger.checks import Exactly, Formula, Rounded, Says
from attometer.ledger.claim import Claim, Otherwise, Source
from attometer.ledger.io_values import (
    FORWARD,
    Truth,
    best,
    coefficient,
    crossing,
    ratio,
    strongest,
    words,
)
from attometer.ledger.programs import h, n, row
from attometer.machine import machine

SOURCE = Source(
    id="002",
    title="I/O Complexity of Attention, or How Optimal is FlashAttention?",
    author="B. Saha, C. Ye",
    where="talk slides; paper arXiv:2402.07443, ICML 2024",
)
N, D = 1 << 18, 64
_L1 = (
    192 * 1024
)  # bytes of combined L1 and shared memory of a multiprocessor; NVIDIA A100 architecture whitepaper, 2020
_L1_RATE = 128  # bytes a clock from a multiprocessor's shared memory: 32 banks of 4 bytes; CUDA C++ Programming Guide
_DDR_BUS = 8  # bytes of one channel's bus; JEDEC JESD79-4
_SCALE = sympy.symbols("N d M", positive=True)


def claims() -> tuple[Claim, ...]:
    """Return the claims in the order of the slides."""
    return (*_machine(), *_flash(), *_theorem_1(), *slides_002_bounds.claims())


def _machine() -> tuple[Claim, ...]:
    a100 = machine("a100-40gb-sxm")
    return (
        Claim(
            "002.memory.capacity", "The Memory Hierarchy", "40 GB of main memory (A100)",
            Rounded("40", 10**9, " GB"), lambda: int(a100.amount("memory.capacity")),
        ),
        Claim(
            "002.memory.bandwidth", "The Memory Hierarchy", "main memory at 1.5 TB/s (A100)",
            Says("1.5 TB/s"), lambda: _truncated(a100.amount("memory.bandwidth"), 15),
        ),
        Claim(
            "002.memory.sram", "The Memory Hierarchy", "the cache delivers 19 TB/s (A100)",
            Says("19 TB/s"), lambda: _truncated(_L1_RATE * a100.amount("chip.multiprocessors") * a100.amount("chip.clock"), 19),
        ),
        Claim(
            "002.memory.host", "The Memory Hierarchy", "the slowest level (the host's memory) delivers 12.8 GB/s",
            Rounded("12.8", 10**9, " GB/s"), lambda: _DDR_BUS * 1600 * 10**6,
            Otherwise("eight channels of DDR4-3200, as a server of two such GPUs has", lambda: 8 * _DDR_BUS * 3200 * 10**6),
            "one channel of DDR4-1600: 64 bits at 1600 million transfers a second",
        ),
        Claim(
            "002.omega", "The Attention Mechanism", "even with optimal matrix multiplication (ω = 2), N² time",
            Exactly(h * n**2), lambda: row("attention", "S.product").entries,
        ),
        Claim(
            "002.memory.cache", "The Memory Hierarchy", "the cache holds 20 MB, and the theorems' M is this cache",
            Rounded("20", 2**20, " MB"), lambda: _L1 * int(a100.amount("chip.multiprocessors")),
            Otherwise("one multiprocessor, where a tile lives", lambda: _L1),
            "a sum over all multiprocessors, in MiB; the M of one kernel instance is what one of them has",
        ),
    )  # fmt: skip


def _truncated(rate: float, digits: int) -> Truth:
    """Compare the first two digits of a rate with those printed."""
    return int(f"{rate:.6e}"[:3].replace(".", "")) == digits, f"{rate / 1e9:,.0f} GB/s, cut off rather than rounded"


def _flash() -> tuple[Claim, ...]:
    return (
        Claim(
            "002.standard", "The FlashAttention Algorithm", "the standard algorithm has ≥ N² I/O complexity",
            Says("≥ N²"), _standard,
        ),
        Claim(
            "002.flash.order", "The FlashAttention Algorithm", "FlashAttention has O(N²d²/M) I/O complexity",
            Says("O(N²d²/M)"), _flash_order,
        ),
        Claim(
            "002.flash.linear", "Where is the Bottleneck?", "attention can be computed with linear I/O",
            Says("linear"), lambda: _growth(proportional=True),
            Otherwise("M fixed, as a chip's is", lambda: _growth(proportional=False)),
            "linear when the fast memory grows with the sequence, M = Θ(Nd); at a given M it stays quadratic",
        ),
        Claim(
            "002.flash.end", "The FlashAttention Algorithm", "when M = Θ(Nd), FlashAttention is optimal: O has size Ω(Nd)",
            Says("optimal"), _at_the_end,
        ),
    )  # fmt: skip


def _standard() -> Truth:
    least = min(words("naive", 4096, 64, M) / 4096**2 for M in (64, 4096, 98304, 1 << 24))
    return least >= 1, f"{ratio(least)} N² or more, M up to 2^24"


def _flash_order() -> Truth:
    one, two = (coefficient(name, 1, 64) for name in ("flash1", "flash2"))
    return max(one, two) < 12, f"{ratio(one)} N²d²/M for FlashAttention 1, {ratio(two)} for 2, with their best tiles"


def _growth(proportional: bool) -> Truth:
    sizes = [(length, 4 * length * D if proportional else 98304) for length in (1 << 14, 1 << 15)]
    small, large = (words("flash2", length, D, M) for length, M in sizes)
    return large / small < 2.05, f"{ratio(large / small)} times the words for twice the length"


def _at_the_end() -> Truth:
    M = 4 * N * D
    gap = words("flash2", N, D, M) / compulsory(attention_sizes(N, D, M))
    return gap < 1.01, f"{gap:.4f} times inputs and outputs at M = 4Nd"


def _theorem_1() -> tuple[Claim, ...]:
    return (
        Claim(
            "002.thm1.lower.large", "Theorem 1", "attention with standard products requires Ω(N²d²/M), M ≥ d²",
            Says("Ω(N²d²/M)"), partial(_proven, 64.0),
        ),
        Claim(
            "002.thm1.lower.small", "Theorem 1", "attention with standard products requires Ω(N²d/√M), M < d²",
            Says("Ω(N²d/√M)"), partial(_proven, 1 / 64),
        ),
        Claim(
            "002.thm1.tight", "Theorem 1", "Θ: an algorithm matches the lower bound",
            Says("Θ"), _tight,
        ),
        Claim(
            "002.thm1.crossover", "Theorem 1", "the two regimes meet at M = d²",
            Formula(_SCALE[1] ** 2, "d²"), _regimes_meet,
            Otherwise("where the counts of the two algorithms cross, M/d²", lambda: sympy.Float(crossing(), 3)),
            "constants move the crossing of FlashAttention 2 and the two-pass algorithm to 0.68 d²",
        ),
        Claim(
            "002.thm1.note", "Theorem 1", "for M < d², N²d/√M ≥ N²",
            Says("≥ N²"), _passes_are_quadratic,
        ),
        Claim(
            "002.thm1.large.flash", "Theorem 1", "for M ≥ d² FlashAttention is optimal",
            Says("optimal"), _flash_is_optimal,
        ),
        Claim(
            "002.thm1.small.flash", "Theorem 1", "for M < d² FlashAttention is not optimal",
            Says("not optimal"), partial(_beaten, 1 / 64),
            Otherwise("exactly, just below d²", partial(_beaten, 0.9)),
            "true for M well below d²; between 0.68 d² and d² no known schedule beats FlashAttention 2",
        ),
        Claim(
            "002.thm1.small.quadratic", "Theorem 1", "for M < d² quadratic I/O is necessary",
            Says("quadratic"), _quadratic,
        ),
    )  # fmt: skip


def _proven(share: float) -> Truth:
    M = round(share * D * D)
    rate = N * N * D * min(D / M, 1 / math.sqrt(M))
    proven = strongest("tree", N, D, M) / rate
    return proven > math.sqrt(2) - 1, f"{ratio(proven)} times that at N = 2^18, d = 64, M = {share:g} d²"


def _tight() -> Truth:
    worst = max(best(N, D, 1 << k) / strongest("tree", N, D, 1 << k) for k in range(6, 21))
    return worst <= 5.1, f"within {ratio(worst)} of the proven bound for M/d² from 1/64 to 256"


def _regimes_meet() -> sympy.Expr:
    length, width, M = _SCALE
    # The orders are equal where their ratio c / √M is 1; a general solver would take a second for it.
    ratio_of_orders = (length**2 * width**2 / M) / (length**2 * width / sympy.sqrt(M))
    return (ratio_of_orders * sympy.sqrt(M)) ** 2


def _passes_are_quadratic() -> Truth:
    least = min(words("two_pass_outer", N, D, 1 << k) / N**2 for k in range(6, 12))
    return least >= 1, f"the two passes move at least {ratio(least)} N² words for M from d²/64 to d²/2"


def _flash_is_optimal() -> Truth:
    gaps = [words("flash2", N, D, M) / strongest("tree", N, D, M) for M in (D * D << k for k in range(9))]
    return max(gaps) < 5.1, f"{ratio(max(gaps))} of the proven bound at M = d², {ratio(gaps[-1])} at 256 d²"


def _beaten(share: float) -> Truth:
    width = 1 << 9
    M = round(share * width * width)
    others = min(
        words(name, 1 << 22, width, M) for name in FORWARD if not name.startswith("flash") and name != "split_kv"
    )
    gain = words("flash2", 1 << 22, width, M) / others
    return gain > 1, f"{ratio(gain)} times the words of the best unfused schedule at M = {share:g} d²"


def _quadratic() -> Truth:
    least = min(strongest("tree", N, D, 1 << k) / N**2 for k in range(4, 12))
    return least >= 1, f"at least {ratio(least)} N² for M up to d²/2"
