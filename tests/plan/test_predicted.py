"""Predicted times of plans: two ways and one rule, labels that do not mix, and steps that were published."""

import pytest
from tests.plan.test_logged_cases import QWEN3_4B, like

from attometer.engines import NAMES
from attometer.errors import AttometerError
from attometer.plan import EngineOptions, plan
from attometer.plan.predicted import from_kernels
from attometer.price.model_features import shape_of

H100 = {"context": 512, "mode": "decode", "engine": "vllm"}


@pytest.mark.parametrize(
    ("model", "on", "asked", "seconds"),
    [
        # vllm-project/vllm PR#16937: 133 tokens/s of Llama-3.1-8B in bf16 at batch 1
        ("llama-3.1-8b", "h100-sxm", H100, 1 / 133),
        # raullenchai/Rapid-MLX PR#586: 119.4 tokens/s of Llama-3.1-8B in 4 bits
        ("llama-3.1-8b", "apple-m3-ultra", H100 | {"engine": "mlx", "weights_dtype": "mlx_4bit"}, 1 / 119.4),
        # pegainfer-project/pegainfer PR#69: Qwen3-4B in bf16, 10.31 ms a token and 714 ms for a prompt of 10,000
        (like("qwen3-8b", **QWEN3_4B), "rtx-4090", H100 | {"context": 1152}, 10.31e-3),
        (like("qwen3-8b", **QWEN3_4B), "rtx-4090", {"context": 10000, "engine": "vllm"}, 0.714),
    ],
)
def test_published_times_are_inside_the_interval(model, on, asked, seconds) -> None:  # type: ignore[no-untyped-def]
    found = plan(model, on, **asked).predicted
    assert found is not None
    assert found.low <= seconds <= found.high


def test_what_is_measured_of_the_engine_goes_before_what_is_borrowed() -> None:
    mlx = plan("llama-3.1-8b", "apple-m3-ultra", **H100 | {"engine": "mlx"}).predicted
    vllm = plan("llama-3.1-8b", "h100-sxm", **H100).predicted
    assert mlx is not None
    assert vllm is not None
    assert (mlx.way, vllm.way) == ("whole model", "kernels")
    assert mlx.measured_for.startswith("mlx")
    assert vllm.measured_for.startswith("vllm")
    assert vllm.seconds == pytest.approx(sum(vllm.terms.values()))


def test_labels_do_not_mix() -> None:
    made = plan("llama-3.1-8b", "h100-sxm", **H100)
    found = made.to_dict()["predicted"]
    assert found["label"] == "predicted"
    assert made.to_dict()["time"]["basis"] == "datasheet roofline"
    (said,) = [block for block in made.page() if isinstance(block, str) and block.startswith("predicted")]
    assert "(90 %" in said
    assert "lower bound" not in said
    assert not any("predicted" in note for note in made.notes)
    assert "by datasheet at least, predicted" in made.headline
    assert "10 % more memory bandwidth gives" in made.headline
    lines = made.explain("predicted")
    assert "gaps" in lines
    assert made.explain("sensitivities").count("%") == 4


def test_only_what_no_faster_figure_helps_is_called_launch_bound() -> None:
    small = plan("gpt2", "h100-sxm", context=512, mode="decode", engine="vllm")
    experts = plan(
        "deepseek-v3", "8x-h200-sxm", engine="sglang", placement={"tp": 8}, context=32768, batch=32, mode="decode"
    )  # far above the bound, which reads one token's experts, yet it waits for bytes
    assert "launch-bound" in small.explain("predicted")
    assert "launch-bound" not in experts.explain("predicted")


def test_a_prompt_in_small_pieces_takes_longer_than_at_once() -> None:
    # pieces of a thousand tokens may not: what lies between two kernels stays in the cache
    asked = {"context": 16384, "mode": "prefill", "engine": "vllm"}
    pieces, whole = (plan("llama-3.1-8b", "h100-sxm", **asked, chunk=size).predicted for size in (256, 16384))
    assert pieces is not None
    assert whole is not None
    assert pieces.seconds > whole.seconds


def test_training_is_of_a_framework() -> None:
    asked = {"context": 4096, "mode": "train", "batch": 512, "placement": {"tp": 4, "pp": 2}}
    made = plan("llama-3.1-70b", "64x h100-sxm", **asked, engine="megatron")
    assert made.predicted is not None
    assert made.predicted.engine == "megatron"
    assert "moe" not in made.predicted.measured_for
    assert made.trained is not None
    assert made.trained.recipe.name == "megatron"
    assert made.predicted.seconds > made.seconds
    more = plan("llama-3.1-70b", "64x h100-sxm", **asked | {"batch": 1024}, engine="megatron").predicted
    assert more is not None
    assert more.seconds > made.predicted.seconds
    with pytest.raises(AttometerError, match="training takes a recipe, or a framework as engine: megatron"):
        plan("llama-3.1-70b", "64x h100-sxm", **asked, engine="vllm")


