"""The idealised machines refuse sizes that mean nothing."""

import pytest

from attometer.errors import AttometerError
from attometer.machine import PRAM


def test_sizes_are_positive() -> None:
    assert PRAM().processors is None
    with pytest.raises(AttometerError, match=r"^processors must be at least 1, got 0; use None for unlimited$"):
        PRAM(0)
