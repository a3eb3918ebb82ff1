"""State-space and delta-rule layers: a matrix state per head that decays, and is written and read by each token.

Each text is the recurrence that defines its mechanism. transformers executes some of them in chunks of B tokens, as
matrix products: those forms hold the products alone.
"""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import flag, size_parameter
from attometer.mechanisms.random_inputs import minus_unit_interval, unit_interval, unit_vectors
from attometer.mechanisms.softmax import VALUE_WIDTH

MAMBA_2 = "Dao and Gu 2024, Transformers are SSMs (Mamba-2), arXiv:2405.21060"
MAMBA_1 = "Gu and Dao 2023, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, arXiv:2312.00752"
SCAN = flag("associative", "run the recurrence as a parallel prefix, of logarithmic depth")
STATES = size_parameter("s", 128, "state per channel")


def _states(at: str, read: str, result: str, scan: str) -> str:
    return f"""
        S[b,h,t,s,d] = A[b,h,t] * S[b,h,t-1,s,d] + W[{at},s] * {read}[b,h,t,d] {scan}
        {result}[b,h,t,d] = R[{at},s] * S[b,h,t,s,d]
    """


def _ssm(associative: bool) -> str:
    scan = "associative" if associative else ""
    return f"axis t: n\ninput X[b,h,t,d], A[b,h,t], W[b,t,s], R[b,t,s]\n{_states('b,t', 'X', 'Y', scan)}"


def mamba2(associative: bool = False) -> str:
    """Return the scan of a Mamba 2 mixer: steps, decays, `ssm` with writes and reads shared by groups, and the skip."""
    return f"""
        axis t: n
        input X[b,h,t,d], T[b,h,t], W[b,g,t,s], R[b,g,t,s]
        weight a[h], f[h], z[h]
        F[b,h,t] = softplus(T[b,h,t] + f[h])
        A[b,h,t] = exp(F[b,h,t] * a[h])
        U[b,h,t,d] = F[b,h,t] * X[b,h,t,d]
        {_states("b, h // (h/g), t", "U", "Z", "associative" if associative else "")}
        Y[b,h,t,d] = Z[b,h,t,d] + z[h] * X[b,h,t,d]
    """


def mamba(associative: bool = False) -> str:
    """Return the selective scan of a Mamba mixer, one decay for each channel and state."""
    return f"""
        axis t: n, c: D
        input T[b,t,c], X[b,t,c], W[b,t,s], R[b,t,s]
        weight a[c,s], z[c]
        A[b,t,c,s] = exp(T[b,t,c] * a[c,s])
        U[b,t,c] = T[b,t,c] * X[b,t,c]
        S[b,t,c,s] = A[b,t,c,s] * S[b,t-1,c,s] + W[b,t,s] * U[b,t,c] {"associative" if associative else ""}
        Z[b,t,c] = S[b,t,c,s] * R[b,t,s]
        Y[b,t,c] = Z[b,t,c] + z[c] * X[b,t,c]
    """


MAMBA2_CHUNKED = """
    axis t: (n + B - 1) // B, u: (n + B - 1) // B + 1, v: (n + B - 1) // B + 1, l: B, k: B
    G[b,t,h,l,k] = R[b,t,h,l,s] * W[b,t,h,k,s]
    Y[b,t,h,l,d] = M[b,t,h,l,k] * X[b,t,h,k,d]
    Z[b,t,h,d,s] = X[b,t,h,k,d] * W[b,t,h,k,s]
    N[b,h,u,d,s] = A[b,h,u,v] * S[b,h,v,d,s]
    O[b,t,h,l,d] = R[b,t,h,l,s] * F[b,t,h,d,s]
"""


def gated_delta(per_channel: bool = False) -> str:
    """Return the gated delta rule, with one decay per head or one for each channel of its keys."""
    decay = "A[b,h,t,d]" if per_channel else "A[b,h,t]"
    # What the decayed state predicts: the decay goes into the keys where it differs along them.
    if per_channel:
        predicted = "G[b,h,t,d] = K[b,h,t,d] * A[b,h,t,d]\nR[b,h,t,e] = G[b,h,t,d] * S[b,h,t-1,d,e]"
    else:
        predicted = "R[b,h,t,e] = K[b,h,t,d] * S[b,h,t-1,d,e]"
    kept = "R[b,h,t,e]" if per_channel else "A[b,h,t] * R[b,h,t,e]"
    return f"""
        axis t: n
        input Q[b,h,t,d], K[b,h,t,d], V[b,h,t,e], {decay}, B[b,h,t]
        {predicted}
        U[b,h,t,e] = B[b,h,t] * (V[b,h,t,e] - {kept})
        S[b,h,t,d,e] = {decay} * S[b,h,t-1,d,e] + K[b,h,t,d] * U[b,h,t,e]
        O[b,h,t,e] = Q[b,h,t,d] * S[b,h,t,d,e]
    """


