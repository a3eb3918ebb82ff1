"""B. Saha and C. Ye's talk: the two-pass algorithm, any matrix product, partitions, compression, future directions."""

import math
from functools import partial

import numpy as np

from attometer.count.bounds.attention import attention_sizes, best_bound, compulsory, largest_part
from attometer.count.bounds.matmul import MATMUL_BOUNDS, MatmulSizes
from attometer.count.paths.entry_patterns import fewest_words, most_entries
from attometer.count.traffic.strassen import standard_scores_words, strassen_scores_words
from attometer.count.traffic.tile_search import best_tiles
from attometer.ledger.checks import Exactly, Says
from attometer.ledger.claim import Claim, Otherwise
from attometer.ledger.io_values import Truth, best, bound, coefficient, ratio, strongest, words

N, D = 1 << 18, 64


def claims() -> tuple[Claim, ...]:
    """Return the claims from Theorem 2 on."""
    return (*_theorems_2_to_4(), *_partitions(), *_compression(), *_future())


def _theorems_2_to_4() -> tuple[Claim, ...]:
    return (
        Claim(
            "002.thm2", "Theorem 2", "an algorithm computes attention with O(N²d/√M) I/O",
            Says("O(N²d/√M)"), _two_pass,
        ),
        Claim(
            "002.thm3.bound", "Theorem 3", "with any matrix multiplication, attention requires Ω(min(N²d²/M, N²))",
            Says("Ω(min(N²d²/M, N²))"), _any_product,
        ),
        Claim(
            "002.thm3.large", "Theorem 3", "for M ≥ d² FlashAttention is optimal even with fast matrix multiplication",
            Says("optimal"), _optimal_with_fast_products,
        ),
        Claim(
            "002.thm3.small", "Theorem 3", "for M < d², N² ≤ N²d²/M",
            Says("≤"), _quadratic_below_flash,
        ),
        Claim(
            "002.thm3.fast", "Theorem 3", "we obtain algorithms with I/O ≪ N²d/√M",
            Says("≪ N²d/√M"), partial(_strassen, 1 << 36),
            Otherwise("at a real head, d = 128", partial(_strassen, 128)),
            "Strassen's recursion moves fewer words than the standard product needs only for enormous d; its additions weigh",
        ),
        Claim(
            "002.thm4", "Theorem 4", "for M < d², attention and matrix multiplication have the same I/O complexity",
            Says("same"), _same_as_product,
        ),
    )  # fmt: skip


def _two_pass() -> Truth:
    square, outer = (coefficient(name, 0.5, 1 / 64) for name in ("two_pass", "two_pass_outer"))
    return max(
        square, outer
    ) < 9.5, f"{ratio(square)} N²d/√M with square tiles, {ratio(outer)} with outer products, M = d²/64"


def _any_product() -> Truth:
    proven = [bound("entries, refined", N, D, M) / min(N * N * D * D / M, N * N) for M in (64, 4096, 1 << 18)]
    return min(proven) > 1 / 8, f"{', '.join(map(ratio, proven))} times that at M = d²/64, d², 64 d²"


def _optimal_with_fast_products() -> Truth:
    gaps = [words("flash2", N, D, M) / strongest("explicit", N, D, M) for M in (D * D << k for k in range(0, 10, 3))]
    return max(
        gaps
    ) < 35, f"within {ratio(max(gaps))} of what any product that forms QKᵀ needs, {ratio(gaps[-1])} at 512 d²"


def _quadratic_below_flash() -> Truth:
    least = min(words("flash2", N, D, 1 << k) / N**2 for k in range(8, 12))
    return least >= 1, f"FlashAttention 2 moves at least {ratio(least)} N² words for M from d²/16 to d²/2"


def _strassen(width: int) -> Truth:
    gain = strassen_scores_words(width, width, 4096) / standard_scores_words(width, width, 4096)
    return gain < 1, f"{ratio(gain)} times the standard product's bound at M = 4096, n = d = {width:,}"


def _same_as_product() -> Truth:
    M = D * D // 16
    product = max(rule.value(MatmulSizes(N, N, D, M)) for rule in MATMUL_BOUNDS)
    gap = words("two_pass_outer", N, D, M) / product
    return gap < 3, f"attention moves {ratio(gap)} times what the product QKᵀ alone needs, M = d²/16"


def _partitions() -> tuple[Claim, ...]:
    return (
        Claim(
            "002.partition.part", "Attention with standard matrix multiplication", "|V_i| = O(M²/d)",
            Says("O(M²/d)"), _part,
        ),
        Claim(
            "002.partition.count", "Attention with standard matrix multiplication", "hence T = Ω(N²d²/M²)",
            Says("Ω(N²d²/M²)"), _parts,
        ),
        Claim(
            "002.partition.theorem", "Hong & Kung", "I/O complexity of G = Ω(T·M)",
            Says("Ω(T·M)"), lambda: _hong_kung(),
        ),
    )  # fmt: skip


