"""The walk of the loop nests against closed forms worked out by hand from the published algorithms, ragged sizes included."""

import math
from fractions import Fraction
from itertools import pairwise, product

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from attometer import masks
from attometer.count.traffic.tile_search import best_tiles, paper_blocks
from attometer.count.traffic.words import footprint, traffic
from attometer.schedule.catalogue import schedule
from attometer.sizes import size

n, m, d, e = (size(s) for s in "nmde")
B, B_r, B_c, B_e = (size(s) for s in ("B", "B_r", "B_c", "B_e"))
sizes = st.fixed_dictionaries({k: st.integers(1, 60) for k in "nmde"})


def up(a: int, b: int) -> int:
    return -(-a // b)


@given(sizes, st.integers(1, 60))
def test_square_tiling(s: dict[str, int], tile: int) -> None:
    """Saha & Ye 2024, Algorithm 1: reads 2⌈N/B⌉Nd + N + ⌈d/B⌉N² + ⌈N/B⌉Nd, writes N² + N + Nd."""
    moved = traffic(schedule("two_pass"), {**s, "B": tile})
    N, M, D, E = s["n"], s["m"], s["d"], s["e"]
    reads = up(M, tile) * N * D + up(N, tile) * M * D + N + up(E, tile) * N * M + up(N, tile) * M * E
    assert (moved.read, moved.written) == (reads, N * M + N + N * E)


def test_square_tiling_when_the_tile_divides() -> None:
    moved = traffic(schedule("two_pass"), {"n": 96, "m": 96, "d": 24, "e": 24, "B": 8})
    assert moved.words == 4 * 96**2 * 24 // 8 + 96**2 + 96 * 24 + 2 * 96
    assert footprint(schedule("two_pass"), {"n": 96, "m": 96, "d": 24, "e": 24, "B": 8}) == 3 * 8**2 + 8


@given(st.integers(4, 5000))
def test_square_tiling_holds_three_tiles_and_their_sums(M: int) -> None:
    tile = math.isqrt(M // 4)
    assert footprint(schedule("two_pass"), {"n": 10**4, "m": 10**4, "d": 10**4, "e": 10**4, "B": tile}) <= M


def test_flash1_is_its_closed_form() -> None:
    """Dao et al. 2022, Algorithm 1, two statistics per row."""
    moved = traffic(schedule("flash1"))
    tiles = sympy.ceiling(m / B_c)
    assert sympy.expand(moved.read - (m * (d + e) + tiles * n * (d + e + 2))) == 0
    assert sympy.expand(moved.written - (n * (e + 2) + tiles * n * (e + 2))) == 0
    assert sympy.expand(footprint(schedule("flash1")) - (B_c * (d + e) + B_r * (d + e + 2) + B_r * B_c)) == 0


def test_flash2_is_its_closed_form_and_the_inner_block_does_not_matter() -> None:
    """Dao 2023, Algorithm 1."""
    moved = traffic(schedule("flash2"))
    assert sympy.expand(moved.read - (n * d + sympy.ceiling(n / B_r) * m * (d + e))) == 0
    assert sympy.expand(moved.written - (n * e + n)) == 0
    assert not moved.words.has(B_c)


def test_sliced_values() -> None:
    moved = traffic(schedule("flash2_sliced"))
    rows = sympy.ceiling(n / B_r)
    assert sympy.expand(moved.read - (n * d + rows * m * (d * sympy.ceiling(e / B_e) + e))) == 0


@given(sizes, st.integers(1, 60), st.integers(1, 60))
def test_split_keys_cost_two_passes_over_the_partial_results(s: dict[str, int], rows: int, t: int) -> None:
    """S splits add 2 S N (d_v + 2) words of partial results and S - 1 more reads of Q, less the log-sum-exp."""
    tiles = {"B_r": rows, "B_c": 1, "B_d": 1, "B_e": 1}
    whole = traffic(schedule("flash2"), {**s, **tiles}).words
    splits = up(s["m"], t)
    extra = 2 * splits * s["n"] * (s["e"] + 2) + (splits - 1) * s["n"] * s["d"] - s["n"]
    assert traffic(schedule("split_kv"), {**s, **tiles, "t": t}).words == whole + extra


@given(st.integers(1, 80), st.integers(1, 80), st.integers(1, 80))
def test_causal_skips_whole_tiles(N: int, rows: int, columns: int) -> None:
    """Block skipping replaces T_r N by the sum over row tiles of min(N, ⌈(i + 1) B_r / B_c⌉ B_c)."""
    s = {"n": N, "m": N, "d": 3, "e": 2, "B_r": rows, "B_c": columns, "B_d": 1, "B_e": 1}
    visited = sum(min(N, up(min((i + 1) * rows, N), columns) * columns) for i in range(up(N, rows)))
    moved = traffic(schedule("flash2"), s, masks.causal())
    assert moved.reads["K"] + moved.reads["V"] == visited * 5


def test_causal_halves_the_traffic_up_to_the_diagonal() -> None:
    N, rows = 1 << 12, 1 << 6
    s = {"n": N, "m": N, "d": 8, "e": 8, "B_r": rows, "B_c": 1, "B_d": 1, "B_e": 1}
    share = Fraction(
        traffic(schedule("flash2"), s, masks.causal()).reads["K"], traffic(schedule("flash2"), s).reads["K"]
    )
    assert share == Fraction(1, 2) + Fraction(rows, 2 * N)


def test_fused_backward() -> None:
    """4Nd + T_c (4Nd + 2N) + 2Nd + N, and Nd more because dQ is set to zero in slow memory first."""
    moved = traffic(schedule("flash_backward_fused"), {"m": n, "e": d}).words
    tiles = sympy.ceiling(n / B_c)
    assert sympy.expand(moved - (4 * n * d + tiles * (4 * n * d + 2 * n) + 2 * n * d + n) - n * d) == 0


BIG, D = 1 << 26, 256


@pytest.mark.parametrize(
    ("name", "coefficient"),
    [("flash1", 6), ("flash2", 4), ("flash_backward_fused", 16), ("flash_backward_two_kernels", 14)],
)
def test_leading_constants(name: str, coefficient: int) -> None:
    """Words / (N² d² / M) for N >> M >> d²."""
    M = D * D * 256
    words = best_tiles(name, n=BIG, d=D, M=M).words
    assert words * M / (BIG * D) ** 2 == pytest.approx(coefficient, rel=0.02)


def test_the_papers_own_blocks_have_constant_twelve() -> None:
    M = D * D * 256
    tiles = paper_blocks(M, D)
    words = traffic(schedule("flash1"), {"n": BIG, "m": BIG, "d": D, "e": D, **tiles}).words
    assert words * M / (BIG * D) ** 2 == pytest.approx(12, rel=0.02)


@pytest.mark.parametrize(("factor", "share"), [(1, 1.08), (4, 1.27), (6, 1.09), (8, 1.008), (10, 0.96)])
def test_the_papers_own_blocks_overflow(factor: int, share: float) -> None:
    width = 32
    M = factor * width * width
    tiles = paper_blocks(M, width)
    need = footprint(schedule("flash1"), {"n": BIG, "m": BIG, "d": width, "e": width, **tiles})
    assert need / M == pytest.approx(share, abs=0.005)
    notes = best_tiles("flash1", n=1 << 14, d=width, M=M).notes
    assert (f"need {need:,} words" in "".join(notes)) == (share > 1)


@given(st.integers(300, 10**6), st.integers(1, 64), st.integers(1, 64))
def test_best_flash_tiles_are_the_closed_form(M: int, width: int, values: int) -> None:
    s = {"n": 1 << 20, "d": width, "e": values, "M": M}
    assert best_tiles("flash2", **s).tiles["B_r"] == min(1 << 20, (M - 1) // (width + values + 3))
    assert best_tiles("flash1", **s).tiles["B_c"] == min(1 << 20, (M - width - values - 2) // (width + values + 1))


def test_slicing_values_when_they_are_wider() -> None:
    s = {"n": 65536, "d": 64, "e": 512, "M": 1 << 18}
    whole, sliced = best_tiles("flash2", **s).words, best_tiles("flash2_sliced", **s).words
    assert whole == pytest.approx(5.51e9, rel=5e-3)
    assert sliced == pytest.approx(2.21e9, rel=3e-2)
    assert whole / sliced == pytest.approx(2.49, rel=2e-2)


def test_flash_overtakes_two_passes_at_about_0_686_d_squared() -> None:
    width, length = 1 << 9, 1 << 22
    crossing = next(
        M for M in range(int(0.6 * width**2), int(0.8 * width**2), 256)
        if best_tiles("flash2", n=length, d=width, M=M).words < best_tiles("two_pass_outer", n=length, d=width, M=M).words
    )  # fmt: skip
    assert crossing / width**2 == pytest.approx(0.686, abs=0.02)


def brute_force(name: str, s: dict[str, int], M: int, mask: masks.Mask | None) -> int | None:
    chosen = schedule(name)
    extent = {"i": s["n"], "j": s["m"], "c": s["d"], "x": s["e"]}
    longest = max(extent.values())
    ranges = [range(1, (longest if chosen.clipped else extent[axis]) + 1) for _, axis in chosen.tiles]
    found = None
    for values in product(*ranges):
        both = {**s, **dict(zip(chosen.tile_names, values, strict=True))}
        if footprint(chosen, both) <= M:
            words = traffic(chosen, both, mask).words
            found = words if found is None else min(found, words)
    return found


@pytest.mark.parametrize("mask", [None, masks.causal(), masks.window(3), masks.causal() | masks.prefix(2)])
@pytest.mark.parametrize(
    "name",
    [
        "two_pass",
        "two_pass_outer",
        "flash1",
        "flash2",
        "flash2_sliced",
        "flash_backward_fused",
        "flash_backward_two_kernels",
    ],
)
def test_best_tiles_are_optimal(name: str, mask: masks.Mask | None) -> None:
    s = {"n": 5, "m": 5, "d": 2, "e": 3}
    for M in (24, 31, 45):
        best = best_tiles(name, M=M, mask=mask, **s)
        assert best.exact
        assert best.words == brute_force(name, s, M, mask)


@pytest.mark.parametrize("name", ["naive", "two_pass_outer_rowmax", "flash2"])
def test_more_fast_memory_never_costs_more(name: str) -> None:
    words = [best_tiles(name, n=500, d=16, M=M).words for M in range(60, 4000, 97)]
    assert all(a >= b for a, b in pairwise(words))


@pytest.mark.parametrize("mask", [masks.causal(), masks.window(100)])
def test_more_fast_memory_never_costs_more_under_a_mask(mask: masks.Mask) -> None:
    words = [best_tiles("flash2", n=3000, d=16, M=M, mask=mask).words for M in (256, 1024, 4096, 16384, 40000, 65536)]
    assert all(a >= b for a, b in pairwise(words))
