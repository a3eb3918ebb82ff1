"""Whatever text comes in, the parser answers with a Program or with one AttometerError, quickly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attometer.errors import AttometerError
from attometer.program import parse

VALID = (
    "axis i: n, j: n, r: k\ninput Q[i,d], K[j,d], V[j,e], a[t], U[t]\n"
    "S[i,j] = Q[i,d] * K[j,d] / sqrt(d)   where causal(i, j) & window(i, j, w)\n"
    "P[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]\nI[i,r] = topk[j, r](S)\nZ[t] = a[t] * Z[t-1] + U[t]   associative"
)
TOKENS = [
    *"+-*/%()[],=:&|~#", "//", "**", "\n", " ", "axis", "input", "output", "weight", "where", "associative", "softmax",
    "sum", "topk", "argsort", "exp", "pos", "maximum", "causal", "window", "document", "block", "i", "j", "t", "n", "X",
    "Y", "S", "0", "1", "2", "9" * 40, "1e999", "0.5", ".5", "1e-9", "\x00", "é", "\u2028", "[[1]]", "t-1", "_",
]  # fmt: skip


def accepts(text: str) -> bool:
    try:
        program = parse(text)
    except AttometerError as error:
        told = str(error)
    else:
        assert parse(str(program)) == program
        return True
    assert told
    assert "\n" not in told
    return False


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(lambda found: " ".join(found)))
def test_random_tokens(text: str) -> None:
    accepts(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_random_text(text: str) -> None:
    accepts(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="XYij[]=+*-/()10. \n", max_size=30))
def test_random_formulas(text: str) -> None:
    accepts(text)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_programs(data: st.DataObject) -> None:
    text = VALID
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 5)))
        again = data.draw(st.integers(0, len(text)))
        put = data.draw(st.sampled_from(["", text[again : again + 6], *TOKENS]))
        text = text[:start] + put + text[end:]
    accepts(text)


def test_the_program_that_is_mutated_is_valid() -> None:
    assert accepts(VALID)


ENDLESS = {
    "a long sum": (
        "Y = " + "+".join(["a"] * 50_000),
        'statement "Y" is nested deeper than 100; name a part of it first',
    ),
    "a long index": (
        "Y[i] = X[" + "+".join(["i"] * 40_000) + "]",
        'statement "Y" is nested deeper than 100; name a part of it first',
    ),
    "a long product of sizes": (
        "axis i: " + "*".join(["n"] * 50_000) + "\nY[i] = X[i]",
        "notation line 1, column 9: a size is nested deeper than 100",
    ),
    "parentheses": (
        "Y = " + "(" * 1000 + "a" + ")" * 1000,
        "notation line 1, column 65: expression nested deeper than 60",
    ),
    "minus signs": ("Y = " + "-" * 1000 + "a", "notation line 1, column 66: expression nested deeper than 60"),
    "calls": ("Y = " + "exp(" * 500 + "a" + ")" * 500, "notation line 1, column 245: expression nested deeper than 60"),
    "brackets": (
        "Y = " + "X[" * 500 + "i" + "]" * 500,
        "notation line 1, column 125: expression nested deeper than 60",
    ),
    "negated masks": (
        "Y[i,j] = X[i,j] where " + "~" * 5000 + "causal(i,j)",
        "notation line 1, column 83: mask nested deeper than 60",
    ),
    "nested masks": (
        "Y[i,j] = X[i,j] where " + "(" * 5000 + "causal(i,j)",
        "notation line 1, column 83: mask nested deeper than 60",
    ),
    "many masks": (
        "Y[i,j] = X[i,j] where " + " | ".join(f"window(i,j,{k + 1})" for k in range(5000)),
        "notation line 1, column 3515: a mask of more than 200 parts",
    ),
    "nested lists": (
        "Y[i,j] = X[i,j] where block(i,j,2," + "[" * 300,
        "notation line 1, column 95: list nested deeper than 60",
    ),
    "huge numbers": (
        "axis i: " + "9" * 10_000 + "\nY[i] = X[i]",
        "notation line 1, column 9: number 99999999999999999999 is too large",
    ),
    "a huge exponent": ("Y = 1e999999999 * X", "notation line 1, column 5: number 1e999999999 is too large"),
    "a large size": (
        "axis i: 9999999999999999999\nY[i] = X[i]",
        'notation line 1, column 9: size of axis "i" must be at most 10^18, got a number of 19 digits',
    ),
    "a tower of sizes": (
        "axis i: " + "*".join(["999999999"] * 50) + "\nY[i] = X[i]",
        "notation line 1, column 9: a size holds a number above 10^30",
    ),
    "a power tower": (
        "axis i: 9**9**9\nY[i] = X[i]",
        'notation line 1, column 10: "**" is not of the notation; a power is square(x) or pow(x, y)',
    ),
    "many indices": (
        "Y[" + ",".join(f"i{k}" for k in range(9000)) + "] = X",
        'tensor "Y" has 9000 indices; the limit is 32',
    ),
    "many statements": (
        "\n".join(f"Y{k}[t] = Y{k + 1}[t-1]" for k in range(6000)),
        "notation line 2001, column 1: more than 2000 statements",
    ),
    "much text": ("Y = X\n" * 50_000, "notation is 300000 characters long; the limit is 200000"),
    "a large mask parameter": (
        "Y[i,j] = X[i,j] where window(i,j,999999999999999999999)",
        "notation line 1, column 23: window: window must be at most 2^48, got 999999999999999999999",
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.timeout(60)
def test_endless_input_is_refused(name: str) -> None:
    text, words = ENDLESS[name]
    with pytest.raises(AttometerError) as error:
        parse(text)
    assert str(error.value) == words


def test_only_text_is_notation() -> None:
    with pytest.raises(AttometerError, match="notation must be text, got bytes"):
        parse(b"Y = X")  # type: ignore[arg-type]
