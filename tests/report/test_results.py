"""Every result of a verb prints, shows HTML in a notebook, gives plain values, and explains or draws where that says more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import attometer as am
from attometer.errors import AttometerError
from attometer.view.report import Report
from attometer.view.text import folded

SOFTMAX = am.mechanism("softmax")
RESULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "count": (lambda: am.count(SOFTMAX), "flop"),
    "count at sizes": (lambda: am.count(SOFTMAX).at(n=8, d=4, h=1), "depth"),
    "traffic": (lambda: am.count(SOFTMAX, "flash2").traffic, ""),
    "price": (lambda: am.price(am.count(SOFTMAX), n=8, d=4, h=1), "compute"),
    "plan": (lambda: am.plan("gpt2", "l4"), "weights"),
    "machine": (lambda: am.machine("l4"), "memory.bandwidth"),
    "model": (lambda: am.model("gpt2"), ""),
    "mechanism": (lambda: SOFTMAX, ""),
    "schedule": (lambda: am.schedule("flash2"), ""),
    "best tiles": (lambda: am.best_tiles("flash2", n=64, d=4, M=256), ""),
    "show": (lambda: am.show("softmax"), "work"),
    "compare": (lambda: am.compare(["softmax", "linear"], n=64, d=4), "linear"),
    "io": (lambda: am.io(SOFTMAX, M=64, sizes={"n": 12, "d": 2}, schedules=["flash2"]), "flash2"),
    "pebble": (lambda: am.pebble("softmax", {"n": 2, "d": 1}, M=5), ""),
    "claims": (lambda: am.claims(source="004"), "004.attention"),
    "run": (lambda: am.run("matmul", A=[[1.0]], B=[[2.0]]), ""),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_prints_shows_html_and_gives_plain_values(name: str) -> None:
    make, explained = RESULTS[name]
    result = make()
    assert str(result)
    assert not str(result).startswith("<")
    assert result._repr_html_().startswith(("<pre>", "<table>"))
    assert json.loads(json.dumps(result.to_dict()))
    if isinstance(result, Report):
        assert "\x1b" not in result.text(80)
        assert result.text() == str(result) or name == "claims"
    if explained and name != "claims":
        assert result.explain(explained)
        with pytest.raises(AttometerError, match=r"nosuch"):
            result.explain("nosuch")


def test_a_claim_explains_itself() -> None:
    found = am.claims(source="004")
    first = found.findings[0]
    assert first.statement in found.explain(first.id)
    with pytest.raises(AttometerError, match=r'unknown claim "004\.nosuch"'):
        found.explain("004.nosuch")


@pytest.mark.parametrize("name", ["io", "pebble"])
def test_a_picture_is_drawn_and_a_wrong_ending_refused(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = RESULTS[name][0]()
    assert result.plot(tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(AttometerError, match=r'figure ".*a\.gif" must end in \.png, \.svg or \.pdf'):
        result.plot(tmp_path / "a.gif")
    with pytest.raises(AttometerError, match=r'folder ".*nosuch" of figure "a\.png" does not exist'):
        result.plot(tmp_path / "nosuch" / "a.png")


def test_lines_are_folded_at_spaces_and_words_stay_whole() -> None:
    assert folded("  a bb ccc", 6) == ["  a bb", "    ccc"]
    assert folded("a\nb", None) == ["a", "b"]
    assert folded("unbroken", 3) == ["unbroken"]
