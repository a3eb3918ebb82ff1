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
from attometer.price.model_features import Shape, training_counts


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
    for where in ("a100-80gb-sxm", "b200"):
        assert reduced(where, 8, switch=0.9) == reduced(where, 8, switch=0.1)


def test_peers_take_up_to_16_kib_in_low_latency() -> None:
    """NCCL_P2P_LL_THRESHOLD (src/enqueue.cc): what a peer gets, a share of an exchange or all of a message."""
    x = figures(machine("h100-sxm"), "bf16") | {"shots": 0.0}

    def waits(op: str, size: float) -> bool:
        counts = arrays(collective_counts(op, size, 8, 8) | x)
        none, some = (class_of("collective").model(counts, priors("collective", sync=s))["total"] for s in (0.0, 1e-3))
        return bool(some[0] - none[0] > 0.9e-3)

    assert [waits("alltoall", k * 8 * 2**14) for k in (1, 1.01)] == [False, True]
    assert [waits("send_recv", k * 2**14) for k in (1, 1.01)] == [False, True]


def test_devices_on_a_bus_share_it_and_those_on_a_switch_do_not() -> None:
    assert reduced("l40s", 8, sharing=0.9) > 1.5 * reduced("l40s", 8, sharing=0.1)
    assert reduced("a100-80gb-sxm", 8, sharing=0.9) == reduced("a100-80gb-sxm", 8, sharing=0.1)
    # a pair crosses no bridge, four and more do; only more than four crowd it
    assert [reduced("l40s", n, bridge=4.0) > 3 * reduced("l40s", n, bridge=1.0) for n in (2, 4, 8)] == [
        False,
        True,
        True,
    ]
    assert reduced("l40s", 4, sharing=0.9) == reduced("l40s", 4, sharing=0.1)


def shot(where: str, devices: int, size: float, shots: float, **changed: float) -> float:
    x = collective_counts("all_reduce", size, devices, devices) | figures(machine(where), "bf16") | {"shots": shots}
    return float(
        class_of("collective").model(
            arrays(x), priors("collective", leave=1e-12) | {name: np.array([value]) for name, value in changed.items()}
        )["total"][0]
    )


def test_engines_own_reductions_are_left_for_the_ring_without_links_and_above_a_limit() -> None:
    # vLLM: "custom allreduce is disabled because it's not supported on more than two PCIe-only GPUs"
    alike = {
        (where, n): shot(where, n, 2.0**14, 1.0) == pytest.approx(shot(where, n, 2.0**14, 0.0))
        for where in ("l40s", "h100-sxm")
        for n in (2, 4, 8)
    }
    assert [pair for pair, same in alike.items() if same] == [("l40s", 4), ("l40s", 8)]
    times = [shot("h100-sxm", 8, 2.0**28, one, limit=2.0**22) for one in (1.0, 0.0)]
    assert times[0] == pytest.approx(times[1], rel=1e-6)


def test_what_is_launched_one_by_one_takes_the_longer_of_host_and_devices() -> None:
    host, idle = 1e-3, 1e-9
    small, large = (shot("h100-sxm", 8, size, 1.0, host=host) for size in (2.0**10, 2.0**32))
    assert small == pytest.approx(host, rel=0.05)
    assert large == pytest.approx(shot("h100-sxm", 8, 2.0**32, 1.0, host=idle), rel=0.01)


def test_only_engines_own_reductions_take_shots() -> None:
    assert [
        shots(f"{name}|bfloat16|") for name in ("sglang 0.5 sglang_customallreduce_graph|all_reduce", "nccl|all_reduce")
    ] == [1, 0]


def attention(width: float, causal: float = 0.0, **changed: float) -> float:
    """Seconds of 16 heads over 8,192 places, all of their tiles computed unless `changed` says otherwise."""
    x = {"queries": 8192.0, "keys": 8192.0, "batch": 4.0, "heads": 16.0, "groups": 16.0, "width": width}
    x |= {"value_width": width, "causal": causal, "window": 0.0, "passes": 1.0, "bytes": 2.0, "cache_bytes": 2.0}
    x |= {"append": 0.0, "pair_bytes": 0.0} | figures(machine("l40s"), "bf16")
    c = priors("encoder", rounded=1.0, width64=1.0, spill=1e-9, tail=1e-9, **changed)
    return float(class_of("encoder").model(arrays(x), c)["total"][0])


@pytest.mark.parametrize(("width", "like"), [(72, 128), (80, 128), (64, 64), (128, 128)])
def test_a_width_that_is_rounded_costs_as_the_next_power_of_two(width: int, like: int) -> None:
    assert attention(width, uneven=1.0) == pytest.approx(attention(like), rel=0.01)


def test_only_widths_that_16_does_not_divide_are_uneven() -> None:
    assert attention(72, uneven=3.0) == pytest.approx(3 * attention(72, uneven=1.0), rel=0.03)
    assert attention(80, uneven=3.0) == attention(80, uneven=1.0)


