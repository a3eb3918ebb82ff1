"""Passes over an axis, derived from cascades whose number of passes the literature states."""

import pytest

from attometer.count.paths.passes import passes
from attometer.errors import AttometerError
from attometer.mechanisms import mechanism
from attometer.program import parse

SCORES = "axis i: n, j: n\nS[i,j] = Q[i,d] * K[j,d] / sqrt(d)\n"

# Nayak et al., FuseMax (MICRO 2024): the stable softmax takes three passes; deferring the division leaves two.
CASCADES = [
    ("sum", "Y = sum[j](X[j])", 1),
    ("mean subtracted", "Y[j] = X[j] - mean[j](X[j])", 2),
    ("softmax", "P[j] = softmax[j](X[j])", 3),
    ("layernorm", "Y[j] = layernorm[j](X[j])", 3),
    ("rmsnorm", "Y[j] = rmsnorm[j](X[j])", 2),
    ("attention, three passes", SCORES + "P[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]", 3),
    (
        "division deferred, two passes",
        SCORES + "M[i] = max[j](S)\nE[i,j] = exp(S - M[i])\nR[i,e] = E[i,j] * V[j,e]\nO[i,e] = R[i,e] / sum[j](E)",
        2,
    ),
    ("no maximum, one pass", SCORES + "E[i,j] = exp(S)\nR[i,e] = E[i,j] * V[j,e]\nO[i,e] = R[i,e] / sum[j](E)", 1),
]


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in CASCADES], ids=[row[0] for row in CASCADES])
def test_passes_of_a_cascade(text: str, expected: int) -> None:
    assert passes(parse(text), "j") == expected


def test_linear_attention_goes_through_its_keys_once() -> None:
    assert passes(mechanism("linear").program, "j") == 1
    assert passes(mechanism("softmax").program, "j") == 3


def test_unknown_axes_are_named() -> None:
    with pytest.raises(AttometerError) as error:
        passes(parse(CASCADES[0][1]), "k")
    assert str(error.value) == 'unknown axis "k"; known: j'
