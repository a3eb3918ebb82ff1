"""Rooflines: the slowest resource sets the time, and the print says which and from what figures."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.machine import machine
from attometer.price import in_sequence, roofline

H100 = machine("h100-sxm")
counts = st.integers(0, 10**18)


@given(counts, counts, counts)
def test_the_time_is_that_of_the_slowest_resource(flops: int, moved: int, link: int) -> None:
    priced = roofline(flops, moved, H100, link_bytes=link)
    slowest = max(flops / 989e12, moved / 3350e9, link / 450e9)
    assert priced.seconds == pytest.approx(slowest, rel=1e-15)  # a count beyond 2^53 may round twice
    assert priced.resources[priced.binds] == priced.seconds
    assert priced.slack >= 1 or priced.seconds == 0


def test_what_binds_changes_at_the_ridge() -> None:
    moved = 3350 * 10**9
    below, above = (roofline(flops, moved, H100) for flops in (988 * 10**12, 990 * 10**12))
    assert (below.binds, above.binds) == ("memory", "compute")
    assert below.slack == pytest.approx(989 / 988)
    assert below.intensity == pytest.approx(988e12 / 3350e9)
    assert roofline(10, 0, H100).slack == inf
    assert roofline(10, 0, H100).to_dict()["slack"] is None


def test_operations_in_sequence_add_up() -> None:
    compute, memory = roofline(989 * 10**12, 1, H100), roofline(1, 2 * 3350 * 10**9, H100)
    both = in_sequence([compute, memory])
    assert both.seconds == pytest.approx(3.0)
    assert (both.binds, both.flops) == ("memory", 989 * 10**12 + 1)
    assert both == compute.then(memory)
    with pytest.raises(AttometerError, match=r'^cannot add a roofline on "t4" to one on "h100-sxm"$'):
        in_sequence([compute, roofline(1, 1, machine("t4"), "fp16")])
    with pytest.raises(AttometerError, match=r"^in_sequence needs at least one roofline$"):
        in_sequence([])


def test_the_print_says_where_the_peaks_come_from() -> None:
    assert "(datasheet roofline, a lower bound)" in str(roofline(10**12, 10**9, H100))
    assert "(datasheet/derived roofline" in str(roofline(10**12, 10**9, machine("epyc-9654")))


def test_bad_counts_and_unstated_peaks_are_refused() -> None:
    with pytest.raises(AttometerError, match=r"^bytes_moved must be at least 0, got -1$"):
        roofline(1, -1, H100)
    with pytest.raises(AttometerError, match=r'^"t4" states no peak rate for "bf16"; known: fp32, fp16, int8, int4$'):
        roofline(1, 1, machine("t4"))
    # a link that is not used is not asked for
    assert roofline(1, 1, machine("epyc-9654")).link_seconds == 0
    with pytest.raises(AttometerError, match=r'^"epyc-9654" does not state chip.link'):
        roofline(1, 1, machine("epyc-9654"), link_bytes=1)
