"""The idealised machines refuse sizes that mean nothing."""

import pytest

from attometer.errors import AttometerError
from attometer.machine import PRAM, TwoLevelMemory


def test_sizes_are_positive() -> None:
    assert PRAM().processors is None
    with pytest.raises(AttometerError, match=r"^processors must be at least 1, got 0; use None for unlimited$"):
        PRAM(0)
    with pytest.raises(AttometerError, match=r"^words must be at least 1, got -4$"):
        TwoLevelMemory(words=-4)
    with pytest.raises(AttometerError, match=r"^units must be at least 1, got 0; use None for unlimited$"):
        TwoLevelMemory(words=4, units=0)
