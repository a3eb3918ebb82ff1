"""Matrix products over the width: the projections around attention, embeddings, and the essay's attention layer."""

from attometer.mechanisms.mechanism import Entry
from attometer.mechanisms.parameters import size_parameter
from attometer.mechanisms.random_inputs import positions
from attometer.mechanisms.softmax import VALUE_WIDTH, VASWANI
from attometer.mechanisms.stages import joined
from attometer.program import size

AXES = "axis i: n, c: D"


def affine(result: str, read: str, matrix: str, bias: str = "") -> str:
    """Return the statement of a matrix product and, where `bias` names one, a bias.

    >>> affine("Y[b,i,o]", "X[b,i,c]", "W[c,o]", "B[o]")
    'weight W[c,o], B[o]\\nY[b,i,o] = X[b,i,c] * W[c,o] + B[o]'
    """
    return (
        f"weight {', '.join(filter(None, (matrix, bias)))}\n{result} = {read} * {matrix}{f' + {bias}' if bias else ''}"
    )


def projection(bias: bool = False) -> str:
    """Return one projection of D channels onto F."""
    return f"axis i: n, c: D, o: F\n{affine('Y[b,i,o]', 'X[b,i,c]', 'W[c,o]', 'B[o]' * bias)}"


def projections(bias: bool = False, out_bias: bool = False) -> dict[str, str]:
    """Return the projections around attention, in stages: `q`, `k`, `v` and `out`."""
    return {
        "q": affine("Q[b,h,i,d]", "X[b,i,c]", "Wq[c,h,d]", "Bq[h,d]" * bias),
        "k": affine("K[b,g,i,d]", "X[b,i,c]", "Wk[c,g,d]", "Bk[g,d]" * bias),
        "v": affine("V[b,g,i,e]", "X[b,i,c]", "Wv[c,g,e]", "Bv[g,e]" * bias),
        "out": affine("Y[b,i,c]", "A[b,h,i,e]", "Wo[h,e,c]", "Bo[c]" * out_bias),
    }


def convolution(stride: int = 1, bias: bool = True, function: str = "gelu") -> str:
    """Return a convolution over u neighbours of D channels onto F, every `stride` tokens; its ends are padded.

    >>> print(convolution(2, bias=False).splitlines()[-1])
    Y[b,i,o] = gelu(S[b,i,o])
    """
    place = f"i*{stride}+u" if stride > 1 else "i+u"
    product = affine("S[b,i,o]", f"X[b,{place},c]", "W[u,c,o]", "B[o]" * bias)
    return f"axis i: n, t: n * {stride} + u, c: D, o: F\ninput X[b,t,c]\n{product}\nY[b,i,o] = {function}(S[b,i,o])"


# A convolution of groups of channels apart; what it reads beyond the ends is zero.
GROUPED_CONVOLUTION = """
    axis i: n, t: n + u, g: G, c: D / G, o: D / G
    input X[b,t,g,c]
    weight W[u,g,c,o], B[g,o]
    S[b,i,g,o] = X[b,i+u,g,c] * W[u,g,c,o] + B[g,o]
    Y[b,i,g,o] = gelu(S[b,i,g,o])
"""
# The result of each head times a positive number of its own.
HEAD_GATE = "axis i: n\ninput X[b,h,i,e], G[b,h,i]\nY[b,h,i,e] = X[b,h,i,e] * softplus(G[b,h,i])"
PRODUCT = f"{AXES}\nY[b,i,c] = X[b,i,c] * R[b,i,c]"
# A block-diagonal matrix, one block for each of G groups of heads.
GROUPED_PROJECTION = f"axis i: n, g: G, c: h * d / G, o: F\n{affine('Y[b,i,g,o]', 'X[b,i,g,c]', 'W[g,o,c]')}"
# The first token alone, as BERT's pooler reads it.
POOLER = f"axis c: D, o: F\n{affine('Y[b,o]', 'X[b,c]', 'W[c,o]', 'B[o]')}"
LOOKUP = "axis i: n, v: V, c: D\ninput T[b,i]\nweight W[v,c]\nY[b,i,c] = W[T[b,i], c]"
BIAS = f"{AXES}\nweight B[c]\nY[b,i,c] = X[b,i,c] + B[c]"
SCALE = f"{AXES}\nweight G[c]\nY[b,i,c] = X[b,i,c] * G[c]"
RESIDUAL = f"{AXES}\nY[b,i,c] = X[b,i,c] + R[b,i,c]"

PROJECTION = Entry(
    "projection",
    "projection of D channels onto F",
    projection(),
    VASWANI,
    parameters=(size_parameter("F", size("D"), "channels of the result"),),
)

PROJECTIONS = Entry(
    "projections",
    "query, key, value and output projections",
    joined(f"{AXES}\ninput X[b,i,c], A[b,h,i,e]", projections()),
    VASWANI,
    parameters=(
        size_parameter("D", size("h") * size("d"), "model width"),
        size_parameter("g", size("h"), "key/value heads"),
        VALUE_WIDTH,
    ),
    notes="A is the result of attention, which stands between V and Y.",
)

EMBEDDING = Entry(
    "embedding",
    "embedding: one row of a table for each token",
    LOOKUP,
    f"{VASWANI}, section 3.4",
    parameters=(size_parameter("V", 32000, "rows of the table: the vocabulary"),),
    draws={"T": positions("V")},
)

ATTENTION_LAYER = Entry(
    "attention_layer",
    "single-head self-attention with its query, key and value projections",
    """
        axis i: n, j: n, c: d, e: d
        input X[b,i,c]
        weight Wq[c,d], Wk[c,d], Wv[c,e]
        Q[b,i,d] = X[b,i,c] * Wq[c,d]
        K[b,j,d] = X[b,j,c] * Wk[c,d]
        V[b,j,e] = X[b,j,c] * Wv[c,e]
        S[b,i,j] = Q[b,i,d] * K[b,j,d] / sqrt(d)
        P[b,i,j] = softmax[j](S)
        O[b,i,e] = P[b,i,j] * V[b,j,e]
    """,
    "Doan 2025, Attention is logarithmic, actually, case 6",
    notes="Width d is the model's: one head, and no output projection, as in the essay.",
)
