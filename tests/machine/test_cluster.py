"""Several devices: read as people write them, with the links between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.machine import cluster, machine, machines, node_of


@pytest.mark.parametrize(
    ("text", "identity", "count"),
    [
        ("h100-sxm", "h100-sxm", 1),
        ("8x-h100-sxm", "8x-h100-sxm", 8),
        ("8x H100", "8x-h100-sxm", 8),
        ("8xH100", "8x-h100-sxm", 8),
        ("8*h100", "8x-h100-sxm", 8),
        ("2 h100", "2x-h100-sxm", 2),
        ("h100-sxm:8", "8x-h100-sxm", 8),
        ("H100x8", "8x-h100-sxm", 8),
        ("64x-h100-sxm", "64x-h100-sxm", 64),
        ("2x RTX 3090", "2x-rtx-3090", 2),
        ("2x rtx-3090 + 1x rtx-4090", "2x-rtx-3090 + 1x-rtx-4090", 3),
        ("rtx-3090 + rtx-3090", "2x-rtx-3090", 2),
    ],
)
def test_devices_are_read_as_people_write_them(text: str, identity: str, count: int) -> None:
    devices = cluster(text)
    assert (devices.id, devices.count) == (identity, count)
    assert cluster(devices.id) == devices


@given(st.sampled_from(machines()), st.integers(1, 4096))
def test_the_id_of_devices_names_them(name: str, count: int) -> None:
    devices = cluster(f"{count}x-{name}")
    assert devices.groups == ((machine(name), count),)
    assert cluster(devices.id) == devices
    assert devices.nodes == -(-count // node_of(name).devices)


def test_memory_is_added_up_over_unlike_devices() -> None:
    both = cluster("2x rtx-3090 + rtx-4090")
    assert both.usable_bytes == 2 * machine("rtx-3090").usable_bytes + machine("rtx-4090").usable_bytes
    assert [device.id for device in both.devices] == ["rtx-3090", "rtx-3090", "rtx-4090"]
    with pytest.raises(AttometerError, match="holds devices of unlike kinds"):
        _ = both.machine


def test_links_inside_a_node_are_the_machines_own_and_between_nodes_the_networks() -> None:
    devices = cluster("64x H100")
    assert devices.nodes == 8
    assert devices.link(8).bandwidth == machine("h100-sxm").link_bandwidth == 450e9
    assert devices.link(16).bandwidth == 50e9  # one 400 Gb/s NIC per GPU
    assert devices.link(16).latency > devices.link(8).latency > 0
    assert cluster("16x H100", per_node=4).link(8).bandwidth == 50e9
    # a mixed group talks at the pace of its slowest
    assert cluster("rtx-3090 + rtx-4090").link(2).bandwidth == machine("rtx-4090").link_bandwidth


def test_every_machine_stands_in_a_node() -> None:
    for name in machines():
        assert node_of(name).devices >= 1
    named = [m for node in [node_of(n) for n in machines()] for m in node.machines if m != "*"]
    assert set(named) <= set(machines()), "a node names a machine that does not exist"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0x h100", r'^"0x h100" asks for 0 devices; at least 1 is needed$'),
        ("h100 +", r'^hardware "h100 \+" has an empty part beside "\+"$'),
        ("8x h1000", r'^unknown hardware "h1000"; did you mean "h100-sxm"\?$'),
        ("9999999x h100", r"asks for more than 1,000,000 devices$"),
    ],
)
def test_wrong_devices_are_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        cluster(text)


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("RTX 3090 24GB", "rtx-3090"),
        ("Tesla T4 16GB", "t4"),
        ("NVIDIA L40S 48GB", "l40s"),
        ("M2 Ultra 192GB", "apple-m2-ultra"),
        ("MacBook Pro M3", "apple-m3"),
        ("RTX 2080", "rtx-2080"),
        ("RTX 5060", "rtx-5060"),
        ("Ryzen AI Max+ 395", "strix-halo"),
        ("2x Ryzen AI Max+ 395", "2x-strix-halo"),
        ("dual 3090", "2x-rtx-3090"),
        ("v5e-8", "8x-tpu-v5e"),
        ("v4-8", "4x-tpu-v4"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "rtx-4070-ti-super"),
    ],
)
def test_names_as_shops_and_clouds_write_them(text: str, devices: str) -> None:
    assert cluster(text).id == devices


def test_unified_memory_comes_in_sizes() -> None:
    small, large = cluster("MacBook Pro M3 Pro 18GB").machine, cluster("M3 Max 64 GB").machine
    assert (small.id, small.usable_bytes) == ("apple-m3-pro-18gb", 12 * 2**30)
    assert (large.chip_id, large.usable_bytes, large.memory_bytes) == ("apple-m3-max", 48 * 2**30, 64 * 10**9)
    assert cluster("Ryzen 9 7950X 64GB").machine.usable_bytes == 64 * 2**30
    assert cluster("Strix Halo 64GB").machine.usable_bytes == 48 * 2**30
    for text, message in (
        ("RTX 3090 48GB", '"rtx-3090" has 24 GB, not 48'),
        ("M4 256GB", '"apple-m4" comes with up to 32 GB, not 256'),
    ):
        with pytest.raises(AttometerError, match=message):
            cluster(text)
