"""Attention of DeepSeek V4: one head that is key and value at once, and compressed keys beside a sliding window."""

SINK = "E[b,h,i] = L[b,h,i] + softplus(z[h] - L[b,h,i])"


def pool() -> str:
    """Return compressed keys: the mean of every c tokens, weighted by a softmax over them."""
    return """
        axis t: n // c, r: c
        input K[b,t,r,d], G[b,t,r,d]
        weight B[r,d]
        A[b,t,r,d] = G[b,t,r,d] + B[r,d]
        P[b,t,r,d] = softmax[r](A)
        M[b,t,r,d] = P[b,t,r,d] * K[b,t,r,d]
        Y[b,t,d] = sum[r](M)
    """


def compressed(over: str = "") -> str:
    """Return attention over a window of w keys, compressed keys and a sink, in one softmax.

    `over` names the compressed keys that take part: `t` all of them, one for every c tokens; `k` those that an indexer
    chose; none when empty. Log-sum-exps are joined by log-add-exp.
    """
    axes = {"": "", "t": ", t: m // c", "k": ", t: m // c"}[over]
    shared = f"""
        axis i: n, j: m{axes}
        input Q[b,h,i,d]
        cache K[b,j,d]
        weight z[h]
        S[b,h,i,j] = Q[b,h,i,d] * K[b,j,d] / sqrt(d)   where window(i, j, w)
        L[b,h,i] = logsumexp[j](S)
        {SINK}
    """
    if not over:
        return f"{shared}\nP[b,h,i,j] = exp(S[b,h,i,j] - E[b,h,i])\nO[b,h,i,d] = P[b,h,i,j] * K[b,j,d]"
    key = "C[b,t,d]" if over == "t" else "C[b,Z[b,i,k],d]"
    return f"""{shared}
        cache C[b,t,d]
        {"input Z[b,i,k]" if over == "k" else ""}
        T[b,h,i,{over}] = Q[b,h,i,d] * {key} / sqrt(d)
        F[b,h,i] = logsumexp[{over}](T)
        N[b,h,i] = E[b,h,i] + softplus(F[b,h,i] - E[b,h,i])
        P[b,h,i,j] = exp(S[b,h,i,j] - N[b,h,i])
        W[b,h,i,{over}] = exp(T[b,h,i,{over}] - N[b,h,i])
        O[b,h,i,d] = P[b,h,i,j] * K[b,j,d] + W[b,h,i,{over}] * {key}
    """


def whole(over: bool) -> str:
    """Return the matrix products over the window's whole square and, where `over`, all compressed keys."""
    axes = f"axis i: n, j: m{' + m // c' if over else ''}"
    return f"{axes}\nS[b,h,i,j] = Q[b,h,i,d] * K[b,j,d]\nO[b,h,i,d] = S[b,h,i,j] * K[b,j,d]"


# Manifold-constrained hyper-connections (arXiv:2512.24880): weights that collapse, expand and mix r residual streams.
STREAM_WEIGHTS = """
    axis i: n, c: D, o: (2 + r) * r, x: 3
    input X[b,i,r,c]
    weight W[o,r,c], B[o], s[x]
    F[b,i,o] = X[b,i,r,c] * W[o,r,c]
    Y[b,i,o] = F[b,i,o] * s[o // (((2 + r) * r + 2) // 3)] + B[o]
"""
STREAMS = """
    axis i: n, c: D, k: r
    input X[b,i,r,c], P[b,i,r], Q[b,i,k], A[b,i,r,k], Z[b,i,c]
    M[b,i,r,c] = X[b,i,r,c] * P[b,i,r]
    Y[b,i,c] = sum[r](M)
    R[b,i,k,c] = A[b,i,r,k] * X[b,i,r,c]
    O[b,i,k,c] = R[b,i,k,c] + Q[b,i,k] * Z[b,i,c]
"""
COLLAPSE = """
    axis i: n, c: D, o: r
    input X[b,i,r,c]
    weight W[o,r,c], B[o], s
    F[b,i,o] = X[b,i,r,c] * W[o,r,c]
    G[b,i,o] = sigmoid(F[b,i,o] * s + B[o])
    M[b,i,o,c] = G[b,i,o] * X[b,i,o,c]
    Y[b,i,c] = sum[o](M)
"""
