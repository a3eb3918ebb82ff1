"""State-space and delta-rule layers: a matrix state per head that decays, and is written and read by each token."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import flag, size_parameter
from attometer.mechanisms.random_inputs import unit_interval, unit_vectors
from attometer.mechanisms.softmax import VALUE_WIDTH


def _ssm(associative: bool) -> str:
    return f"""
        axis t: n
        input X[b,h,t,d], A[b,h,t], W[b,t,s], R[b,t,s]
        S[b,h,t,s,d] = A[b,h,t] * S[b,h,t-1,s,d] + W[b,t,s] * X[b,h,t,d] {"associative" if associative else ""}
        Y[b,h,t,d] = R[b,t,s] * S[b,h,t,s,d]
    """


SSM = Entry(
    "ssm",
    "selective state space, one decay per head and token",
    _ssm,
    "Dao and Gu 2024, Transformers are SSMs (Mamba-2), arXiv:2405.21060",
    parameters=(
        size_parameter("s", 128, "state per channel"),
        flag("associative", "run the recurrence as a parallel prefix, of logarithmic depth"),
    ),
    draws={"A": unit_interval},
    notes="A is the decay exp(dt * a), X the input times dt, W writes and R reads (the paper's B and C).",
)

GATED_DELTA = Entry(
    "gated_delta",
    "gated delta rule",
    """
        axis t: n
        input Q[b,h,t,d], K[b,h,t,d], V[b,h,t,e], A[b,h,t], B[b,h,t]
        R[b,h,t,e] = K[b,h,t,d] * S[b,h,t-1,d,e]
        U[b,h,t,e] = B[b,h,t] * (V[b,h,t,e] - A[b,h,t] * R[b,h,t,e])
        S[b,h,t,d,e] = A[b,h,t] * S[b,h,t-1,d,e] + K[b,h,t,d] * U[b,h,t,e]
        O[b,h,t,e] = Q[b,h,t,d] * S[b,h,t,d,e]
    """,
    "Yang et al. 2024, Gated Delta Networks: Improving Mamba2 with Delta Rule, arXiv:2412.06464",
    parameters=(VALUE_WIDTH,),
    draws={"K": unit_vectors, "A": unit_interval, "B": unit_interval},
    notes="A is the decay and B the writing strength of each token; keys have unit length.",
)
