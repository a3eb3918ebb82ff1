"""Sorting through a small fast memory: words executed equal words counted, and the memory is never exceeded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.traffic.sorting import fan_in, sort_lsh_words, sorting_words
from attometer.errors import AttometerError
from attometer.report.io.approximate import io_approximate
from attometer.simulate.scratchpad.sorting import merge_sort


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(6, 90), st.integers(0, 9))
def test_words_moved_are_words_counted(n: int, M: int, seed: int) -> None:
    keys = np.random.default_rng(seed).standard_normal(n).tolist()
    places, words, most = merge_sort(keys, M)
    assert [keys[place] for place in places] == sorted(keys)
    assert words == sorting_words(n, M)
    assert most <= M


def test_too_small_a_memory_is_refused() -> None:
    with pytest.raises(AttometerError, match=r"^M = 5 is too small to merge: two runs and their result need 6 words$"):
        fan_in(5)


@pytest.mark.slow
def test_hyperattention_is_charged_for_its_sorting() -> None:
    report = io_approximate(n=4096, d=16, M=4096, w=64, block=64, samples=16, k=32, f=32)
    (row,) = [row for row in report.rows if row.mechanism == "hyperattention"]
    assert row.words == row.best.words + sort_lsh_words(4096, 16, 16, 4096)
    assert row.to_dict()["sorting"] == sort_lsh_words(4096, 16, 16, 4096)
