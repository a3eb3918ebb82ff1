"""State-space and linear-attention pieces: short convolutions, selective scans, the gated delta rule, RWKV's recurrence.

Each is the recurrence that defines it. transformers executes some of them in chunks, as matrix products: that form is
the reference of the part.
"""

from attometer.models.part import Part, program

CHUNK = 64


def convolution(channels: int, kernel: int, bias: bool) -> Part:
    """Return a causal depthwise convolution; the reference computes `kernel - 1` outputs more, and drops them."""

    def text(rows: str, read: str) -> str:
        weight, plus = ("weight W[c,u], B[c]", " + B[c]") if bias else ("weight W[c,u]", "")
        axes = f"axis i: {rows}, z: {read}, c: {channels}, u: {kernel}"
        return f"{axes}\ninput X[b,z,c]\n{weight}\nS[b,i,c] = X[b, i + u, c] * W[c,u]{plus}\nY[b,i,c] = silu(S[b,i,c])"

    run = text(f"n + {kernel - 1}", f"n + {2 * kernel - 2}")
    return Part("conv", program(text("n", f"n + {kernel - 1}")), reference=program(run))


def mamba_scan(channels: int, states: int) -> Part:
    """Return the selective scan of Mamba (Gu & Dao 2023, arXiv:2312.00752)."""
    text = "\n".join(
        (
            f"axis i: n, c: {channels}, s: {states}\ninput T[b,i,c], U[b,i,c], B[b,i,s], C[b,i,s]\nweight A[c,s], D[c]",
            "G[b,i,c,s] = exp(T[b,i,c] * A[c,s])",
            "V[b,i,c,s] = T[b,i,c] * B[b,i,s] * U[b,i,c]",
            "H[b,i,c,s] = G[b,i,c,s] * H[b,i-1,c,s] + V[b,i,c,s]",
            "Z[b,i,c] = H[b,i,c,s] * C[b,i,s]",
            "Y[b,i,c] = Z[b,i,c] + D[c] * U[b,i,c]",
        )
    )
    return Part("scan", program(text))


def mamba2_scan(heads: int, d: int, groups: int, states: int, chunk: int) -> Part:
    """Return the state-space dual of Mamba 2 (Dao & Gu 2024, arXiv:2405.21060), with the chunked form as reference."""
    group, shared = ("h", "h") if groups == heads else ("g", f"h // {heads // groups}")
    text = "\n".join(
        (
            f"axis i: n, h: {heads}, g: {groups}, p: {d}, s: {states}",
            f"input T[b,i,h], X[b,i,h,p], B[b,i,{group},s], C[b,i,{group},s]\nweight A[h], D[h], E[h]",
            "F[b,i,h] = softplus(T[b,i,h] + E[h])",
            "G[b,i,h] = exp(F[b,i,h] * A[h])",
            f"V[b,i,h,p,s] = F[b,i,h] * X[b,i,h,p] * B[b, i, {shared}, s]",
            "H[b,i,h,p,s] = G[b,i,h] * H[b,i-1,h,p,s] + V[b,i,h,p,s]",
            f"Z[b,i,h,p] = H[b,i,h,p,s] * C[b, i, {shared}, s]",
            "Y[b,i,h,p] = Z[b,i,h,p] + D[h] * X[b,i,h,p]",
        )
    )
    return Part("scan", program(text), reference=program(_dual(heads, d, states, chunk)))


def _dual(heads: int, d: int, states: int, chunk: int) -> str:
    blocks = f"(n + {chunk - 1}) // {chunk}"
    return "\n".join(
        (
            f"axis t: {blocks}, u: {blocks} + 1, v: {blocks} + 1, h: {heads}, l: {chunk}, k: {chunk}, p: {d}, s: {states}",
            "input B[b,t,h,k,s], C[b,t,h,l,s], X[b,t,h,k,p], M[b,t,h,l,k], D[b,h,u,v], R[b,h,v,p,s], F[b,t,h,p,s]",
            "G[b,t,h,l,k] = C[b,t,h,l,s] * B[b,t,h,k,s]",
            "Y[b,t,h,l,p] = M[b,t,h,l,k] * X[b,t,h,k,p]",
            "Z[b,t,h,p,s] = X[b,t,h,k,p] * B[b,t,h,k,s]",
            "N[b,h,u,p,s] = D[b,h,u,v] * R[b,h,v,p,s]",
            "O[b,t,h,l,p] = C[b,t,h,l,s] * F[b,t,h,p,s]",
        )
    )


