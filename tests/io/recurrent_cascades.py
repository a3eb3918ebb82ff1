"""Programs of scans, recurrences, gathers, sorts and scatters, from which nests are derived."""

HEAD = "axis i: n, j: n\n"
PROGRAMS = {
    "recurrence": "input a, X[t]\nH[t] = a * H[t-1] + X[t]",
    "prefix": "C[h,j] = C[h,j-1] + log(X[h,j])   associative",
    "decayed from the last": "axis j: n\nC[h,j] = A[h,j] * C[h,j+1] + X[h,j]   associative\nY[h] = C[h,j] * W[j]",
    "running maximum": "C[h,j] = maximum(C[h,j-1], X[h,j])   associative\nY[h,j] = X[h,j] - C[h,j]",
    "forgetting": HEAD + "C[j] = C[j-1] + G[j]   associative\n"
    "S[i,j] = Q[i,d] * K[j,d] + C[i] - C[j]   where causal(i, j)\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]",
    "stick breaking": HEAD + "S[i,j] = Q[i,d] * K[j,d]   where strict(i, j)\n"
    "L[i,j] = -softplus(S[i,j])   where strict(i, j)\nC[i,j] = C[i, j + 1] + L[i,j]   associative\n"
    "P[i,j] = exp(S[i,j] + C[i,j])\nO[i,e] = P[i,j] * V[j,e]",
    "gated linear": "axis t: n\nS[t,d,e] = A[t,d] * S[t - 1, d, e] + K[t,d] * V[t,e]\nO[t,e] = Q[t,d] * S[t,d,e]",
    "linear causal": HEAD + "C[j,d,e] = C[j - 1, d, e] + K[j,d] * V[j,e]\nO[i,e] = Q[i,d] * C[i,d,e]",
    "gated delta": "axis t: n\nR[t,e] = K[t,d] * S[t - 1, d, e]\nU[t,e] = B[t] * (V[t,e] - A[t] * R[t,e])\n"
    "S[t,d,e] = A[t] * S[t - 1, d, e] + K[t,d] * U[t,e]\nO[t,e] = Q[t,d] * S[t,d,e]",
    "rnn": "axis t: n, x: d, y: d\nH[b,t,x] = tanh(X[b,t,y] * U[y,x] + H[b, t - 1, y] * W[y,x])",
    "linear rnn": "axis t: n, x: d, y: d\nH[b,t,x] = H[b, t - 1, y] * W[y,x]\ninput W[y,x], X[b,t,x]\n"
    "Y[b,t,x] = H[b,t,x] + X[b,t,x]",
    "what was before": "axis t: n\nN[t,c] = 0.5 * N[t - 1, c] + K[t,c]\nY[t,c] = N[t - 1, c] + exp(K[t,c])\n"
    "Z[c] = sum[t](Y)",
    "a step back in what is computed": "X[t,c] = exp(Z[t,c])\nY[t,c] = X[t,c] - X[t - 1, c]\n"
    "B[t,c] = 0.5 * B[t + 1, c] + X[t + 1, c] * Y[t,c]",
    "a step back in an input": "input X[t,c]\nY[t,c] = X[t,c] - X[t - 1, c]",
    "a diagonal": "input X[i,i2]\naxis i2: i\nY[i] = X[i,i] * 2",
    "neighbours": "axis i: n, t: n + u - 1\ninput X[t,c], W[c,u]\nS[i,c] = X[i + u, c] * W[c,u]",
    "chunked linear": "axis i: n, k: n / B, r: B, s: B\ninput Q[i,d], K[i,d], V[i,e]\n"
    "A[k,r,s] = Q[k * B + r, d] * K[k * B + s, d]   where causal(r, s)\nU[k,d,e] = K[k * B + s, d] * V[k * B + s, e]\n"
    "C[k,d,e] = C[k - 1, d, e] + U[k,d,e]   associative\n"
    "R[k,r,e] = A[k,r,s] * V[k * B + s, e] + Q[k * B + r, d] * C[k - 1, d, e]\nO[i,e] = R[i // B, i % B, e]",
    "convolution of scores": HEAD + "input W[u,v]\nA[i,j] = Q[i,d] * K[j,d]   where causal(i, j)\n"
    "S[i,j] = A[i - u, j - v] * W[u,v]   where causal(i, j)\nP[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]\n"
    "input Q[i,d], K[j,d], V[j,e]",
    "what a mask leaves out": HEAD + "input Q[i,d], K[j,d]\nA[i,j] = Q[i,d] * K[j,d]   where causal(i, j)\n"
    "B[j] = sum[i](exp(A[i + 0, j]))",
    "the chunk before": "axis i: n, c: n / B, r: B\ninput R[h,c,r,e,u], X[h,c,e]\n"
    "S[h,c,e] = exp(X[h,c,e])\nF[h,c,r,e] = sum[u](R)\nY[i] = F[h, i // B, i % B, e] * S[h, i // B - 1, e]\nT[c] = sum[h,e](S)",
    "distances": HEAD + "axis r: 2 * n\ninput Q[i,d], K[j,d], V[j,e], R[r]\nS[i,j] = Q[i,d] * K[j,d] + R[i - j + 2]\n"
    "P[i,j] = softmax[j](S)\nO[i,e] = P[i,j] * V[j,e]",
    "a convolution of what is computed": "axis i: n\ninput X[i,c], W[c,u]\nF[i,c] = exp(X[i,c])\nS[i,c] = F[i + u * 2 - 1, c] * W[c,u]\n"
    "Y[i,c] = S[i,c] - F[i + 1, c]",
    "transposed": HEAD + "input Q[i,d], K[j,d], G[i]\nS[i,j] = Q[i,d] * K[j,d]   where causal(i, j)\nP[i,j] = softmax[j](S)\n"
    "D[i] = sum[j](G[j] * P[i,j])\nE[j] = sum[i](P[i,j] * D[i])\nZ[i] = D[i] - E[i] + sum[j](P[j,i])",
    "sums of rows and of columns": HEAD + "input Q[i,d], K[j,d], G[j]\nC[j] = C[j-1] + G[j]   associative\n"
    "S[i,j] = Q[i,d] * K[j,d] + C[i] - C[j]   where causal(i, j)\nP[i,j] = softmax[j](S)\n"
    "E[j] = sum[i](P[j,i] * G[i]) - sum[i](P[i,j]) + E[j+1]   associative\nY[j,d] = P[i,j] * Q[i,d]",
    "triangular": "axis t: n, s: n\ninput A[h,t,s], B[h,t,d], C[t,s]\n"
    "X[h,t,d] = B[h,t,d] - A[h,t,s] * X[h,s,d]   where strict(t, s)\nG[t,s] = X[h,t,d] * X[h,s,d]\n"
    "Y[t,s] = G[t,s] + C[s,t]\nZ[h,t] = A[h,t,s] * X[h,s,d]",
    "triangular from the last": "axis t: n, s: n\ninput A[s,t], B[t,d], W[s,d]\n"
    "X[t,d] = B[t,d] - A[s,t] * X[s,d]   where strict(s, t)\nY[s] = X[s,d] * W[s,d]",
    "delta rule in chunks": "axis c: n / B, t: B, s: B, f: d\ninput Q[c,t,d], K[c,t,d], V[c,t,e], a[c,t]\n"
    "G[c,t,d] = a[c,t] * K[c,t,d]\nA[c,t,s] = G[c,t,d] * K[c,s,d]   where strict(t, s)\n"
    "U[c,t,e] = a[c,t] * V[c,t,e] - A[c,t,s] * U[c,s,e]   where strict(t, s)\n"
    "W[c,t,d] = G[c,t,d] - A[c,t,s] * W[c,s,d]   where strict(t, s)\nN[c,t,e] = U[c,t,e] - W[c,t,f] * S[c-1,f,e]\n"
    "S[c,f,e] = S[c-1,f,e] + K[c,t,f] * N[c,t,e]\nP[c,t,s] = Q[c,t,d] * K[c,s,d]   where causal(t, s)\n"
    "O[c,t,e] = Q[c,t,f] * S[c-1,f,e] + P[c,t,s] * N[c,s,e]",
    "gather": "axis i: n, v: v\ninput W[v,c], T[b,i], X[b,i,c]\nY[b,i,c] = W[T[b,i], c] * X[b,i,c]",
    "gather of what is computed": HEAD + "C[i,r] = Q[i,d] * P[r,d]\ninput Q[i,d], P[r,d], T[i,j], V[j,e]\n"
    "W[i,j] = softmax[j](C[i, T[i,j]])\nO[i,e] = W[i,j] * V[j,e]",
    "top k": "axis i: n, j: m\ninput Q[i,d], K[j,d], V[j,e]\nL[i,j] = Q[i,d] * K[j,d]\nT[i,k] = topk[j, k](L)\n"
    "S[i,k] = Q[i,d] * K[T[i,k], d]\nP[i,k] = softmax[k](S)\nO[i,e] = P[i,k] * V[T[i,k], e]",
    "masked top k": HEAD + "L[i,j] = Q[i,d] * K[j,d]   where causal(i, j)\nT[i,k] = topk[j, k](L)\nY[i] = sum[k](T)",
    "sorted": "axis x: n\nT[h,x] = argsort[n](X[h,n])\nY[h,x] = X[h, T[h,x]] + 1",
    "scatter": "axis v: v\ninput T[b,i], X[b,i,c]\nY[v,c] = scatter[v, T[b,i]](X[b,i,c])",
}  # fmt: skip