def gated_delta_chunked(per_channel: bool = False) -> str:
    """Return the matrix products of the chunked form: with a decay per head the triangular system is solved (no matrix
    product); with one per channel it is inverted and multiplied, and the scores within a chunk are element-wise."""
    own = (
        "Z[b,t,h,l,e] = A[b,t,h,l,x] * V[b,t,h,x,e]\nC[b,t,h,l,d] = A[b,t,h,l,x] * W[b,t,h,x,d]"
        if per_channel
        else "S[b,t,h,l,x] = Q[b,t,h,l,d] * K[b,t,h,x,d]\nT[b,t,h,l,x] = L[b,t,h,l,d] * K[b,t,h,x,d]"
    )
    return f"""
        axis t: (n + B - 1) // B, l: B, x: B
        O[b,t,h,l,e] = Q[b,t,h,l,d] * H[b,t,h,d,e]
        P[b,t,h,l,e] = D[b,t,h,l,d] * H[b,t,h,d,e]
        Y[b,t,h,l,e] = A[b,t,h,l,x] * V[b,t,h,x,e]
        N[b,t,h,d,e] = K[b,t,h,x,d] * V[b,t,h,x,e]
        {own}
    """


def decay(per_channel: bool = False) -> str:
    """Return the decay of a gated delta net: exp(-exp(a) softplus(x + f)); with one per channel its logarithm."""
    at, own = ("b,h,i,d", "h,d") if per_channel else ("b,h,i", "h")
    rate = f"-exp(a[h]) * softplus(X[{at}] + f[{own}])"
    return f"axis i: n\ninput X[{at}]\nweight a[h], f[{own}]\nA[{at}] = {rate if per_channel else f'exp({rate})'}"


def convolution(bias: bool = False, function: str = "silu") -> str:
    """Return a short causal convolution of each channel over its newest u tokens, and its activation where it has one."""
    declared, plus = ("weight W[c,u], B[c]", " + B[c]") if bias else ("weight W[c,u]", "")
    return f"""
        axis i: n, t: n + u - 1, c: D
        input X[b,t,c]
        {declared}
        S[b,i,c] = X[b,i+u,c] * W[c,u]{plus}
        Y[b,i,c] = {f"{function}(S)" if function else "S[b,i,c]"}
    """


WKV = """
    axis t: n, c: D
    input K[b,t,c], V[b,t,c], R[b,t,c]
    weight w[c], u[c]
    E[b,t,c] = exp(K)
    N[b,t,c] = exp(-exp(w[c])) * N[b,t-1,c] + E[b,t,c] * V[b,t,c]
    D[b,t,c] = exp(-exp(w[c])) * D[b,t-1,c] + E[b,t,c]
    F[b,t,c] = exp(u[c]) * E[b,t,c]
    Y[b,t,c] = sigmoid(R[b,t,c]) * (N[b,t,c] + F[b,t,c] * V[b,t,c]) / (D[b,t,c] + F[b,t,c])
"""
# RWKV mixes each token X with the one before it, P, once for each of r streams.
TOKEN_SHIFT = """
    axis i: n, c: D
    input X[b,i,c], P[b,i,c]
    weight W[r,c]
    D[b,i,c] = X[b,i,c] - P[b,i,c]
    Y[b,i,r,c] = D[b,i,c] * W[r,c] + P[b,i,c]
"""

SSM = Entry(
    "ssm",
    "selective state space, one decay per head and token",
    _ssm,
    MAMBA_2,
    parameters=(STATES, SCAN),
    draws={"A": unit_interval},
    notes="A is the decay exp(dt * a), X the input times dt, W writes and R reads (the paper's B and C).",
)

MAMBA2 = Entry(
    "mamba2",
    "Mamba 2: steps and decays from each token, the selective state space, and the skip",
    mamba2,
    MAMBA_2,
    parameters=(STATES, size_parameter("g", 1, "groups of heads that share writes and reads"), SCAN),
    divides=(("h", "g"),),
    draws={"a": minus_unit_interval},
    notes="T holds the steps before softplus, f their bias, a the rates, z the skip.",
)

MAMBA = Entry(
    "mamba",
    "Mamba: selective scan, one decay for each channel and state",
    mamba,
    MAMBA_1,
    parameters=(size_parameter("s", 16, "state per channel"), SCAN),
    draws={"a": minus_unit_interval, "T": unit_interval},
    notes="T holds the steps, a the rates, W writes and R reads (the paper's B and C).",
)

CONVOLUTION = Entry(
    "short_convolution",
    "causal convolution of each channel over its newest tokens",
    convolution,
    f"{MAMBA_1}, section 3.4",
    parameters=(size_parameter("u", 4, "tokens the convolution sees"), flag("bias", "a learned bias for each channel")),
    notes="X holds the u - 1 tokens before the first one too.",
)

GATED_DELTA = Entry(
    "gated_delta",
    "gated delta rule",
    gated_delta,
    "Yang et al. 2024, Gated Delta Networks: Improving Mamba2 with Delta Rule, arXiv:2412.06464",
    parameters=(flag("per_channel", "a decay for each key channel, as in Kimi Linear (arXiv:2510.26692)"), VALUE_WIDTH),
    draws={"K": unit_vectors, "A": unit_interval, "B": unit_interval},
    notes="A is the decay and B the writing strength of each token; keys have unit length.",
)

RWKV = Entry(
    "wkv",
    "RWKV 4: a decayed average of values weighted by exp(key), gated",
    WKV,
    "Peng et al. 2023, RWKV: Reinventing RNNs for the Transformer Era, arXiv:2305.13048",
)
