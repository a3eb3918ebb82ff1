"""The projections around attention, and the essay's attention layer that contains them."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.softmax import VALUE_WIDTH, VASWANI
from attometer.program import size

PROJECTIONS = Entry(
    "projections",
    "query, key, value and output projections",
    """
        axis i: n, c: D
        input X[b,i,c], A[b,h,i,e]
        weight Wq[c,h,d], Wk[c,g,d], Wv[c,g,e], Wo[h,e,c]
        Q[b,h,i,d] = X[b,i,c] * Wq[c,h,d]
        K[b,g,i,d] = X[b,i,c] * Wk[c,g,d]
        V[b,g,i,e] = X[b,i,c] * Wv[c,g,e]
        Y[b,i,c] = A[b,h,i,e] * Wo[h,e,c]
    """,
    VASWANI,
    parameters=(
        size_parameter("D", size("h") * size("d"), "model width"),
        size_parameter("g", size("h"), "key/value heads"),
        VALUE_WIDTH,
    ),
    notes="A is the result of attention, which stands between V and Y.",
)

ATTENTION_LAYER = Entry(
    "attention_layer",
    "single-head self-attention with its query, key and value projections",
    """
        axis i: n, j: n, c: d, e: d
        input X[b,i,c]
        weight Wq[c,d], Wk[c,d], Wv[c,e]
        Q[b,i,d] = X[b,i,c] * Wq[c,d]
        K[b,j,d] = X[b,j,c] * Wk[c,d]
        V[b,j,e] = X[b,j,c] * Wv[c,e]
        S[b,i,j] = Q[b,i,d] * K[b,j,d] / sqrt(d)
        P[b,i,j] = softmax[j](S)
        O[b,i,e] = P[b,i,j] * V[b,j,e]
    """,
    "Doan 2025, Attention is logarithmic, actually, case 6",
    notes="Width d is the model's: one head, and no output projection, as in the essay.",
)
