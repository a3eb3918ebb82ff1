"""The shipped machines: every figure has a source, every name resolves, and the figures agree with one another."""

import subprocess
import sys

import pytest

from attometer.errors import AttometerError
from attometer.machine import Machine, cluster, machine, machines
from attometer.machine.cluster import systems

# id → dense bf16 (fp16 where there is no bf16) TFLOP/s, memory GB, GB/s. Sources: vendors' datasheets of the parts.
DATASHEETS = {
    "h100-sxm": ("bf16", 989, 80, 3350),
    "h100-pcie": ("bf16", 756, 80, 2000),
    "h200-sxm": ("bf16", 989, 141, 4800),
    "a100-80gb-sxm": ("bf16", 312, 80, 2039),
    "a100-40gb-sxm": ("bf16", 312, 40, 1555),
    "b200": ("bf16", 2250, 180, 8000),
    "mi300x": ("bf16", 1307, 192, 5300),
    "l40s": ("bf16", 362, 48, 864),
    "l4": ("bf16", 121, 24, 300),
    "rtx-3090": ("bf16", 71.2, 24, 936),
    "rtx-4090": ("bf16", 165.2, 24, 1008),
    "v100-sxm2-32gb": ("fp16", 125, 32, 900),
    "t4": ("fp16", 65, 16, 320),
    "tpu-v4": ("bf16", 275, 32, 1228),
}


@pytest.mark.parametrize(("name", "figures"), DATASHEETS.items())
def test_the_figures_are_those_of_the_datasheet(name: str, figures: tuple[str, float, float, float]) -> None:
    dtype, rate, memory, bandwidth = figures
    chip = machine(name)
    assert chip.peak_rate(dtype) == round(rate * 1e12)
    assert chip.memory_bytes == memory * 10**9
    assert chip.bandwidth == bandwidth * 10**9


def test_the_catalogue_is_large_and_holds_cpus_and_tpus() -> None:
    kinds = [machine(name).kind for name in machines()]
    assert len(kinds) >= 30
    assert {"gpu", "cpu", "tpu"} <= set(kinds)


@pytest.mark.parametrize("name", machines())
def test_every_figure_has_a_source_a_status_and_a_plausible_size(name: str) -> None:
    chip = machine(name)
    figures = dict(chip.figures())
    assert figures, "a machine without figures says nothing"
    for path, figure in figures.items():
        assert len(figure.source) > 10, path
        assert figure.source not in ("public", "vendor"), "the key of a source was not resolved"
        assert figure.status in ("datasheet", "derived", *(["measured"] if path == "memory.usable" else []))
    assert "memory.bandwidth" in figures
    assert 10**10 < chip.bandwidth < 10**14
    for path in figures:
        if path.startswith("peak."):
            assert 10**12 <= chip.amount(path) < 10**17, path


def test_wider_types_are_never_faster_than_narrower_ones() -> None:
    for name in machines():
        peak = machine(name).peak
        for narrow, wide in (("fp8", "fp16"), ("fp16", "tf32"), ("tf32", "fp32"), ("int4", "int8"), ("fp4", "fp8")):
            pair = getattr(peak, narrow), getattr(peak, wide)
            if all(pair):
                assert pair[0].amount >= pair[1].amount, (name, narrow, wide)


def test_no_alias_is_claimed_twice_or_hides_an_id() -> None:
    claims: dict[str, str] = {}
    for name in machines():
        for alias in machine(name).aliases:
            assert alias not in claims, alias
            assert alias not in machines()
            assert machine(alias).id == name
            claims[alias] = name
    assert claims["h100"] == "h100-sxm"


@pytest.mark.parametrize("spelling", ["H100-SXM", "h100_sxm", " h100 sxm "])
def test_case_spaces_and_underscores_do_not_matter(spelling: str) -> None:
    assert machine(spelling).id == "h100-sxm"


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(AttometerError, match=r'^unknown hardware "h1000"; did you mean "h100-sxm"\?$'):
        machine("h1000")


@pytest.mark.parametrize(("typed", "near"), [("B100", "b300"), ("M6 Max", "apple-m5-max"), ("RTX 9090", "rtx-5090")])
def test_the_nearest_is_found_without_its_makers_word(typed: str, near: str) -> None:
    with pytest.raises(AttometerError, match=rf'^unknown hardware "{typed}"; did you mean "{near}"\?$'):
        machine(typed)


def test_a_rate_that_is_not_stated_is_refused_and_no_other_type_stands_in() -> None:
    with pytest.raises(AttometerError, match=r'^"v100-sxm2-32gb" states no peak rate for "bf16"; known: fp32, fp16$'):
        machine("v100-sxm2-32gb").peak_rate("bfloat16")
    with pytest.raises(AttometerError, match=r'^unknown data type "bf61"; did you mean "bf16"\?$'):
        machine("h100-sxm").peak_rate("bf61")


def test_an_unknown_figure_is_absent_and_never_zero() -> None:
    cpu = machine("epyc-9654")
    assert cpu.memory.capacity is None
    with pytest.raises(
        AttometerError, match='"epyc-9654" has what memory is built in: say how much, as in "epyc-9654 64GB"'
    ):
        _ = cpu.memory_bytes


