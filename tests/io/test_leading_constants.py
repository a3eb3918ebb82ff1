"""Values of our own theory: leading constants of schedules and bounds, largest tiles, crossings, brackets.

No document prints these; each is worked out by hand in the comment or name beside it, and held against the counts.
"""

import math

import pytest
import sympy

from attometer.count.bounds.attention import attention_sizes, compulsory
from attometer.count.traffic.tile_search import best_tiles
from attometer.count.traffic.words import traffic
from attometer.ledger.io_values import (
    FORWARD,
    best,
    bound,
    coefficient,
    crossing,
    reads,
    strongest,
    violations,
    words,
    writes,
)
from attometer.masks import causal
from attometer.schedule.catalogue import schedule

LENGTH, WIDTH = 1 << 18, 64


@pytest.mark.parametrize(
    ("name", "constant"),
    [("flash1", 6), ("flash2", 4), ("flash_backward_fused", 16), ("flash_backward_two_kernels", 14)],
)
def test_leading_constants_of_n2d2_over_M(name: str, constant: int) -> None:
    assert coefficient(name, 1, 1024) == pytest.approx(constant, rel=0.02)


def test_leading_constant_of_outer_products_is_4() -> None:
    length, width, M = 1 << 22, 1 << 14, 1 << 18
    assert words("two_pass_outer", length, width, M) * math.sqrt(M) / (length**2 * width) == pytest.approx(4, rel=0.02)


def test_values_in_column_panels_save_what_the_formula_says() -> None:
    # (d + e)² / 4de, less what a row's score and statistics weigh beside a narrow panel
    whole, sliced = (words(name, 1 << 32, 64, 1 << 22, 512) for name in ("flash2", "flash2_sliced"))
    assert pytest.approx(2.53, abs=0.005) == (64 + 512) ** 2 / (4 * 64 * 512)
    assert 2.4 < whole / sliced < 2.53


def test_two_passes_and_flash_attention_2_cross_at_0_69_d2() -> None:
    # 4x² = 4x + 1 with x = d/√M
    x = (1 + math.sqrt(2)) / 2
    assert 4 * x**2 == pytest.approx(4 * x + 1)
    assert crossing() == pytest.approx(1 / x**2, rel=0.02)


@pytest.mark.parametrize(
    ("name", "tile", "rows"), [("flash2", "B_r", (98304 - 1) // 131), ("flash1", "B_c", (98304 - 130) // 129)]
)
def test_the_largest_tile(name: str, tile: str, rows: int) -> None:
    assert best_tiles(name, n=65536, d=64, M=98304).tiles[tile] == rows


def test_causal_reads_half_and_half_a_tile_of_K() -> None:
    s = {"n": 4096, "m": 4096, "d": 8, "e": 8, "B_r": 64, "B_c": 1, "B_d": 1, "B_e": 1}
    masked, whole = (traffic(schedule("flash2"), s, mask).reads["K"] for mask in (causal(), None))
    assert sympy.Rational(masked, whole) == sympy.Rational(1, 2) + sympy.Rational(64, 2 * 4096)


def test_a_row_maximum_costs_the_two_passes_2n_words() -> None:
    extra = sum(f("two_pass_rowmax") - f("two_pass") for f in (reads, writes))
    assert sympy.expand(extra) == 2 * sympy.Symbol("n", integer=True, positive=True)


def test_wide_values_move_5_51_billion_words() -> None:
    assert words("flash2", 65536, 64, 1 << 18, 512) / 1e9 == pytest.approx(5.51, abs=0.005)


def test_no_schedule_is_below_a_bound_of_its_class() -> None:
    def above(length: int, width: int, memory: int) -> bool:
        floors = {kind: strongest(kind, length, width, memory) for kind in ("accumulator", "tree")}
        return all(words(name, length, width, memory) >= floors[schedule(name).accumulators] for name in FORWARD)

    assert violations(above, 20)[0]


@pytest.mark.parametrize(("kind", "limit"), [("accumulator", 2.6), ("tree", 5.1)])
def test_the_best_schedule_is_near_the_strongest_bound(kind: str, limit: float) -> None:
    worst = max(best(LENGTH, WIDTH, 1 << k) / strongest(kind, LENGTH, WIDTH, 1 << k) for k in range(6, 21))
    assert 1 <= worst <= limit


@pytest.mark.parametrize(
    ("name", "share", "power", "limit"),
    [
        ("tree, values", 1024, 1, 2),  # 2 N²d²/M
        ("accumulator, outputs", 1 << 14, 1, 4),  # (d + e)² N²/M
        ("accumulator, both products", 1 / 4096, 0.5, 4),  # 4 N²d/√M - N²
    ],
)
def test_bounds_tend_to_their_limits(name: str, share: float, power: float, limit: float) -> None:
    length, width = 1 << 40, 1 << 16
    M = round(share * width * width)
    scale = length**2 * width * (width / M if power == 1 else 1 / math.sqrt(M))
    assert bound(name, length, width, M) / scale == pytest.approx(limit, rel=0.05)


def test_compulsory_words_are_inputs_and_outputs() -> None:
    assert compulsory(attention_sizes(4096, 64, 1024)) == 4 * 4096 * 64
