"""Masks written as comparisons are the masks of the catalogue that allow the same pairs."""

import re

import numpy as np
import pytest
import sympy

from attometer.errors import AttometerError
from attometer.masks.counts import substitute
from attometer.program import parse, size
from attometer.program.expression import Where

SIZES = {"w": 3, "s": 2, "c": 3, "p": 4, "q": 2}
READ = {
    "j <= i": "causal(i, j)",
    "i >= j": "causal(i, j)",
    "pos(j) <= pos(i)": "causal(i, j)",
    "j < i": "strict(i, j)",
    "j >= i": "causal(j, i)",
    "j > i": "strict(j, i)",
    "i == j": "window(i, j, 1)",
    "i != j": "~window(i, j, 1)",
    "j <= i & i - j < w": "window(i, j, w)",
    "0 <= i - j < w": "window(i, j, w)",
    "i - w < j <= i": "window(i, j, w)",
    "i - j < w": "band(i, j, w - 1, *)",
    "i - j == 4": "band(i, j, 4, *) & ~band(i, j, 3, *)",
    "j - i <= 2 & i - j <= 5": "band(i, j, 5, 2)",
    "abs(i - j) <= w": "band(i, j, w, w)",
    "w > abs(j - i)": "band(i, j, w - 1, w - 1)",
    "abs(i - j) > 2": "~band(i, j, 2, 2)",
    "causal(i, j) & i - j >= 4": "causal(i, j) & ~band(i, j, 3, *)",
    "(i - j) % s == 0 & j <= i": "strided(i, j, s) & causal(i, j)",
    "(j - i) % s != 0": "~strided(i, j, s)",
    "i // c == j // c": "chunked(i, j, c)",
    "i // c != j // c": "~chunked(i, j, c)",
    "j // c <= i // c": "block_causal(i, j, c)",
    "i // c > j // c": "block_causal(i, j, c) & ~chunked(i, j, c)",
    "i // c < j // c": "~block_causal(i, j, c)",
    "i // c <= j // c": "~block_causal(i, j, c) | chunked(i, j, c)",
    "j <= i | j < p": "causal(i, j) | prefix(i, j, p)",
    "~(j <= i | j < p)": "~(causal(i, j) | prefix(i, j, p))",
    "j == 0 | j <= i": "prefix(i, j, 1) | causal(i, j)",
    "j <= i & j != 0": "causal(i, j) & ~prefix(i, j, 1)",
    "j == q & j <= i": "prefix(i, j, q + 1) & ~prefix(i, j, q) & causal(i, j)",
    "j <= i & j >= q": "causal(i, j) & ~prefix(i, j, q)",
}


def where(condition: str, axes: str = "i: n, j: n", statement: str = "S[h,i,j] = Q[h,i,d] * K[h,j,d]") -> Where:
    found = parse(f"axis {axes}\n{statement}   where {condition}").statements[0].where
    assert found is not None
    return found


def holds(condition: str, n: int, m: int) -> np.ndarray:
    """Evaluate the condition as Python does, pair by pair."""
    python = re.sub(r"pos\((\w)\)", r"\1", condition).replace("&", " and ").replace("|", " or ").replace("~", " not ")
    python = python.replace("causal(i, j)", "j <= i").strip()
    rows = [[bool(eval(python, {"i": i, "j": j, "n": n, "m": m, **SIZES})) for j in range(m)] for i in range(n)]
    return np.array(rows)


def matrix(found: Where, n: int, m: int) -> np.ndarray:
    mask = substitute(found.mask, {size(k): sympy.Integer(v) for k, v in SIZES.items()})
    return mask.matrix(n, m) if found.query == "i" else mask.matrix(m, n).T


@pytest.mark.parametrize("condition", READ)
def test_comparisons_are_read_as_the_mask_that_they_are(condition: str) -> None:
    found = where(condition)
    assert found.mask.text((found.query, found.key)) == READ[condition]
    for n in (1, 5, 8):
        assert (matrix(found, n, n) == holds(condition, n, n)).all()


@pytest.mark.parametrize(
    "condition", ["j <= i + m - n", "i + (m - n) - j < w", "(i + m - n) // c == j // c", "(i + m - j - n) % s == 0"]
)
def test_queries_that_are_fewer_than_keys_say_where_they_stand(condition: str) -> None:
    for n, m in ((3, 7), (5, 5), (1, 4)):
        assert (matrix(where(condition, "i: n, j: m"), n, m) == holds(condition, n, m)).all()


def test_the_index_on_the_left_is_the_query() -> None:
    assert where("j <= i", statement="O[i,e] = P[i,j] * V[j,e]").query == "i"
    assert where("s < t", "t: n, s: n", "X[t,d] = B[t,d] - A[t,s] * X[s,d]") == where(
        "strict(t, s)", "t: n, s: n", "X[t,d] = B[t,d] - A[t,s] * X[s,d]"
    )


def test_an_axis_may_be_declared_after_its_mask() -> None:
    assert str(parse("S[i,j] = Q[i,d] * K[j,d]   where j <= i\naxis i: n, j: n")).endswith("where causal(i, j)")


NONE = (
    "is no mask of the notation over i and j; masks are conditions on i - j, j, (i - j) % s and on chunks i // c and j // c, "
    "or named: causal, window, band, global, fixed, document, random, block"
)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("i + j < n", f'"i + j < n" {NONE}'),
        ("2 * j <= i", f'"2 * j <= i" {NONE}'),
        ("i // 2 == j // 3", f'"i // 2 == j // 3" {NONE}'),
        ("j % s == 0 & j <= i", f'"j % s == 0" {NONE}'),
        (
            "j < p",
            "a mask is over two indices of the statement, got j; a condition on the key alone is prefix(i, j, p)",
        ),
        (
            "T[i] == T[j]",
            '"T[i] == T[j]" depends on data; a mask that data decide is a product with equal(a, b) or less(a, b)',
        ),
        ("i - j < w - s & j <= i", "whether -s + w - 1 is negative depends on sizes"),
    ],
)
def test_what_is_no_mask_is_refused(condition: str, words: str) -> None:
    with pytest.raises(AttometerError) as error:
        where(condition)
    assert str(error.value) == f"notation line 2, column 40: {words}"


def test_top_left_causal_is_told_how_causal_is_written() -> None:
    with pytest.raises(
        AttometerError, match=r"of n queries and m keys the last of both meet, so that causal is j <= i \+ m - n"
    ):
        where("j <= i", "i: n, j: m")
