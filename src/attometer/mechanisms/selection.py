"""Attention to keys chosen by their content: a cheap indexer ranks all keys, attention reads the best k."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.softmax import KEYS, VALUE_WIDTH


def indexer(axes: str = "j: m", mask: str = "causal(i, j)", key: str = "j", product: bool = True) -> str:
    """Return the lightning indexer: a score of every key for every query, and the choice of the best k.

    Args:
        axes: the axis of the keys.
        mask: the pairs that are scored; all when empty.
        key: the index of the keys.
        product: sum the heads as a matrix product; else weigh them first, which is no matrix product.
    """
    weighed = f"L[b,i,{key}] = R[b,x,i,{key}] * W[b,i,x]"
    summed = f"N[b,x,i,{key}] = R[b,x,i,{key}] * W[b,i,x]\n        L[b,i,{key}] = sum[x](N)"
    return f"""
        axis i: n, {axes}
        input X[b,x,i,y], W[b,i,x]
        cache Y[b,{key},y]
        D[b,x,i,{key}] = X[b,x,i,y] * Y[b,{key},y] {f"where {mask}" if mask else ""}
        R[b,x,i,{key}] = relu(D)
        {weighed if product else summed}
        T[b,i,k] = topk[{key}, k](L)
    """


TOPK = Entry(
    "topk",
    "top-k sparse attention with a lightning indexer, causal",
    f"""
        {indexer()}
        input Q[b,h,i,d]
        cache K[b,h,j,d], V[b,h,j,e]
        S[b,h,i,k] = Q[b,h,i,d] * K[b,h,T[b,i,k],d] / sqrt(d)
        p[i] = pos(i) + (m - n)
        M[b,h,i,k] = S[b,h,i,k] - 1e30 * less(p[i], T[b,i,k])
        P[b,h,i,k] = softmax[k](M)
        O[b,h,i,e] = P[b,h,i,k] * V[b,h,T[b,i,k],e]
    """,
    "DeepSeek-AI 2025, DeepSeek-V3.2, arXiv:2512.02556, section 2.1",
    approximates="softmax",
    at_most=(("k", "n"),),
    parameters=(
        size_parameter("k", 2048, "keys that attention reads; at most n"),
        size_parameter("x", 64, "indexer heads"),
        size_parameter("y", 128, "width of an indexer head"),
        KEYS,
        VALUE_WIDTH,
    ),
    notes="The indexer scores every pair that causality allows; it is quadratic but narrow.",
)
