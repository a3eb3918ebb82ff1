"""The content of `attometer io`: table, bounds, verification, JSON, figure; and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

import attometer as am
from attometer import masks
from attometer.count.traffic.attention_shape import attention_shape
from attometer.count.traffic.io_curve import io_curve, memory_grid
from attometer.count.traffic.tile_search import best_tiles, check_tiles
from attometer.errors import AttometerError
from attometer.report.io.curve import cache_sizes, draw_io_curve
from attometer.report.io.report import io_report, shape_at
from attometer.report.io.verify import Verification, scaled, verify
from attometer.schedule.catalogue import SCHEDULES, schedule
from attometer.sizes import size


def test_report_orders_schedules_and_covers_every_one() -> None:
    report = io_report(am.mechanism("softmax"), M=4096, n=4096, d=128, mask=masks.causal())
    words = [row.words for row in report.rows if not row.refusal]
    assert words == sorted(words)
    assert {row.name for row in report.rows} == {name for name in SCHEDULES if not schedule(name).backward}
    assert all(row.ratio >= 1 for row in report.rows if not row.refusal)
    assert [row.name for row in report.rows if row.refusal] == ["naive_rows"]
    text = str(report)
    assert "softmax at M = 4,096 words: n = 4,096, d = 128, mask causal" in text
    assert "cannot run" in text
    assert "need 4,176 words: 1.02 M" in text


def test_json_is_plain() -> None:
    report = io_report(am.mechanism("softmax"), M=64, n=16, d=4, bounds=True, verify=True)
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["sizes"]["M"] == 64
    assert found["schedules"][0]["words"] == report.best.words
    assert {b["class"] for b in found["bounds"]} == {"accumulator", "tree", "explicit", "any"}
    assert all(v["holds"] for v in found["verified"])


def test_bounds_are_printed_with_class_status_and_source() -> None:
    text = str(io_report(am.mechanism("softmax"), M=4096, n=262144, d=64, bounds=True))
    for words in ("110,334,722,036", "283,803,648,000", "67,108,864"):
        assert words in text
    for word in ("derived", "published", "Saha & Ye 2024", "accumulator", "explicit"):
        assert word in text


def test_verification_says_count_equals_simulated() -> None:
    sizes = {"n": 16384, "d": 64}
    report = io_report(am.mechanism("softmax"), M=98304, **sizes, schedule=["flash2"], verify=True)
    assert (
        "flash2: count 300 == simulated 300 at n = 12, m = 12, d = 4, e = 4, M = 80, stack = 1; result off by"
        in str(report)
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("mask", [None, masks.causal(), masks.window(4)])
def test_every_schedule_is_verified_against_the_interpreter(name: str, mask: masks.Mask | None) -> None:
    done = verify(name, scaled(4096, 4096, 64, 128, 1 << 15, 2), mask)
    assert isinstance(done, Verification)
    assert done.holds


def test_keys_and_values_of_other_sizes() -> None:
    shape = shape_at(am.mechanism("softmax").program, {"n": 16, "m": 64, "d": 4, "e": 8})
    assert (shape.n, shape.m, shape.d, shape.e) == (16, 64, 4, 8)
    wide = io_report(am.mechanism("softmax"), M=1 << 18, n=65536, d=64, e=512)
    assert wide.best.name == "flash2_sliced"
    step = io_report(am.mechanism("decode"), M=4096, n=1, d=64, h=8)
    assert (step.shape.n, step.shape.m) == (1, 4096)
    assert io_report(am.mechanism("sliding_window"), M=4096, n=512, d=16).shape.mask == masks.window(256)


def test_backward_report() -> None:
    report = io_report(am.mechanism("softmax"), M=98304, n=16384, d=64, backward=True)
    assert report.best.name == "flash_backward_two_kernels"
    assert all(row.ratio >= 1 for row in report.rows)


def test_shared_heads_are_stacked_and_parameters_filled_in() -> None:
    shape = shape_at(am.mechanism("gqa").program, {"n": 64, "d": 8, "h": 8, "g": 2, "b": 3})
    assert (shape.copies, shape.stack) == (6, 4)
    shared = io_report(am.mechanism("gqa"), M=512, n=64, d=8, h=8, g=2)
    single = io_report(am.mechanism("softmax"), M=512, n=64, d=8, h=8)
    assert shared.best.words < single.best.words
    window = am.mechanism("sliding_window")
    assert str(shape_at(window.program, {"n": 64, "d": 8, "w": 16}).mask) == "window(16)"


def test_program_traffic_is_the_schedule_on_the_programs_sizes() -> None:
    moved = am.count(am.mechanism("gqa"), am.schedule("flash2")).traffic
    b, d, h, n = (size(s) for s in "bdhn")
    assert moved.reads["Q"] == b * d * h * n
    numbers = moved.at(b=1, g=2, h=8, n=64, d=8, B_r=32)
    best = best_tiles("flash2", n=64, d=8, M=10**6, heads=8, kv_heads=2)
    assert numbers.words == 8 * 64 * 8 + 2 * 2 * 64 * 8 * 8 + 8 * 64 * 9
    assert best.words <= numbers.words
    assert "holds: Max(" in str(moved)
    with pytest.raises(AttometerError, match='the traffic has no size "x"; it has'):
        moved.at(x=3)


def test_only_softmax_attention_is_accepted() -> None:
    for name, reason in (("linformer", "4 matrix products"), ("linear", "3 matrix products")):
        with pytest.raises(
            AttometerError, match=f"a schedule runs softmax attention of Q, K and V alone; it has {reason}"
        ):
            attention_shape(am.mechanism(name).program)
    with pytest.raises(AttometerError, match="it also reads B"):
        attention_shape(
            am.parse(
                "S[i,j] = Q[i,d] * K[j,d] + B[i,j]\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]",
            )
        )
    with pytest.raises(AttometerError, match="scores, softmax and weighted sum were not found"):
        attention_shape(am.parse("S[i,j] = Q[i,d] * K[j,d]\nO[i,e] = S[i,j] * V[j,e]"))


def test_a_schedule_runs_only_its_own_program() -> None:
    by_name = am.count(am.mechanism("softmax"), "flash2").traffic
    assert by_name == am.count(am.mechanism("softmax"), am.schedule("flash2")).traffic
    linear = am.count(am.mechanism("linear"), "linear").traffic.at(b=1, h=1, n=64, d=8, A_x=8, A_o=8)
    assert linear.words == best_tiles("linear", n=64, d=8, M=1000).words
    with pytest.raises(
        AttometerError, match='schedule "linformer" runs the mechanism "linformer" and no other program'
    ):
        am.count(am.mechanism("softmax"), "linformer")
    with pytest.raises(AttometerError, match="schedule must be a schedule or the name of one, got int"):
        am.count(am.mechanism("softmax"), 3)
    causal = am.count(am.mechanism("gqa", causal=True), "flash2").traffic
    assert "tile_columns[causal](n, n, B_r, B_c)" in str(causal)
    found = best_tiles("flash2", n=64, d=8, M=10**4, heads=8, kv_heads=2, mask=masks.causal())
    assert causal.at(b=1, h=8, g=2, n=64, d=8, B_r=found.tiles["B_r"], B_c=1).words == found.words


def test_bad_input_is_named() -> None:
    softmax = am.mechanism("softmax")
    with pytest.raises(AttometerError, match=r"M = 2 is too small for naive, .*; the least is 3 words \(naive\)"):
        io_report(softmax, M=2, n=16, d=4)
    with pytest.raises(AttometerError, match='size "d" is missing'):
        io_report(softmax, M=64, n=16)
    with pytest.raises(AttometerError, match='the program has no size "w" to set to 3; it has b, d, h, n'):
        io_report(softmax, M=64, n=16, d=4, w=3)
    with pytest.raises(AttometerError, match='the program has no size "g" to set to 2'):
        io_report(softmax, M=64, n=16, d=4, g=2)
    with pytest.raises(AttometerError, match='the program has no size "n" to set to 16'):
        io_report(am.mechanism("decode"), M=64, n=16, d=4, m=32)
    with pytest.raises(AttometerError, match='unknown schedule "flash"; did you mean "flash'):
        io_report(softmax, M=64, n=16, d=4, schedule=["flash"])
    with pytest.raises(
        AttometerError, match=r'schedule "flash2" needs at least 132 words .* d = 64, e = 64; M = 100; hint'
    ):
        best_tiles("flash2", n=64, d=64, M=100)
    with pytest.raises(AttometerError, match="M must be a positive integer, got -3"):
        best_tiles("flash2", n=64, d=64, M=-3)


def test_given_tiles_are_checked() -> None:
    sizes = {"n": 64, "m": 64, "d": 8, "e": 8}
    with pytest.raises(AttometerError, match="tile B_r = 65 is not between 1 and 64, its axis i"):
        check_tiles(schedule("flash1"), {"B_r": 65, "B_c": 1}, sizes, 10**6)
    with pytest.raises(
        AttometerError, match='tiles B_r = 8, B_c = 8 of "flash1" need 336 words and M = 335; hint: use best_tiles'
    ):
        check_tiles(schedule("flash1"), {"B_r": 8, "B_c": 8}, sizes, 335)
    with pytest.raises(AttometerError, match='schedule "flash1" has tiles B_r, B_c; got B_r'):
        check_tiles(schedule("flash1"), {"B_r": 8}, sizes, 335)


def test_curve_is_above_its_bounds_and_marks_are_on_the_grid() -> None:
    curve = io_curve(n=256, d=8, mask=masks.causal(), M=[32, 64, 256, 1024])
    assert curve.mask == "causal"
    assert (curve.best >= curve.classes["tree"]).all()
    assert (curve.classes["accumulator"] >= curve.classes["tree"]).all()
    assert np.isnan(curve.words["flash1"][0]) == (32 < 2 * 8 + 2 * 8 + 3)
    assert json.dumps(curve.to_dict(), allow_nan=False)
    grid = memory_grid(256, 8, 8)
    assert 64 in grid
    assert 256 * 8 in grid


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figure_is_written(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    curve = io_curve(n=64, d=4, M=[16, 64, 256])
    made = draw_io_curve(curve, tmp_path / f"curve.{suffix}", marks={"a cache": 128})
    assert made.stat().st_size > 5000
    with pytest.raises(AttometerError, match=r"must end in .png, .svg or .pdf"):
        draw_io_curve(curve, tmp_path / "curve.txt")


def test_real_cache_sizes_in_words() -> None:
    assert cache_sizes()["H100 shared"] == 228 * 1024 // 2
    assert cache_sizes(4)["H100 L2"] == 50 * 2**20 // 4


@pytest.mark.parametrize("mask", [masks.causal() & ~masks.causal(), masks.window(2) & ~masks.causal()], ids=str)
def test_a_mask_without_pairs_is_counted_as_it_runs(mask: masks.Mask) -> None:
    report = io_report(am.mechanism("softmax"), M=64, n=12, d=4, mask=mask, verify=True)
    checked = [v for v in report.verifications if isinstance(v, Verification)]
    assert len(checked) == len([row for row in report.rows if not row.refusal])
    assert all(v.holds for v in checked)


def test_best_tiles_says_what_it_takes() -> None:
    with pytest.raises(AttometerError, match=r"^best_tiles takes a schedule or its name, got Program$"):
        best_tiles(am.mechanism("softmax").program, n=64, d=8, M=1000)


def test_the_figure_marks_the_memory_asked_for_and_names_the_binding_bounds(tmp_path: Path) -> None:
    report = io_report(am.mechanism("softmax"), M=300, n=64, d=8)
    drawn = report.plot(tmp_path / "io.svg").read_text()
    assert "M = 300" in drawn
    assert all(row.name in drawn for row in report.rows if not row.refusal)
    assert "compulsory" in drawn
