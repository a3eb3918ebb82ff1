"""Measured rows become counts by rules; what is wrong is refused by file, row and column, the rest counted by reason."""

from fractions import Fraction
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import COLUMNS, row, write

from attometer.errors import AttometerError
from attometer.price.classes import class_of
from attometer.price.features import moe_counts
from attometer.price.load import load
from attometer.price.split import BLOCKS, POINTS, held_out


def one(tmp_path: Path, **cells: object):
    loaded = load(write(tmp_path / "rows.csv", [row(**cells)]))
    (table,) = loaded.tables.values()
    return table


def test_a_product_row_is_its_shape_and_the_machine(tmp_path: Path) -> None:
    table = one(tmp_path)
    assert table.kind == "gemm"
    assert [float(table.x[name][0]) for name in ("m", "n", "k", "left_bytes")] == [512, 4096, 4096, 2]
    assert table.x["peak"][0] == 989e12
    assert table.seconds[0] == pytest.approx(5e-5)


def test_a_rate_is_the_time_it_stands_for(tmp_path: Path) -> None:
    table = one(tmp_path, metric="achieved_tflops", unit="TFLOP/s", value=100)
    assert table.seconds[0] == pytest.approx(2 * 512 * 4096 * 4096 / 100e12)


def test_layer_products_are_one_ranks(tmp_path: Path) -> None:
    # internlm-20b, 13824 gated on 8 ranks: 3456 columns, which is what makes 0.11 ms 175 TFLOP/s in the source
    table = one(
        tmp_path, source_id="vidur_mlp", hidden_size=5120, ffn_hidden=13824, n_heads=40, n_kv_heads=40, head_dim=128,
        extra="op=mlp_up_proj;tokens=544;gated_mlp=True", parallelism="tp_shard=8", value=0.11,
    )  # fmt: skip
    assert table.x["n"][0] == 3456
    assert 2 * 544 * 5120 * 3456 / table.seconds[0] / 1e12 == pytest.approx(175.0, abs=0.1)


def test_collectives_store_elements_but_bytes_for_int8(tmp_path: Path) -> None:
    cells = {
        "source_id": "aic_comm",
        "mode": "comm",
        "n_devices": 4,
        "extra": "op=all_reduce;message_elems_or_bytes=512",
    }
    assert one(tmp_path, **cells, dtype="half").x["bytes"][0] == 1024
    assert one(tmp_path, **cells, dtype="int8").x["bytes"][0] == 512
    # no switch adds integers
    assert [one(tmp_path, **cells, dtype=d, hw_id="H100-SXM").x["adds"][0] for d in ("half", "int8")] == [1, 0]


def test_pairs_of_cards_whose_bridge_no_profile_shows_copy_through_the_host(tmp_path: Path) -> None:
    # 67 MB in 16.9 ms between two A40 (Vidur, a40_pairwise_nvlink/send_recv.csv): 4 GB/s, where a bridge carries 56
    table = one(
        tmp_path, source_id="vidur_network", mode="comm", n_devices=2, hw_id="A40",
        path="network/a40_pairwise_nvlink/send_recv.csv",
        extra="op=send_recv;size=66715648;devices_per_node=2;max_devices_per_node=8",
    )  # fmt: skip
    assert table.x["link"][0] == 4e9


@pytest.mark.parametrize(
    ("profile", "devices", "each", "link"),
    [
        ("h100_dgx", 8, 8, 450e9),  # NVSwitch
        ("h100_dgx", 2, 1, 50e9),  # a 400 Gbit/s port for each device
        ("h100_pairwise_nvlink", 2, 2, 450e9),  # the bridge of a pair
        ("h100_pairwise_nvlink", 4, 4, 64e9),  # pairs talk over PCIe 5.0
        ("h100_pairwise_nvlink", 2, 1, 3.125e9),
    ],
)
def test_the_path_of_a_network_profile_says_what_connects_devices(
    tmp_path: Path, profile: str, devices: int, each: int, link: float
) -> None:
    table = one(
        tmp_path, source_id="vidur_network", mode="comm", n_devices=devices, path=f"network/{profile}/all_reduce.csv",
        extra=f"op=all_reduce;size=1048576;devices_per_node={each};max_devices_per_node=8",
    )  # fmt: skip
    assert table.x["link"][0] == link
    assert table.x["bytes"][0] == 2**20


def test_windowed_rates_count_the_pairs_that_the_window_leaves(tmp_path: Path) -> None:
    pairs = sum(min(128, i + 1) for i in range(4096))
    table = one(
        tmp_path, source_id="cudnn_sdpa", seq_len=4096, kv_len=4096, window=128, n_heads=8, n_kv_heads=8, head_dim=128,
        batch=1, causal=1, metric="achieved_tflops", unit="TFLOP/s", value=10, extra="", arch_kind="attention-kernel",
    )  # fmt: skip
    assert table.seconds[0] == pytest.approx(4 * 8 * 128 * pairs / 10e12, rel=2e-3)


