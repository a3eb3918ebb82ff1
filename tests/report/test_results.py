"""Every result of a verb prints, shows HTML in a notebook, gives plain values, and explains or draws where that says more."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sympy import latex

import attometer as am
from attometer.cli import app
from attometer.errors import AttometerError
from attometer.sizes import clog2, size
from attometer.view.report import Report
from attometer.view.table import Table
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
    "compare": (lambda: am.compare("softmax", "linear", n=64, d=4), "linear"),
    "io": (lambda: am.io(SOFTMAX, M=64, n=12, d=2, schedule=["flash2"]), "flash2"),
    "pebble": (lambda: am.pebble("softmax", M=5, n=2, d=1), ""),
    "claims": (lambda: am.claims(source="004"), "004.attention"),
    "derive": (lambda: am.derive(SOFTMAX.program, M=64, b=1, h=1, n=12, d=2), ""),
    "scale": (lambda: am.scale(SOFTMAX.program, [1, 2], b=1, h=1, n=16, d=4), ""),
    "bounds": (lambda: am.bounds(SOFTMAX.program, M=64, b=1, h=1, n=12, d=2), ""),
    "devices": (lambda: am.devices("gpt2", ["l4", "t4"], context=512), ""),
    "sweep": (lambda: am.sweep("gpt2", "l4", context=[512, 1024]), ""),
    "shares": (lambda: am.shares("gpt2", context=(512, 1024)), ""),
    "explain-tool": (lambda: am.explain_tool("hf-mem", "llama-3.1-8b"), ""),
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


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_a_frame_and_tells_what_it_has_not(name: str) -> None:
    result = RESULTS[name][0]()
    assert not hasattr(result, "nosuch")
    tables = result.tables_of()
    assert all(isinstance(table, Table) for table in tables)
    assert tables
    with pytest.raises(AttometerError, match=r"table 99 is not there: the result has \d+, from 0 on"):
        result.to_frame(99)
    pandas = pytest.importorskip("pandas", reason="pandas makes the frame")
    frame = result.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(tables[0].columns)
    assert len(frame) == len(tables[0].rows)


@pytest.mark.parametrize("name", ["plan", "sweep", "devices", "best tiles"])
def test_a_result_without_a_picture_of_its_own_is_drawn_as_bars(name: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert RESULTS[name][0]().plot(tmp_path / "a.svg").read_text().startswith("<?xml")


def test_what_has_no_numbers_cannot_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(AttometerError, match=r"nothing to draw: table .* has no column of numbers"):
        SOFTMAX.program.plot(tmp_path / "a.png")


def test_a_cost_is_set_as_mathematics() -> None:
    shown = am.count(SOFTMAX)._repr_latex_()
    assert r"\left\lceil \log_2 d \right\rceil" in shown
    assert r"\text{depth} &= " in shown
    assert "clog" not in shown
    product = clog2(size("n") * size("d")) ** 2
    assert latex(product) == r"\left\lceil \log_2 \left(d n\right) \right\rceil^{2}"


def test_verbs_of_the_command_have_their_names_in_python() -> None:
    listed = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    for name in listed - {"list"}:  # Python's own; here it is models(), machines() and mechanisms()
        verb = getattr(am, name.replace("-", "_"))
        assert verb.__doc__, name
        assert inspect.signature(verb).parameters, name


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
