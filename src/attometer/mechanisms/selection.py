"""Attention to keys chosen by their content: a cheap indexer ranks all keys, attention reads the best k."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.softmax import VALUE_WIDTH

TOPK = Entry(
    "topk",
    "top-k sparse attention with a lightning indexer, causal",
    """
        axis i: n, j: n
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        input X[b,x,i,y], Y[b,j,y], W[b,i,x]
        D[b,x,i,j] = X[b,x,i,y] * Y[b,j,y]
        R[b,x,i,j] = relu(D[b,x,i,j])
        L[b,i,j] = R[b,x,i,j] * W[b,i,x]
        I[b,i,j] = L[b,i,j] - 1e30 * less(pos(i), pos(j))
        T[b,i,k] = topk[j, k](I)
        S[b,h,i,k] = Q[b,h,i,d] * K[b,h,T[b,i,k],d] / sqrt(d)
        M[b,h,i,k] = S[b,h,i,k] - 1e30 * less(pos(i), T[b,i,k])
        P[b,h,i,k] = softmax[k](M)
        O[b,h,i,e] = P[b,h,i,k] * V[b,h,T[b,i,k],e]
    """,
    "DeepSeek-AI 2025, DeepSeek-V3.2, arXiv:2512.02556, section 2.1",
    exact=False,
    at_most=(("k", "n"),),
    parameters=(
        size_parameter("k", 2048, "keys that attention reads; at most n"),
        size_parameter("x", 64, "indexer heads"),
        size_parameter("y", 128, "width of an indexer head"),
        VALUE_WIDTH,
    ),
    notes="The indexer scores all pairs, later keys included, and pushes those below any other; it is quadratic but narrow.",
)
