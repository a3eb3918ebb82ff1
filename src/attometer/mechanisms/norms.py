"""Normalisation over the model width or over each head, with what is learned."""

from attometer.mechanisms.mechanism import Entry


def norm(kind: str = "rmsnorm", scale: bool = True, bias: bool = False) -> str:
    """Return a norm over the width, `kind` one of rmsnorm and layernorm, with its learned scale and bias."""
    return _norm("axis i: n, c: D", kind, "b,i,c", "c", "G[c]" * scale, "B[c]" * bias)


def head_norm(kind: str = "rmsnorm", scale: str = "G[d]", bias: bool = False) -> str:
    """Return a norm of each head; `scale` is `G[d]` (shared by the heads), `G[h,d]` or nothing."""
    return _norm("axis i: n", kind, "b,h,i,d", "d", scale, "B[d]" * bias)


def _norm(axes: str, kind: str, at: str, over: str, scale: str, bias: str) -> str:
    learned = ", ".join(filter(None, (scale, bias)))
    value = f"{kind}[{over}](X)" + f" * {scale}" * bool(scale) + f" + {bias}" * bool(bias)
    return f"{axes}\ninput X[{at}]\n{f'weight {learned}' if learned else ''}\nY[{at}] = {value}"


# A norm of each head times the activation of a gate (Mamba 2, gated delta nets).
GATED_NORM = """
    axis i: n
    input X[b,h,i,d], Z[b,h,i,d]
    weight G[d]
    Y[b,h,i,d] = rmsnorm[d](X) * G[d] * silu(Z[b,h,i,d])
"""

LAYERNORM = Entry(
    "layernorm",
    "layer normalisation with scale and shift",
    norm("layernorm", bias=True),
    "Ba et al. 2016, Layer Normalization, arXiv:1607.06450",
)

RMSNORM = Entry(
    "rmsnorm",
    "root-mean-square normalisation with scale",
    norm(),
    "Zhang and Sennrich 2019, Root Mean Square Layer Normalization, arXiv:1910.07467",
)

HEAD_NORM = Entry(
    "head_norm",
    "root-mean-square normalisation of each query or key head",
    head_norm(),
    "Yang et al. 2025, Qwen3 Technical Report, arXiv:2505.09388; Dehghani et al. 2023, arXiv:2302.05442",
)
