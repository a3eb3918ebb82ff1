"""HyperAttention: sorting by hash gathers similar queries and keys into blocks; sampled keys stand for the rest."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.random_inputs import gaussian, positions
from attometer.mechanisms.softmax import VALUE_WIDTH


def _hash(name: str, of: str, index: str) -> str:
    """Return statements that number the buckets so that neighbours differ in one hash bit (Gray code)."""
    return f"""
        {name}bit[b,h,{index},p] = {of}[b,h,{index},d] * R[p,d]
        {name}sum[b,h,{index},p] = {name}sum[b,h,{index},p-1] + less(0, {name}bit[b,h,{index},p])   associative
        {name}odd[b,h,{index},p] = {name}sum[b,h,{index},p] - 2 * floor({name}sum[b,h,{index},p] / 2)
        {name}[b,h,{index}] = {name}odd[b,h,{index},p] * pow(0.5, pos(p))
    """


HYPERATTENTION = Entry(
    "hyperattention",
    "sortLSH: exact attention within blocks of sorted hashes, l sampled keys for the rest",
    f"""
        axis i: n, j: n, x: n, y: n, c: n/B, r: B, s: B
        input Q[b,h,i,d], K[b,h,j,d], V[b,h,j,e], I[b,h,l]
        weight R[p,d]
        {_hash("Hq", "Q", "i")}
        {_hash("Hk", "K", "j")}
        Tq[b,h,x] = argsort[i](Hq)
        Tk[b,h,y] = argsort[j](Hk)
        Qs[b,h,c,r,d] = Q[b,h,Tq[b,h,c*B+r],d]
        Ks[b,h,c,s,d] = K[b,h,Tk[b,h,c*B+s],d]
        Vs[b,h,c,s,e] = V[b,h,Tk[b,h,c*B+s],e]
        Kl[b,h,l,d] = K[b,h,Tk[b,h,I[b,h,l]],d]
        Vl[b,h,l,e] = V[b,h,Tk[b,h,I[b,h,l]],e]
        S[b,h,c,r,s] = Qs[b,h,c,r,d] * Ks[b,h,c,s,d] / sqrt(d)
        T[b,h,c,r,l] = Qs[b,h,c,r,d] * Kl[b,h,l,d] / sqrt(d)
        M[b,h,c,r] = maximum(max[s](S), max[l](T))
        D[b,h,c,l] = less(0.5, abs(floor(I[b,h,l] / B) - pos(c)))   # 1 where the sampled key is in another block
        P[b,h,c,r,s] = exp(S[b,h,c,r,s] - M[b,h,c,r])
        W[b,h,c,r,l] = exp(T[b,h,c,r,l] - M[b,h,c,r]) * D[b,h,c,l] * (n / l)
        N[b,h,c,r] = P[b,h,c,r,s] + W[b,h,c,r,l]
        Y[b,h,c,r,e] = P[b,h,c,r,s] * Vs[b,h,c,s,e] + W[b,h,c,r,l] * Vl[b,h,l,e]
        U[b,h,i] = argsort[x](Tq)
        O[b,h,i,e] = Y[b,h,U[b,h,i] // B,U[b,h,i] % B,e] / N[b,h,U[b,h,i] // B,U[b,h,i] % B]
    """,
    "Han et al. 2023, HyperAttention: Long-context Attention in Near-Linear Time, arXiv:2310.05869",
    approximates="softmax",
    parameters=(
        size_parameter("B", 256, "block length; n is a multiple of it"),
        size_parameter("l", 256, "sampled keys"),
        size_parameter("p", 7, "hash planes"),
        VALUE_WIDTH,
    ),
    divides=(("n", "B"),),
    draws={"R": gaussian, "I": positions("n")},
    notes="R holds the hash planes, I the sampled places in the sorted order, uniform with replacement; each counts n/l times.",
)