def test_counts_of_whole_models_are_those_of_the_model() -> None:
    made = plan("qwen3-30b-a3b", "h100-sxm", context=512)
    shape = shape_of(made.planner.cost)
    assert shape.total == made.parameters - 151936 * 2048
    assert shape.active == made.planner.cost.active - 151936 * 2048
    assert (shape.heads, shape.head_dim, shape.hidden, shape.experts, shape.chosen) == (32, 128, 768, 128, 8)


def test_every_engine_has_a_time_or_a_reason() -> None:
    where = {"mlx": "apple-m4-max", "llama.cpp": "rtx-4090"}
    for name in NAMES:
        made = plan("llama-3.1-8b", where.get(name, "h100-sxm"), engine=name, mode="decode", context=2048).predicted
        assert made is not None, name
        assert made.engine == name
        assert made.low < made.seconds < made.high
        assert made.situation


def test_amd_devices_run_their_own_kernels_under_vllm() -> None:
    made = from_kernels(plan("llama-3.1-8b", "mi300x", engine="vllm", context=2048), "vllm")
    assert made.measured_for.startswith("aiter")


def test_tokens_that_choose_alike_read_fewer_experts() -> None:
    asked = {"engine": "sglang", "placement": {"tp": 2}, "context": 1000, "mode": "decode"}
    made = plan("qwen3-30b-a3b", "2x h100-sxm", batch=16, **asked).predicted  # type: ignore[arg-type]
    assert made is not None
    assert made.alike is not None
    # 5.3 ms were measured with prompts that repeat (sgl-project/sglang-omni#760); independent tokens read 82 experts of 128.
    assert made.alike == pytest.approx(5.3e-3, rel=0.15)
    assert made.low < 5.3e-3 < made.high
    assert f"{made.alike * 1e3:.2f} ms where all tokens choose the same experts" in str(made)
    one = plan("qwen3-30b-a3b", "2x h100-sxm", batch=1, **asked).predicted  # type: ignore[arg-type]
    assert one is not None
    assert one.alike is None


def test_whole_models_of_other_weights_stand_behind_kernels_of_these() -> None:
    asked = {"mode": "decode", "context": 32768, "batch": 8, "placement": {"tp": 8}, "engine": "vllm"}
    made = plan("llama-3.1-405b", "8x h100-sxm", weights_dtype="fp8", **asked).predicted  # type: ignore[arg-type]
    assert made is not None
    # Whole models under vLLM were measured with 16-bit weights there: kernels in FP8 say more, and nothing widens them.
    assert made.way == "kernels"
    assert made.other is None


def test_kernels_that_are_launched_one_by_one_wait_for_the_host() -> None:
    """vLLM's Qwen3-14B-AWQ on an A100 with --enforce-eager: 14.8 ms a token (public benchmark); whole models had graphs."""
    asked = {"mode": "decode", "context": 1024, "weights_dtype": "awq"}
    graphs, eager = (
        plan("qwen3-14b", "a100-80gb-sxm", engine=EngineOptions("vllm", graphs=g), **asked).predicted
        for g in (True, False)
    )
    assert eager.terms["gaps"] == pytest.approx(40 * 1.8e-4)
    assert (graphs.way, eager.way, eager.other) == ("whole model", "kernels", None)
    assert eager.low < 0.0148 < eager.high
    assert abs(eager.seconds / 0.0148 - 1) < 0.25


def test_what_stands_on_other_machines_does_not_widen_an_interval() -> None:
    # vLLM's whole models were measured on A100s, its kernels on the H200
    made = plan("llama-3.1-8b", "h200-sxm", engine="vllm", context=8192, mode="decode", batch=32).predicted
    assert made is not None
    assert made.way == "kernels"
    assert made.other is not None
    assert not made.low <= made.other <= made.high
    assert "the other way" not in str(made)


def test_an_engine_as_it_is_now_goes_before_what_it_was() -> None:
    # whole models of vLLM on H100s were measured in 2023, its kernels since
    made = plan("llama-3.1-70b", "4x-h100-sxm", engine="vllm", context=4096, mode="decode", batch=16).predicted
    assert made is not None
    assert made.way == "kernels"
    assert made.other is not None
    assert made.high < made.other


def test_a_mac_stands_on_macs_and_has_a_prefill() -> None:
    made = plan("llama-3.1-8b", "m2-ultra", engine="llama.cpp", context=512, weights_dtype="q4_k_m").predicted
    assert made is not None
    assert made.measured_for.startswith("llama.cpp metal")
    # too few Macs were measured for an interval of whole models on another: kernels tell, and whole models check
    other = plan("llama-3.1-8b", "m4-max", engine="llama.cpp", context=4096).predicted
    assert other is not None
    assert other.high < 10 * other.low
    assert other.other is not None
