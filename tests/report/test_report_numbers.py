"""Numbers in reports: the unit is always said, and rounding never lands in the wrong unit."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.view.numbers import amount, exact, flop, formula, ratio, seconds, share, size_in_bytes

WHOLE = st.integers(min_value=0, max_value=10**21)
UNITS = {" k": 10**3, " M": 10**6, " B": 10**9, " T": 10**12, " × 10^15": 10**15}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8030261248, "8.03 B"),  # parameters of Llama 3.1 8B
        (999_994, "999.99 k"),
        (999_995, "1.00 M"),
        (0, "0"),
        (671_026_419_200, "671.03 B"),
    ],
)
def test_amounts(value: int, text: str) -> None:
    assert amount(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (17179869184, "17.18 GB = 16.00 GiB"),
        (80 * 10**9, "80.00 GB = 74.51 GiB"),
        (1023, "1.02 kB = 1,023 B"),
        (2**20, "1.05 MB = 1.00 MiB"),
        (12, "12 B"),
    ],
)
def test_bytes_name_the_decimal_and_the_binary_unit(value: int, text: str) -> None:
    assert size_in_bytes(value) == text


def test_flops_times_and_ratios() -> None:
    assert flop(158_100_000_000_000) == "158.1 TFLOP"
    assert flop(999_950_000_000) == "1.0 TFLOP"
    assert seconds(0.13194) == "132 ms"
    assert seconds(1e-9) == "1.00 ns"
    assert ratio(206_158_430_208, 9_663_676_416) == "21.3×"
    assert share(5, 94) == "5.3 %"


@given(WHOLE)
def test_an_amount_reads_back_within_its_last_digit(value: int) -> None:
    text = amount(value)
    unit = next((u for u in UNITS if text.endswith(u)), "")
    number = float(text.removesuffix(unit).replace(",", ""))
    assert abs(number * UNITS.get(unit, 1) - value) <= max(0.00501 * UNITS.get(unit, 0), value * 1e-12)
    assert number < 1000 or unit == " × 10^15"


@given(WHOLE)
def test_bytes_agree_in_both_units(value: int) -> None:
    if value < 1000:
        return
    decimal, binary = size_in_bytes(value).split(" = ")
    sizes = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15, "EB": 1e18, "B": 1}
    sizes |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}
    for text in (decimal, binary):
        number, unit = text.split(" ")
        assert float(number.replace(",", "")) * sizes[unit] == pytest.approx(value, abs=0.00501 * sizes[unit])


def test_formulas_are_typed_as_mathematics() -> None:
    n, w = sympy.symbols("n w", positive=True)
    assert formula(4 * n**2) == "4 n^2"
    assert formula(n * sympy.Min(n, w)) == "n min(n, w)"
    assert formula(sympy.Max(0, sympy.floor(n / 2) + w, evaluate=False)) == "w + floor(n/2)"
    assert exact(sympy.Integer(12345)) == "12,345"


@pytest.mark.parametrize("write", [amount, flop, size_in_bytes, seconds])
@pytest.mark.parametrize("bad", [-1, "many", None, True])
def test_what_is_not_a_count_is_refused(write: object, bad: object) -> None:
    with pytest.raises(AttometerError, match="a report needs a number of at least 0, got"):
        write(bad)  # type: ignore[operator]
