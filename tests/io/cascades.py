"""Programs from which nests and bounds are derived: attention in many forms, norms, feed-forward layers."""

HEAD = "axis i: n, j: m\n"
SCORES = HEAD + "S[h,i,j] = Q[h,i,d] * K[h,j,d] / sqrt(d)\n"
VALUES = "O[h,i,e] = P[h,i,j] * V[h,j,e]"
PROGRAMS = {
    "softmax": SCORES + "P[h,i,j] = softmax[j](S)\n" + VALUES,
    "causal": SCORES.rstrip() + " where causal(i, j)\nP[h,i,j] = softmax[j](S)\n" + VALUES,
    "window": SCORES.rstrip() + " where window(i, j, w)\nP[h,i,j] = softmax[j](S)\n" + VALUES,
    "band": SCORES.rstrip() + " where band(i, j, 0, 0)\nP[h,i,j] = softmax[j](S)\n" + VALUES,
    "shared heads": HEAD + "S[h,i,j] = Q[h,i,d] * K[h // (h/g), j, d] where causal(i, j)\nP[h,i,j] = softmax[j](S)\n"
    "O[h,i,e] = P[h,i,j] * V[h // (h/g), j, e]",
    "sink": SCORES + "L[h,i] = logsumexp[j](S)\nN[h,i] = L[h,i] + softplus(z[h] - L[h,i])\n"
    "P[h,i,j] = exp(S[h,i,j] - N[h,i])\n" + VALUES,
    "soft cap": SCORES + "C[h,i,j] = 5 * tanh(S / 5)\nP[h,i,j] = softmax[j](C)\n" + VALUES,
    "alibi": SCORES + "C[h,i,j] = S[h,i,j] - s[h] * (pos(i) - pos(j))\nP[h,i,j] = softmax[j](C)\n" + VALUES,
    "bias": SCORES + "C[h,i,j] = S[h,i,j] + A[i,j]\nP[h,i,j] = softmax[j](C)\n" + VALUES,
    "sigmoid": SCORES + "P[h,i,j] = sigmoid(S[h,i,j] - log(m))\n" + VALUES,
    "relu": SCORES + "P[h,i,j] = relu(S) / m\n" + VALUES,
    "keys as values": HEAD + "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = softmax[j](S)\nO[i,d] = P[i,j] * K[j,d]",
    "differential": HEAD + "S[i,j] = Q[i,d] * K[j,d]\nT[i,j] = R[i,d] * W[j,d]\nP[i,j] = softmax[j](S)\n"
    "U[i,j] = softmax[j](T)\nD[i,j] = P[i,j] - 0.3 * U[i,j]\nO[i,e] = D[i,j] * V[j,e]\nY[i,e] = rmsnorm[e](O)",
    "talking heads": "axis i: n, j: m, k: h\n" + "S[h,i,j] = Q[h,i,d] * K[h,j,d]\nT[k,i,j] = A[k,h] * S[h,i,j]\n"
    "P[k,i,j] = softmax[j](T)\nU[h,i,j] = B[k,h] * P[k,i,j]\nO[h,i,e] = U[h,i,j] * V[h,j,e]",
    "double softmax": HEAD + "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = softmax[j](S)\nR[i,j] = softmax[j](P)\n"
    "O[i,e] = R[i,j] * V[j,e]",
    "linear": HEAD + "F[j,d] = relu(K[j,d]) + 1\nG[i,d] = relu(Q[i,d]) + 1\nA[d,e] = F[j,d] * V[j,e]\nz[d] = sum[j](F)\n"
    "N[i] = G[i,d] * z[d]\nO[i,e] = G[i,d] * A[d,e]\nY[i,e] = O[i,e] / N[i]",
    "divided under a mask": "axis i: n, j: n, c: n / B, t: B\nS[i,j] = Q[i,d] * K[j,d] where causal(i, j)\n"
    "W[j,e] = S[i,j] * R[i,e]\nD[c,e] = W[c * B + t, e] * U[t]\nY[j,e] = W[j,e] + D[j // B, e]",
    "norm and product": "X[i,a] = rmsnorm[a](Z[i,a])\nY[i,c] = X[i,a] * W[a,c]",
    "swiglu": "A[i,f] = X[i,a] * W[a,f]\nB[i,f] = X[i,a] * U[a,f]\nC[i,f] = silu(A) * B[i,f]\nY[i,c] = C[i,f] * D[f,c]",
    "experts": "H[i,k,f] = X[i,a] * G[k,a,f]\nM[i,k,f] = relu(H)\nV[i,k,c] = M[i,k,f] * U[k,f,c]\n"
    "O[i,k,c] = P[i,k] * V[i,k,c]\nY[i,c] = sum[k](O) + Z[i,c]\nW[i,c] = sum[k](V[i,k,c] / P[i,k])",
    "layernorm": "Y[i,a] = layernorm[a](X[i,a])",
    "softmax over rows stored": HEAD + "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = softmax[j](S)",
    "self attention": "axis i: n, j: n, a: d\n" + "Q[i,d] = X[i,a] * W[a,d]\nK[j,d] = X[j,a] * U[a,d]\n"
    "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = softmax[j](S)\nO[i,a] = P[i,j] * X[j,a]",
    "gradient": "axis i: n, j: m\ninput Q[i,d], K[j,d], V[j,e], dO[i,e]\noutput dQ[i,d], dK[j,d], dV[j,e]\n"
    "S[i,j] = Q[i,d] * K[j,d] where causal(i, j)\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]\n"
    "dP[i,j] = dO[i,e] * V[j,e] where causal(i, j)\nDP[i] = dO[i,e] * O[i,e]\ndS[i,j] = P[i,j] * (dP[i,j] - DP[i])\n"
    "dQ[i,d] = dS[i,j] * K[j,d]\ndK[j,d] = dS[i,j] * Q[i,d]\ndV[j,e] = dO[i,e] * P[i,j]",
    "gradients of weights": HEAD + "input Q[h,i,d], K[h,j,d], V[h,j,e], c[h], dO[h,i,e]\noutput dQ[h,i,d], dK[h,j,d], dc[h]\n"
    "S[h,i,j] = Q[h,i,d] * K[h,j,d] + c[h] where causal(i, j)\nP[h,i,j] = sigmoid(S)\n"
    "dP[h,i,j] = dO[h,i,e] * V[h,j,e] where causal(i, j)\ndS[h,i,j] = dP[h,i,j] * P[h,i,j] * (1 - P[h,i,j])\n"
    "dQ[h,i,d] = dS[h,i,j] * K[h,j,d]\ndK[h,j,d] = dS[h,i,j] * Q[h,i,d]\ndc[h] = sum[i,j](dS)",
    "own and memory": "axis i: n, j: n, u: w\nS[i,j] = Q[i,d] * K[j,d] where causal(i, j)\nT[i,u] = Q[i,d] * A[u,d]\n"
    "x[i] = maximum(max[j](S), max[u](T))\nP[i,j] = exp(S - x) where causal(i, j)\nR[i,u] = exp(T - x)\n"
    "l[i] = sum[j](P) + sum[u](R)\nO[i,e] = (P[i,j] * V[j,e] + R[i,u] * B[u,e]) / l[i]",
    "own and memory, unlike": "axis i: n, j: m, u: w\nS[i,j] = Q[i,d] * K[j,d] where causal(i, j)\n"
    "T[i,u] = -square(Q[i,d] * A[u,d])\nx[i] = maximum(max[j](S), max[u](T))\ny[i] = sum[j](S) + sum[u](T)\nO[i] = x[i] * y[i]",
    "normalised own and memory": "axis i: n, j: m, u: w\nS[i,j] = Q[i,d] * K[j,d]\nT[i,u] = Q[i,d] * A[u,d]\n"
    "l[i] = sum[j](exp(S)) + sum[u](exp(T))\nP[i,j] = exp(S - log(l))\nR[i,u] = exp(T) / l[i]\n"
    "O[i,e] = P[i,j] * V[j,e] + R[i,u] * B[u,e]",
    "gated branches": "axis i: n, j: m, u: w\nS[i,j] = Q[i,d] * K[j,d]\nT[i,u] = Q[i,d] * A[u,d]\nP[i,j] = softmax[j](S)\n"
    "R[i,u] = softmax[u](T)\nY[i,e] = g[i] * P[i,j] * V[j,e]\nZ[i,e] = R[i,u] * B[u,e]\nO[i,e] = Y[i,e] + (1 - g[i]) * Z[i,e]",
    "one after the other": "axis i: n, j: m, u: w\nS[i,j] = Q[i,d] * K[j,d]\nx[i] = max[j](S)\nT[i,u] = Q[i,d] * A[u,d] - x[i]\n"
    "y[i] = sum[u](exp(T))\nO[i,e] = exp(S[i,j] - y[i]) * V[j,e]",
    "three places": "axis i: n, j: m, u: w\ns[i] = sum[j](Q[i,j]) + sum[u](R[i,u]) + sum[v](T[i,v])\n"
    "t[i] = prod[j](Q[i,j]) * prod[u](R[i,u])\nY[i] = s[i] * t[i] + minimum(min[j](Q), min[u](R))",
    "attention and a layer": HEAD + "S[i,j] = Q[i,d] * K[j,d]\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]\n"
    "H[i,f] = relu(O[i,e] * W[e,f])\nY[i,c] = H[i,f] * U[f,c]",
    "chunks": "F[c,d,e] = sum[t](K[c*B + t, d] * V[c*B + t, e])\ninput K[T,d], V[T,e]\naxis c: T/B, t: B",
}  # fmt: skip
