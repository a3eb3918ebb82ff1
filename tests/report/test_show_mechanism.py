"""`show`: every mechanism on one page, and one page pinned whole."""

import json
from pathlib import Path

import pytest

from attometer.count import count
from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.mechanisms.catalogue import MECHANISMS
from attometer.program import parse
from attometer.report.show import show

GOLDEN = Path(__file__).parent / "golden" / "show_softmax.txt"


def test_the_page_of_softmax_is_pinned() -> None:
    assert f"{show('softmax')}\n" == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_mechanism_has_a_whole_page(name: str) -> None:
    made = mechanism(name)
    page = show(name)
    text = str(page)
    assert made.citation in text
    assert made.title in text
    assert parse(page.to_dict()["notation"]) == made.program
    assert len(page.operations.rows) == len(made.program.operations)
    assert "path" in text
    for parameter in made.parameters:
        assert parameter in {row[0] for row in page.parameters.rows}
    assert json.loads(json.dumps(page.to_dict()))["cost"]["work"] == str(count(made).work)


def test_exact_and_approximate_are_told_apart() -> None:
    assert show("sliding_window").heading.endswith("(itself)")
    assert show("performer").heading.endswith("(approximates softmax)")


def test_pairs_stand_for_the_formula_of_the_mask() -> None:
    page = show("softmax", causal=True)
    assert (
        "S.product",
        "einsum",
        "2 b d h pairs - b h pairs",
        "⌈log2(d)⌉ + 1",
        "2 b d h pairs",
    ) in page.operations.rows
    assert page.operations.notes[0].startswith("pairs = n^2 - n (n - 1)/2")


def test_numbers_at_sizes() -> None:
    page = show("softmax", at={"n": 8192, "h": 12, "d": 64})
    assert page.numbers is not None
    held = {row[0]: row[1] for row in page.numbers.rows}
    # M. Brenndoerfer 2025, "Attention Complexity": 103,280,541,696 counts one softmax for all of d = 768, here there are 12
    assert held["article"] == 2 * 8192**2 * 768 + 12 * 3 * 8192**2
    assert held["flop"] == 4 * 8192**2 * 768
    assert held["matrices"] == 12 * 8192**2
    assert page.to_dict()["at"]["flop"] == held["flop"]


def test_parameters_reach_the_mechanism() -> None:
    page = show("sliding_window", w=4)
    assert "window(i, j, 4)" in str(page)
    assert page.to_dict()["parameters"][0]["value"] == "4"


@pytest.mark.parametrize("name", [3, None, ["softmax"]])
def test_only_names_and_programs_are_shown(name: object) -> None:
    with pytest.raises(AttometerError, match=f"mechanism must be a name, got {type(name).__name__}; known: alibi, "):
        show(name)  # type: ignore[arg-type]


def test_path_length_of_a_recurrence_lists_the_other_convention() -> None:
    first, second = show("rnn").path
    assert first == "longest n - 1, mean n/3 + 1/3 over pairs back in time; Brenndoerfer 2025 says mean n/2 - 1/2"
    assert second == "at n = 64: longest 63, mean 21.67 over 2,016 pairs"


def test_html_has_the_same_facts() -> None:
    html = show("gqa")._repr_html_()
    for part in (*str(mechanism("gqa").program).splitlines(), "4 b d h n^2", "Ainslie et al. 2023"):
        assert part in html


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: show("sofmax"), r'unknown mechanism "sofmax"; did you mean "softmax"\?'),
        (
            lambda: show("softmax", causual=True),
            r'unknown parameter of mechanism "softmax" "causual"; did you mean "causal"\?',
        ),
        (lambda: show("softmax", at={"n": 0}), "size n must be a positive integer, got 0"),
        (lambda: show("softmax", at={"N": 4}), 'unknown size "N"'),
        (lambda: show("softmax", at={"n": 4}), 'size d of mechanism "softmax" is not given'),
        (lambda: show("softmax", at=4), "at must map sizes to numbers"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        call()  # type: ignore[operator]


def test_a_long_maximum_is_written_out_below_the_tables() -> None:
    shown = show("lstm", gradient=True)
    text = str(shown)
    assert max(map(len, text.split("\n"))) < 150
    below = text.partition("depth, the largest of\n")[2].partition("\n\n")[0].split("\n")
    assert f"the largest of {len(below)} terms, below" in text
    # Nothing is lost: the terms are those of the depth.
    assert len(below) == len([term for term in shown.cost.depth.args if term != 0])


def test_topk_is_counted_by_a_network_and_by_a_tournament() -> None:
    text = str(show(parse("axis k: 4\ninput X[i,j]\nT[i,k] = topk[j, k](X)")))
    assert "work, select" in text
    assert "a tournament (Knuth, volume 3, section 5.2.3); topk is a bitonic network over all (Batcher 1968)" in text
    assert "work, select" not in str(show(parse("axis k: 4\ninput X[i,j]\nT[i,k] = select[j, k](X)")))
