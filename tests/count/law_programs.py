"""Programs on which counting is compared with building: own ones for each form of operation, and the whole catalogue."""

from itertools import product

import sympy

from attometer.errors import AttometerError
from attometer.mechanisms import Mechanism
from attometer.program import Program, parse, size
from attometer.program.operations import Sort

SCORES = "S[b,h,i,j] = Q[b,h,i,d] * K[b,h,j,d] / sqrt(d)"
ATTENTION = "P[b,h,i,j] = softmax[j](S)\nO[b,h,i,e] = P[b,h,i,j] * V[b,h,j,e]"


def attention(where: str = "", keys: str = "n", heads: bool = False) -> str:
    """Return softmax attention masked by `where`, of one head unless `heads`."""
    text = f"axis i: n, j: {keys}\n{SCORES}{'   where ' + where if where else ''}\n{ATTENTION}"
    return text if heads else text.replace("b,h,", "")


TEXTS = {
    "softmax, batch and heads": attention(heads=True),
    "cross": attention(keys="m"),
    "causal": attention("causal(i, j)"),
    "causal, n != m": attention("causal(i, j)", keys="m"),
    "window": attention("window(i, j, w)"),
    "window, n != m": attention("window(i, j, w)", keys="m"),
    "band": attention("band(i, j, 2, 1)"),
    "left-open band, n != m": attention("band(i, j, *, 1)", keys="m"),
    "prefix": attention("causal(i, j) | prefix(i, j, p)"),
    "big bird": attention("band(i, j, 1, 1) | global(i, j, 1) | random(i, j, 1, 0)"),
    "longformer": attention("band(i, j, w, w) | global(i, j, 2)"),
    "strided": attention("causal(i, j) & (window(i, j, s) | strided(i, j, s))"),
    "chunked": attention("causal(i, j) & chunked(i, j, c)"),
    "documents": attention("causal(i, j) & document(i, j, [2, 1, 2])"),
    "some rows empty": attention("window(i, j, 2) & prefix(i, j, 2)"),
    "grouped heads": "axis h: g * r, i: n, j: m\nS[h,i,j] = Q[h,i,d] * K[h // r, j, d] / sqrt(d)\nP[h,i,j] = softmax[j](S)\n"
    "O[h,i,e] = P[h,i,j] * V[h // r, j, e]",
    "attention by hand": "axis i: n, j: n\nE[i,j] = exp(Q[i,d] * K[j,d])   where causal(i, j)\nO[i,e] = E[i,j] * V[j,e] / sum[j](E)",
    "positions": "axis i: n, j: n\nS[h,i,j] = Q[h,i,d] * K[h,j,d] - a[h] * (pos(i) - pos(j))   where causal(i, j)",
    "matrix product": "Y[i,k] = A[i,j] * B[j,k]",
    "batched outer product": "Y[b,i,k] = A[b,i] * B[b,k]",
    "sum": "Y = sum[i](X[i])",
    "reductions": "A[i] = max[j](X[i,j])\nB[i] = min[j](X[i,j])\nC[i] = prod[j](X[i,j])\nD[i] = mean[j](X[i,j])",
    "double sum": "Y[k] = sum[i](sum[j](X[i,j,k]))",
    "long expression": "Y[i] = (a[i] + b[i] + c[i] + d[i] + 3) * tanh(a[i] - 2 * b[i]) / -c[i] + 1 + 2",
    "maximum of constants": "Y[i] = maximum(X[i] + 1, 2 * 3) ",
    "softmax": "P[i,j] = softmax[j](X[i,j])",
    "logsumexp": "L[i] = logsumexp[j](X[i,j])",
    "norms": "Y[i,c] = layernorm[c](X[i,c]) * g[c] + s[c]\nZ[i,c] = rmsnorm[c](X[i,c]) * g[c]",
    "rnn": "axis t: n, x: D, y: D\nH[t,x] = tanh(A[x,y] * H[t-1,y] + W[x,y] * X[t,y])",
    "rnn and readout": "axis t: n, x: D, y: D\nH[t,x] = tanh(A[x,y] * H[t-1,y] + U[t,x])\nY[t,o] = C[o,x] * H[t,x]",
    "running maximum": "Z[t] = maximum(Z[t-1], X[t])",
    "two coupled": "A[t] = B[t-1] * X[t]\nB[t] = A[t] + B[t-1]",
    "lstm": "axis t: n, x: D, y: D\n"
    "I[t,x] = sigmoid(Wi[x,y] * X[t,y] + Ui[x,y] * H[t-1,y] + bi[x])\n"
    "F[t,x] = sigmoid(Wf[x,y] * X[t,y] + Uf[x,y] * H[t-1,y] + bf[x])\n"
    "G[t,x] = tanh(Wg[x,y] * X[t,y] + Ug[x,y] * H[t-1,y] + bg[x])\n"
    "R[t,x] = sigmoid(Wo[x,y] * X[t,y] + Uo[x,y] * H[t-1,y] + bo[x])\n"
    "C[t,x] = F[t,x] * C[t-1,x] + I[t,x] * G[t,x]\nH[t,x] = R[t,x] * tanh(C[t,x])",
    "scan": "axis t: n\nZ[t,x] = Z[t-1,x] + U[t,x]   associative",
    "scan of maxima": "axis t: n\nZ[t,x] = maximum(Z[t-1,x], U[t,x])   associative",
    "scan with decay": "axis t: n\nZ[t,x] = L[t,x] * Z[t-1,x] + U[t,x]   associative\nY[t] = Z[t,x] * C[t,x]",
    "linear attention, scanned": "axis t: n\nZ[t,d,e] = Z[t-1,d,e] + K[t,d] * V[t,e]   associative\nO[t,e] = Q[t,d] * Z[t,d,e]",
    "linear attention, step by step": "axis t: n\nZ[t,d,e] = Z[t-1,d,e] + K[t,d] * V[t,e]\nO[t,e] = Q[t,d] * Z[t,d,e]",
    "linear attention": "axis i: n, j: n\nZ[d,e] = K[j,d] * V[j,e]\nO[i,e] = Q[i,d] * Z[d,e]",
    "sorted gather": "axis i: n, r: n\ninput X[i], V[i,d]\nI[r] = argsort[i](X[i])\nY[r,d] = V[I[r], d]",
    "largest few": "axis i: n, r: k\ninput X[i], V[i,d], W[r]\nI[r] = topk[i, k](X[i])\nY[d] = V[I[r], d] * W[r]",
    "shifted read": "axis i: n\nY[i] = X[i] - X[i - 1]",
    "chunks": "axis c: n, t: B\nY[c] = sum[t](X[c * B + t])",
    "layer": "axis i: n, j: n, c: d, f: d\nweight Wq[c,f], Wk[c,f], Wv[c,f]\nQ[i,f] = X[i,c] * Wq[c,f]\nK[i,f] = X[i,c] * Wk[c,f]\n"
    "V[i,f] = X[i,c] * Wv[c,f]\nS[i,j] = Q[i,f] * K[j,f] / sqrt(d)\nP[i,j] = softmax[j](S)\nO[i,f] = P[i,j] * V[j,f]",
    "gated mlp": "axis i: n\nG[i,f] = silu(X[i,c] * A[c,f])\nL[i,f] = X[i,c] * B[c,f]\nU[i,f] = G * L\nY[i,c] = U[i,f] * W[f,c]",
}  # fmt: skip


