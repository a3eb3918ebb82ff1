"""Normalisation over the model width, with its learned scale."""

from attometer.mechanisms.mechanism import Entry

LAYERNORM = Entry(
    "layernorm",
    "layer normalisation with scale and shift",
    """
        axis i: n, c: D
        input X[b,i,c]
        weight G[c], B[c]
        Y[b,i,c] = layernorm[c](X) * G[c] + B[c]
    """,
    "Ba et al. 2016, Layer Normalization, arXiv:1607.06450",
)

RMSNORM = Entry(
    "rmsnorm",
    "root-mean-square normalisation with scale",
    """
        axis i: n, c: D
        input X[b,i,c]
        weight G[c]
        Y[b,i,c] = rmsnorm[c](X) * G[c]
    """,
    "Zhang and Sennrich 2019, Root Mean Square Layer Normalization, arXiv:1910.07467",
)
