"""Positions: where a token stands enters by rotation, by a bias on the scores, or by addition."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.softmax import CAUSAL, VALUE_WIDTH, VASWANI, restriction


def _rope(causal: bool) -> str:
    return f"""
        axis i: n, j: n, k: d/2, s: 2
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        A[i,k] = pos(i) * pow(10000, -2 * pos(k) / d)
        C[i,k] = cos(A)
        D[i,k] = sin(A)
        X[b,h,i,k,s] = Q[b,h,i,k*2+s] * C[i,k] + (2 * pos(s) - 1) * Q[b,h,i,k*2+1-s] * D[i,k]
        Y[b,h,j,k,s] = K[b,h,j,k*2+s] * C[j,k] + (2 * pos(s) - 1) * K[b,h,j,k*2+1-s] * D[j,k]
        S[b,h,i,j] = X[b,h,i,d // 2,d % 2] * Y[b,h,j,d // 2,d % 2] / sqrt(d) {restriction(causal)}
        P[b,h,i,j] = softmax[j](S)
        O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
    """


def _alibi(causal: bool) -> str:
    return f"""
        axis i: n, j: n
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        M[h] = pow(2, -8 * (pos(h) + 1) / h)
        S[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d) - M[h] * abs(pos(i) - pos(j)) {restriction(causal)}
        P[b,h,i,j] = softmax[j](S)
        O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
    """


ROPE = Entry(
    "rope",
    "softmax attention with rotary positions",
    _rope,
    "Su et al. 2021, RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864",
    parameters=(CAUSAL, VALUE_WIDTH),
    divides=(("d", "2"),),
    notes="Pairs are neighbours (2k, 2k+1), as in the paper; base 10000.",
)

ALIBI = Entry(
    "alibi",
    "softmax attention with a linear bias by distance",
    _alibi,
    "Press et al. 2021, Train Short, Test Long, arXiv:2108.12409",
    parameters=(CAUSAL, VALUE_WIDTH),
    notes="Slopes 2^(-8(k+1)/h), the paper's for h a power of two.",
)

SINUSOIDAL = Entry(
    "sinusoidal",
    "sinusoidal positions added to the input",
    """
        axis i: n, c: D
        input X[b,i,c]
        R[c] = pos(c) - 2 * floor(pos(c) / 2)
        A[i,c] = pos(i) * pow(10000, (R[c] - pos(c)) / D) + R[c] * 1.5707963267948966   # a quarter turn makes sin cos
        Y[b,i,c] = X[b,i,c] + sin(A[i,c])
    """,
    f"{VASWANI}, section 3.5",
)