def test_rows_left_out_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [
        row(tier="C"),
        row(metric="peak_memory"),
        row(hw_id=""),
        row(hw_id="GPU-9000"),
        row(source_id="dle_bert", engine="NVIDIA DLE TF2", mode="prefill"),
        row(source_id="aic_attention", mode="kernel_prefill", extra=""),
    ]
    left = load(write(tmp_path / "rows.csv", rows)).left_out
    assert left == {
        "tier C (sanity only)": 1,
        "states no time (peak_memory)": 1,
        "names no single machine": 1,
        "machine not in the catalogue: GPU-9000": 1,
        "excluded: one label stands for four tables (TF2 inference)": 1,
        "incomplete: kernel_prefill row without seq_len": 1,
    }


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"unit": "GB/s"}, 'rows.csv row 2, column unit: "GB/s" is no unit of latency; known: ms, s, us'),
        ({"value": "fast"}, 'rows.csv row 2, column value: "fast" is not a number'),
        ({"value": "-1"}, "rows.csv row 2, column value: latency must be above 0, got -1"),
        ({"value": "nan"}, 'rows.csv row 2, column value: "nan" is not finite'),
        ({"extra": "m=x;n=4;k=4"}, 'rows.csv row 2, column m: "x" is not a number'),
    ],
)
def test_bad_rows_are_refused_by_file_row_and_column(tmp_path: Path, cells: dict[str, str], said: str) -> None:
    with pytest.raises(AttometerError) as error:
        load(write(tmp_path / "rows.csv", [row(**cells)]))
    assert str(error.value).endswith(said)


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(AttometerError, match=r"holds no \.csv"):
        load(tmp_path)
    short = tuple(name for name in COLUMNS if name not in ("unit", "tier"))
    with pytest.raises(AttometerError, match=r"rows\.csv: missing columns unit, tier"):
        load(write(tmp_path / "rows.csv", [row()], short))


@given(st.lists(st.text(max_size=12), min_size=2, max_size=2))
def test_the_split_depends_on_group_and_block_alone(names: list[str]) -> None:
    group, block = names
    assert held_out(group, block) == held_out(group, block)
    assert (held_out(group, block) == "block") == (held_out("another", block) == "block")


def test_the_split_holds_out_its_shares() -> None:
    parts = [held_out(f"g{i}", f"b{i % 997}") for i in range(20000)]
    assert parts.count("block") / len(parts) == pytest.approx(BLOCKS, abs=0.04)
    assert parts.count("point") / len(parts) == pytest.approx(POINTS * (1 - BLOCKS), abs=0.02)


def test_a_model_that_is_shipped_fills_the_columns_that_a_row_leaves_empty(tmp_path: Path) -> None:
    table = one(
        tmp_path, source_id="inferencex_decode", mode="decode", model="zai-org/GLM-5-FP8", metric="tpot", batch=8,
        input_len=1024, output_len=128, dtype="fp8", value=20, unit="ms/token", engine="vLLM", n_devices=8,
    )  # fmt: skip
    assert table.kind == "model_load"
    assert (table.x["hidden"][0], table.x["layers"][0], table.x["routed"][0]) == (6144, 78, 1)


@given(
    st.integers(1, 4096),
    st.sampled_from([(8, 2, 8), (128, 8, 16), (256, 6, 1)]),
    st.sampled_from(["balanced", "power_law_1.2", "unknown", ""]),
)
def test_experts_of_the_busiest_rank_hold_their_rows_in_tiles(
    tokens: int, sizes: tuple[int, int, int], law: str
) -> None:
    experts, chosen, local = sizes
    x = moe_counts(tokens, chosen, experts, local, law)
    even = tokens * chosen * local / experts
    # what a power law would give one expert beyond all tokens falls away
    assert even * (0.7 if law.startswith("power") else 1 - 1e-9) - 1 <= x["pairs"] <= tokens * min(chosen, local) + 1
    assert 1 <= x["touched"] <= local
    # padded rows hold all rows, and taller tiles are no more
    assert x["tiles16"] * 16 >= x["pairs"] * (1 - 1e-9)
    assert x["tiles16"] >= x["tiles32"] >= x["tiles64"] >= x["tiles128"] >= x["touched"] * (1 - 1e-9) - 1


