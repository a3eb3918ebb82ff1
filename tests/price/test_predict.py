"""Predictions: found coefficients, borrowed families said by name, situations, intervals, wrong files."""

import json
from pathlib import Path

import numpy as np
import pytest

from attometer.errors import AttometerError
from attometer.machine import machine
from attometer.price.classes import class_of
from attometer.price.figures import figures
from attometer.price.fit import prior
from attometer.price.intervals import coverage, width
from attometer.price.predict import kernel_seconds, predict
from attometer.price.residual import Trees
from attometer.price.tables import ANY, Calibration, calibration, hashes, save

NAMES = [each.name for each in class_of("gemm").coefficients]
SHAPE = {"m": 512.0, "n": 4096.0, "k": 4096.0, "left_bytes": 2.0, "right_bytes": 2.0, "out_bytes": 2.0}


def known(**more: object) -> Calibration:
    logs = prior(class_of("gemm").coefficients)
    pooled = {ANY: logs, "vllm 0.24 linear|bfloat16|": logs + 0.1, "trtllm 1.3 flow|fp8|": logs + 0.2}
    cells = {
        "vllm 0.24 linear|bfloat16|@h100-sxm": logs + 0.3,
        "vllm 0.24 linear|bfloat16|@b200": logs + 0.4,
        "trtllm 1.3 flow|fp8|@h100-sxm": logs + 0.5,
    }
    return Calibration("gemm", pooled, cells, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "machine", "shift", "situation", "measured_for"),
    [
        ("vllm 0.24 linear|bfloat16|", "h100-sxm", 0.3, "unseen shape", "vllm 0.24 linear|bfloat16|"),
        ("vllm 0.24 linear|bfloat16|", "gb200", 0.4, "unseen machine (sibling)", "vllm 0.24 linear|bfloat16|"),
        ("vllm 0.24 linear|bfloat16|", "l40s", 0.1, "unseen machine (lone)", "vllm 0.24 linear|bfloat16|"),
        ("vllm 0.25 linear|bfloat16|", "h100-sxm", 0.3, "unseen engine", "vllm 0.24 linear|bfloat16|"),
        ("sglang 0.5 triton|int4|", "h100-sxm", 0.0, "unseen engine", ANY),
    ],
)
def test_what_was_measured_nearest_is_used_and_named(
    family: str, machine: str, shift: float, situation: str, measured_for: str
) -> None:
    logs, found, source = known().find(family, machine)
    assert logs == pytest.approx(prior(class_of("gemm").coefficients) + shift)
    assert (found, source) == (situation, measured_for)


def test_a_family_is_borrowed_of_the_machines_vendor_and_of_the_kernel_that_most_architectures_run() -> None:
    families = {
        "vllm 0.20 vllm_flash_attn|bf16": ["arc-pro-b60"],
        "vllm 0.24 vllm_flash_attn_fa3|bf16": ["h100-sxm", "h200-sxm"],
        "vllm 0.24 vllm_flash_attn_fa2|bf16": ["l40s", "rtx-pro-6000-blackwell"],
    }
    logs = prior(class_of("decode").coefficients)
    cells = {f"{family}@{where}": logs for family, machines in families.items() for where in machines}
    shipped = Calibration("decode", dict.fromkeys(families, logs), cells)
    assert shipped.nearest("vllm 0.14 vllm_flash_attn|bf16", "a100-80gb-sxm") == "vllm 0.24 vllm_flash_attn_fa2|bf16"
    assert shipped.nearest("sglang 0.5 flash_attention_v3|bf16", "h200-sxm") == "vllm 0.24 vllm_flash_attn_fa3|bf16"
    assert shipped.nearest("vllm 0.24 vllm_flash_attn_fa2|bf16", "arc-pro-b70") == "vllm 0.20 vllm_flash_attn|bf16"


def test_a_step_lends_its_coefficients_as_far_as_its_name_is_alike() -> None:
    logs, sampler = prior(class_of("operation").coefficients), "vllm 0.19|sampler|bf16|"
    pooled = {ANY: logs, sampler: logs + 1.0}
    steps = Calibration("operation", pooled, {f"{sampler}@l40s": logs + 1.0}, {"b200": np.full(len(logs), 0.2)})
    made, situation, source = steps.find("vllm 0.19|layernorm|bf16|", "b200")
    assert made == pytest.approx(logs + 3 / 5 + 0.2)  # of five words three are common
    assert (situation, source) == ("unseen engine", sampler)
    assert steps.find(sampler, "b200")[0] == pytest.approx(logs + 1.2)


