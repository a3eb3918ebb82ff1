"""Feed-forward layers: plain, gated, and a mixture of experts; each in stages, one for each kernel of a model."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import choice, flag, size_parameter
from attometer.mechanisms.projections import affine
from attometer.mechanisms.softmax import VASWANI
from attometer.mechanisms.stages import joined
from attometer.program import size

AXES = "axis i: n, c: D, f: F"
ROUTER_AXES = "axis i: n, c: D, x: E"
EXPERT_AXES = f"{AXES}, x: E"

ACTIVATIONS = {
    **dict.fromkeys(("silu", "swish", "swiglu"), "silu({})"),
    **dict.fromkeys(("gelu", "gelu_accurate", "gelu_new", "gelu_tanh", "quick_gelu", "gelu_fast"), "gelu({})"),
    **dict.fromkeys(("gelu_pytorch_tanh", "gelu_python"), "gelu({})"),
    "relu": "relu({})",
    "relu2": "square(relu({}))",
    "tanh": "tanh({})",
    "sigmoid": "sigmoid({})",
}
"""Activation functions by their name in a configuration, as notation."""


def activation(function: str, gated: bool, at: str = "b,i,f") -> str:
    """Return the activation of `L`, times the other half `H` where it is gated."""
    return f"M[{at}] = {ACTIVATIONS[function].format(f'L[{at}]')}{f' * H[{at}]' if gated else ''}"


def plain(function: str = "gelu", bias: bool = True) -> dict[str, str]:
    """Return a feed-forward layer of two matrices, in stages."""
    return {
        "up": affine("L[b,i,f]", "X[b,i,c]", "W[c,f]", "B[f]" * bias),
        "act": activation(function, False),
        "down": affine("Y[b,i,c]", "M[b,i,f]", "U[f,c]", "C[c]" * bias),
    }


def gated(function: str = "silu", bias: bool = False) -> dict[str, str]:
    """Return a gated feed-forward layer of three matrices, in stages."""
    return {
        "gate": affine("L[b,i,f]", "X[b,i,c]", "G[c,f]", "A[f]" * bias),
        "up": affine("H[b,i,f]", "X[b,i,c]", "W[c,f]", "B[f]" * bias),
        "act": activation(function, True),
        "down": affine("Y[b,i,c]", "M[b,i,f]", "U[f,c]", "C[c]" * bias),
    }


NORMED = "T[b,i,k] = topk[x, k](S)\nZ[b,i] = sum[k](S[b,i,T[b,i,k]])\nP[b,i,k] = S[b,i,T[b,i,k]] / Z[b,i]"
ROUTINGS = {
    "chosen": "T[b,i,k] = topk[x, k](N)\nP[b,i,k] = softmax[k](N[b,i,T[b,i,k]])",
    "all": "S[b,i,x] = softmax[x](N)\nT[b,i,k] = topk[x, k](S)\nP[b,i,k] = S[b,i,T[b,i,k]]",
    "sigmoid": f"S[b,i,x] = sigmoid(N)\n{NORMED}",
    "softplus": f"S[b,i,x] = sqrt(softplus(N))\n{NORMED}",
}
"""Weights of the chosen experts: softmax over their logits (Mixtral), over all of them, or their
sigmoids (DeepSeek-V3) or √softplus (DeepSeek-V4), normalised."""


def router(routing: str = "chosen", bias: bool = False) -> str:
    """Return the scores of the experts, the choice of the best for each token, and their weights."""
    return f"{affine('N[b,i,x]', 'X[b,i,c]', 'R[c,x]', 'B[x]' * bias)}\n{ROUTINGS[routing]}"


def experts(function: str = "silu", gate: bool = True, bias: bool = False) -> dict[str, str]:
    """Return the experts that a router chose for each token, and the sum of their results, in stages."""
    first = _expert("L[b,i,k,f]", "X[b,i,c]", "G", "c,f", "A" * bias)
    second = _expert("H[b,i,k,f]", "X[b,i,c]", "W", "c,f", "B" * bias)
    return {
        "experts up": f"{first}\n{second}" if gate else first,
        "experts act": activation(function, gate, "b,i,k,f"),
        "experts down": _expert("V[b,i,k,c]", "M[b,i,k,f]", "U", "f,c", "C" * bias),
        # Element-wise and a sum, as models run it: no matrix product.
        "experts sum": "O[b,i,k,c] = P[b,i,k] * V[b,i,k,c]\nY[b,i,c] = sum[k](O)",
    }


def _expert(result: str, read: str, matrix: str, at: str, bias: str) -> str:
    out = at[-1]
    declared = f"weight {matrix}[x,{at}]{f', {bias}[x,{out}]' if bias else ''}"
    return f"{declared}\n{result} = {read} * {matrix}[T[b,i,k],{at}]{f' + {bias}[T[b,i,k],{out}]' if bias else ''}"


# What runs where every expert runs on every token (Llama 4 in transformers).
DENSE_EXPERTS = {
    "experts up": "weight G[x,c,f], W[x,c,f]\nL[b,i,x,f] = X[b,i,x,c] * G[x,c,f]\nH[b,i,x,f] = X[b,i,x,c] * W[x,c,f]",
    "experts down": "weight U[x,f,c]\nV[b,i,x,c] = M[b,i,x,f] * U[x,f,c]",
}
# xIELU of Apertus (Huang and Schlag 2024, arXiv:2411.13010): two learned numbers in each layer.
XIELU = """
    axis i: n, f: F, u: 1
    input L[b,i,f]
    weight A[u], E[u]
    N[b,i,f] = relu(-L[b,i,f])
    M[b,i,f] = A[0] * square(relu(L[b,i,f])) + E[0] * (exp(-N[b,i,f]) - 1 + N[b,i,f]) + 0.5 * L[b,i,f]
