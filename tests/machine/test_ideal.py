"""The idealised machines refuse sizes that mean nothing."""

import pytest

from attometer.errors import AttometerError
from attometer.machine import PRAM


def test_sizes_are_positive() -> None:
    assert PRAM().processors is None
    with pytest.raises(AttometerError, match=r"^processors must be a positive integer, got 0$"):
        PRAM(0)
