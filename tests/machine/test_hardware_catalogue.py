"""The shipped machines: every figure has a source, every name resolves, and the figures agree with one another."""

import subprocess
import sys

import pytest

from attometer.errors import AttometerError
from attometer.machine import Machine, machine, machines

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
        assert figure.status in ("datasheet", "derived")
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


def test_a_rate_that_is_not_stated_is_refused_and_no_other_type_stands_in() -> None:
    with pytest.raises(AttometerError, match=r'^"v100-sxm2-32gb" states no peak rate for "bf16"; known: fp32, fp16$'):
        machine("v100-sxm2-32gb").peak_rate("bfloat16")
    with pytest.raises(AttometerError, match=r'^unknown data type "bf61"; did you mean "bf16"\?$'):
        machine("h100-sxm").peak_rate("bf61")


def test_an_unknown_figure_is_absent_and_never_zero() -> None:
    cpu = machine("epyc-9654")
    assert cpu.memory.capacity is None
    with pytest.raises(AttometerError, match=r'^"epyc-9654" does not state memory.capacity; known: peak.fp32'):
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
