"""Sparse attention in blocks, as published models run it: BigBird's blocks, Longformer's overlapping chunks."""


def block_sparse() -> str:
    """Return BigBird in blocks of x tokens: the first and last see all keys, the second ones 4 + r blocks, others 5 + r."""
    return "\n".join(
        (
            "axis j: n, a: 2, u: 2, t: n // x - 4, k: (4 + r) * x, l: (5 + r) * x",
            "input Q[b,h,a,x,d], R[b,h,u,x,d], T[b,h,t,x,d], K[b,h,j,d], V[b,h,j,d]",
            "input A[b,h,u,k,d], B[b,h,u,k,d], C[b,h,t,l,d], D[b,h,t,l,d]",
            *_rows("S", "Q", "a", "K[b,h,j,d]", "j", "V[b,h,j,d]"),
            *_rows("U", "R", "u", "A[b,h,u,k,d]", "k", "B[b,h,u,k,d]"),
            *_rows("W", "T", "t", "C[b,h,t,l,d]", "l", "D[b,h,t,l,d]"),
        )
    )


def _rows(name: str, queries: str, rows: str, keys: str, over: str, values: str) -> tuple[str, str, str]:
    at = f"[b,h,{rows},x,{over}]"
    return (
        f"{name}{at} = {queries}[b,h,{rows},x,d] * {keys} / sqrt(d)",
        f"P{name}{at} = softmax[{over}]({name})",
        f"O{name}[b,h,{rows},x,d] = P{name}{at} * {values}",
    )


# Longformer's matrix products: chunks of 2w rows and keys for the scores, rows of w against 3w keys for the values.
OVERLAPPING_CHUNKS = """
    axis t: n // w - 1, u: n // w, l: 2 * w, x: 2 * w, k: w, y: 3 * w
    S[b,h,t,l,x] = Q[b,h,t,l,d] * K[b,h,t,x,d]
    O[b,h,u,k,d] = P[b,h,u,k,y] * V[b,h,u,y,d]
"""

# Softmax attention within windows of x tokens, one window after another (Qwen2.5-VL's tower as it runs).
WINDOWS = """
    axis w: n / x, i: x, j: x
    input Q[b,w,h,i,d], K[b,w,h,j,d], V[b,w,h,j,e]
    S[b,w,h,i,j] = Q[b,w,h,i,d] * K[b,w,h,j,d] / sqrt(d)
    P[b,w,h,i,j] = softmax[j](S)
    O[b,w,h,i,e] = P[b,w,h,i,j] * V[b,w,h,j,e]
"""
