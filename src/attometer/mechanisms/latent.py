"""Multi-head latent attention: keys and values are projections of one small latent per token."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.softmax import CAUSAL, KEYS, VALUE_WIDTH, restriction

DEEPSEEK_V2 = "DeepSeek-AI 2024, DeepSeek-V2, arXiv:2405.04434, section 2.1"
PARAMETERS = (
    size_parameter("c", 512, "width of the latent that is cached"),
    size_parameter("r", 64, "width of the shared rotary key that is cached"),
    CAUSAL,
    KEYS,
    VALUE_WIDTH,
)


def _mla(causal: bool) -> str:
    return f"""
        axis i: n, j: m
        input Q[b,h,i,d], R[b,h,i,r]
        cache C[b,j,c], T[b,j,r]
        weight U[c,h,d], W[c,h,e]
        K[b,h,j,d] = C[b,j,c] * U[c,h,d]
        V[b,h,j,e] = C[b,j,c] * W[c,h,e]
        A[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] + R[b,h,i,r] * T[b,j,r] {restriction(causal)}
        P[b,h,i,j] = softmax[j](A[b,h,i,j] / sqrt(d + r))
        O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]
    """


def _mla_absorbed(causal: bool) -> str:
    return f"""
        axis i: n, j: m
        input Q[b,h,i,d], R[b,h,i,r]
        cache C[b,j,c], T[b,j,r]
        weight U[c,h,d], W[c,h,e]
        L[b,h,i,c] = Q[b,h,i,d] * U[c,h,d]
        A[b,h,i,j] = L[b,h,i,c] * C[b,j,c] + R[b,h,i,r] * T[b,j,r] {restriction(causal)}
        P[b,h,i,j] = softmax[j](A[b,h,i,j] / sqrt(d + r))
        M[b,h,i,c] = P[b,h,i,j] * C[b,j,c]
        O[b,h,i,e] = M[b,h,i,c] * W[c,h,e]
    """


MLA = Entry(
    "mla",
    "multi-head latent attention, keys and values expanded from the latent",
    _mla,
    DEEPSEEK_V2,
    parameters=PARAMETERS,
    notes="Starts at the queries (their rotary part R already rotated) and the cached latent C and rotary key T.",
)

MLA_ABSORBED = Entry(
    "mla_absorbed",
    "multi-head latent attention, up-projections absorbed into query and output",
    _mla_absorbed,
    DEEPSEEK_V2,
    parameters=PARAMETERS,
    notes="The same function as mla; every head attends to the latent itself, as in multi-query attention.",
)
