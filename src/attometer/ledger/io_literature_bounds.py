"""Claims of the I/O literature about lower bounds and matrix products, one of them false as printed."""

import math
from functools import partial
from importlib.util import find_spec

import numpy as np
import sympy

from attometer.count.paths.entry_patterns import entry_words, most_entries
from attometer.count.traffic.strassen import recursion_words
from attometer.ledger.checks import Rounded, Says
from attometer.ledger.claim import Claim
from attometer.ledger.io_values import Truth, best, bound, ratio, violations
from attometer.schedule.strassen import strassen_plan

_SAHA_YE = "Saha & Ye 2024, arXiv:2402.07443"


def claims() -> tuple[Claim, ...]:
    """Return the claims; those that need the exact pebble solver only where its extra is installed."""
    return (*_bounds(), *(_cosma() if find_spec("numba") else ()), *_products())


def _bounds() -> tuple[Claim, ...]:
    return (
        Claim(
            "io.bounds.simple", f"{_SAHA_YE}, Theorem 3.1", "(√2 - 1) min(N²d²/M, N²d/√M) - M is a lower bound",
            Says("a lower bound"), lambda: violations(_simple_below),
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
    )  # fmt: skip


def _simple_below(length: int, width: int, memory: int) -> bool:
    return bound("theorem 3.1, explicit", length, width, memory) <= best(length, width, memory)


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
    # The last two have √M ≤ min(m, n, k), a condition that the theorem does not state and under which it is not refuted.
    narrow = (((3, 3, 1), 3), ((3, 3, 1), 4), ((3, 3, 1), 5), ((4, 4, 1), 3), ((4, 4, 1), 4), ((4, 4, 1), 5))
    cases = (*narrow, ((2, 2, 2), 4), ((3, 3, 2), 4))
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
    )  # fmt: skip


def _strassen(power: int) -> int:
    return recursion_words(strassen_plan(1 << power, 768))
