"""`compare`: the article's variants, by its own convention and by others."""

import json

import pytest

from attometer.errors import AttometerError
from attometer.mechanisms.catalogue import MECHANISMS
from attometer.report.compare import compare


@pytest.fixture(scope="module")
def variants() -> object:
    return compare("softmax", "linear", "sliding_window", n=16384, d=768)


def rows(comparison: object) -> dict[str, tuple[object, ...]]:
    return {row[0]: row for row in comparison.table.rows}  # type: ignore[attr-defined]


def test_one_product_is_what_the_article_counts(variants: object) -> None:
    """M. Brenndoerfer 2025, "Attention Complexity", Out[25]: n^2 d, n d^2 and n 256 d, each one product."""
    found = rows(variants)
    assert found["softmax"][2] == 206_158_430_208
    assert found["linear"][2] == 9_663_676_416
    # the article gives every query 256 keys, the first 255 see fewer: 3,221,225,472 is more than there is
    assert found["sliding_window"][2] == (16384 * 256 - 256 * 255 // 2) * 768 < 3_221_225_472


def test_the_article_convention_and_flop(variants: object) -> None:
    found = rows(variants)
    assert found["softmax"][3] == 2 * 16384**2 * 768 + 3 * 16384**2
    assert found["softmax"][4] == 4 * 16384**2 * 768
    assert str(found["linear"][5]) == "21.3×"
    assert str(found["sliding_window"][5]) == "64.5×"


def test_growth_and_paths(variants: object) -> None:
    found = {row[0]: row for row in variants.growth.rows}  # type: ignore[attr-defined]
    assert found["softmax"][1:] == ("itself", "O(b d h n^2)", "O(log(d) + log(n))", "1")
    assert found["linear"][1] == "approximates softmax"
    assert found["sliding_window"][2:] == ("O(b d h n w)", "O(log(d) + log(w))", "65")  # ceil(16383 / 255)


def test_crossovers_between_each_pair(variants: object) -> None:
    lines = variants.lines  # type: ignore[attr-defined]
    # linear attention also divides by a sum over d features: 4 n^2 d = 4 n d^2 + 2 n d
    assert lines[0] == "softmax = linear at n = d + 1/2 = 768.50: softmax costs less below, linear above"
    assert "n = 768: 1,811,939,328 and 1,813,118,976" in lines[1]
    assert lines[2] == "softmax and sliding_window: no crossover; sliding_window costs less at n = 16,384"


@pytest.mark.parametrize(("h", "d"), [(1, 768), (12, 64)])
def test_the_articles_crossings_for_any_number_of_heads(h: int, d: int) -> None:
    found = compare("softmax", "rnn", "projections", "ffn", "projections+ffn", n=1024, h=h, d=d).crossings
    with_softmax = {c.second: int(c.root) for c in found if c.first == "softmax"}
    assert with_softmax == {"rnn": 768, "projections": 1536, "ffn": 3072, "projections+ffn": 4608}


def test_a_sum_of_mechanisms_adds_up() -> None:
    found = rows(compare("softmax", "ffn", "projections", "projections+ffn", n=512, h=2, d=16, crossings=False))
    assert found["projections+ffn"][4] == found["projections"][4] + found["ffn"][4]  # type: ignore[operator]


def test_sizes_of_one_mechanism_reach_it() -> None:
    found = rows(compare("softmax", "sliding_window", n=1000, d=4, w=10))
    assert found["sliding_window"][1] == "w = 10"
    assert found["sliding_window"][2] == (1000 * 10 - 45) * 4


def test_another_convention() -> None:
    comparison = compare("softmax", "rnn", n=2048, d=768, of="mac")
    assert comparison.table.columns[4] == "mac"
    assert rows(comparison)["softmax"][4] == 2 * 2048**2 * 768


def test_json_html_and_a_narrow_page(variants: object) -> None:
    held = json.loads(json.dumps(variants.to_dict()))  # type: ignore[attr-defined]
    assert held["counts"]["rows"][0]["one product"] == 206_158_430_208
    assert held["crossovers"][0]["below"] == 768
    assert "206,158,430,208" in variants._repr_html_()  # type: ignore[attr-defined]
    assert max(map(len, variants.text(100).splitlines())) <= 100  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compare("softmax"), "compare needs at least two different mechanisms, got 1"),
        (lambda: compare("softmax", "softmax"), "compare needs at least two different mechanisms, got 1"),
        (lambda: compare("softmax", "liner"), r'unknown mechanism "liner"; did you mean "linear"\?'),
        (lambda: compare("softmax", "linear", n=0), "size n must be a positive integer, got 0"),
        (lambda: compare("softmax", "linear", d=-3), "size d must be a positive integer, got -3"),
        (lambda: compare("softmax", "linear", n=True), "size n must be a positive integer, got True"),
        (lambda: compare("softmax", "linear", q=3), 'unknown size "q"'),
        (lambda: compare("softmax", "linear", heads=3), 'unknown size "heads"; did you mean "h"'),
        (lambda: compare("softmax", "ffn", D=3), "size D is h d in a comparison; pass h and d"),
        (lambda: compare("softmax", "linear", of="flops"), r'unknown convention "flops"; did you mean "flop"\?'),
        (lambda: compare("softmax", "gqa", h=6, d=8, g=4), "needs h to be a multiple of g = 4, got h = 6"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(AttometerError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("one", MECHANISMS)
def test_every_two_mechanisms_are_compared(one: str) -> None:
    for other in (name for name in MECHANISMS if name > one):
        assert rows(compare(one, other, n=4096, d=64, h=8, of="unit")).keys() == {one, other}