"""
# Gemma 4 scales what its router reads, and the weights that it gives.
ROUTER_SCALE = (
    "input X[b,i,c], S[b,i,x]\nweight s[c], t[x]\nY[b,i,c] = rmsnorm[c](X) * s[c]\nZ[b,i,x] = S[b,i,x] * t[x]"
)

FUNCTION = choice("function", "silu", ACTIVATIONS, "activation of the gate, by its name in configurations")

FFN = Entry(
    "ffn",
    "feed-forward layer with GELU",
    lambda function, bias: joined(f"{AXES}\ninput X[b,i,c]", plain(function, bias)),
    f"{VASWANI}, section 3.3; GELU of Hendrycks and Gimpel 2016, arXiv:1606.08415",
    parameters=(
        size_parameter("F", 4 * size("D"), "inner width"),
        choice("function", "gelu", ACTIVATIONS, "activation, by its name in configurations"),
        flag("bias", "learned biases", True),
    ),
)

GATED_FFN = Entry(
    "gated_ffn",
    "gated feed-forward layer (SwiGLU)",
    lambda function, bias: joined(f"{AXES}\ninput X[b,i,c]", gated(function, bias)),
    "Shazeer 2020, GLU Variants Improve Transformer, arXiv:2002.05202",
    parameters=(
        size_parameter("F", 11008, "inner width; near 8/3 D for as many parameters as a plain layer of 4 D"),
        FUNCTION,
        flag("bias", "learned biases"),
    ),
)

MOE = Entry(
    "moe",
    "mixture of experts: each token runs the k experts that its router ranks first",
    lambda function, routing: joined(
        f"{EXPERT_AXES}\ninput X[b,i,c]", {"router": router(routing), **experts(function)}
    ),
    "Jiang et al. 2024, Mixtral of Experts, arXiv:2401.04088; Shazeer et al. 2017, arXiv:1701.06538",
    parameters=(
        size_parameter("E", 8, "experts"),
        size_parameter("k", 2, "experts a token runs; at most E"),
        size_parameter("F", 14336, "inner width of an expert"),
        FUNCTION,
        choice("routing", "chosen", ROUTINGS, "what weighs the chosen experts"),
    ),
    at_most=(("k", "E"),),
)