def valid(program: Program, sizes: dict[str, int]) -> bool:
    """Return whether the program runs at these sizes: axes are whole, and no more entries are kept than there are."""
    numbers = {size(k): sympy.Integer(v) for k, v in sizes.items()}
    whole = all(e.xreplace(numbers).is_Integer for t in program.tensors.values() for e in t.extents)
    sorts = [op for op in program.operations if isinstance(op, Sort) and op.keep is not None]
    return whole and all(op.keep.xreplace(numbers) <= dict(op.extents)[op.along].xreplace(numbers) for op in sorts)


def small_sizes(program: Program, limit: int = 24) -> list[dict[str, int]]:
    """Return assignments of small numbers to the program's sizes, odd ones and powers of two first."""
    names = [str(s) for s in program.symbols]
    found = [dict(zip(names, values, strict=True)) for values in product((3, 1, 4, 2, 5), repeat=len(names))]
    kept = [sizes for sizes in found if valid(program, sizes)]
    return kept[:: max(1, len(kept) // limit)][:limit]


def mechanism_sizes(made: Mechanism, limit: int = 4) -> list[dict[str, int]]:
    """Return small sizes that the mechanism accepts (heads, chunks and widths that divide)."""
    names = [str(s) for s in made.program.symbols]
    found: list[dict[str, int]] = []
    for values in product((4, 2, 1), repeat=len(names)):
        try:
            sizes = made.sizes(**dict(zip(names, values, strict=True)))
        except AttometerError:
            continue
        found += [sizes] if valid(made.program, sizes) else []
        if len(found) >= 400:
            break
    return found[:: max(1, len(found) // limit)][:limit]


PROGRAMS: dict[str, Program] = {name: parse(text) for name, text in TEXTS.items()}
