"""A nest is derived for every mechanism, notation file and gradient, and keeps the law: what `docs/derive.md` lists."""

from pathlib import Path

import pytest
from test_derived_law import check_law

import attometer as am
from attometer.count import derive as room
from attometer.mechanisms.subject import subject

ROOT = Path(__file__).parents[2]
FILES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "examples").glob("*.att"))
SIZES = {"b": 2, "h": 4, "g": 2, "n": 4, "m": 4, "d": 4, "e": 3, "D": 4, "F": 5, "w": 2, "k": 2, "s": 2, "B": 2, "f": 3,
         "l": 2, "c": 3, "r": 2, "t": 1, "u": 3, "p": 3, "E": 3, "v": 2, "V": 5, "x": 2, "y": 3, "i": 3, "j": 4}  # fmt: skip


def test_the_page_has_a_row_for_every_name() -> None:
    page = (ROOT / "docs" / "derive.md").read_text()
    for name in (*am.mechanisms(), *FILES):
        assert f"| {name} |" in page
        assert f"| gradient of {name} |" in page


@pytest.mark.slow
@pytest.mark.parametrize("gradient", [False, True], ids=["", "gradient"])
@pytest.mark.parametrize("name", [*am.mechanisms(), *FILES])
def test_every_mechanism_derives_and_keeps_the_law(name: str, gradient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ENOUGH", 100)  # which cut is best does not matter here
    program = subject(str(ROOT / name) if name.endswith(".att") else name).program
    program = am.gradient(program) if gradient else program
    sizes = {s.name: SIZES[s.name] for s in program.symbols}
    check_law(am.derive(program, 10_000, **sizes), program)
