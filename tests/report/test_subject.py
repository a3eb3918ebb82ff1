"""Commands take what you wrote: a file of notation, standard input or a Program, as they take a name."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.mechanisms.subject import subject
from attometer.program import gradient, parse
from attometer.report.compare import compare
from attometer.report.io.report import io_report
from attometer.report.pebble.report import pebble
from attometer.report.show import show

TEXT = """# capped attention
# source: nobody 2026
axis i: n, j: n, e: d
input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
S[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d)   where window(i, j, w)
P[b,h,i,j] = softmax[j](S)
O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    file = tmp_path / "mine.att"
    file.write_text(TEXT)
    return str(file)


def test_a_file_is_a_mechanism_of_its_own(mine: str) -> None:
    made = subject(mine, w=4)
    assert (made.name, made.title, made.citation) == ("mine", "capped attention", "nobody 2026")
    assert made.program == parse(TEXT).substitute({"w": 4})


def test_standard_input_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(TEXT))
    assert subject("-").program == parse(TEXT)


def test_every_report_takes_it(mine: str) -> None:
    own, known = parse(TEXT).substitute({"w": 256}), mechanism("sliding_window", w=256, e="d")
    assert show(mine, w=256).cost.work == show("sliding_window", w=256).cost.work
    assert show(own, at={"n": 8, "d": 2}).sizes == {"b": 1, "d": 2, "h": 1, "n": 8}
    found = compare("sliding_window", mine, own, n=1024, d=64, w=256)
    assert [one.name for one in found.compared] == ["sliding_window", "mine", "program"]
    assert len({one.at(one.cost.work) for one in found.compared}) == 1
    sizes = {"n": 256, "d": 16}
    assert io_report(own, M=4096, **sizes).best.words == io_report(known, M=4096, **sizes).best.words
    assert pebble(parse("Y[i] = A[i] + B[i]"), 4, i=2).pebbling.cost == 6


def test_the_gradient_has_a_page() -> None:
    page = show("softmax", gradient=True, causal=True)
    assert page.heading.startswith("gradient of softmax: gradients of multi-head softmax attention")
    assert parse(page.to_dict()["notation"]) == gradient(mechanism("softmax", causal=True).program)
    assert "path length: none" in str(page)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axis i: n\nY[i] = exp(X[i]", 'line 2, column 16: expected ")", got the end of the line'),
        ("Y[i] = exp(X[i])\nY[i] = X[i]", 'line 1, column 1: tensor "Y" is defined twice'),
        ("Y[i] = expp(X[i])", 'line 1, column 8: unknown function "expp"; did you mean "exp"?'),
    ],
)
def test_a_fault_says_file_line_and_column(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "bad.att"
    file.write_text(text)
    with pytest.raises(AttometerError) as error:
        subject(str(file))
    assert str(error.value) == f"{file}: {words}"


@pytest.mark.parametrize(
    ("what", "parameters", "words"),
    [
        ("no/such.att", {}, "no/such.att: no such file"),
        ("sofmax", {}, 'unknown mechanism "sofmax"; did you mean "softmax"?'),
        (3, {}, "mechanism must be a name, got int; known: alibi"),
        (parse("Y[i] = exp(X[i])"), {"j": 2}, 'unknown size "j"; known: i'),
        (parse("Y[i] = exp(X[i])"), {"i": "4"}, "size \"i\" must be a positive integer, got '4'"),
    ],
)
def test_what_is_no_subject_is_refused(what: object, parameters: dict, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        subject(what, **parameters)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["figures", "--out", "drawn"], "figures draws those of the article, at the sizes of a --model, got"),
        (["shares"], "is notation, not JSON; a model takes it in place of its attention: plan gpt2 --attention"),
    ],
)
def test_a_command_about_models_says_which_takes_a_file(
    command: Callable[..., Any], typed: list[str], words: str
) -> None:
    done = command(*typed, str(Path(__file__).parents[2] / "examples" / "relu.att"))
    assert done.returncode == 2
    assert words in done.stderr


def test_gradients_and_results_of_what_is_named() -> None:
    import attometer as am

    assert (
        am.gradient("softmax") == am.gradient(am.mechanism("softmax")) == am.gradient(am.mechanism("softmax").program)
    )
    given = {"Q": [[[[1.0]]]], "K": [[[[1.0]]]], "V": [[[[2.0]]]]}
    assert am.interpret("softmax", given)["O"].tolist() == [[[[2.0]]]]
    for wrong in (lambda: am.gradient("softmix"), lambda: am.interpret("softmix", given)):
        with pytest.raises(AttometerError, match='unknown mechanism "softmix"; did you mean "softmax"'):
            wrong()
    assert am.list("masks", "stride").rows == am.list("mask", ("stride",)).rows
