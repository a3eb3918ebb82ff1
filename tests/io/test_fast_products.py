"""Strassen's recursion counted and executed; explicit patterns of entries against the bound on what words describe."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.paths.entry_patterns import entry_words, fewest_words, improve, most_entries, worst_pattern
from attometer.count.traffic.strassen import recursion_words, standard_scores_words, strassen_scores_words
from attometer.errors import AttometerError
from attometer.schedule.strassen import PRODUCTS, strassen_plan
from attometer.simulate.scratchpad.strassen import strassen_multiply, strassen_scores


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 24), st.integers(3, 300), st.integers(0, 1000))
def test_strassen_simulated_equals_derived(side: int, M: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-9, 9, (2, side, side)).astype(float)
    product, words = strassen_multiply(a, b, M)
    assert np.array_equal(product, a @ b)  # whole numbers: Strassen's additions are exact
    assert words == recursion_words(strassen_plan(side, M))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 20), st.integers(1, 8), st.integers(3, 100))
def test_scores_by_strassen(n: int, d: int, M: int) -> None:
    rng = np.random.default_rng(n)
    q, k = rng.integers(-9, 9, (2, n, d)).astype(float)
    scores, words = strassen_scores(q, k, M)
    assert np.array_equal(scores, q @ k.T)
    assert words == strassen_scores_words(n, d, M)


def test_seven_products_make_the_product_of_halves() -> None:
    """The table multiplies 2 × 2 matrices: coefficient by coefficient, over all unit matrices."""
    assert len(PRODUCTS) == 7
    for row in np.ndindex(2, 2):
        for column in np.ndindex(2, 2):
            a, b = np.zeros((2, 2)), np.zeros((2, 2))
            a[row], b[column] = 1, 1
            assert np.array_equal(strassen_multiply(a, b, 3)[0], a @ b)


def test_strassen_passes_below_the_standard_bound_only_for_huge_heads() -> None:
    """Each doubling of d costs 7 instead of 8; the additions delay the crossing beyond any real head."""
    M = 4096
    ratio = [
        strassen_scores_words(1 << k, 1 << k, M) / standard_scores_words(1 << k, 1 << k, M) for k in range(12, 34, 3)
    ]
    assert ratio[0] > 5
    assert all(b < a for a, b in pairwise(ratio))
    assert ratio[-1] < 1
    assert ratio[-1] / ratio[-2] == pytest.approx((7 / 8) ** 3, rel=0.01)


def test_growth_is_the_exponent_of_strassen() -> None:
    words = [recursion_words(strassen_plan(1 << k, 768)) for k in (14, 15)]
    assert math.log2(words[1] / words[0]) == pytest.approx(math.log2(7), abs=0.01)


def test_too_little_memory() -> None:
    with pytest.raises(AttometerError, match="M = 2 is too small for Strassen's recursion, which needs 3 words"):
        strassen_scores_words(8, 8, 2)
    with pytest.raises(AttometerError, match="a base block of side 1 does not fit three times into M = 2 words"):
        strassen_multiply(np.eye(2), np.eye(2), 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 9), st.integers(20, 40), st.integers(20, 40))
def test_no_pattern_beats_the_ceiling(entries: int, d: int, n: int, m: int) -> None:
    worst = worst_pattern(entries, d, n, m)
    assert worst.entries == entries
    assert worst.words == entry_words(worst.pattern, d)
    assert entries <= most_entries(worst.words, d)
    assert worst.words >= fewest_words(entries, d)


def test_worst_patterns_come_close_to_the_ceiling() -> None:
    """Far above d² the worst pattern is a square of heavy entries; far below, light entries beside a heavy cross."""
    big = worst_pattern(3025, 2, 80)
    assert (big.rows, big.columns) == (55, 55)
    assert fewest_words(3025, 2) / big.words > 0.95
    sparse = worst_pattern(140, 12, 100)
    assert (sparse.rows, sparse.columns) == (1, 1)
    assert fewest_words(140, 12) / sparse.words > 0.6


def test_random_moves_do_not_beat_the_search() -> None:
    """Hill climbing from random patterns never needs fewer words than the pattern that the search returns."""
    for entries, d in ((30, 1), (30, 2), (40, 3), (20, 4)):
        worst = worst_pattern(entries, d, 12)
        for seed in range(3):
            start = np.zeros(144, dtype=bool)
            start[np.random.default_rng(seed).choice(144, entries, replace=False)] = True
            found = improve(start.reshape(12, 12), d, 1500, seed)
            assert entry_words(found, d) >= worst.words
        assert entry_words(improve(worst.pattern, d, 1500), d) >= worst.words


def test_pattern_must_fit_the_matrix() -> None:
    with pytest.raises(AttometerError, match="entries = 10 must be between 1 and 3 × 3 = 9"):
        worst_pattern(10, 2, 3)