def _part() -> Truth:
    largest = max(largest_part(M, D) * D / M**2 for M in (D * D << k for k in range(8)))
    return largest <= 1 + math.sqrt(2) + 1e-3, f"at most {ratio(largest)} M²/d products for M ≥ d²"


def _parts() -> Truth:
    counts = [-(-N * N * D // largest_part(M, D)) * M**2 / (N * D) ** 2 for M in (D * D << k for k in range(8))]
    return min(counts) > 0.4, f"at least {ratio(min(counts))} N²d²/M² parts for M ≥ d²"


def _hong_kung() -> Truth:
    M = 1 << 16
    proven = bound("hong-kung partition", N, D, M)
    return proven <= best(N, D, M), f"M (T - 1) = {proven:,} words, the best schedule moves {best(N, D, M):,.0f}"


def _compression() -> tuple[Claim, ...]:
    return (
        Claim(
            "002.compression.words", "Matrix compression", "describing B entries takes ≥ min(B, d√B) words",
            Says("≥ min(B, d√B)"), lambda: _described(constants=False),
            Otherwise("with its constant", lambda: _described(constants=True)),
            "the slide drops the constants of the paper's Lemma 4.6, min(d√(B/2), B/4)",
        ),
        Claim(
            "002.compression.entries", "Matrix compression", "B ≤ max(M, M²/d²)",
            Says("≤ max(M, M²/d²)"), lambda: _entries(constants=False),
            Otherwise("with its constant", lambda: _entries(constants=True)),
            "up to a constant: 2M + M²/d² is what is proven",
        ),
        Claim(
            "002.compression.bound", "Matrix compression", "I/O complexity ≥ min(N², N²d²/M)",
            Says("≥ min(N², N²d²/M)"), lambda: _compressed(constants=False),
            Otherwise("with its constant", lambda: _compressed(constants=True)),
            "up to a constant: N²/(4(1 + M/d²)) - M and better is what is proven",
        ),
    )  # fmt: skip


def _described(constants: bool) -> Truth:
    share = min(
        fewest_words(entries, D) / min(entries, D * math.sqrt(entries)) for entries in (2**k for k in range(6, 30))
    )
    return share >= (1 if constants else 0.4), f"{ratio(share)} min(B, d√B) is proven for every B up to 2^29"


def _entries(constants: bool) -> Truth:
    most = max(most_entries(M, D) / max(M, M * M / D**2) for M in (2**k for k in range(4, 24)))
    return most <= (1 if constants else 3), f"up to {ratio(most)} max(M, M²/d²) are allowed by the proof"


def _compressed(constants: bool) -> Truth:
    least = min(bound("entries, refined", N, D, 1 << k) / min(N**2, N**2 * D**2 / (1 << k)) for k in range(4, 20))
    return least >= (1 if constants else 1 / 8), f"{ratio(least)} min(N², N²d²/M) is proven for M up to 2^19"


def _future() -> tuple[Claim, ...]:
    return (
        Claim(
            "002.future.heads", "Future directions", "(2) the I/O of multi-head attention: h heads, h = 8",
            Exactly(8), lambda: _heads(8),
        ),
        Claim(
            "002.future.approximate", "Future directions", "(3) approximate attention: better I/O complexity?",
            Says("better"), _approximate,
        ),
        Claim(
            "002.future.additive", "Future directions", "our results rule out ‖·‖∞-additive error",
            Says("as many words"), _additive,
        ),
        Claim(
            "002.future.output", "Future directions", "(4) is Θ(Nd) necessary? inputs and outputs are 4Nd words",
            Exactly(4 * N * D), lambda: compulsory(attention_sizes(N, D, 98304)),
        ),
    )  # fmt: skip


def _heads(count: int) -> int:
    one = best_tiles("flash2", n=4096, d=D, M=98304).words
    return best_tiles("flash2", n=4096, d=D, M=98304, heads=count).words // one


def _additive() -> Truth:
    """Recover whole-number scores from scores with an additive error: what describes the ones describes the others."""
    rng = np.random.default_rng(11)
    Q, K = (rng.integers(-8, 9, (256, 16)) for _ in "QK")
    recovered = np.rint(Q @ K.T + rng.uniform(-0.49, 0.49, (256, 256))).astype(int)
    return bool(
        (recovered == Q @ K.T).all()
    ), "65,536 of 65,536 whole-number scores survive an error below 1/2 when rounded"


def _approximate() -> Truth:
    moved = best_tiles("linear", n=N, d=D, M=98304).words
    proven = best_bound(attention_sizes(N, D, 98304), "tree")[1]
    return moved < proven, f"linear attention moves {moved:,} words, exact attention at least {proven:,}"
