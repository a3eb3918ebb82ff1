"""Low-rank attention: the n keys and values are projected to k before attention."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.random_inputs import johnson_lindenstrauss
from attometer.mechanisms.softmax import VALUE_WIDTH

LINFORMER = Entry(
    "linformer",
    "softmax attention over k learned mixtures of the keys and values",
    """
        axis i: n, j: n
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e]
        weight E[k,j], F[k,j]
        A[b,h,k,d] = E[k,j] * K[b,h,j,d]
        B[b,h,k,e] = F[k,j] * V[b,h,j,e]
        S[b,h,i,k] = Q[b,h,i,d] * A[b,h,k,d] / sqrt(d)
        P[b,h,i,k] = softmax[k](S)
        O[b,h,i,e] = P[b,h,i,k] * B[b,h,k,e]
    """,
    "Wang et al. 2020, Linformer: Self-Attention with Linear Complexity, arXiv:2006.04768",
    approximates="softmax",
    parameters=(size_parameter("k", 256, "projected length"), VALUE_WIDTH),
    draws={"E": johnson_lindenstrauss, "F": johnson_lindenstrauss},
    notes="Projections shared by the heads; not causal. E and F are learned for one length n.",
)