def delta_rule(heads: int, keys: int, values: int, per_channel: bool = False) -> Part:
    """Return the gated delta rule (Yang et al. 2024, arXiv:2412.06464); with a decay per key channel it is Kimi's (arXiv:2510.26692)."""
    decay, read = ("G[b,i,h,k]", "G[b,i,h,y]") if per_channel else ("G[b,i,h]", "G[b,i,h]")
    declared = decay if per_channel else "G[b,i,h]"
    text = "\n".join(
        (
            f"axis i: n, h: {heads}, k: {keys}, y: {keys}, e: {values}",
            f"input Q[b,i,h,k], K[b,i,h,k], V[b,i,h,e], {declared}, B[b,i,h]",
            f"F[b,i,h,y] = K[b,i,h,y] * {read}",
            "R[b,i,h,e] = F[b,i,h,y] * H[b,i-1,h,y,e]",
            "U[b,i,h,e] = B[b,i,h] * (V[b,i,h,e] - R[b,i,h,e])",
            f"H[b,i,h,k,e] = {decay} * H[b,i-1,h,k,e] + K[b,i,h,k] * U[b,i,h,e]",
            "Y[b,i,h,e] = Q[b,i,h,k] * H[b,i,h,k,e]",
        )
    )
    return Part("delta rule", program(text), reference=program(_chunks(heads, keys, values, per_channel)))


def _chunks(heads: int, keys: int, values: int, per_channel: bool) -> str:
    """The chunked form: with a decay per head the triangular system is solved (no matrix product); with one per
    channel it is inverted and multiplied, and the scores within a chunk are element-wise."""
    lines = [
        f"axis t: (n + {CHUNK - 1}) // {CHUNK}, h: {heads}, l: {CHUNK}, x: {CHUNK}, k: {keys}, e: {values}",
        "input Q[b,t,h,l,k], K[b,t,h,x,k], L[b,t,h,l,k], D[b,t,h,l,k], A[b,t,h,l,x], V[b,t,h,x,e], H[b,t,h,k,e], W[b,t,h,x,k]",
        "O[b,t,h,l,e] = Q[b,t,h,l,k] * H[b,t,h,k,e]",
        "P[b,t,h,l,e] = D[b,t,h,l,k] * H[b,t,h,k,e]",
        "Y[b,t,h,l,e] = A[b,t,h,l,x] * V[b,t,h,x,e]",
        "N[b,t,h,k,e] = K[b,t,h,x,k] * V[b,t,h,x,e]",
    ]
    if per_channel:
        return "\n".join(
            [*lines, "Z[b,t,h,l,e] = A[b,t,h,l,x] * V[b,t,h,x,e]", "C[b,t,h,l,k] = A[b,t,h,l,x] * W[b,t,h,x,k]"]
        )
    return "\n".join(
        [*lines, "S[b,t,h,l,x] = Q[b,t,h,l,k] * K[b,t,h,x,k]", "T[b,t,h,l,x] = L[b,t,h,l,k] * K[b,t,h,x,k]"]
    )


def gated_norm(heads: int, d: int, weight: str = "W[d]") -> Part:
    """Return a norm of each head times the activation of a gate."""
    text = f"axis i: n, h: {heads}, d: {d}\ninput X[b,i,h,d], G[b,i,h,d]\nweight {weight}\n"
    return Part(
        "gated norm",
        program(text + f"N[b,i,h,d] = rmsnorm[d](X)\nY[b,i,h,d] = N[b,i,h,d] * {weight} * silu(G[b,i,h,d])"),
    )
