"""The programs that the documents describe, with their counts: every value in the ledger starts here."""

from functools import lru_cache

import sympy

from attometer.count import Cost, count
from attometer.count.conventions import Row
from attometer.count.traffic.words import footprint
from attometer.program import Program, parse, size
from attometer.schedule.catalogue import schedule

b, h, n, d = size("b"), size("h"), size("n"), size("d")

_TEXTS = {
    "map": """
axis i: n
C[i] = A[i] * B[i]""",
    "sum": """
axis i: n
C[] = sum[i](A[i])""",
    "tensor_product": """
axis i: n, j: n, k: n
C[i,j,k] = A[i,j] * B[j,k]""",
    "matmul": """
axis i: n, j: n, k: n
C[i,j,k] = A[i,j] * B[j,k]
D[i,k] = sum[j](C[i,j,k])""",
    "fused_matmul": """
axis i: n, k: n
D[i,k] = A[i,d] * B[d,k]""",
    "softmax": """
axis j: n
P[j] = softmax[j](S[j])""",
    # heads of width d, without projections
    "attention": """
axis i: n, j: n
S[h,i,j] = Q[h,i,d] * K[h,j,d] / sqrt(d)
P[h,i,j] = softmax[j](S[h,i,j])
O[h,i,d] = P[h,i,j] * V[h,j,d]""",
    # one head as wide as the model, from projected queries, keys and values; no output projection
    "projected_attention": """
axis i: n, j: n, c: d, x: d
weight Wq[c,x], Wk[c,x], Wv[c,x]
Q[b,i,x] = X[b,i,c] * Wq[c,x]
K[b,i,x] = X[b,i,c] * Wk[c,x]
V[b,i,x] = X[b,i,c] * Wv[c,x]
R[b,i,j] = Q[b,i,x] * K[b,j,x]
S[b,i,j] = R[b,i,j] / sqrt(d)
P[b,i,j] = softmax[j](S[b,i,j])
O[b,i,x] = P[b,i,j] * V[b,j,x]""",
    # the gradients of queries, keys and values, given those of the outputs and the weights kept from forward
    "attention_backward": """
axis i: n, j: n
input P[h,i,j], G[h,i,d], Q[h,i,d], K[h,j,d], V[h,j,d]
A[h,i,j] = G[h,i,d] * V[h,j,d]
r[h,i] = sum[j](A[h,i,j] * P[h,i,j])
B[h,i,j] = P[h,i,j] * (A[h,i,j] - r[h,i]) / sqrt(d)
dV[h,j,d] = P[h,i,j] * G[h,i,d]
dQ[h,i,d] = B[h,i,j] * K[h,j,d]
dK[h,j,d] = B[h,i,j] * Q[h,i,d]
output dQ[h,i,d], dK[h,j,d], dV[h,j,d]""",
    "projections": """
axis i: n, c: d, x: d, y: d
weight Wq[c,x], Wk[c,x], Wv[c,x], Wo[x,y]
Q[i,x] = X[i,c] * Wq[c,x]
K[i,x] = X[i,c] * Wk[c,x]
V[i,x] = X[i,c] * Wv[c,x]
Y[i,y] = A[i,x] * Wo[x,y]""",
    "feed_forward": """
axis i: n, c: d, f: 4*d
weight W1[c,f], W2[f,c]
H[i,f] = X[i,c] * W1[c,f]
Y[i,c] = gelu(H[i,f]) * W2[f,c]""",
    # each query meets k keys of its own
    "sparse_attention": """
axis i: n, r: k
S[i,r] = Q[i,d] * K[i,r,d] / sqrt(d)
P[i,r] = softmax[r](S[i,r])
O[i,d] = P[i,r] * V[i,r,d]""",
    # keys and values are summed up before a query meets them
    "linear_attention": """
axis i: n, x: d, y: d
A[x,y] = K[i,x] * V[i,y]
O[i,y] = Q[i,x] * A[x,y]""",
    "rnn": """
axis t: n, x: d, y: d
weight Wh[x,y], Wx[x,y]
U[t,x] = Wx[x,y] * X[t,y]
H[t,x] = tanh(Wh[x,y] * H[t-1,y] + U[t,x])""",
}


@lru_cache(maxsize=64)
def program(name: str) -> Program:
    """Return a program by name."""
    return parse(_TEXTS[name].strip())


@lru_cache(maxsize=64)
def cost(name: str, loads: bool = False, serial: bool = False) -> Cost:
    """Return its cost; `loads` adds a load per input and a store per output, `serial` adds depths up."""
    return count(program(name), loads=loads, serial=serial)


def row(name: str, tensor: str) -> Row:
    """Return the counts of one operation of a program, by the tensor it makes or `load X`, `store X`."""
    return next(part for part in cost(name, loads=True).rows if part.name == tensor)


def total(name: str, convention: str, **sizes: int) -> sympy.Expr:
    """Return the operations of a program by a convention, at the sizes given; the rest stays symbolic."""
    return at(cost(name).flops(convention), **sizes)


def at(expression: sympy.Expr, **sizes: int) -> sympy.Expr:
    """Return an expression with its sizes put in.

    >>> at(n**2 * d, n=3)
    9*d
    """
    return expression.xreplace({size(name): sympy.Integer(value) for name, value in sizes.items()})


def accumulated(part: Row) -> sympy.Expr:
    """Return the work of an operation that adds into zeros: a sum of k terms is k additions, not k - 1."""
    return part.work + part.entries if part.kind in ("einsum", "reduce") else part.work


def term(name: str) -> sympy.Expr:
    """Return the leading term of a program's multiply-accumulates without its constant, as O(...) writes it."""
    return cost(name).order(of="mac").expression


def entries(name: str, tensor: str) -> sympy.Expr:
    """Return how many entries a tensor of a program has."""
    return program(name).tensors[tensor].size


TILE = {"d": 64, "e": 64, "B_r": 128, "B_c": 128, "B_d": 64, "B_e": 64}
"""A head of width 64 in tiles of 128 queries and 128 keys, as FlashAttention kernels choose them."""


def flash_tile(length: int) -> int:
    """Return the words of fast memory that FlashAttention 2 holds at a length.

    >>> flash_tile(4096) == flash_tile(32768)
    True
    """
    return int(footprint(schedule("flash2"), {"n": length, "m": length, **TILE}))