def test_no_rows_are_priors_and_said() -> None:
    made = kernel_seconds("gemm", "vllm|bf16", "h100-sxm", calibrated=Path("nowhere"), **SHAPE)
    assert made.situation[0] == "no rows"
    assert made.high[0] / made.low[0] > 5


def test_a_block_that_was_measured_is_seen_and_its_interval_is_its_own(tmp_path: Path) -> None:
    width_by = {"seen": 1.0, "unseen shape": 2.0}
    save(known(width=width_by, blocks=hashes(np.array(["a"]), "block")), tmp_path)
    table = calibration("gemm", tmp_path)
    x = {name: np.full(2, value) for name, value in SHAPE.items()}
    x |= {name: np.full(2, value) for name, value in figures(machine("h100-sxm"), "bf16").items()}
    family, where = np.full(2, "vllm 0.24 linear|bfloat16|"), np.full(2, "h100-sxm")
    made = predict(table, x, family, where, np.array(["a", "b"]))
    assert made.situation.tolist() == ["seen", "unseen shape"]
    assert np.log(made.high / made.seconds) == pytest.approx([0.1, 0.2])


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    trees = Trees(
        ("log m", "on h100-sxm"),
        np.array([[0, 1]], np.int16),
        np.array([[3.0, 0.5]], np.float32),
        random.normal(0, 0.1, (1, 4)).astype(np.float32),
    )
    save(known(residual=trees, trust={"unseen shape": 1.0}), tmp_path)
    read = calibration("gemm", tmp_path)
    assert read.residual is not None
    assert read.residual.leaf == pytest.approx(trees.leaf, abs=1e-3)
    for cell, logs in known().cells.items():
        assert read.cells[cell] == pytest.approx(logs, abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gemm.json", "gemm.npz"]
    plain = kernel_seconds(
        "gemm", "vllm 0.24 linear|bfloat16|", "h100-sxm", calibrated=tmp_path, residual=False, **SHAPE
    )
    full = kernel_seconds("gemm", "vllm 0.24 linear|bfloat16|", "h100-sxm", calibrated=tmp_path, **SHAPE)
    assert np.log(full.seconds / plain.seconds)[0] == pytest.approx(trees.leaf[0, 3], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pooled": {"a": [0.0] * len(NAMES)}}, "pooled.a: 11 positive numbers are needed"),
        ({"order": ["floor"]}, "order: "),
    ],
)
def test_impossible_coefficients_are_refused_by_file_and_key(tmp_path: Path, change: dict, said: str) -> None:
    save(known(), tmp_path)
    path = tmp_path / "gemm.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(AttometerError, match=said) as error:
        calibration.__wrapped__("gemm", tmp_path)
    assert str(path) in str(error.value)


def test_a_missing_count_and_an_unknown_class_are_named() -> None:
    with pytest.raises(AttometerError, match="gemm needs the count 'k'"):
        kernel_seconds("gemm", "x|bf16", "h100-sxm", **{name: v for name, v in SHAPE.items() if name != "k"})
    with pytest.raises(AttometerError, match='unknown class of work "gem"; did you mean "gemm"'):
        kernel_seconds("gem", "x", "h100-sxm", **SHAPE)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0])
def test_conformal_intervals_cover_what_they_say(shape: float) -> None:
    random = np.random.default_rng(3)
    size = random.uniform(0.02, 0.3, 6000)
    residual = size * random.standard_t(4, 6000) * shape
    quantile = width(residual[:3000], size[:3000])
    assert coverage(residual[3000:], size[3000:], quantile) == pytest.approx(0.9, abs=0.025)


def test_trees_ask_what_they_say() -> None:
    random = np.random.default_rng(5)
    features, borders = random.integers(0, 3, (7, 4)).astype(np.int16), random.normal(size=(7, 4)).astype(np.float32)
    leaves, columns = random.normal(size=(7, 16)).astype(np.float32), random.normal(size=(50, 3)).astype(np.float32)
    few = [
        sum(leaves[t, sum(int(row[features[t, i]] > borders[t, i]) << i for i in range(4))] for t in range(7))
        for row in columns
    ]
    trees = Trees(("a", "b", "c"), features, borders, leaves)
    assert trees(columns) == pytest.approx(np.array(few), abs=1e-5)
    # Many rows go another way.
    assert trees(np.tile(columns, (20, 1))) == pytest.approx(np.tile(few, 20), abs=1e-5)
