"""A machine from a file of one's own: read exactly, or refused with the path of the key."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.machine import Figure, Machine, machine

GOOD = """
name = "My board"
vendor = "me"
kind = "gpu"

[sources]
bench = ["my notes", "my other notes"]

[peak]
bf16 = { value = 1.2, unit = "TFLOP/s", source = "bench", status = "measured" }

[memory]
capacity = { value = 8, unit = "GiB", source = "the label", status = "datasheet", note = "half is soldered" }
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "board.toml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    board = machine(write(tmp_path, GOOD))
    assert (board.id, board.name) == ("board", "My board")
    assert board.peak_rate("bf16") == 1_200_000_000_000
    assert board.memory_bytes == 8 * 2**30
    assert board.peak.bf16 == Figure(
        value=1.2, unit="TFLOP/s", source="my notes; my other notes", status="measured", note=None
    )
    assert "8 GiB (datasheet; half is soldered)" in str(board)
    assert machine(str(tmp_path / "board.toml")) == board


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "GiB"', 'unit = "Gib"', r'\$\.memory\.capacity\.unit: unknown unit "Gib"; did you mean "GiB"\?'),
        (
            'unit = "GiB"',
            'unit = "GB/s"',
            r'\$\.memory\.capacity: unit "GB/s" is not a unit of bytes; use one of B, KB',
        ),
        ("value = 8", "value = 0", r"\$\.memory\.capacity\.value: a positive finite number is needed .*, got 0"),
        ("value = 8", "value = -3", r"\$\.memory\.capacity\.value: a positive finite number is needed .*, got -3"),
        (
            "value = 8",
            "value = 1e308",
            r"\$\.memory\.capacity\.value: a number from 1e-12 to 1e\+15 is needed.*, got 1e\+308",
        ),
        (
            "value = 8",
            "value = 1e-308",
            r"\$\.memory\.capacity\.value: a number from 1e-12 to 1e\+15 is needed.*, got 1e-308",
        ),
        ("value = 8", "value = nan", r"\$\.memory\.capacity\.value: a positive finite number is needed .*, got nan"),
        ("value = 8", 'value = "8"', r"\$\.memory\.capacity\.value: a positive finite number is needed .*, got '8'"),
        ("value = 8", "value = true", r"\$\.memory\.capacity\.value: a positive finite number is needed .*, got True"),
        ("bf16 =", "bf61 =", r'\$\.peak\.bf61: unknown key; did you mean "bf16"\?'),
        ("[peak]", "[peaks]", r'\$\.peaks: unknown key; did you mean "peak"\?'),
        ("note =", "notes =", r'\$\.memory\.capacity\.notes: unknown key; did you mean "note"\?'),
        ('status = "measured"', 'status = "guessed"', r"\$\.peak\.bf16\.status: input should be 'datasheet', "),
        (', status = "measured"', "", r"\$\.peak\.bf16\.status: missing"),
        ('name = "My board"', "", r"\$\.name: missing"),
        ("[peak]", "[peak", r"is not TOML: "),
        ("[sources]", "sources = 3\n[peak.sources]", r"\$\.peak\.sources: unknown key"),
    ],
)
def test_a_wrong_file_is_refused_by_the_path_of_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(AttometerError, match=message):
        machine(write(tmp_path, GOOD.replace(old, new, 1)))


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AttometerError, match=r'^hardware file ".*none.toml" does not exist or is not a file$'):
        machine(tmp_path / "none.toml")
    with pytest.raises(AttometerError, match="does not exist or is not a file"):
        machine(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AttometerError, match="cannot be read as text"):
        machine(tmp_path / "binary.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(AttometerError, match="holds 1,048,577 bytes; at most 1,048,576 are read"):
        machine(tmp_path / "large.toml")


@given(st.recursive(st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)))
def test_any_text_is_read_or_refused_in_words(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = write(tmp_path_factory.mktemp("fuzz"), f"{GOOD}\n[chip]\nclock = {value!r}\n")
    with pytest.raises(AttometerError):
        machine(path)


@given(st.decimals(min_value="0.001", max_value="99999", places=3))
def test_amounts_are_exact_in_base_units(value: object) -> None:
    figure = Figure(value=float(str(value)), unit="GB", source="a test", status="measured")
    assert figure.amount == round(float(str(value)) * 1000) * 10**6


def test_a_machine_needs_no_figures() -> None:
    assert Machine(id="x", name="x", vendor="y", kind="cpu").to_dict() == {
        "id": "x", "name": "x", "vendor": "y", "kind": "cpu", "aliases": [], "peak": {}, "memory": {}, "chip": {},
    }  # fmt: skip