def test_a_mask_that_is_not_skipped_costs_as_none() -> None:
    assert attention(128, 1.0, masked=1e-9) == pytest.approx(attention(128) / 2, rel=0.05)
    assert attention(128, 1.0, masked=1.0) == pytest.approx(attention(128), rel=0.05)


def decoding(batch: int, keys: int, heads: int, groups: int, window: float = 0.0, **changed: float) -> float:
    """Seconds of one query per sequence on an L40S."""
    x = decode_counts(batch, keys, heads, groups, 128, 128, 16) | figures(machine("l40s"), "bf16") | {"window": window}
    return float(class_of("decode").model(arrays(x), priors("decode", **changed))["total"][0])


def test_a_window_may_give_each_query_head_its_own_block() -> None:
    assert decoding(512, 4096, 32, 4, 128, unpacked=1.0) > 1.5 * decoding(512, 4096, 32, 4, 128, unpacked=1e-3)
    assert decoding(512, 4096, 32, 4, unpacked=1.0) == decoding(512, 4096, 32, 4, unpacked=1e-3)


def test_groups_that_no_tile_was_written_for_may_fall_into_heads() -> None:
    assert decoding(512, 64, 64, 1, ungrouped=1.0) > 1.5 * decoding(512, 64, 64, 1, ungrouped=1e-3)
    assert decoding(512, 64, 32, 1, ungrouped=1.0) == decoding(512, 64, 32, 1, ungrouped=1e-3)


def test_keys_that_are_not_split_are_read_by_one_block() -> None:
    one = decoding(1, 65536, 8, 1, splits=1.0)
    assert one > 10 * decoding(1, 65536, 8, 1, splits=64.0)
    assert decoding(1, 131072, 8, 1, splits=1.0) == pytest.approx(2 * one, rel=0.05)


def test_keys_that_a_window_hides_may_be_read() -> None:
    assert decoding(64, 65536, 8, 8, 128, unskipped=1.0) > 0.9 * decoding(64, 65536, 8, 8)
    assert decoding(64, 65536, 8, 8, 128, unskipped=1e-9) < 0.1 * decoding(64, 65536, 8, 8)


def test_blocks_of_many_heads_move_more_queries_and_results() -> None:
    assert decoding(2048, 4, 32, 1, queries=20.0) > 2 * decoding(2048, 4, 1, 1, queries=20.0)


def test_a_step_passes_its_bytes_at_the_rate_of_its_instructions_where_memory_is_fast() -> None:
    def seconds(where: str, **changed: float) -> float:
        x = {"bytes": 1e9, "flops": 0.0, "rows": 1.0, "width": 1.0} | figures(machine(where), "bf16")
        c = priors("operation", **{"row": 1e-9, "floor": 1e-9, "blend": 50.0} | changed)
        return float(class_of("operation").model(arrays(x), c)["total"][0])

    # an A100 has three times the bandwidth of an A40 and as many wires
    slow = 1e9 * 1.3 / (0.02 * figures(machine("a100-80gb-sxm"), "bf16")["wires"])
    assert seconds("a100-80gb-sxm", handled=0.02) == pytest.approx(slow, rel=1e-3)
    assert seconds("a40", handled=0.02) / slow == pytest.approx(1, rel=0.05)
    assert seconds("a40", handled=10.0) / seconds("a100-80gb-sxm", handled=10.0) > 2.5


def test_experts_are_products_of_their_own_widths_and_tokens() -> None:
    def terms(hidden: float, experts: float, chosen: float, **degree: float) -> Counts:
        model = Shape(8.0, 4096.0, 32.0, 128.0, hidden, 2e9, 3 * 4096 * hidden * 8, experts, chosen, 1e8, 2048.0, 8.0)
        found = training_counts(
            model, {"tp": 1.0, "pp": 1.0, "cp": 1.0, "ep": 1.0, "vp": 1.0} | degree, 64.0, micro=1.0, whole=64.0,
            length=4096.0, recompute=3.0, adapters=False, causal=0.5, sharded=False, gradient=2.0, nodes=8.0,
        )  # fmt: skip
        return class_of("training").model(arrays(found | figures(machine("h100-sxm"), "bf16")), priors("training"))

    few, many = terms(8192.0, 8.0, 2.0), terms(1024.0, 64.0, 16.0)  # as many FLOPs, in narrow pieces of fewer tokens
    assert few["products"] == many["products"]
    assert 0 < few["routed"][0] < 0.8 * many["routed"][0]
    assert terms(8192.0, 0.0, 0.0)["routed"][0] == 0
    # more ranks hold fewer experts each, and each of these sees the tokens of all ranks
    assert terms(1024.0, 64.0, 16.0, ep=8.0)["routed"][0] < many["routed"][0]
    assert many["experts"][0] == 0 < terms(1024.0, 64.0, 16.0, ep=8.0)["experts"][0]
