"""Path lengths by search on the program's graph, against a plain breadth-first search and against closed forms."""

from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.count.paths.path_length import path_length
from attometer.count.paths.path_length_formula import path_length_formula
from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.program import band, parse, size


def walked(n: int, sees: Callable[[int, int], bool]) -> tuple[int, Fraction, int]:
    """Return longest, mean and number of paths by a queue from every source; `sees(i, j)`: position i reads position j."""
    hops = []
    for source in range(n):
        found, queue = {source: 0}, deque([source])
        while queue:
            at = queue.popleft()
            for target in range(n):
                if target not in found and sees(target, at):
                    found[target] = found[at] + 1
                    queue.append(target)
        hops += [h for target, h in found.items() if target != source]
    return max(hops), Fraction(sum(hops), len(hops)), len(hops)


PATTERNS: list[tuple[str, dict[str, int], dict[str, int], Any]] = [
    ("softmax", {}, {}, lambda i, j: True),
    ("attention_layer", {}, {}, lambda i, j: True),
    ("linear", {}, {}, lambda i, j: True),
    ("linformer", {}, {}, lambda i, j: True),
    ("rnn", {}, {}, lambda i, j: i - j == 1),
    ("lstm", {}, {}, lambda i, j: i - j == 1),
    ("gru", {}, {}, lambda i, j: i - j == 1),
    ("sliding_window", {}, {"w": 4}, lambda i, j: 0 <= i - j < 4),
    ("sliding_window", {"w": 2}, {}, lambda i, j: 0 <= i - j < 2),
    ("longformer", {}, {"w": 4, "t": 2}, lambda i, j: abs(i - j) <= 2 or i < 2 or j < 2),
    ("sparse_transformer_strided", {}, {"l": 5}, lambda i, j: j <= i and (i - j < 5 or (i - j) % 5 == 0)),
    (
        "sparse_transformer_fixed",
        {},
        {"l": 4, "c": 1},
        lambda i, j: j <= i and (i // 4 == j // 4 or j % 4 == 3),
    ),
]


@pytest.mark.parametrize(("name", "parameters", "sizes", "sees"), PATTERNS)
@pytest.mark.parametrize("n", [2, 12, 24])
def test_search_is_breadth_first_search(
    name: str, parameters: dict[str, int], sizes: dict[str, int], sees: Any, n: int
) -> None:
    found = path_length(mechanism(name, **parameters), n, **sizes)
    assert (found.longest, found.mean, found.pairs) == walked(n, sees)
    assert found.unreached == 0


def test_causal_attention_counts_only_pairs_that_exist() -> None:
    found = path_length(mechanism("softmax", causal=True), 10)
    assert (found.longest, found.mean, found.pairs) == (1, 1, 45)


def test_bigbird_is_two_hops_through_its_global_token() -> None:
    bird = mechanism("bigbird", r=2, seed=1, w=2, t=1)
    seen = (band(1, 1) | _mask("global(i, j, 1)") | _mask("random(i, j, 2, 1)")).matrix(20)
    assert (found := path_length(bird, 20)).longest == 2
    assert (found.longest, found.mean, found.pairs) == walked(20, lambda i, j: bool(seen[i, j]))


def _mask(text: str) -> Any:
    where = parse(f"axis i: n, j: n\nS[i,j] = A[i,j]   where {text}").statements[0].where
    assert where is not None
    return where.mask


def test_a_recurrence_between_chunks_is_a_path_of_chunks() -> None:
    text = "axis k: n/B, i: n\nU[k] = X[k*B] + X[k*B+1]\nC[k] = tanh(C[k-1] + U[k])\nY[i] = C[i // B]\ninput X[i]"
    found = path_length(parse(text), 12, B=2)
    assert found.longest == 5
    expected = [max(1, i // 2 - j // 2) for i in range(12) for j in range(12) if i != j and j // 2 <= i // 2]
    assert found.mean == Fraction(sum(expected), len(expected))


def test_an_associative_scan_is_one_hop() -> None:
    assert path_length(mechanism("linear_causal", associative=True), 16).longest == 1
    assert path_length(mechanism("linear_causal"), 16).longest == 15
    assert path_length(mechanism("linear_chunked"), 16, B=4).mean == 1


def test_positions_chosen_by_the_data_may_be_any() -> None:
    assert path_length(mechanism("hyperattention"), 16, B=4).longest == 1
    assert path_length(mechanism("topk"), 16).longest == 1


def test_layers_limit_what_a_window_reaches() -> None:
    """Mistral 7B, section 2: after k layers information moves at most k windows."""
    one, three, enough = (path_length(mechanism("sliding_window"), 20, layers=k, w=4) for k in (1, 3, 7))
    assert (one.longest, one.mean) == (1, 1)
    assert one.pairs == sum(min(i, 3) for i in range(20))
    assert three.pairs == sum(min(i, 9) for i in range(20))
    assert three.unreached == 190 - three.pairs
    assert str(three).endswith(f"; {three.unreached} pairs need more than 3 layer(s)")
    assert (enough.longest, enough.unreached) == (7, 0)


def test_rnn_mean_is_n_plus_one_over_three_and_not_the_article_s() -> None:
    formula = path_length_formula(mechanism("rnn"))
    assert formula is not None
    n = size("n")
    assert sympy.expand(formula.mean - (n + 1) / sympy.Integer(3)) == 0
    assert dict(formula.conventions) == {"Brenndoerfer 2025": n / 2 - sympy.Rational(1, 2)}
    # The article's table prints 63.5 for n = 128; the mean of |i - j| over pairs is 43.
    assert path_length(mechanism("rnn"), 128).mean == 43
    assert formula.mean.subs(n, 128) == 43
    assert formula.longest.subs(n, 128) == 127


def agree(subject: Any, n: int, **sizes: int) -> None:
    formula = path_length_formula(subject)
    assert formula is not None
    found = path_length(subject, n, **sizes)
    assert formula.at(n, **sizes) == (found.longest, found.mean)
    assert found.pairs == (n * (n - 1) if formula.directions == "both ways" else n * (n - 1) // 2)


@given(n=st.integers(2, 30), left=st.integers(0, 8), right=st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_closed_form_of_bands(n: int, left: int, right: int) -> None:
    subject = mechanism("softmax", mask=band(left, right))
    if left == right == 0:
        assert path_length_formula(subject) is None
        assert path_length(subject, n).pairs == 0
    else:
        agree(subject, n)


@pytest.mark.parametrize(
    ("name", "parameters", "sizes"),
    [
        ("softmax", {"causal": True}, {}),
        ("linear", {}, {}),
        ("rnn", {}, {}),
        ("sliding_window", {}, {"w": 5}),
        ("longformer", {}, {"w": 4, "t": 1}),
        ("longformer", {}, {"w": 60, "t": 1}),
        ("bigbird", {"r": 3}, {"w": 2, "t": 2}),
        ("sparse_transformer_strided", {}, {"l": 4}),
        ("sparse_transformer_fixed", {}, {"l": 4, "c": 2}),
    ],
)
@pytest.mark.parametrize("n", [2, 5, 16, 23])
def test_closed_forms(name: str, parameters: dict[str, Any], sizes: dict[str, int], n: int) -> None:
    agree(mechanism(name, **parameters), n, **sizes)


def test_window_form_is_the_ceiling() -> None:
    formula = path_length_formula(mechanism("sliding_window"))
    assert formula is not None
    assert formula.longest == sympy.ceiling((size("n") - 1) / (size("w") - 1))


def test_formulas_print_short_with_their_parts_named() -> None:
    assert str(path_length_formula(mechanism("longformer", w=4, t=1))).startswith(
        "longest 2 (1 when P = n*(n - 1)), mean -P/(n*(n - 1)) + 2 over pairs both ways; P = "
    )
    assert str(path_length_formula(mechanism("softmax"))) == "longest 1, mean 1 over pairs both ways"


@pytest.mark.parametrize("name", ["hyperattention", "topk", "ffn", "linear_chunked", "decode", "sum"])
def test_no_closed_form_is_none(name: str) -> None:
    assert path_length_formula(mechanism(name)) is None


def test_layers_without_mixing_have_no_paths() -> None:
    found = path_length(mechanism("ffn"), 8)
    assert (found.longest, found.mean, found.pairs) == (0, 0, 0)


ERRORS: list[tuple[Callable[[], object], str]] = [
    (lambda: path_length(mechanism("softmax"), 1), "path length needs n to be an integer from 2 to 256, got 1"),
    (
        lambda: path_length(mechanism("softmax"), 1000),
        "path length needs n to be an integer from 2 to 256, got 1000; path_length_formula has closed forms for larger n",
    ),
    (
        lambda: path_length(mechanism("softmax"), 8, layers=0),
        "path length needs layers to be an integer of at least 1, got 0",
    ),
    (
        lambda: path_length(mechanism("sliding_window"), 8, w=0),
        "path length needs size w to be an integer of at least 1, got 0",
    ),
    (lambda: path_length(mechanism("sliding_window"), 8, v=3), 'unknown size "v"; known: b, d, h, w'),
    (lambda: path_length(mechanism("sliding_window").program, 8), "path length needs size w; give it, as in w=64"),
    (lambda: path_length(mechanism("decode"), 8), "path length needs an output with an axis of n positions"),
    (lambda: path_length("softmax", 8), "path length takes a Program or a mechanism, got str"),
    (lambda: path_length_formula(mechanism("sliding_window")).at(8), "path length needs size w; pass it"),  # type: ignore[union-attr]
    (lambda: path_length_formula("softmax"), "path length takes a Program or a mechanism, got str"),
]


@pytest.mark.parametrize(("act", "words"), ERRORS, ids=[words[:60] for _, words in ERRORS])
def test_errors_name_the_thing(act: Callable[[], object], words: str) -> None:
    with pytest.raises(AttometerError) as caught:
        act()
    assert str(caught.value).removesuffix("; path_length_formula has closed forms for larger n") == words.removesuffix(
        "; path_length_formula has closed forms for larger n"
    )
