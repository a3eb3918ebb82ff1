"""What kernels' times must obey whatever their coefficients: bounds, and the figure that each term stands on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.machine import machine
from attometer.price.classes import class_of
from attometer.price.features import collective_counts, decode_counts
from attometer.price.figures import figures, shots
from attometer.price.kernels import Array, Counts, blend, memory_time


def priors(kind: str, **changed: float) -> Counts:
    return {each.name: np.array([changed.get(each.name, each.prior)]) for each in class_of(kind).coefficients}


def arrays(counts: dict[str, float]) -> Counts:
    return {name: np.array([value]) for name, value in counts.items()}


def reduced(where: str, devices: int, **changed: float) -> float:
    """Seconds to all-reduce a GiB over the devices of one node."""
    x = collective_counts("all_reduce", 2.0**30, devices, devices) | figures(machine(where), "bf16") | {"shots": 0.0}
    total: Array = class_of("collective").model(arrays(x), priors("collective", **changed))["total"]
    return float(total[0])


@given(st.floats(0.01, 20), st.lists(st.floats(1e-7, 1e-1), min_size=1, max_size=4))
def test_a_soft_maximum_lies_between_the_maximum_and_the_sum(power: float, times: list[float]) -> None:
    made = float(blend(np.array([power]), *(np.array([each]) for each in times))[0])
    assert max(times) * (1 - 1e-9) <= made <= sum(times) * (1 + 1e-9)


@given(st.floats(0.1, 10), st.floats(0.01, 3), st.floats(3, 12))
def test_no_coefficient_moves_bytes_faster_than_the_cache_can(memory: float, cache: float, size: float) -> None:
    x = arrays(figures(machine("h100-sxm"), "bf16"))
    c = {name: np.array([value]) for name, value in (("memory", memory), ("cache", cache), ("resident", 0.5))}
    time = float(memory_time(np.array([10.0**size]), x, c)[0])
    assert time >= 10.0**size / float(x["wires"][0])
    if size > 9:  # far more than the cache holds: main memory binds
        assert time >= 0.99 * 10.0**size / float(x["bandwidth"][0])


def test_a_switch_that_adds_beats_the_ring_from_three_devices_on() -> None:
    # a share once there and the sum once back, not twice all but one's part
    assert reduced("h100-sxm", 8, link=0.6, join=1e-9) == pytest.approx((1 + 1 / 8) * 2**30 / (450e9 * 0.6), rel=0.02)
    assert reduced("h100-sxm", 2, switch=0.9) == reduced("h100-sxm", 2, switch=0.1)
    assert reduced("a100-80gb-sxm", 8, switch=0.9) == reduced("a100-80gb-sxm", 8, switch=0.1)


def test_devices_on_a_bus_share_it_and_those_on_a_switch_do_not() -> None:
    assert reduced("l40s", 8, sharing=0.9) > 1.5 * reduced("l40s", 8, sharing=0.1)
    assert reduced("a100-80gb-sxm", 8, sharing=0.9) == reduced("a100-80gb-sxm", 8, sharing=0.1)


def test_only_engines_own_reductions_take_shots() -> None:
    assert [
        shots(f"{name}|bfloat16|") for name in ("sglang 0.5 sglang_customallreduce_graph|all_reduce", "nccl|all_reduce")
    ] == [1, 0]


@pytest.mark.parametrize(("width", "like"), [(72, 128), (80, 128), (64, 64), (128, 128)])
def test_a_width_that_is_rounded_costs_as_the_next_power_of_two(width: int, like: int) -> None:
    def seconds(d: float) -> float:
        x = {
            "queries": 8192.0,
            "keys": 8192.0,
            "batch": 4.0,
            "heads": 16.0,
            "groups": 16.0,
            "width": d,
            "value_width": d,
        }
        x |= {"causal": 0.0, "window": 0.0, "passes": 1.0, "bytes": 2.0, "cache_bytes": 2.0, "append": 0.0}
        x |= {"pair_bytes": 0.0} | figures(machine("l40s"), "bf16")
        c = priors("encoder", rounded=1.0, width64=1.0, spill=1e-9)
        return float(class_of("encoder").model(arrays(x), c)["total"][0])

    assert seconds(width) == pytest.approx(seconds(like), rel=0.01)


def test_a_window_may_give_each_query_head_its_own_block() -> None:
    def seconds(window: float, unpacked: float) -> float:
        x = decode_counts(512, 4096, 32, 4, 128, 128, 16) | figures(machine("l40s"), "bf16") | {"window": window}
        return float(class_of("decode").model(arrays(x), priors("decode", unpacked=unpacked))["total"][0])

    assert seconds(128, 1.0) > 1.5 * seconds(128, 1e-3)
    assert seconds(0, 1.0) == seconds(0, 1e-3)
