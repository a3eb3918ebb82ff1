"""Kernel attention, linear in length: keys and values are summed once, whatever the number of queries."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import flag, size_parameter
from attometer.mechanisms.random_inputs import orthogonal_gaussian
from attometer.mechanisms.softmax import VALUE_WIDTH

KATHAROPOULOS = "Katharopoulos et al. 2020, Transformers are RNNs, arXiv:2006.16236"

# elu(x) + 1 without a branch: exp(x) below 0, x + 1 above.
FEATURES = """
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        F[b,h,i,d] = exp(minimum(Q[b,h,i,d], 0)) + relu(Q[b,h,i,d])
        G[b,h,j,d] = exp(minimum(K[b,h,j,d], 0)) + relu(K[b,h,j,d])
"""

LINEAR = Entry(
    "linear",
    "linear attention with features elu(x) + 1",
    f"""
        axis i: n, j: n
        {FEATURES}
        C[b,h,d,e] = G[b,h,j,d] * V[b,h,j,e]
        Z[b,h,d] = G[b,h,j,d]
        N[b,h,i] = F[b,h,i,d] * Z[b,h,d]
        O[b,h,i,e] = F[b,h,i,d] * C[b,h,d,e] / N[b,h,i]
    """,
    KATHAROPOULOS,
    approximates="softmax",
    parameters=(VALUE_WIDTH,),
)


def _linear_causal(associative: bool) -> str:
    scan = "associative" if associative else ""
    return f"""
        axis i: n, j: n
        {FEATURES}
        C[b,h,j,d,e] = C[b,h,j-1,d,e] + G[b,h,j,d] * V[b,h,j,e] {scan}
        Z[b,h,j,d] = Z[b,h,j-1,d] + G[b,h,j,d] {scan}
        N[b,h,i] = F[b,h,i,d] * Z[b,h,i,d]
        O[b,h,i,e] = F[b,h,i,d] * C[b,h,i,d,e] / N[b,h,i]
    """


LINEAR_CAUSAL = Entry(
    "linear_causal",
    "causal linear attention as a recurrence over a d by e state",
    _linear_causal,
    KATHAROPOULOS,
    approximates="softmax",
    parameters=(flag("associative", "run the sums as a parallel prefix, of logarithmic depth"), VALUE_WIDTH),
)

LINEAR_CHUNKED = Entry(
    "linear_chunked",
    "causal linear attention, quadratic within chunks and recurrent between them",
    """
        axis i: n, j: n, k: n/B, r: B, s: B
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        F[b,h,k,r,d] = exp(minimum(Q[b,h,k*B+r,d], 0)) + relu(Q[b,h,k*B+r,d])
        G[b,h,k,s,d] = exp(minimum(K[b,h,k*B+s,d], 0)) + relu(K[b,h,k*B+s,d])
        A[b,h,k,r,s] = F[b,h,k,r,d] * G[b,h,k,s,d]   where causal(r, s)
        U[b,h,k,d,e] = G[b,h,k,s,d] * V[b,h,k*B+s,e]
        Y[b,h,k,d] = G[b,h,k,s,d]
        C[b,h,k,d,e] = C[b,h,k-1,d,e] + U[b,h,k,d,e]   associative
        Z[b,h,k,d] = Z[b,h,k-1,d] + Y[b,h,k,d]   associative
        N[b,h,k,r] = A[b,h,k,r,s] + F[b,h,k,r,d] * Z[b,h,k-1,d]
        R[b,h,k,r,e] = A[b,h,k,r,s] * V[b,h,k*B+s,e] + F[b,h,k,r,d] * C[b,h,k-1,d,e]
        O[b,h,i,e] = R[b,h,i // B,i % B,e] / N[b,h,i // B,i % B]
    """,
    "Hua et al. 2022, Transformer Quality in Linear Time, arXiv:2202.10447, section 3.2",
    approximates="softmax",
    parameters=(size_parameter("B", 64, "chunk length; n is a multiple of it"), VALUE_WIDTH),
    divides=(("n", "B"),),
    notes="The same function as linear_causal.",
)

# (q·k/√d)^r / r! is a product of r-fold products of q's entries and of k's: 1, d and d² of them at degree 2.
POLYNOMIAL = Entry(
    "polynomial",
    "exp replaced by its second-degree Taylor polynomial: near softmax for bounded entries, linear in length",
    """
        axis i: n, j: n, c: d
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        A[b,h,i,c,d] = Q[b,h,i,c] * Q[b,h,i,d]
        B[b,h,j,c,d] = K[b,h,j,c] * K[b,h,j,d]
        T[b,h,e] = sum[j](V)
        C[b,h,d,e] = K[b,h,j,d] * V[b,h,j,e]
        D[b,h,c,d,e] = B[b,h,j,c,d] * V[b,h,j,e]
        Y[b,h,d] = sum[j](K)
        Z[b,h,c,d] = sum[j](B)
        N[b,h,i] = n + Q[b,h,i,d] * Y[b,h,d] / sqrt(d) + A[b,h,i,c,d] * Z[b,h,c,d] / (2 * d)
        M[b,h,i,e] = T[b,h,e] + Q[b,h,i,d] * C[b,h,d,e] / sqrt(d) + A[b,h,i,c,d] * D[b,h,c,d,e] / (2 * d)
        O[b,h,i,e] = M[b,h,i,e] / N[b,h,i]
    """,
    "Alman and Song 2023, Fast Attention Requires Bounded Entries, arXiv:2302.13214, section 3",
    approximates="softmax",
    parameters=(VALUE_WIDTH,),
    notes="Degree 2 with all d² products; run.polynomial_attention takes any even degree and each monomial once.",
)

PERFORMER = Entry(
    "performer",
    "FAVOR+: softmax kernel estimated by f positive orthogonal random features",
    """
        axis i: n, j: n
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        weight W[f,d]
        X[b,h,i,d] = Q[b,h,i,d] / sqrt(sqrt(d))
        Y[b,h,j,d] = K[b,h,j,d] / sqrt(sqrt(d))
        A[b,h,i] = sum[d](square(X[b,h,i,d]))
        B[b,h,j] = sum[d](square(Y[b,h,j,d]))
        L[b,h,i,f] = X[b,h,i,d] * W[f,d] - A[b,h,i] / 2
        M[b,h,j,f] = Y[b,h,j,d] * W[f,d] - B[b,h,j] / 2
        F[b,h,i,f] = exp(L) / sqrt(f)
        G[b,h,j,f] = exp(M) / sqrt(f)
        C[b,h,f,e] = G[b,h,j,f] * V[b,h,j,e]
        Z[b,h,f] = G[b,h,j,f]
        N[b,h,i] = F[b,h,i,f] * Z[b,h,f]
        O[b,h,i,e] = F[b,h,i,f] * C[b,h,f,e] / N[b,h,i]
    """,
    "Choromanski et al. 2020, Rethinking Attention with Performers, arXiv:2009.14794, Lemma 1",
    approximates="softmax",
    parameters=(size_parameter("f", 256, "random features"), VALUE_WIDTH),
    draws={"W": orthogonal_gaussian},
    notes="The kernel's estimate is unbiased; implementations also subtract a maximum before exp, which cancels out.",
)
