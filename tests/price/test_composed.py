"""Whole models from their kernels: the sum is that of its terms, more work takes longer, and what is borrowed is said."""

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.model_cost import model_cost
from attometer.count.placement.rank_cost import shard
from attometer.errors import AttometerError
from attometer.formats import uniform
from attometer.machine import machine
from attometer.models import model
from attometer.price.composed import Composed, composed, engine_of
from attometer.price.model_calls import Call, Pass, calls, stored
from attometer.price.predict import kernel_seconds
from attometer.schedule.placement import Placement


@lru_cache
def kernels(name: str, phase: str, batch: int, new: int, keys: int, tp: int = 1) -> tuple[Call, ...]:
    cost = model_cost(model(name), phase=phase)
    held = stored(cost, uniform("bf16"), machine("h100-sxm"))
    return tuple(calls(shard(cost, Placement(tp=tp)), [Pass(batch, new, keys)], held, 16.0))


def step(name: str = "llama-3.1-8b", batch: int = 1, keys: int = 512, engine: str = "vllm", tp: int = 1) -> Composed:
    found = list(kernels(name, "decode", batch, 1, keys, tp))
    return composed(found, machine("h100-sxm"), engine, model(name).depth, 0)


def test_a_pass_is_the_sum_of_its_terms() -> None:
    made = step()
    assert made.seconds == pytest.approx(sum(made.terms.values()))
    assert made.low < made.seconds < made.high


@settings(max_examples=10)
@given(batch=st.sampled_from((1, 4, 16)), keys=st.sampled_from((512, 2048, 8192)))
def test_more_sequences_and_longer_caches_take_longer(batch: int, keys: int) -> None:
    assert step(batch=4 * batch, keys=4 * keys).seconds > step(batch=batch, keys=keys).seconds


def test_products_of_a_model_are_its_active_weights() -> None:
    """What the calls multiply is what the model's layers hold: q, k and v as one, gate and up as one."""
    products = [call for call in kernels("llama-3.1-8b", "decode", 1, 1, 512) if call.kind == "gemm"]
    held = sum(call.times * call.counts["n"] * call.counts["k"] for call in products)
    assert held == 32 * 218103808 + 128256 * 4096
    assert [call.counts["n"] for call in products] == [6144, 4096, 28672, 4096, 128256]


def test_attention_is_counted_by_its_heads() -> None:
    (call,) = [call for call in kernels("deepseek-v3", "decode", 2, 1, 4096) if call.kind == "mla_decode"][:1]
    assert (call.counts["heads"], call.counts["streams"], call.counts["key_bytes"]) == (128, 2, 1152)
    sliding, full = [call for call in kernels("gemma-2-2b", "decode", 1, 1, 8192) if call.kind == "decode"]
    assert (sliding.counts["keys"], full.counts["keys"], full.counts["group"]) == (4096, 8192, 2)


def test_experts_are_one_call_over_those_touched() -> None:
    (call, *_) = [call for call in kernels("qwen3-30b-a3b", "decode", 16, 1, 512, 2) if call.kind == "moe"]
    shape = {k: call.counts[k] for k in ("tokens", "chosen", "experts", "hidden", "width", "matrices")}
    assert shape == {"tokens": 16, "chosen": 8, "experts": 128, "hidden": 384, "width": 2048, "matrices": 3}


def test_ranks_add_links() -> None:
    sent = [call for call in kernels("llama-3.1-8b", "decode", 1, 1, 512, 4) if call.kind == "collective"]
    assert sum(call.times for call in sent if call.types[0] == ("all_reduce",)) == 2 * 32 + 1
    assert "links" in step(tp=4).terms
    assert "links" not in step().terms


def test_gains_are_of_the_terms() -> None:
    made = step()
    assert 1 < made.gains["bandwidth"] < 1.1
    assert made.gains["link"] == pytest.approx(1)
    assert step(tp=4, batch=16).gains["link"] > 1


def test_what_is_borrowed_is_said() -> None:
    assert step().borrowed == ()
    lent = step(engine="mlx")
    assert lent.situation == "unseen engine"
    assert lent.borrowed
    assert not any(name.startswith("mlx") for name in lent.borrowed)
    assert lent.high / lent.low > step().high / step().low
    with pytest.raises(AttometerError, match=r'unknown engine with predicted times "vlm"; did you mean "vllm"'):
        engine_of("vlm")


def test_served_narrow_products_leave_out_the_step_that_makes_their_inputs_narrow() -> None:
    counts = {"m": 16.0, "n": 57344.0, "k": 8192.0, "left_bytes": 0.5, "right_bytes": 0.5625, "out_bytes": 2.0}
    alone = kernel_seconds("gemm", "trtllm 1.3 torch_flow|nvfp4|", "b200", **counts)
    step = float((alone.terms["quantise"] / alone.terms["total"])[0])
    assert step > 0.03
    served = composed([Call("gemm", "products", (("nvfp4",),), 1.0, counts)], machine("b200"), "tensorrt-llm", 0, 0)
    assert served.terms["products"] == pytest.approx(float(alone.seconds[0]) * (1 - step))
    wide = counts | {"left_bytes": 2.0, "right_bytes": 2.0}
    alone = kernel_seconds("gemm", "trtllm 1.3 torch_flow|bfloat16|", "b200", **wide)
    served = composed([Call("gemm", "products", (("bfloat16",),), 1.0, wide)], machine("b200"), "tensorrt-llm", 0, 0)
    assert served.terms["products"] == pytest.approx(float(alone.seconds[0]))


def test_kernels_that_were_timed_while_they_waited_for_the_host_are_replayed_without() -> None:
    # the profiles of vLLM's latent attention on Hopper begin at 110 µs, those of others at some 6
    cost = model_cost(model("deepseek-v3"), phase="decode")
    held = stored(cost, uniform("bf16"), machine("h100-sxm"))
    ranks = shard(cost, Placement(tp=8))
    found = [c for c in calls(ranks, [Pass(4, 1, 1024)], held, 16.0) if c.kind == "mla_decode"]
    made = composed(found, machine("h100-sxm"), "vllm", 0, 0)
    alone = kernel_seconds("mla_decode", made.families[0], "h100-sxm", **found[0].counts)
    waited = float(alone.terms["launch"][0] / alone.terms["total"][0])
    assert alone.seconds[0] > 1e-4
    # what the class's own launch takes is left
    assert 1 - waited < made.terms["attention"] / 61 / float(alone.seconds[0]) < 0.5
