"""Split keys as a trade of words for depth; sparse and approximate mechanisms beside exact attention; mask visits."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from attometer import masks
from attometer.cli import app
from attometer.count.traffic.visits import visits
from attometer.count.work.schedule_work import depth
from attometer.count.work.split_tradeoff import split_tradeoff
from attometer.errors import AttometerError
from attometer.report.io.approximate import io_approximate
from attometer.report.io.splits import draw_split_tradeoff
from attometer.schedule.catalogue import schedule

MASKS = [
    masks.causal(),
    masks.window(3),
    masks.global_(2) | masks.band(2, 1),
    masks.random(2, 4),
    masks.causal() & (masks.window(2) | masks.strided(3)),
    masks.document([3, 1, 4]),
    ~masks.causal(),
    masks.chunked(3) | masks.prefix(1),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MASKS), *(st.integers(1, 12) for _ in range(4)), st.integers(1, 3))
def test_visits_are_what_the_matrix_shows(
    mask: masks.Mask, n: int, m: int, height: int, width: int, stack: int
) -> None:
    seen = np.repeat(mask.matrix(n, m), stack, axis=0)
    tiles = rows = columns = scores = 0
    for i in range(0, n * stack, height):
        for j in range(0, m, width):
            tile = seen[i : i + height, j : j + width]
            if tile.any():
                tiles, rows, columns = tiles + 1, rows + tile.shape[0], columns + tile.shape[1]
                scores += tile.size
    found = visits(mask, n, m, height, width, stack)
    assert (found.tiles, found.rows, found.columns, found.scores) == (tiles, rows, columns, scores)


def test_splitting_trades_words_for_depth() -> None:
    front = split_tradeoff(n=64, m=4096, d=32, M=1 << 15)
    assert all(a.words < b.words and a.depth > b.depth for a, b in pairwise(front))
    assert front[0].splits == 1
    halves = next(p for p in front if p.splits == 2)
    assert halves.depth == pytest.approx(front[0].depth / 2, rel=0.05)
    assert json.dumps([p.to_dict() for p in front])
    with pytest.raises(AttometerError, match='schedule "split_kv" does not fit into M = 9 words at d = 8, e = 8'):
        split_tradeoff(n=4, d=8, M=9)


def test_trade_off_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    front = split_tradeoff(n=8, m=256, d=8, M=2048)
    assert draw_split_tradeoff(front, tmp_path / "front.png").stat().st_size > 5000
    with pytest.raises(AttometerError, match="there is no choice to draw"):
        draw_split_tradeoff([], tmp_path / "front.png")


def test_sparse_and_approximate_attention() -> None:
    report = io_approximate(n=1024, d=16, M=2048, w=64, block=64, samples=32, k=64, f=64)
    by_name = {row.mechanism: row for row in report.rows}
    assert set(by_name) == {"exact", "causal", "sliding window", "longformer", "sparse transformer", "hyperattention",
                            "linformer", "linear", "performer"}  # fmt: skip
    assert all(row.best.words >= row.bound for row in report.rows)
    assert by_name["sliding window"].share < by_name["causal"].share < 1
    # Linear attention moves fewer words than any algorithm for exact attention can.
    assert by_name["linear"].best.words < report.exact_bound
    assert "after hashing, two merge sorts, and moving rows into order" in " ".join(str(report).split())
    assert json.dumps(report.to_dict())


def test_the_command_line_prints_them() -> None:
    runner = CliRunner()
    small = ["io", "softmax", "-n", "64", "-d", "4", "-M", "256"]
    split = runner.invoke(app, [*small, "--splits", "--json"])
    assert json.loads(split.stdout)["choices"][0]["splits"] == 1
    others = runner.invoke(app, [*small, "--others", "--json"])
    assert {row["mechanism"] for row in json.loads(others.stdout)["rows"]} >= {"exact", "linear", "hyperattention"}
    refused = runner.invoke(app, [*small, "--others", "-m", "3"])
    assert str(refused.exception).startswith("--others does not take -m; it takes")


def test_attention_is_linear_on_many_memories_quadratic_on_one_and_logarithmic_merged_in_a_tree() -> None:
    tiles = {"d": 64, "e": 64, "B_r": 128, "B_c": 128, "B_d": 64, "B_e": 64}

    def of(name: str, n: int, **how: bool) -> int:
        return int(depth(schedule(name), {"n": n, "m": n, **tiles, **({"t": 1} if name == "split_kv" else {})}, **how))

    # A tile of keys: QKᵀ 2 + 6, scale 1, online softmax 4 + 2 · 7, PV 2 + 7; then the log-sum-exp, beside the division.
    assert [of("flash2", 128 * tiles_of_keys) for tiles_of_keys in (1, 2, 8)] == [36 + 2, 72 + 2, 288 + 2]
    assert of("flash2", 2**12, serial=True) == 32 * (32 * 36 + 2)
    # A run of one tile, 5 for each level of the tree, the division.
    assert [of("split_kv", 2**power, tree=True) for power in (7, 10, 14, 20)] == [36 + 5 * k + 1 for k in (0, 3, 7, 13)]
    assert of("split_kv", 2**14) == 36 + 5 * 128 + 1


def test_whole_rows_of_scores_are_n_log_n_in_one_memory() -> None:
    def of(n: int) -> int:
        tiles = {"d": 64, "e": 64, "B_r": 1, "B_c": n, "B_d": 64, "B_e": 64}
        return int(depth(schedule("flash2"), {"n": n, "m": n, **tiles}, serial=True))

    assert [of(2**power) for power in (8, 12, 16)] == [2**power * (6 + 3 * power + 9 + 2) for power in (8, 12, 16)]