def test_the_report_numbers_each_source_once() -> None:
    text = str(machine("h100-sxm"))
    assert "memory.capacity        80 GB (datasheet) [1]" in text
    assert text.count("CUDA C++ Programming Guide") == 1
    assert "GB = 10^9 bytes" in text


def test_a_machine_is_hashable_and_turns_into_json() -> None:
    assert len({machine("h100"), machine("h100-sxm")}) == 1
    assert machine("h100").to_dict()["memory"]["capacity"]["unit"] == "GB"


def test_only_the_file_asked_for_is_parsed() -> None:
    code = (
        "import tomllib; seen = []; loads = tomllib.loads\n"
        "tomllib.loads = lambda text: seen.append(len(text)) or loads(text)\n"
        "from attometer.machine import machine\n"
        "machine('{name}'); print(len(seen), max(seen))"
    )

    def parsed(name: str) -> list[int]:
        run = subprocess.run([sys.executable, "-c", code.format(name=name)], capture_output=True, text=True, check=True)
        return [int(number) for number in run.stdout.split()]

    assert parsed("h100-sxm")[0] == 1
    # an alias reads the heads of the files, then one file in full
    assert parsed("h100")[0] == len(machines()) + 1


def test_machines_are_frozen() -> None:
    chip: Machine = machine("h100")
    with pytest.raises(ValueError, match="frozen"):
        chip.name = "other"  # type: ignore[misc]


# What drivers report: nvidia-smi's MiB, rocm-smi's bytes; of an A100, whose CUDA sees 39.49 GiB, what leaves that.
USABLE = {
    "h100-sxm": 81559 * 2**20,
    "h100-nvl": 95830 * 2**20,
    "h200-sxm": 143771 * 2**20,
    "b200": 183359 * 2**20,
    "a100-40gb-sxm": round((39.49 + 0.3) / (1 - 0.0022) * 2**30),
    "l40s": 46068 * 2**20,
    "l4": 23034 * 2**20,
    "rtx-3090": 24576 * 2**20,
    "rtx-4090": 24564 * 2**20,
    "rtx-5090": 32607 * 2**20,
    "rtx-pro-6000-blackwell": 97887 * 2**20,
    "mi355x": 308902100992,
    "mi250x-gcd": 68702699520,
}


@pytest.mark.parametrize(("name", "usable"), USABLE.items())
def test_usable_memory_is_what_the_driver_reports(name: str, usable: int) -> None:
    assert abs(machine(name).usable_bytes - usable) <= 2**20 * 4


@pytest.mark.parametrize("name", machines())
def test_usable_memory_is_near_the_printed_capacity_read_as_gib(name: str) -> None:
    chip = machine(name)
    if chip.memory.capacity is None:
        assert chip.kind == "cpu"
        return
    assert chip.memory.usable is not None
    printed = chip.memory_bytes / 1e9 * 2**30
    unified = "unified" in (chip.note or "")
    assert (0.6 if unified else 0.9) * printed <= chip.usable_bytes <= 1.02 * printed


@pytest.mark.parametrize("name", machines())
def test_the_printed_name_of_each_machine_means_it(name: str) -> None:
    assert machine(machine(name).name).id == name


@pytest.mark.parametrize(
    ("written", "identity"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H100 NVL", "h100-nvl"),
        ("NVIDIA H200", "h200-sxm"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb-sxm"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
        ("A100 80GB", "a100-80gb-sxm"),
        ("4090", "rtx-4090"),
        ("RTX3090", "rtx-3090"),
        ("NVIDIA GeForce RTX 5090", "rtx-5090"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("Tesla V100-SXM2-32GB", "v100-sxm2-32gb"),
        ("AMD Instinct MI300X", "mi300x"),
        ("Intel(R) Arc(TM) Pro B60 Graphics", "arc-pro-b60"),
        ("Gaudi 3", "gaudi3"),
        ("Apple M4 Pro", "apple-m4-pro"),
        ("DGX Spark", "gb10"),
    ],
)
def test_names_are_read_as_drivers_and_people_write_them(written: str, identity: str) -> None:
    assert machine(written).id == identity


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("cpu", r'^"cpu" names no one machine: say which, as in "epyc-9654"'),
        ("gpu.yaml", r'^hardware files are TOML, got "gpu.yaml"'),
    ],
)
def test_a_name_of_many_machines_is_refused_with_what_to_say(written: str, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        machine(written)


@pytest.mark.parametrize(
    ("typed", "count", "chip"),
    [
        ("DGX H100", 8, "h100-sxm"),
        ("dgx-a100", 8, "a100-80gb-sxm"),
        ("g5.12xlarge", 4, "a10g"),
        ("GB200 NVL72", 72, "gb200"),
    ],
)
def test_what_is_sold_or_rented_as_a_whole(typed: str, count: int, chip: str) -> None:
    found = cluster(typed)
    assert (found.count, found.machine.chip_id) == (count, chip)


def test_systems_hold_devices_that_are_known() -> None:
    assert all(cluster(name).count >= 1 for name in systems())
