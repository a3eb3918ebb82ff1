"""Feed-forward layers: plain, gated, and a mixture of experts."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.softmax import VASWANI
from attometer.program import size

FFN = Entry(
    "ffn",
    "feed-forward layer with GELU",
    """
        axis i: n, c: D, f: F
        input X[b,i,c]
        weight W[c,f], B[f], U[f,c], C[c]
        A[b,i,f] = gelu(X[b,i,c] * W[c,f] + B[f])
        Y[b,i,c] = A[b,i,f] * U[f,c] + C[c]
    """,
    f"{VASWANI}, section 3.3; GELU of Hendrycks and Gimpel 2016, arXiv:1606.08415",
    parameters=(size_parameter("F", 4 * size("D"), "inner width"),),
)

GATED_FFN = Entry(
    "gated_ffn",
    "gated feed-forward layer (SwiGLU)",
    """
        axis i: n, c: D, f: F
        input X[b,i,c]
        weight G[c,f], W[c,f], U[f,c]
        A[b,i,f] = silu(X[b,i,c] * G[c,f])
        H[b,i,f] = X[b,i,c] * W[c,f]
        M[b,i,f] = A[b,i,f] * H[b,i,f]
        Y[b,i,c] = M[b,i,f] * U[f,c]
    """,
    "Shazeer 2020, GLU Variants Improve Transformer, arXiv:2002.05202",
    parameters=(size_parameter("F", 11008, "inner width; near 8/3 D for as many parameters as a plain layer of 4 D"),),
)

MOE = Entry(
    "moe",
    "mixture of experts: each token runs the k experts that its router ranks first",
    """
        axis i: n, c: D, f: F, x: E
        input X[b,i,c]
        weight R[c,x], G[x,c,f], W[x,c,f], U[x,f,c]
        L[b,i,x] = X[b,i,c] * R[c,x]
        T[b,i,k] = topk[x, k](L)
        P[b,i,k] = softmax[k](L[b,i,T[b,i,k]])
        A[b,i,k,f] = silu(X[b,i,c] * G[T[b,i,k],c,f])
        H[b,i,k,f] = X[b,i,c] * W[T[b,i,k],c,f]
        M[b,i,k,f] = A[b,i,k,f] * H[b,i,k,f]
        Z[b,i,k,c] = M[b,i,k,f] * U[T[b,i,k],f,c]
        Y[b,i,c] = P[b,i,k] * Z[b,i,k,c]
    """,
    "Jiang et al. 2024, Mixtral of Experts, arXiv:2401.04088; Shazeer et al. 2017, arXiv:1701.06538",
    parameters=(
        size_parameter("E", 8, "experts"),
        size_parameter("k", 2, "experts a token runs; at most E"),
        size_parameter("F", 14336, "inner width of an expert"),
    ),
    at_most=(("k", "E"),),
)
