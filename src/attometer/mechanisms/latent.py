"""Multi-head latent attention: keys and values are projections of one small latent per token."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.softmax import CAUSAL, KEYS, VALUE_WIDTH, restriction
from attometer.mechanisms.stages import joined

DEEPSEEK_V2 = "DeepSeek-AI 2024, DeepSeek-V2, arXiv:2405.04434, section 2.1"
AXES = "axis i: n, j: m"
PARAMETERS = (
    size_parameter("c", 512, "width of the latent that is cached"),
    size_parameter("r", 64, "width of the shared rotary key that is cached"),
    CAUSAL,
    KEYS,
    VALUE_WIDTH,
)


def _weights(scores: str, mask: str) -> str:
    """Scores, scaled by the width of query and key with both their parts, and softmax."""
    where = f"   where {mask}" if mask else ""
    return f"A[b,h,i,j] = {scores} + R[b,h,i,r] * T[b,j,r]{where}\nP[b,h,i,j] = softmax[j](A[b,h,i,j] / sqrt(d + r))"


def expanded(mask: str) -> dict[str, str]:
    """Return latent attention as it is trained and prefilled, in stages: the latent is expanded into keys and values."""
    return {
        "kv expand": "cache C[b,j,c]\nweight U[c,h,d], W[c,h,e]\n"
        "K[b,h,j,d] = C[b,j,c] * U[c,h,d]\nV[b,h,j,e] = C[b,j,c] * W[c,h,e]",
        "attention": f"input Q[b,h,i,d], R[b,h,i,r]\ncache T[b,j,r]\n{_weights('Q[b,h,i,d] * K[b,h,j,d]', mask)}\n"
        "O[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]",
    }


def absorbed(mask: str) -> dict[str, str]:
    """Return latent attention as engines decode: the expansion is absorbed into queries and outputs."""
    return {
        "q absorb": "input Q[b,h,i,d]\nweight U[c,h,d]\nL[b,h,i,c] = Q[b,h,i,d] * U[c,h,d]",
        # The scores are scaled by the width of the heads, which nothing here has as an axis any more.
        "attention": f"axis d: d\ninput R[b,h,i,r]\ncache C[b,j,c], T[b,j,r]\n{_weights('L[b,h,i,c] * C[b,j,c]', mask)}\n"
        "M[b,h,i,c] = P[b,h,i,j] * C[b,j,c]",
        "o absorb": "weight W[c,h,e]\nO[b,h,i,e] = M[b,h,i,c] * W[c,h,e]",
    }


MLA = Entry(
    "mla",
    "multi-head latent attention, keys and values expanded from the latent",
    lambda causal: joined(AXES, expanded(restriction(causal))),
    DEEPSEEK_V2,
    parameters=PARAMETERS,
    notes="Starts at the queries (their rotary part R already rotated) and the cached latent C and rotary key T.",
)

MLA_ABSORBED = Entry(
    "mla_absorbed",
    "multi-head latent attention, up-projections absorbed into query and output",
    lambda causal: joined(AXES, absorbed(restriction(causal))),
    DEEPSEEK_V2,
    parameters=PARAMETERS,
    notes="The same function as mla; every head attends to the latent itself, as in multi-query attention.",
)
