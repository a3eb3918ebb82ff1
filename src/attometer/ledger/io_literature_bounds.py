"""Claims of the I/O literature about lower bounds and matrix products, one of them false as printed."""

import math
from functools import partial
from importlib.util import find_spec

import numpy as np
import sympy

from attometer.count.bounds.attention import attention_sizes, compulsory
from attometer.count.paths.entry_patterns import entry_words, most_entries
from attometer.count.traffic.strassen import recursion_words
from attometer.ledger.checks import Exactly, Rounded, Says
from attometer.ledger.claim import Claim
from attometer.ledger.io_values import FORWARD, Truth, best, bound, bracket, ratio, strongest, violations, words
from attometer.schedule.catalogue import schedule
from attometer.schedule.strassen import strassen_plan

_SAHA_YE = "Saha & Ye 2024, arXiv:2402.07443"


def claims() -> tuple[Claim, ...]:
    """Return the claims; those that need the exact pebble solver only where its extra is installed."""
    return (*_bounds(), *(_cosma() if find_spec("numba") else ()), *_products())


def _bounds() -> tuple[Claim, ...]:
    return (
        Claim(
            "io.bounds.respected", "every schedule, every bound of its class", "no schedule is below a bound",
            Says("none"), lambda: violations(_above, 20),
        ),
        Claim(
            "io.bounds.bracket.accumulator", "N = 2^18, d = 64, M/d² from 1/64 to 256", "best schedule / bound ≤ 2.6",
            Says("≤ 2.6"), lambda: _within("accumulator", 2.6),
        ),
        Claim(
            "io.bounds.bracket.tree", "N = 2^18, d = 64, M/d² from 1/64 to 256", "best schedule / tree bound ≤ 5.1",
            Says("≤ 5.1"), lambda: _within("tree", 5.1),
        ),
        Claim(
            "io.bounds.simple", f"{_SAHA_YE}, Theorem 3.1", "(√2 - 1) min(N²d²/M, N²d/√M) - M is a lower bound",
            Says("a lower bound"), lambda: violations(_simple_below),
        ),
        Claim(
            "io.bounds.limit.large", "tree class, M ≫ d²", "the bound tends to 2 N²d²/M",
            Rounded("2"), lambda: sympy.Float(_rate("tree, values", 1024, 1), 4),
        ),
        Claim(
            "io.bounds.limit.accumulator", "single accumulators, M ≫ d²", "the bound tends to (d + e)² N²/M",
            Rounded("4"), lambda: sympy.Float(_rate("accumulator, outputs", 1 << 14, 1), 4),
        ),
        Claim(
            "io.bounds.limit.small", "single accumulators, M ≪ d²", "the bound tends to 4 N²d/√M - N²",
            Rounded("4"), lambda: sympy.Float(_rate("accumulator, both products", 1 / 4096, 0.5), 4),
        ),
        Claim(
            "io.bounds.entries.10", f"{_SAHA_YE}, Section 4, refined", "at M = d²/1024 the bound is at least 0.427 N²",
            Says("≥ 0.427 N²"), lambda: _share_of_pairs(-10, 0.427),
        ),
        Claim(
            "io.bounds.entries.4", f"{_SAHA_YE}, Section 4, refined", "at M = d²/16 the bound is about 0.352 N²",
            Rounded("0.352"), lambda: sympy.Float(_pairs_share(-4), 4),
        ),
        Claim(
            "io.bounds.patterns", f"{_SAHA_YE}, Lemma 4.6, refined", "B entries in m words: B ≤ 2m + m²/d²",
            Says("B ≤ 2m + m²/d²"), _patterns,
        ),
        Claim(
            "io.bounds.compulsory", "any algorithm", "inputs and outputs: 2(N + M)(d + e)/2 words, N = M, d = e",
            Exactly(4 * 4096 * 64), lambda: compulsory(attention_sizes(4096, 64, 1024)),
        ),
    )  # fmt: skip


def _above(length: int, width: int, memory: int) -> bool:
    moved = [(words(name, length, width, memory), schedule(name).accumulators) for name in FORWARD]
    floors = {kind: strongest(kind, length, width, memory) for kind in ("accumulator", "tree")}
    return all(total >= floors[kind] for total, kind in moved)


def _within(kind: str, limit: float) -> Truth:
    worst = bracket(kind)
    return worst <= limit, f"at most {ratio(worst)}"


def _simple_below(length: int, width: int, memory: int) -> bool:
    return bound("theorem 3.1, explicit", length, width, memory) <= best(length, width, memory)


def _rate(name: str, share: float, power: float) -> float:
    length, width = 1 << 40, 1 << 16
    M = round(share * width * width)
    scale = length**2 * width * (width / M if power == 1 else 1 / math.sqrt(M))
    return bound(name, length, width, M) / scale


def _pairs_share(exponent: int) -> float:
    width, length = 1 << 9, 1 << 24
    return bound("entries, refined", length, width, round(width * width * 2.0**exponent)) / length**2


def _share_of_pairs(exponent: int, least: float) -> Truth:
    found = _pairs_share(exponent)
    return found >= least, f"{ratio(found)} N²"


def _patterns() -> Truth:
    rng = np.random.default_rng(7)
    over = 0
    for _ in range(400):
        pattern = rng.random(rng.integers(1, 13, 2)) < rng.random()
        width = int(rng.integers(1, 8))
        over += int(pattern.sum()) > most_entries(entry_words(pattern, width), width)
    return over == 0, f"{over} of 400 random patterns exceed it"


def _cosma() -> tuple[Claim, ...]:
    cases = (((3, 3, 1), 3), ((3, 3, 1), 4), ((3, 3, 1), 5), ((4, 4, 1), 3), ((4, 4, 1), 4), ((4, 4, 1), 5))
    return tuple(
        Claim(
            f"io.cosma.{'x'.join(map(str, shape))}.{M}", "Kwasniewski et al. 2019 (COSMA), Theorem 1",
            f"{shape[0]}×{shape[2]} times {shape[2]}×{shape[1]} at M = {M} moves at least 2mnk/√M + mn",
            Says(f"≥ {_formula(shape, M):.2f}"), partial(_optimum, shape, M),
            why="false for k < 2√M: the proof takes every first partial sum to have a predecessor",
        )
        for shape, M in cases
    )  # fmt: skip


def _formula(shape: tuple[int, int, int], M: int) -> float:
    rows, columns, depth = shape
    return 2 * rows * columns * depth / math.sqrt(M) + rows * columns


def _optimum(shape: tuple[int, int, int], M: int) -> Truth:
    from attometer.simulate import matmul_dag, solve

    least = solve(matmul_dag(*shape), M).cost
    return least >= _formula(shape, M), f"{least} transfers, an exact optimum"


def _products() -> tuple[Claim, ...]:
    return (
        Claim(
            "io.strassen.exponent", "Strassen 1969", "I/O grows with the exponent log2 7 = 2.807",
            Rounded("2.81"), lambda: sympy.Float(math.log2(_strassen(21) / _strassen(20)), 5),
        ),
        Claim(
            "io.slice.words", "N = 65536, d = 64, e = 512, M = 2^18", "FlashAttention 2 moves 5.51 billion words",
            Rounded("5.51", 10**9, " billion"), lambda: int(words("flash2", 65536, 64, 1 << 18, 512)),
        ),
    )  # fmt: skip


def _strassen(power: int) -> int:
    return recursion_words(strassen_plan(1 << power, 768))