@given(st.integers(1, 64), st.sampled_from([(8, 2), (128, 8), (256, 8), (4, 4)]))
def test_unknown_preferences_touch_what_their_mean_says(tokens: int, sizes: tuple[int, int]) -> None:
    """Pólya's urn: each token that leaves an expert out makes the next one likelier to, from chances of k in E on."""
    experts, chosen = sizes
    left_out = prod((Fraction(experts, chosen) - 1 + t) / (Fraction(experts, chosen) + t) for t in range(tokens))
    unknown, apart = (moe_counts(tokens, chosen, experts, experts, law)["touched"] for law in ("unknown", ""))
    assert unknown == pytest.approx(float(experts * (1 - left_out)))
    assert chosen <= unknown * (1 + 1e-9) <= apart * (1 + 2e-9)


def test_a_power_law_over_ranks_loads_one_above_the_rest() -> None:
    even, skewed = (moe_counts(1024, 8, 128, 16, law)["pairs"] for law in ("balanced", "power_law_1.01"))
    assert even == 1024
    assert skewed > 1.2 * even


def test_a_models_counts_are_those_of_its_configuration(tmp_path: Path) -> None:
    # DeepSeek-V3: 671.0e9 parameters, 37.6e9 of them used by a token (its configuration); a shared expert and three dense
    # layers are in no column of a row
    rows = one(
        tmp_path, source_id="aic_silicon_e2e", mode="serving", metric="tpot", arch_kind="mla-moe", hidden_size=7168,
        n_layers=61, n_heads=128, n_kv_heads=128, ffn_hidden=2048, n_experts=256, top_k=8, vocab=129280, input_len=1024,
        output_len=128, batch=1, n_devices=8, dtype="fp8", parallelism="tp=8",
    )  # fmt: skip
    untied = 129280 * 7168
    assert rows.x["step_flops"][0] * 8 / 2 == pytest.approx(37552282624 - untied, rel=0.01)


#: what a row states → tensor shards, ranks of experts, replicas of attention, sequences that decode together
PLACED = {
    "one engine": ("tp=4;pp=1;attn_dp=1;moe_tp=1;moe_ep=4", 4, "batch=16", (4, 4, 1, 16)),
    # tp 8 and ep 8 are the same eight devices, though the columns hold 64
    "devices counted twice": ("tp=64;pp=1;attn_dp=1;moe_tp=8;moe_ep=8", 64, "batch=16", (8, 8, 1, 16)),
    "replicas of attention": ("tp=1;pp=1;attn_dp=8;moe_tp=1;moe_ep=8", 8, "batch=16", (1, 8, 8, 128)),
    "replicas counted twice": ("tp=4;pp=1;attn_dp=4;moe_tp=1;moe_ep=16", 16, "batch=8;concurrency=32", (1, 4, 4, 32)),
    "replicas not stated": ("tp=1;pp=1;attn_dp=;moe_tp=2;moe_ep=1", 1, "batch=8", (1, 2, 2, 8)),
    "decoding apart": ("disagg prefill:2x(tp=4,dp=1,ep=1,bs=1) decode:3x(tp=1,dp=8,ep=1,bs=18)", 32, "batch=18", (1, 8, 8, 144)),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACED)
def test_devices_of_served_models_are_counted_once(tmp_path: Path, case: str) -> None:
    parallelism, devices, extra, right = PLACED[case]
    table = one(
        tmp_path, source_id="aic_silicon_e2e", mode="decode", metric="tpot", value=10, unit="ms", model="DeepSeek-R1",
        arch_kind="mla-moe", hidden_size=7168, n_layers=61, n_heads=128, n_kv_heads=128, ffn_hidden=2048, n_experts=256,
        top_k=8, vocab=129280, input_len=1024, output_len=1024, dtype="fp8", n_devices=devices, parallelism=parallelism,
        engine="trtllm 1.2", extra=extra, batch=extra.partition(";")[0].removeprefix("batch="),
    )  # fmt: skip
    placed = tuple(float(table.x[name][0]) for name in ("tensor", "ranks", "replicas", "batch"))
    assert placed == right


def test_scores_of_narrow_training_run_in_sixteen_bits(tmp_path: Path) -> None:
    cells = {
        "source_id": "llm_foundry_train", "mode": "train", "metric": "step_time", "value": 1, "unit": "s", "n_devices": 8,
        "hidden_size": 2048, "n_layers": 24, "n_heads": 16, "vocab": 50368, "seq_len": 8192, "global_batch": 64,
        "micro_batch": 2, "engine": "llm-foundry", "parallelism": "FSDP=FULL_SHARD", "extra": "",
    }  # fmt: skip
    wide, narrow = (one(tmp_path, dtype=dtype, **cells) for dtype in ("bf16", "fp8"))
    priced = [
        class_of("training").model(t.x, {c.name: np.array([c.prior]) for c in class_of("training").coefficients})
        for t in (wide, narrow)
    ]
    assert priced[0]["scores"] == pytest.approx(priced[1]["scores"])
    assert 1.8 < priced[0]["products"][0] / priced[1]["products"][0] < 2
