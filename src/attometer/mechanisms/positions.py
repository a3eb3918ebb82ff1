"""Positions: where a token stands enters by rotation, by a bias on the scores, or by addition."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.random_inputs import positions
from attometer.mechanisms.softmax import CAUSAL, KEYS, VALUE_WIDTH, VASWANI, attention, restriction

SLOPES = "M[h] = pow(2, -8 * (pos(h) + 1) / h)"
# T5: one learned number per head and bucket of distances, looked up in the first layer and handed to the others.
BUCKETS, BUCKET_TABLE = " + R[T[i,j], h]", "axis p: p\ninput T[i,j]\nweight R[p,h]"
GIVEN, GIVEN_TABLE = " + A[h,i,j]", "input A[h,i,j]"


def rotation(read: str, result: str, i: str = "i") -> str:
    """Return the rotation of each pair of neighbours by the angle whose cosine is in C and whose signed sine is in D."""
    return f"{result}[b,h,{i},k,s] = {read}[b,h,{i},k*2+s] * C[{i},k] + {read}[b,h,{i},k*2+1-s] * D[{i},k,s]"


ROTATION = f"axis i: n, k: d/2, s: 2\ninput X[b,h,i,d], C[i,k], D[i,k,s]\n{rotation('X', 'Y')}"


def _rope(causal: bool) -> str:
    mask = restriction(causal)
    return f"""
        axis i: n, j: n, k: d/2, s: 2
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        A[i,k] = pos(i) * pow(10000, -2 * pos(k) / d)
        C[i,k] = cos(A)
        D[i,k,s] = sin(A[i,k]) * (2 * pos(s) - 1)
        {rotation("Q", "X")}
        {rotation("K", "Y", "j")}
        S[b,h,i,j] = X[b,h,i,d // 2,d % 2] * Y[b,h,j,d // 2,d % 2] / sqrt(d) {f"where {mask}" if mask else ""}
        P[b,h,i,j] = softmax[j](S)
        O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
    """


def alibi(mask: str, kv: str = "h", role: str = "input") -> str:
    """Return attention with the bias of ALiBi; where a mask leaves only earlier keys, distances need no absolute value."""
    distance = "(pos(i) - pos(j))" if mask else "abs(pos(i) - pos(j))"
    return attention(mask, kv, role=role, bias=f" - M[h] * {distance}", declare=SLOPES)


def disentangled(to_position: bool, to_content: bool) -> str:
    """Return DeBERTa's attention: content against content, content against relative positions, and the other way.

    P and R are keys and queries of the 2p relative positions; T says which of them a pair of tokens has.
    """
    roots = 1 + to_position + to_content
    lines = [
        "axis i: n, j: m, r: 2 * p",
        "input Q[b,h,i,d], T[i,j]" + ", P[h,r,d]" * to_position + ", R[h,r,d]" * to_content,
        "input K[b,h,j,d], V[b,h,j,e]",
        "A[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d]",
        "C[b,h,i,r] = Q[b,h,i,d] * P[h,r,d]" if to_position else "",
        "E[b,h,j,r] = K[b,h,j,d] * R[h,r,d]" if to_content else "",
        "S[b,h,i,j] = (A[b,h,i,j]"
        + " + C[b,h,i,T[i,j]]" * to_position
        + " + E[b,h,j,T[i,j]]" * to_content
        + f") / sqrt({roots} * d)",
        "W[b,h,i,j] = softmax[j](S)",
        "O[b,h,i,e] = W[b,h,i,j] * V[b,h,j,e]",
    ]
    return "\n".join(line for line in lines if line)


# Keys or queries of relative positions, the same for every sequence of a batch.
POSITION_PROJECTION = (
    "axis r: 2 * p, c: D\ninput E[r,c]\nweight W[c,h,d], B[h,d]\nP[h,r,d] = E[r,c] * W[c,h,d] + B[h,d]"
)

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
    lambda causal: alibi(restriction(causal)),
    "Press et al. 2021, Train Short, Test Long, arXiv:2108.12409",
    parameters=(CAUSAL, KEYS, VALUE_WIDTH),
    notes="Slopes 2^(-8(k+1)/h), the paper's for h a power of two.",
)

DISENTANGLED = Entry(
    "disentangled",
    "softmax attention with scores of content and of relative positions apart",
    disentangled(True, True),
    "He et al. 2020, DeBERTa: Decoding-enhanced BERT with Disentangled Attention, arXiv:2006.03654, equation 4",
    parameters=(size_parameter("p", 256, "relative positions to each side"), KEYS, VALUE_WIDTH),
    draws={"T": positions("p")},
    notes="T holds the relative position of each pair, P and R the keys and queries of the positions.",
)

RELATIVE_BIAS = Entry(
    "relative_bias",
    "softmax attention with a learned bias by bucket of distances, scores not scaled",
    lambda causal: attention(restriction(causal), scale=False, bias=BUCKETS, declare=BUCKET_TABLE),
    "Raffel et al. 2019, Exploring the Limits of Transfer Learning (T5), arXiv:1910.10683, section 2.1",
    parameters=(size_parameter("p", 32, "buckets"), CAUSAL, KEYS, VALUE_WIDTH),
    draws={"T": positions("p")},
    notes="T holds the bucket of each pair of positions, R a number for each bucket and head.",
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
