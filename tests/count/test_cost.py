"""The Cost object: its table, its explanations, its arithmetic, and its words when something is wrong."""

import json

import numpy as np
import pytest
import sympy
from law_programs import PROGRAMS

from attometer.count import count
from attometer.count.conventions import CONVENTIONS, convention
from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.program import parse, size

PRODUCT = count(parse("Y[i,k] = A[i,j] * B[j,k]"))
i, j, k = map(size, "ijk")


def test_printing_a_cost_prints_its_table() -> None:
    assert str(PRODUCT).splitlines() == [
        "program",
        "operation  work           depth          flop",
        "---------  -------------  -------------  -------",
        "Y          2*i*j*k - i*k  ⌈log2(j)⌉ + 1  2*i*j*k",
        "total      2*i*j*k - i*k  ⌈log2(j)⌉ + 1  2*i*j*k",
    ]
    assert '<td style="text-align: left">2*i*j*k - i*k</td>' in PRODUCT._repr_html_()


def test_at_prints_numbers_with_their_units() -> None:
    lines = str(PRODUCT.at(i=1000, j=2, k=3)).splitlines()
    assert lines[0] == "program at i=1000, j=2, k=3"
    assert lines[3].split() == ["work", "9,000", "operations"]
    assert lines[4].split(maxsplit=2) == ["depth", "2", "operations on the longest path"]
    assert lines[5].split(maxsplit=2) == ["parallelism", "4,500", "operations at once, on average"]


def test_totals_are_the_sums_of_the_rows() -> None:
    for program in PROGRAMS.values():
        cost = count(program)
        assert cost.work == sympy.Add(*(row.work for row in cost.rows))
        for name, chosen in CONVENTIONS.items():
            assert cost.flops(name) == sympy.Add(*(chosen.of(row) for row in cost.rows))


def test_explain_substitutes_and_says_the_convention() -> None:
    lines = PRODUCT.explain("work", i=2, j=3, k=4).splitlines()
    assert lines[0] == "work = 2*i*j*k - i*k"
    assert lines[1] == "at i = 2, j = 3, k = 4: 40"
    assert lines[2] == "convention: every scalar operation counts 1; a sum of k terms is k-1 additions"
    assert PRODUCT.explain("depth").splitlines()[:2] == [
        "depth = ⌈log2(j)⌉ + 1",
        "convention: longest path; sums are balanced trees of ⌈log2 k⌉ levels; independent operations overlap",
    ]
    assert PRODUCT.explain("inputs", i=2, j=3, k=4).splitlines()[:2] == [
        "inputs = i*j + j*k",
        "at i = 2, j = 3, k = 4: 18",
    ]


@pytest.mark.parametrize("name", [*CONVENTIONS, "work", "depth", "parallelism", "inputs", "peak", "saved", "matrices"])
def test_everything_can_be_explained(name: str) -> None:
    text = PRODUCT.explain(name)
    assert text.startswith(f"{name} = ")
    assert "convention: " in text
    assert "source: " in text


def test_sum_and_multiple() -> None:
    both = PRODUCT + count(parse("Z[i] = exp(X[i])"))
    assert both.work == PRODUCT.work + i
    assert both.depth == PRODUCT.depth + 1
    assert both.at(i=2, j=3, k=4).work == 42
    layers = size("L") * PRODUCT
    assert sympy.expand(layers.work - size("L") * PRODUCT.work) == 0
    assert layers.at(i=2, j=3, k=4, L=10).depth == 30
    assert (3 * PRODUCT).flops("mac") == 3 * i * j * k
    assert (PRODUCT * 3).name == "3 × program"
    assert (3 * PRODUCT).assumptions == PRODUCT.assumptions
    assert (PRODUCT + PRODUCT).assumptions == PRODUCT.assumptions


@pytest.mark.parametrize("times", [2.5, "3", None, True, 0, -1])
def test_only_a_size_multiplies(times: object) -> None:
    with pytest.raises(AttometerError) as error:
        PRODUCT * times  # type: ignore[operator]
    assert str(error.value).startswith("a cost is multiplied by a positive integer or a size, got ")


def test_to_dict_is_json() -> None:
    cost = count(mechanism("softmax"))
    again = json.loads(json.dumps(cost.to_dict()))
    assert again["name"] == "softmax"
    assert again["orders"] == {"work": "O(b d h n^2)", "depth": "O(log(d) + log(n))"}
    assert again["assumptions"][0] == "only the pairs a mask allows"
    numbers = json.loads(json.dumps(cost.at(b=1, h=2, n=8, d=4).to_dict()))
    assert numbers["sizes"] == {"b": 1, "h": 2, "n": 8, "d": 4}
    assert numbers["work"] == cost.at(b=1, h=2, n=8, d=4).work
    grid = json.loads(json.dumps(cost.at(b=1, h=2, n=np.array([8, 16]), d=4).to_dict()))
    assert grid["sizes"]["n"] == [8, 16]
    assert grid["work"][0] == numbers["work"]


def test_sizes_that_are_left_out_follow_the_usual_reading() -> None:
    cross = count(PROGRAMS["cross"])
    assert cross.at(n=7, d=4).work == cross.at(n=7, m=7, d=4, e=4).work
    with pytest.raises(AttometerError, match=r'size "d" is missing; needed: d, e, m, n'):
        cross.at(n=7).work  # noqa: B018


def test_sizes_that_do_not_divide_are_refused() -> None:
    cost = count(parse("axis c: n / B, t: B\nY[c] = sum[t](X[c * B + t])"))
    assert cost.at(n=12, B=4).work == 9
    with pytest.raises(AttometerError) as error:
        cost.at(n=7, B=2).work  # noqa: B018
    assert str(error.value) == 'axis "c" has the size n/B at B = 2, n = 7; a size is a positive whole number'
    with pytest.raises(AttometerError, match='axis "c" has the size n/B at B = 2, n = '):
        cost.at(n=np.array([8, 7]), B=2).work  # noqa: B018


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"causal": "half"}, 'unknown causal "half"; known: exact, full'),
        ({"model": "erew"}, 'unknown model "erew"; did you mean "EREW"?'),
        ({"storage": "sparse"}, 'unknown storage "sparse"; did you mean "pairs"?'),
    ],
)
def test_options_are_checked(options: dict[str, str], words: str) -> None:
    with pytest.raises(AttometerError) as error:
        count(PROGRAMS["sum"], **options)  # type: ignore[arg-type]
    assert str(error.value).split(";")[0] == words.split(";")[0]


def test_only_programs_are_counted() -> None:
    with pytest.raises(AttometerError) as error:
        count("softmax")
    assert str(error.value) == "count takes a Program or a mechanism, got str"


def test_unknown_conventions_and_quantities() -> None:
    with pytest.raises(AttometerError) as error:
        convention("flops")
    assert str(error.value) == 'unknown convention "flops"; did you mean "flop"?'
    with pytest.raises(AttometerError, match='unknown quantity "wrk"; did you mean "work"'):
        PRODUCT.at(i=1, j=1, k=1).wrk  # noqa: B018
