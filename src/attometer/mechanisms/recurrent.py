"""Recurrent baselines: one state of width d per sequence, updated token by token."""

from attometer.mechanisms.mechanism import Entry

_AXES = """
        axis t: n, x: d, y: d
        input X[b,t,y]
"""


def _gate(name: str, function: str, extra: str = "") -> str:
    """Return a gate: `function` of input and previous state, each through its own matrix, plus a bias."""
    return f"{name}[b,t,x] = {function}(X[b,t,y] * U{name}[y,x] + H[b,t-1,y] * W{name}[y,x] + B{name}[x])"


def _weights(*gates: str) -> str:
    return "weight " + ", ".join(f"U{g}[y,x], W{g}[y,x], B{g}[x]" for g in gates)


RNN = Entry(
    "rnn",
    "simple recurrent network",
    f"""
        {_AXES}
        {_weights("H")}
        {_gate("H", "tanh")}
    """,
    "Elman 1990, Finding Structure in Time, Cognitive Science 14(2)",
)

LSTM = Entry(
    "lstm",
    "long short-term memory",
    f"""
        {_AXES}
        {_weights("I", "F", "G", "O")}
        {_gate("I", "sigmoid")}
        {_gate("F", "sigmoid")}
        {_gate("G", "tanh")}
        {_gate("O", "sigmoid")}
        C[b,t,x] = F[b,t,x] * C[b,t-1,x] + I[b,t,x] * G[b,t,x]
        H[b,t,x] = O[b,t,x] * tanh(C[b,t,x])
        output H[b,t,x]
    """,
    "Hochreiter and Schmidhuber 1997, Long Short-Term Memory; forget gate of Gers et al. 2000",
)

GRU = Entry(
    "gru",
    "gated recurrent unit",
    f"""
        {_AXES}
        {_weights("R", "Z", "N")}
        weight A[x]
        {_gate("R", "sigmoid")}
        {_gate("Z", "sigmoid")}
        M[b,t,x] = H[b,t-1,y] * WN[y,x] + A[x]
        N[b,t,x] = tanh(X[b,t,y] * UN[y,x] + BN[x] + R[b,t,x] * M[b,t,x])
        H[b,t,x] = (1 - Z[b,t,x]) * N[b,t,x] + Z[b,t,x] * H[b,t-1,x]
        output H[b,t,x]
    """,
    "Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder, arXiv:1406.1078v1",
)
