"""A schedule runs softmax attention and nothing else: what looks like it and is not is refused, with the reason."""

import pytest

import attometer as am
from attometer.count.traffic.attention_shape import attention_shape
from attometer.errors import AttometerError
from attometer.mechanisms import mechanism

SCORES = "S[h,i,j] = Q[h,i,d] * K[h,j,d]\n"
VALUES = "\nO[h,i,e] = P[h,i,j] * V[h,j,e]"
SOFTMAX = "P[h,i,j] = softmax[j](S)"
REFUSED = {
    "over queries": (SCORES + "P[h,i,j] = softmax[i](S)" + VALUES, "its softmax runs along i and its values are summed along j"),
    "transposed": (
        "axis i: n, j: n\n" + SCORES + SOFTMAX + "\nO[h,i,e] = P[h,j,i] * V[h,j,e]", "it reads the weights P[h,i,j] as P[h,j,i]",
    ),
    "transposed scores": (
        "axis i: n, j: n\n" + SCORES + "P[h,i,j] = softmax[j](S[h,j,i])" + VALUES, "it reads S[h,i,j] as S[h,j,i]",
    ),
    "double": (SCORES + "R[h,i,j] = softmax[j](S)\nP[h,i,j] = softmax[j](R)" + VALUES, "it takes 2 softmaxes: R, P"),
    "unnormalised": (SCORES + "P[h,i,j] = exp(S)" + VALUES, "its exponentials are not divided by their sum"),
    "by another sum": (
        SCORES + "E[h,i,j] = exp(S)\nP[h,i,j] = S / sum[j](E)" + VALUES, "its exponentials are not divided by their sum",
    ),
    "sink": (
        SCORES + "E[h,i,j] = exp(S)\nP[h,i,j] = E / (sum[j](E) + 1)" + VALUES,
        'it computes "P" = E[h,i,j] / (P.sum[h,i] + 1), not the quotient alone',
    ),
    "weights unused": (
        SCORES + SOFTMAX + "\nR[h,i,j] = relu(P)\nO[h,i,e] = R[h,i,j] * V[h,j,e]", 'its values are not weighed by the softmax "P"',
    ),
    "more after": (SCORES + SOFTMAX + VALUES + "\nY[h,i,e] = relu(O)", 'it also computes "Y" = relu(O[h,i,e])'),
    "computed keys": (
        "N[h,j,d] = relu(K[h,j,d])\nS[h,i,j] = Q[h,i,d] * N[h,j,d]\n" + SOFTMAX + VALUES, 'it also computes "N" = relu(K[h,j,d])',
    ),
    "mean of the scores": (
        SCORES + "R[h,i,j] = S - sum[j](S)\nP[h,i,j] = softmax[j](R)" + VALUES, 'it also computes "R.sum" = sum[j](S[h,i,j])',
    ),
    "shifted keys": ("S[h,i,j] = Q[h,i,d] * K[h,j-1,d]\n" + SOFTMAX + VALUES, "it reads K[h, j - 1, d], not one entry per j and d"),
    "values without a width": (
        SCORES + SOFTMAX + "\nO[h,i] = P[h,i,j] * V[h,j]", "its result has 0 indices of the values alone, not one",
    ),
    "values per query": (SCORES + SOFTMAX + "\nO[h,i,e] = P[h,i,j] * V[h,i,j,e]", "it reads V[h,i,j,e], which differs along i"),
    "values of another head": (
        SCORES + SOFTMAX + "\nO[h,i,e] = P[h,i,j] * V[j,e]", '"K" and "V" are shared by different heads',
    ),
    "keys as values": (
        "axis e: d\n" + SCORES + SOFTMAX + "\nO[h,i,e] = P[h,i,j] * K[h,j,e]", "it reads K, Q in more than one of their places",
    ),
    "two masks": (
        "axis i: n, j: n\n" + SCORES + SOFTMAX + VALUES + " where causal(i, j)", "its softmax and its weighted sum have different masks",
    ),
    "mask over keys and queries": (
        "axis i: n, j: n\n" + SCORES[:-1] + " where causal(j, i)\n" + SOFTMAX + VALUES,
        "its mask is over (j, i) and its values are summed along j",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_schedule_runs_is_refused(name: str) -> None:
    text, reason = REFUSED[name]
    with pytest.raises(AttometerError) as error:
        attention_shape(am.parse(text))
    assert str(error.value) == f"a schedule runs softmax attention of Q, K and V alone; {reason}"


def test_counting_under_a_schedule_refuses() -> None:
    with pytest.raises(AttometerError, match="a schedule runs softmax attention"):
        am.count(am.parse(REFUSED["over queries"][0]), am.schedule("flash2"))


@pytest.mark.parametrize(
    "written",
    [
        "M[h,i] = max[j](S)\nE[h,i,j] = exp(S - M)\nZ[h,i] = E[h,i,j]\nP[h,i,j] = E / Z" + VALUES,
        "P[h,i,j] = exp(S) / sum[j](exp(S))" + VALUES,
        "E[h,i,j] = exp(S)\nO[h,i,e] = E[h,i,j] * V[h,j,e] / sum[j](E)",
        "C[h,i,j] = 30 * tanh(S / 30)\nP[h,i,j] = softmax[j](C)" + VALUES,
    ],
)
def test_attention_may_be_written_out(written: str) -> None:
    assert attention_shape(am.parse(SCORES + written)) == attention_shape(am.parse(SCORES + SOFTMAX + VALUES))


def test_a_mask_on_the_softmax_is_the_mask() -> None:
    masked = attention_shape(am.parse("axis i: n, j: n\n" + SCORES + SOFTMAX + "   where causal(i, j)" + VALUES))
    assert str(masked.mask) == "causal"
    assert attention_shape(mechanism("softmax", causal=True).program).mask == masked.mask
